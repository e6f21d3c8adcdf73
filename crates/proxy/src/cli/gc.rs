//! `sealgate gc`: removes what crashes left of uploads.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::output;
use super::service::runtime;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::gc::{Examined, Verdict};
use crate::logging;

/// Remove the records of uploads that were completed or aborted while nobody could remove them, and what cut-off probes left
///
/// Safe beside running gateways, as often as you like: what is younger than a day stays, and so does everything of
/// uploads that the storage still knows.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate gc --config sealgate.toml --dry-run\n  sealgate gc --json"
)]
pub(super) struct GcArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &GcArguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    logging::start_for_command(config.log)?;
    let examined = runtime()?.block_on(collect(config, arguments.dry_run))?;
    output::line(&if arguments.json {
        serde_json::to_string_pretty(&as_json(&examined, arguments.dry_run))?
    } else {
        as_text(&examined, arguments.dry_run)
    })
}

async fn collect(config: Config, dry_run: bool) -> anyhow::Result<Vec<Examined>> {
    let gateway = if dry_run {
        Gateway::observer(config).await?
    } else {
        Gateway::start(Arc::new(config)).await?
    };
    let mut all = Vec::new();
    let outcome = gateway
        .collect_garbage(dry_run, |examined| all.push(examined.clone()))
        .await;
    outcome.context(
        "not everything could be examined; what was removed is gone, another run goes on",
    )?;
    Ok(all)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Young => "young",
        Verdict::Open => "open",
        Verdict::Unreadable => "unreadable",
        Verdict::Garbage => "garbage",
    }
}

fn as_json(examined: &[Examined], dry_run: bool) -> serde_json::Value {
    let uploads = examined.iter().map(|upload| {
        json!({ "prefix": upload.prefix, "objects": upload.objects, "verdict": word(upload.verdict) })
    });
    json!({ "dry_run": dry_run, "uploads": uploads.collect::<Vec<_>>() })
}

fn as_text(examined: &[Examined], dry_run: bool) -> String {
    let mut lines: Vec<_> = examined
        .iter()
        .filter(|upload| matches!(upload.verdict, Verdict::Garbage | Verdict::Unreadable))
        .map(|upload| {
            format!(
                "{:10}  {}  {} objects",
                word(upload.verdict),
                upload.prefix,
                upload.objects
            )
        })
        .collect();
    let count = |verdict| {
        examined
            .iter()
            .filter(|upload| upload.verdict == verdict)
            .count()
    };
    let action = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    lines.push(format!(
        "{} {action}, {} open, {} younger than a day, {} unreadable",
        count(Verdict::Garbage),
        count(Verdict::Open),
        count(Verdict::Young),
        count(Verdict::Unreadable)
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_and_what_cannot_be_judged_is_named() {
        let upload = |prefix: &str, verdict| Examined {
            prefix: prefix.to_owned(),
            objects: 3,
            verdict,
        };
        let examined = [
            upload("uploads/a/", Verdict::Garbage),
            upload("uploads/b/", Verdict::Young),
        ];
        assert_eq!(
            as_text(&examined, true),
            "garbage     uploads/a/  3 objects\n1 would be removed, 0 open, 1 younger than a day, 0 unreadable"
        );
        assert_eq!(as_json(&examined, false)["uploads"][1]["verdict"], "young");
    }
}
