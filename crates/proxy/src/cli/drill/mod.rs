//! `sealgate drill`: proof, on real data, that recovery works.

mod proof;
mod sample;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::recovery::RecoveryKey;

use self::proof::{Opener, Report};
use self::sample::Sample;
use super::files::Progress;
use super::output;
use super::passphrase::PassphraseArgument;
use super::recorded::{Deed, run_recorded};
use super::recovery_key;
use crate::config::Config;
use crate::gateway::{self, Gateway};
use crate::logging;
use crate::migration::PermitIssuer;

/// Prove on a sample of real data that every way to the keys works
///
/// Each key service alone, as if all others were away, opens a sample of registry records and reads a sample of objects;
/// so does the recovery key, if it is given. Every byte of each of these objects is verified and compared with what the
/// gateway's own configuration reads. Nothing is written to the storage, and what is read is not kept.
///
/// The exit status is 0 only if all of it was shown; what was not is named.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate drill --bucket photos --recovery-key /media/safe/recovery.key\n  sealgate drill --bucket photos --prefix 2026/ --sample 100 --without-recovery-key --json\n  sealgate drill --bucket alice --bucket bob --without-recovery-key"
)]
pub(super) struct DrillArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// A bucket that objects are taken from; may be given several times, so that every key service has some to open
    #[arg(long, value_name = "NAME", required = true)]
    bucket: Vec<String>,

    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// So many registry records, and so many objects of each bucket, chosen at random
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    sample: u16,

    /// The recovery key's file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "without_recovery_key"
    )]
    recovery_key: Option<PathBuf>,

    #[command(flatten)]
    passphrase: PassphraseArgument,

    /// Leave the recovery key out, and do not count that as something that was not shown
    #[arg(long, conflicts_with = "recovery_key")]
    without_recovery_key: bool,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &DrillArguments) -> anyhow::Result<()> {
    let recovery = arguments.recovery_key.as_ref();
    let recovery = recovery.map(|file| recovery_key::open(file, &arguments.passphrase));
    let recovery = recovery.transpose()?;
    let config = Config::load(&arguments.config)?;
    config.require_decryption()?;
    logging::start_for_command(config.log)?;
    let interrupted = "interrupted: nothing was shown, and nothing was written";
    let deed = Deed::within("sealgate drill", &arguments.bucket, &arguments.prefix);
    run_recorded(config, &deed, interrupted, |config, permit| {
        drill(arguments, config, recovery, permit)
    })
}

async fn drill(
    arguments: &DrillArguments,
    config: Config,
    recovery: Option<RecoveryKey>,
    permit: PermitIssuer,
) -> anyhow::Result<()> {
    if let Some(key) = &recovery {
        recovery_key::require_deployment(key, &config)?;
    }
    let mut services = Vec::new();
    for service in &config.key_services {
        let service = gateway::key_service(service).await;
        services.push(service.context("[[key_service]]")?);
    }
    let all = Gateway::reader(config.clone(), services.clone()).await?;
    let count = usize::from(arguments.sample);
    let sample = Sample::take(&all, &arguments.bucket, &arguments.prefix, count).await?;
    let mut openers = Vec::new();
    for (place, (service, name)) in services.iter().zip(&config.key_service_names).enumerate() {
        let alone = Gateway::reader(config.clone(), vec![Arc::clone(service)]).await?;
        openers.push(Opener::key_service(name, place, alone));
    }
    if let Some(key) = recovery {
        let public = key.public();
        let service: Arc<dyn KeyService> = Arc::new(key);
        let alone = Gateway::reader(config.clone(), vec![service]).await?;
        openers.push(Opener::recovery_key(config, public, alone));
    }
    let steps = (openers.len() + 1) * sample.objects.len() + openers.len() * sample.records.len();
    let progress = Progress::counting("drill", steps);
    let report = Report::of(&all, &sample, &openers, permit, &progress).await;
    progress.finish();
    output::line(&if arguments.json {
        serde_json::to_string_pretty(&report.as_json(&arguments.bucket))?
    } else {
        report.as_text()
    })?;
    if !report.is_shown() {
        bail!("not everything was shown; what was not is named above");
    }
    Ok(())
}
