//! `sealgate recovery copy`: ciphertext, headers and registry in files, for the day when the storage is gone too.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{ArgGroup, Args};
use serde_json::json;

use super::storage::StorageArguments;
use crate::cli::export;
use crate::cli::files;
use crate::cli::output;
use crate::cli::pace::PaceArguments;
use crate::cli::permit;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::logging;
use crate::migration::copied::check_name;
use crate::migration::export::{Destination, ExportReport, ExportSettings};

/// What the names of registry records begin with.
const REGISTRY: &str = "registry/";

/// Copy buckets to files as they are stored, sealed, so that the recovery key opens them without any storage
///
/// No key is needed, and nothing is decrypted. Each bucket becomes a directory of ciphertext files with a journal that has
/// their headers, metadata and tags, which `aws s3 sync` leaves behind; the registry is copied last, so that it has the
/// working key of every object. Only current versions are copied. Another run takes what has changed since; what was
/// deleted at the storage stays in the copy. `sealgate recovery open --from-directory` restores from it.
///
/// Credentials of the storage come from the configuration, or with --endpoint from the standard AWS chain.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("from").required(true).args(["endpoint", "config"]),
    after_help = "Examples:\n  sealgate recovery copy --config sealgate.toml --bucket photos --bucket letters --to-directory /media/copy\n  sealgate recovery copy --endpoint https://s3.example.org --region eu-1 --deployment 0f3c7a5e9b1d4c62a8e0f1b2c3d4e5f6 \\\n    --bucket photos --to-directory /media/copy"
)]
pub(super) struct CopyArguments {
    #[command(flatten)]
    storage: StorageArguments,

    /// The deployment id, from which the state bucket's name follows
    #[arg(long, value_name = "ID", requires = "endpoint")]
    deployment: Option<String>,

    /// A bucket; may be given several times
    #[arg(long, value_name = "NAME", required = true)]
    bucket: Vec<String>,

    /// Write below this directory, a directory for each bucket
    #[arg(long, value_name = "DIRECTORY")]
    to_directory: PathBuf,

    #[command(flatten)]
    pace: PaceArguments,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CopyArguments) -> anyhow::Result<()> {
    let config = if let Some(config) = arguments.storage.load()? {
        config
    } else {
        ensure!(
            arguments.deployment.is_some() || arguments.storage.state_bucket().is_some(),
            "name the state bucket, whose registry has the wraps for the recovery key: by --deployment ID, which its name follows from, or by --state-bucket NAME"
        );
        let deployment = arguments.deployment.as_deref().unwrap_or("-");
        arguments.storage.without_file(deployment, "-", &[])?
    };
    for name in arguments.bucket.iter().chain([&config.state.bucket]) {
        check_name(name)?;
    }
    logging::start_for_command(config.log)?;
    let interrupted = "interrupted: what is complete stays, and another run goes on";
    files::run_until_stopped(copy(arguments, config), interrupted)
}

async fn copy(arguments: &CopyArguments, config: Config) -> anyhow::Result<()> {
    let state = config.state.bucket.clone();
    let of_state = Config {
        upstream: config
            .state
            .upstream
            .clone()
            .unwrap_or_else(|| config.upstream.clone()),
        ..config.clone()
    };
    let mut reports = Vec::new();
    for bucket in &arguments.bucket {
        let report = copy_bucket(arguments, config.clone(), bucket, "").await?;
        reports.push((bucket.clone(), report));
    }
    // Last: an object that was written meanwhile may be under a working key that was made meanwhile.
    let registry = copy_bucket(arguments, of_state, &state, REGISTRY).await?;
    let is_empty = registry.exported + registry.skipped == 0;
    reports.push((state.clone(), registry));
    output::line(&if arguments.json {
        let all = reports
            .iter()
            .map(|(bucket, report)| export::as_json(bucket, false, report));
        serde_json::to_string_pretty(&json!({ "buckets": all.collect::<Vec<_>>() }))?
    } else {
        let all = reports
            .iter()
            .map(|(bucket, report)| as_text(bucket, report));
        all.collect::<Vec<_>>().join("\n")
    })?;
    ensure!(
        !is_empty,
        "the state bucket {state} has no registry records, so the recovery key opens nothing of this copy: is it the right one, and was `sealgate keys rewrap` run after `recovery init`?"
    );
    for (_, report) in &reports {
        export::complete(report)?;
    }
    Ok(())
}

async fn copy_bucket(
    arguments: &CopyArguments,
    config: Config,
    bucket: &str,
    prefix: &str,
) -> anyhow::Result<ExportReport> {
    let settings = ExportSettings {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        start_after: None,
        versions: false,
        as_stored: true,
        dry_run: false,
        concurrency: arguments.pace.concurrency(),
        part_length: u64::MAX,
    };
    let destination = Destination::Directory {
        path: arguments.to_directory.join(bucket),
        overwrite: false,
    };
    let gateway = Gateway::without_keys(config).await?;
    export::carry_out(
        gateway,
        settings,
        destination,
        &arguments.pace,
        permit::for_no_keys,
    )
    .await
    .with_context(|| format!("the bucket {bucket}"))
}

fn as_text(bucket: &str, report: &ExportReport) -> String {
    let ExportReport {
        exported,
        bytes,
        skipped,
        failed,
        ..
    } = report;
    let mut line = format!("{bucket}: {exported} objects copied, {bytes} bytes");
    for (count, what) in [(skipped, "were copied before"), (failed, "failed")] {
        if *count > 0 {
            // Writing to a string never fails.
            let _ = write!(line, "; {count} {what}");
        }
    }
    line
}
