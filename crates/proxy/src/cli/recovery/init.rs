//! `sealgate recovery init`: a recovery key, and the sender key that its wraps are made with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{ArgGroup, Args};
use sealgate_envelope::OsRandom;
use sealgate_envelope::key_service::recovery::{RecoveryKey, RecoverySenderKey};

use crate::cli::new_file::write_secret_line;
use crate::cli::output;
use crate::cli::passphrase::PassphrasePlace;
use crate::config::Config;

/// Make a recovery key, and the sender key that gateways wrap with
///
/// The recovery key opens every working key that gateways with its public part have made, and, after `sealgate keys
/// rewrap`, every older one. Take it off this machine: print it, or put it on a medium into a safe, twice. The sender key
/// is a secret of the gateways. It opens nothing; with it, somebody who can write to the state bucket could have objects
/// of his own restored as yours.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("of").required(true).args(["config", "deployment"]),
    after_help = "Examples:\n  sealgate recovery init --config sealgate.toml --passphrase prompt\n  sealgate recovery init --deployment 0f3c7a5e9b1d4c62a8e0f1b2c3d4e5f6 --output /media/safe/recovery.key"
)]
pub(super) struct InitArguments {
    /// The configuration file, for its deployment id
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The deployment id
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,

    /// Seal the recovery key with a passphrase from: prompt, env:NAME or file:PATH
    #[arg(long, value_name = "PLACE", visible_alias = "new-passphrase")]
    passphrase: Option<PassphrasePlace>,

    /// Where to write the recovery key, readable by you alone; never overwritten
    #[arg(long, value_name = "FILE", default_value = "recovery.key")]
    output: PathBuf,

    /// Where to write the sender key, readable by you alone; never overwritten
    #[arg(long, value_name = "FILE", default_value = "recovery-sender.key")]
    sender_output: PathBuf,
}

pub(super) fn run(arguments: &InitArguments) -> anyhow::Result<()> {
    let deployment = match (&arguments.deployment, &arguments.config) {
        (Some(deployment), _) => deployment.clone(),
        (None, Some(path)) => Config::load(path)?.deployment,
        (None, None) => return Err(anyhow!("name --config or --deployment")),
    };
    let (path, sender_path) = (&arguments.output, &arguments.sender_output);
    let passphrase = arguments
        .passphrase
        .as_ref()
        .map(|place| place.ask_new(&path.display().to_string()))
        .transpose()?;
    let sender = RecoverySenderKey::generate(&mut OsRandom)?;
    write_sender(sender_path, &sender)?;
    let key = RecoveryKey::create(path, &deployment, sender.public(), passphrase.as_ref())
        .inspect_err(|_| {
            // Nothing can depend on it yet.
            let _ = fs::remove_file(sender_path);
        })?;
    output::line(&format!(
        "wrote the recovery key of deployment {deployment} to {}, and the sender key to {}\n\
         for the configuration of every gateway:\n\n\
         [recovery]\n\
         public_key = \"{}\"\n\
         sender_key = \"file:{}\"\n\
         sender = \"{}\"\n\n\
         or, as that of one domain alone, in its [[domain]]:\n\n\
         recovery = {{ public_key = \"{}\", sender_key = \"file:{}\", sender = \"{}\" }}\n\n\
         next: take the recovery key off this machine, in two copies{}; restart the gateways;\n\
         run `sealgate keys rewrap`, which wraps the working keys that are there already",
        path.display(),
        sender_path.display(),
        key.public(),
        sender_path.display(),
        key.sender(),
        key.public(),
        sender_path.display(),
        key.sender(),
        if passphrase.is_some() {
            ", and keep its passphrase elsewhere"
        } else {
            ""
        }
    ))
}

fn write_sender(path: &Path, key: &RecoverySenderKey) -> anyhow::Result<()> {
    write_secret_line(path, &key.to_text())
        .with_context(|| format!("the sender key cannot be written to {}", path.display()))
}
