//! `sealgate key-file`: local key files (FORMAT.md section 2).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::{KeyReference, Provider};

use super::output;

/// Make a local key file, for laptops and tests
///
/// A local key lies beside the data that it protects. Where that is not enough, use a key service on another machine.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sealgate key-file create notes.key\n  sealgate seal --key-file notes.key notes.txt notes.txt.sealed"
)]
pub(super) struct KeyFileArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new key; an existing file is never overwritten
    Create {
        /// Where to write it, readable by you alone
        file: PathBuf,
    },
}

pub(super) fn run(arguments: &KeyFileArguments) -> anyhow::Result<()> {
    let Action::Create { file } = &arguments.action;
    let key = LocalKeyService::create(file)?;
    output::line(&format!(
        "wrote key {} to {}; `sealgate inspect` calls it local key {}\n\
         back it up: without it, nothing that it sealed can be opened",
        key.key_id(),
        file.display(),
        KeyReference::of(Provider::Local, key.key_id())?
    ))
}
