//! `sealgate recovery open`: objects restored with nothing but the objects, the registry records and the recovery key.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{ArgGroup, Args};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::recovery::RecoveryKey;

use super::storage::StorageArguments;
use crate::cli::export;
use crate::cli::output;
use crate::cli::pace::PaceArguments;
use crate::cli::passphrase::PassphraseArgument;
use crate::cli::recorded::{Deed, run_recorded};
use crate::cli::recovery_key;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::logging;
use crate::migration::PermitIssuer;
use crate::migration::copied::CopiedStorage;
use crate::migration::export::{Destination, Export, ExportSettings};

/// Restore objects with the recovery key, without any key service
///
/// It needs the bucket, the state bucket with its registry records, and the recovery key; the deployment id is in the key's
/// file. Either may be a copy at any S3 server. With --from-directory they are files, of current versions: a copy that
/// `sealgate recovery copy` made, or one by `rclone copy --metadata`. With --config, storage and domains are those of a configuration, whose key
/// services are not asked. Every object is verified while it streams, as by `sealgate export`: nothing that did not verify,
/// and nothing partial, appears under its name, and another run goes on where this one stopped. What was wrapped by others
/// than the deployment's gateways is refused.
///
/// Without --config, credentials of the storage come from the standard AWS chain.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("from").required(true).multiple(true).args(["endpoint", "config", "from_directory"]),
    group = ArgGroup::new("to").required(true).args(["to_directory", "to_stdout"]),
    after_help = "Examples:\n  sealgate recovery open --recovery-key recovery.key --endpoint https://s3.example.org --region eu-1 \\\n    --bucket photos --to-directory ./photos\n  sealgate recovery open --recovery-key recovery.key --from-directory /media/copy --bucket photos --to-directory ./photos\n  sealgate recovery open --recovery-key recovery.key --config sealgate.toml --bucket photos --to-stdout 2026/a.jpg > a.jpg"
)]
pub(super) struct OpenArguments {
    /// The recovery key's file
    #[arg(long, value_name = "FILE")]
    recovery_key: PathBuf,

    #[command(flatten)]
    passphrase: PassphraseArgument,

    #[command(flatten)]
    storage: StorageArguments,

    /// Read from this directory, which holds copies of the bucket and of the state bucket, each under its name
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "endpoint")]
    from_directory: Option<PathBuf>,

    /// The domain of the objects, where the configuration named one; `{bucket}` stands for the bucket. Former names may
    /// follow [default: DEPLOYMENT/BUCKET]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    domain: Vec<String>,

    /// The bucket
    #[arg(long, value_name = "NAME")]
    bucket: String,

    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// Write files below this directory
    #[arg(long, value_name = "DIRECTORY")]
    to_directory: Option<PathBuf>,

    /// Write this one object to standard output, each segment as soon as it is verified: only exit status 0 means all of it
    #[arg(long, value_name = "KEY", conflicts_with = "json")]
    to_stdout: Option<String>,

    /// Replace files below the directory that are not of this restore
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    pace: PaceArguments,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &OpenArguments) -> anyhow::Result<()> {
    let key = recovery_key::open(&arguments.recovery_key, &arguments.passphrase)?;
    let config = config(arguments, &key)?;
    logging::start_for_command(config.log)?;
    let interrupted = "interrupted: what is complete stays, and another run goes on";
    let deed = match &arguments.to_stdout {
        Some(object) => Deed::of_object("sealgate recovery open", &arguments.bucket, object),
        None => Deed::within(
            "sealgate recovery open",
            std::slice::from_ref(&arguments.bucket),
            &arguments.prefix,
        ),
    };
    run_recorded(config, &deed, interrupted, |config, permit| {
        restore(arguments, config, key, permit)
    })
}

async fn restore(
    arguments: &OpenArguments,
    config: Config,
    key: RecoveryKey,
    permit: PermitIssuer,
) -> anyhow::Result<()> {
    let service: Arc<dyn KeyService> = Arc::new(key);
    let mut incomplete = Vec::new();
    let gateway = match &arguments.from_directory {
        Some(directory) => {
            let copy = CopiedStorage::open(directory, &arguments.bucket, &config.state.bucket)?;
            incomplete = copy.incomplete();
            Gateway::reader_of_copy(config, vec![service], Arc::new(copy))?
        }
        None => Gateway::reader(config, vec![service]).await?,
    };
    let settings = ExportSettings {
        bucket: arguments.bucket.clone(),
        prefix: arguments.prefix.clone(),
        start_after: None,
        versions: false,
        as_stored: false,
        dry_run: arguments.to_stdout.is_some(),
        concurrency: arguments.pace.concurrency(),
        part_length: u64::MAX,
    };
    let Some(object) = &arguments.to_stdout else {
        let destination = Destination::Directory {
            path: arguments.to_directory.clone().unwrap_or_default(),
            overwrite: arguments.overwrite,
        };
        let report =
            export::carry_out(gateway, settings, destination, &arguments.pace, permit).await?;
        output::line(&if arguments.json {
            let document = export::as_json(&arguments.bucket, false, &report);
            serde_json::to_string_pretty(&document)?
        } else {
            export::as_text(false, &report)
        })?;
        let complete = export::complete(&report);
        if arguments.storage.names_no_domains() && arguments.domain.is_empty() {
            complete.context(
                "if the configuration gave these objects a domain of its own, name it with --domain, or the configuration with --config",
            )?;
        } else {
            complete?;
        }
        ensure!(
            incomplete.is_empty(),
            "the copy of {} is not whole: `sealgate recovery copy` did not end well, or the end of its journal was lost since. What is missing in it was not restored: take another copy, or make it whole with `sealgate recovery copy` if the storage is still there",
            incomplete.join(" and of ")
        );
        return Ok(());
    };
    let nowhere = tempfile::tempdir()?;
    let destination = Destination::Directory {
        path: nowhere.path().join("nothing"),
        overwrite: false,
    };
    let (pace, progress) = arguments.pace.start(object);
    let export = Export::prepare(gateway, settings, destination, pace, permit).await?;
    let mut stdout = io::stdout().lock();
    let streamed = export.stream(object, &mut stdout).await;
    progress.finish();
    let written =
        streamed.map_err(|failure| anyhow!("{object}: {}; {}", failure.cause, failure.fix))?;
    stdout.flush().context("standard output can't be written")?;
    match written {
        Some(_) => Ok(()),
        None if incomplete.is_empty() => {
            bail!("there is no object {object} in {}", arguments.bucket)
        }
        None => bail!(
            "there is no object {object} in the copy of {}, which is not whole: take another copy",
            arguments.bucket
        ),
    }
}

/// The configuration of a reader: that of a file, or one without key services, clients and listener.
fn config(arguments: &OpenArguments, key: &RecoveryKey) -> anyhow::Result<Config> {
    let storage = &arguments.storage;
    let (deployment, bucket) = (key.deployment(), arguments.bucket.as_str());
    match storage.load()? {
        Some(config) => {
            recovery_key::require_deployment(key, &config)?;
            Ok(config)
        }
        None if arguments.from_directory.is_some() => {
            storage.of_copy(deployment, bucket, &arguments.domain)
        }
        None => storage.without_file(deployment, bucket, &arguments.domain),
    }
}
