//! `sealgate audit verify`: is the log what was signed, and if not, where?

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use sealgate_audit::{
    Directory, Purpose,
    verify::{Held, Report, Task, Trusted, verify},
};

use super::{super::output, places};

/// Find edits, gaps, reordering, truncation and forks, offline, from the files and public keys
///
/// Without a checkpoint that was held elsewhere, a log that was rolled back as a whole, or written anew by whoever has
/// its key, can't be told from a good one: keep the countersigned checkpoints that the receiver publishes. It may run
/// beside a gateway that writes: records that are not signed yet and one that is unfinished are told, and nothing is
/// wrong with them; with --closed they are wrong, too. The exit status is 0 where nothing is wrong, 1 where something is.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate audit verify /var/lib/sealgate/audit --key audit.pub\n  sealgate audit verify logs/replica-1 --key 'audit.example.com/replica-1+1a2b3c4d+AZ…' --receiver-key receiver.pub --checkpoint replica-1.checkpoint"
)]
pub(super) struct VerifyArguments {
    /// The directory of the log, at a gateway or at a receiver
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// The public key of the log, or a file that holds it
    #[arg(long, value_name = "KEY")]
    key: String,

    /// The public key of a receiver, or a file that holds it; then every checkpoint that is held must be countersigned
    #[arg(long, value_name = "KEY")]
    receiver_key: Vec<String>,

    /// A checkpoint that was held elsewhere; several times, if there are several
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,

    /// The gateway may have removed its first files, because the receiver has them
    #[arg(long)]
    pruned: bool,

    /// Nobody writes the log any more, or it is a receiver's copy: then nothing may be behind the last checkpoint
    #[arg(long)]
    closed: bool,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &VerifyArguments) -> anyhow::Result<ExitCode> {
    let cosigner = |text: &String| places::public_key(text, Purpose::Cosigner);
    let held = |path: &PathBuf| {
        places::small_file(path).map(|text| Held {
            file: path.clone(),
            text,
        })
    };
    let task = Task {
        directory: Directory::new(&arguments.directory),
        trusted: Trusted {
            log: places::public_key(&arguments.key, Purpose::Log)?,
            cosigners: arguments
                .receiver_key
                .iter()
                .map(cosigner)
                .collect::<Result<_, _>>()?,
        },
        held: arguments
            .checkpoint
            .iter()
            .map(held)
            .collect::<Result<_, _>>()?,
        may_be_pruned: arguments.pruned,
        is_closed: arguments.closed,
    };
    let report = verify(&task).map_err(|error| {
        anyhow::anyhow!("{} can't be read: {error}", arguments.directory.display())
    })?;
    output::line(&if arguments.json {
        serde_json::to_string_pretty(&report)?
    } else {
        as_text(&report)
    })?;
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn as_text(report: &Report) -> String {
    let mut lines = Vec::new();
    for finding in &report.findings {
        let fault = serde_json::to_value(finding.fault).unwrap_or_default();
        let fault = fault.as_str().unwrap_or_default().to_uppercase();
        let mut place = finding.file.display().to_string();
        for (what, number) in [("line", finding.line), ("record", finding.sequence)] {
            if let Some(number) = number {
                place = format!("{place}, {what} {number}");
            }
        }
        lines.push(format!("{fault}  {place}: {}", finding.message));
    }
    if report.has_more_findings {
        lines.push("… and more".to_owned());
    }
    let Report {
        log,
        first,
        size,
        signed,
        ..
    } = report;
    let verdict = if report.is_clean() {
        "intact"
    } else {
        "NOT INTACT"
    };
    lines.push(format!(
        "{log}: {verdict}; records {first} to {}, proven up to {signed} by {} checkpoints of the log",
        size.saturating_sub(1),
        report.checkpoints
    ));
    match (report.held, report.countersigned_at) {
        (Some(held), Some(time)) => lines.push(format!(
            "as a receiver saw them up to {held}, countersigned at {}",
            as_time(time)
        )),
        (Some(held), None) => {
            lines.push(format!(
                "as a checkpoint that was held elsewhere says, up to {held}"
            ));
        }
        (None, _) => {}
    }
    if report.unsigned > 0 {
        let place = report
            .unsigned_from
            .as_ref()
            .map_or_else(String::new, |at| {
                let (file, line, sequence) = (at.file.display(), at.line, at.sequence);
                format!(", from record {sequence} on ({file}, line {line})")
            });
        lines.push(format!(
            "{} records{place} are not signed yet, and nothing proves them: a gateway that runs signs them within its checkpoint_interval; where none runs, it was killed before that, or they were added",
            report.unsigned
        ));
    }
    lines.extend(
        report
            .remarks
            .iter()
            .map(|remark| format!("note: {remark}")),
    );
    lines.join("\n")
}

/// Seconds since 1970 as a time of UTC.
pub(super) fn as_time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .map_or_else(|| seconds.to_string(), sealgate_audit::event::format_time)
}
