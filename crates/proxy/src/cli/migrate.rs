//! `sealgate migrate`: seals in place what was in a bucket before the gateway.

use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::bucket::BucketArguments;
use super::pace::tell;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::migration::{Migration, Mode, PermitIssuer, Report, Settings, Versioning};

/// Seal what is in a bucket in the clear, in place
///
/// Every object without a sealed header is read, sealed, stored under its own key with its metadata, tags, storage class
/// and retention, read back and decrypted; only then is the version in the clear removed. Objects that clients write
/// meanwhile are never overwritten. Killed at any point, the command is run again: what is done is skipped.
///
/// While it runs, mark the bucket as [[migrating]] in the configuration of the gateways, so that clients can read what is
/// not sealed yet; docs/migration.md tells the whole way. The exit status is 0 if nothing is left in the clear.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
#[command(
    after_help = "Examples:\n  sealgate migrate --bucket photos --dry-run\n  sealgate migrate --bucket photos --rate 50MiB --concurrency 8\n  sealgate migrate --bucket photos --check && echo 'remove [[migrating]] now'"
)]
pub(super) struct MigrateArguments {
    #[command(flatten)]
    of: BucketArguments,

    /// Say what would be sealed and what could not be, and change nothing in the bucket
    #[arg(long, conflicts_with = "check")]
    dry_run: bool,

    /// Count what is in the clear, and say whether [[migrating]] can be removed
    #[arg(long)]
    check: bool,

    /// In a bucket with versions, leave the version in the clear of what was sealed
    #[arg(long)]
    keep_versions: bool,

    /// In a bucket with versions, delete older versions that are in the clear: they cannot be sealed in place
    #[arg(long, conflicts_with = "keep_versions")]
    delete_clear_versions: bool,
}

pub(super) fn run(arguments: &MigrateArguments) -> anyhow::Result<()> {
    let interrupted = "interrupted: what is done stays, and another run goes on";
    arguments
        .of
        .run("sealgate migrate", interrupted, |config, permit| {
            migrate(arguments, config, permit)
        })
}

async fn migrate(
    arguments: &MigrateArguments,
    config: Config,
    permit: PermitIssuer,
) -> anyhow::Result<()> {
    let mode = match (arguments.check, arguments.dry_run) {
        (true, _) => Mode::Check,
        (false, true) => Mode::DryRun,
        (false, false) => Mode::Seal,
    };
    let settings = Settings {
        bucket: arguments.of.bucket.clone(),
        prefix: arguments.of.prefix.clone(),
        start_after: arguments.of.resume_from.clone(),
        mode,
        concurrency: arguments.of.pace.concurrency(),
        part_length: arguments.of.parts.length(),
        keep_versions: arguments.keep_versions,
        delete_clear_versions: arguments.delete_clear_versions,
    };
    let gateway = match mode {
        Mode::Seal => Gateway::start(Arc::new(config)).await?,
        Mode::DryRun | Mode::Check => Gateway::rehearsal(config).await?,
    };
    let (pace, progress) = arguments.of.pace.start(&arguments.of.bucket);
    let migration = Migration::prepare(gateway, settings, pace, permit).await?;
    let report = migration.run(|entry, outcome| {
        if let Err(failure) = outcome {
            let (cause, fix) = (&failure.cause, failure.fix);
            tell(
                &progress,
                &format!("sealgate: {:?}: {cause}; {fix}", entry.key),
            );
        }
    });
    let report = report.await;
    progress.finish();
    let report = report?;
    arguments.of.print(
        || as_json(&arguments.of.bucket, mode, &report),
        || as_text(mode, migration.versioning(), &report),
    )?;
    if report.failed > 0 {
        bail!("{} objects failed; each is named above", report.failed);
    }
    match mode {
        Mode::DryRun => Ok(()),
        _ if report.is_complete() => Ok(()),
        Mode::Check => bail!("{} holds objects in the clear", arguments.of.bucket),
        Mode::Seal => bail!(
            "{} older versions are still in the clear: they cannot be sealed in place; delete them with --delete-clear-versions, or by a lifecycle rule",
            report.clear_versions
        ),
    }
}

fn as_text(mode: Mode, versioning: Versioning, report: &Report) -> String {
    let Report {
        sealed,
        bytes,
        already_sealed,
        removed_versions,
        clear_versions,
        clear,
        gone,
        failed,
        ..
    } = report;
    let mut lines = vec![match mode {
        Mode::Seal => format!("{sealed} objects sealed, {bytes} bytes"),
        Mode::DryRun => format!("{sealed} objects would be sealed, {bytes} bytes"),
        Mode::Check => format!("{clear} objects in the clear, {bytes} bytes"),
    }];
    lines.push(format!("{already_sealed} were sealed before"));
    if versioning != Versioning::Off {
        let removed = if mode == Mode::DryRun {
            "would be removed"
        } else {
            "removed"
        };
        lines.push(format!(
            "{removed_versions} older versions in the clear {removed}, {clear_versions} left"
        ));
    }
    if *gone > 0 {
        lines.push(format!("{gone} were deleted meanwhile"));
    }
    if *failed > 0 {
        lines.push(format!("{failed} failed"));
    }
    if mode != Mode::DryRun && report.is_complete() {
        lines.push(
            "nothing is left in the clear here: where that is the whole bucket, [[migrating]] can be removed"
                .to_owned(),
        );
    }
    lines.join("\n")
}

fn as_json(bucket: &str, mode: Mode, report: &Report) -> serde_json::Value {
    let failures = report.failures.iter().map(|failed| {
        json!({
            "key": failed.key,
            "version_id": failed.version_id,
            "cause": failed.failure.cause,
            "fix": failed.failure.fix,
        })
    });
    json!({
        "bucket": bucket,
        "mode": match mode {
            Mode::Seal => "migrate",
            Mode::DryRun => "dry-run",
            Mode::Check => "check",
        },
        "complete": mode != Mode::DryRun && report.is_complete(),
        "sealed": report.sealed,
        "bytes": report.bytes,
        "already_sealed": report.already_sealed,
        "clear": report.clear,
        "clear_versions": report.clear_versions,
        "removed_versions": report.removed_versions,
        "deleted_meanwhile": report.gone,
        "failed": report.failed,
        "failures": failures.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Failure, Outcome};

    #[test]
    fn a_report_says_whether_the_mark_can_go() {
        let mut report = Report::default();
        report.add("a", None, Ok(Outcome::Sealed(5)));
        let text = as_text(Mode::Seal, Versioning::Off, &report);
        assert!(text.starts_with("1 objects sealed, 5 bytes\n"), "{text}");
        assert!(text.ends_with("[[migrating]] can be removed"), "{text}");
        report.add("b", None, Err(Failure::new("cause", "fix")));
        let text = as_text(Mode::Seal, Versioning::Off, &report);
        assert!(text.ends_with("1 failed"), "{text}");
        let document = as_json("photos", Mode::Seal, &report);
        assert_eq!(document["complete"], false);
        assert_eq!(document["failures"][0]["fix"], "fix");
    }
}
