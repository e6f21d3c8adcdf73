//! `sealgate keys rewrap`: working keys, wrapped by other key-encryption keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use sealgate_envelope::WorkingKeyId;
use serde_json::json;

use super::super::files::Progress;
use super::super::output;
use super::super::pace::tell;
use super::super::recorded::{Deed, Record};
use super::super::service::runtime;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::rewrap::{RewrapSettings, Rewrapped};
use crate::logging;
use crate::migration::PermitIssuer;

/// Wrap every working key by each key service that its domain asks for
///
/// After a key service was added to the configuration, or has another key: every registry record gets the wraps that it
/// lacks. Each new wrap is opened again and compared before the record is written, wraps by other keys stay, and no object
/// is touched. Gateways go on serving. Killed at any point, the command is run again: what is done is skipped.
///
/// The exit status is 0 if every working key has every wrap.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate keys rewrap --dry-run\n  sealgate keys rewrap --rate 20\n  sealgate keys rewrap --renew --json    # after the key was rotated inside its service"
)]
pub(super) struct RewrapArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Say what would be done, and write nothing; working keys are opened all the same
    #[arg(long)]
    dry_run: bool,

    /// Make the wraps anew that are there already, under the newest version of the same key
    #[arg(long)]
    renew: bool,

    /// Go on after this working key: with --renew, where an earlier run stopped
    #[arg(long, value_name = "ID")]
    after: Option<WorkingKeyId>,

    /// Begin at most so many working keys a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAXIMUM_RATE))]
    rate: Option<u32>,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// More a second bounds nothing: no key service answers that many.
const MAXIMUM_RATE: i64 = 100_000;

/// What became of the records.
#[derive(Debug, Default)]
struct Report {
    written: usize,
    up_to_date: usize,
    overtaken: usize,
    failures: Vec<(WorkingKeyId, String)>,
    last: Option<WorkingKeyId>,
}

pub(super) fn run(arguments: &RewrapArguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    config.require_decryption()?;
    logging::start_for_command(config.log)?;
    let report = runtime()?.block_on(async {
        let record = Record::begin(&config, &Deed::everywhere("sealgate keys rewrap")).await?;
        let report = Box::pin(rewrap(config, arguments, record.permit())).await;
        record.end(&report).await;
        report
    })?;
    output::line(&if arguments.json {
        serde_json::to_string_pretty(&report.as_json(arguments.dry_run))?
    } else {
        report.as_text(arguments.dry_run)
    })?;
    ensure!(
        report.failures.is_empty() && report.overtaken == 0,
        "not every working key has every wrap; the same command again goes on"
    );
    Ok(())
}

async fn rewrap(
    config: Config,
    arguments: &RewrapArguments,
    permit: PermitIssuer,
) -> anyhow::Result<Report> {
    let gateway = if arguments.dry_run {
        Gateway::observer(config).await?
    } else {
        Gateway::start(Arc::new(config)).await?
    };
    let ids = gateway.working_keys(arguments.after).await?;
    let progress = Progress::counting("rewrap", ids.len());
    let permit = permit("sealgate keys rewrap");
    let settings = RewrapSettings {
        renews: arguments.renew,
        dry_run: arguments.dry_run,
    };
    let mut turns = arguments
        .rate
        .map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    let mut report = Report::default();
    for id in ids {
        if let Some(turns) = &mut turns {
            turns.tick().await;
        }
        match gateway.rewrap(&permit, id, settings).await {
            Ok(Rewrapped::Written) => report.written += 1,
            Ok(Rewrapped::UpToDate) => report.up_to_date += 1,
            Ok(Rewrapped::Overtaken) => report.overtaken += 1,
            Err(error) => {
                tell(&progress, &format!("{id}: {error:#}"));
                report.failures.push((id, format!("{error:#}")));
            }
        }
        report.last = Some(id);
        progress.advance(1);
    }
    progress.finish();
    Ok(report)
}

impl Report {
    fn as_json(&self, dry_run: bool) -> serde_json::Value {
        let failures = self
            .failures
            .iter()
            .map(|(id, error)| json!({ "working_key": id.to_string(), "error": error }));
        json!({
            "dry_run": dry_run,
            "rewrapped": self.written,
            "up_to_date": self.up_to_date,
            "overtaken": self.overtaken,
            "failures": failures.collect::<Vec<_>>(),
            "last": self.last.map(|id| id.to_string()),
        })
    }

    fn as_text(&self, dry_run: bool) -> String {
        let word = if dry_run {
            "would be rewrapped"
        } else {
            "rewrapped"
        };
        format!(
            "{} {word}, {} up to date, {} written by somebody else meanwhile, {} failed",
            self.written,
            self.up_to_date,
            self.overtaken,
            self.failures.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_what_failed_and_where_it_ended() {
        let id = WorkingKeyId::from_bytes([7; 16]);
        let report = Report {
            written: 2,
            failures: vec![(id, "down".to_owned())],
            last: Some(id),
            ..Report::default()
        };
        assert_eq!(
            report.as_text(true),
            "2 would be rewrapped, 0 up to date, 0 written by somebody else meanwhile, 1 failed"
        );
        let document = report.as_json(false);
        assert_eq!(document["failures"][0]["error"], "down");
        assert_eq!(document["last"], id.to_string());
    }
}
