//! `sealgate key-file`: local key files (FORMAT.md section 2).

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::{KeyReference, Provider};

use super::output;
use super::passphrase::{PassphraseArgument, PassphrasePlace};

/// Make a local key file, for laptops and labs, and seal it with a passphrase
///
/// A local key lies beside the data that it protects. Where that is not enough, use a key service on another machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealgate key-file create notes.key
  sealgate key-file create --passphrase prompt notes.key
  sealgate key-file seal --new-passphrase file:/run/secrets/notes notes.key
  sealgate key-file change-passphrase notes.key
  sealgate seal --key-file notes.key notes.txt notes.txt.sealed")]
pub(super) struct KeyFileArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new key; an existing file is never overwritten
    Create {
        /// Seal it with a passphrase from: prompt, env:NAME or file:PATH
        #[arg(long, value_name = "PLACE", visible_alias = "new-passphrase")]
        passphrase: Option<PassphrasePlace>,

        /// Where to write it, readable by you alone
        file: PathBuf,
    },

    /// Seal an existing key file with a passphrase; the key stays the same
    ///
    /// Copies of the file that were made before, and what a disk still holds of it, stay as they are: where others may have
    /// them, make a new key instead.
    Seal {
        /// Where the passphrase comes from: prompt, env:NAME or file:PATH
        #[arg(
            long,
            value_name = "PLACE",
            visible_alias = "passphrase",
            default_value = "prompt"
        )]
        new_passphrase: PassphrasePlace,

        /// The key file
        file: PathBuf,
    },

    /// Seal a key file with another passphrase; the key stays the same
    ///
    /// Copies of the file that were made before still open with the earlier passphrase.
    ChangePassphrase {
        #[command(flatten)]
        passphrase: PassphraseArgument,

        /// Where the new one comes from: prompt, env:NAME or file:PATH
        #[arg(long, value_name = "PLACE", default_value = "prompt")]
        new_passphrase: PassphrasePlace,

        /// The key file
        file: PathBuf,
    },
}

pub(super) fn run(arguments: &KeyFileArguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Create { passphrase, file } => create(passphrase.as_ref(), file),
        Action::Seal {
            new_passphrase,
            file,
        } => {
            if LocalKeyService::is_sealed(file)? {
                bail!(
                    "{} is sealed with a passphrase already; `sealgate key-file change-passphrase` gives it another one",
                    file.display()
                );
            }
            let new = new_passphrase.ask_new(&file.display().to_string())?;
            let key = LocalKeyService::reseal(file, None, Some(&new))?;
            said("sealed", &key, file, "with it")
        }
        Action::ChangePassphrase {
            passphrase,
            new_passphrase,
            file,
        } => {
            if !LocalKeyService::is_sealed(file)? {
                bail!(
                    "{} is not sealed with a passphrase; `sealgate key-file seal` seals it",
                    file.display()
                );
            }
            let old = passphrase.of_file(file, true)?;
            // Before the new one is asked for: whoever mistypes the old one need not think of a new one.
            drop(LocalKeyService::open_with(file, old.as_ref())?);
            let new = new_passphrase.ask_new(&file.display().to_string())?;
            let key = LocalKeyService::reseal(file, old.as_ref(), Some(&new))?;
            said("sealed", &key, file, "with the new one, not the old one")
        }
    }
}

fn create(passphrase: Option<&PassphrasePlace>, file: &Path) -> anyhow::Result<()> {
    let new = passphrase
        .map(|place| place.ask_new(&file.display().to_string()))
        .transpose()?;
    let key = LocalKeyService::create_with(file, new.as_ref())?;
    let also = if new.is_some() {
        " and without its passphrase"
    } else {
        ""
    };
    output::line(&format!(
        "wrote key {} to {}; `sealgate inspect` calls it local key {}\n\
         back it up: without it{also}, nothing that it sealed can be opened",
        key.key_id(),
        file.display(),
        KeyReference::of(Provider::Local, key.key_id())?
    ))
}

fn said(what: &str, key: &LocalKeyService, file: &Path, opens: &str) -> anyhow::Result<()> {
    output::line(&format!(
        "{what} key {} in {}: it opens {opens}; without the passphrase, nothing that the key sealed can be opened",
        key.key_id(),
        file.display()
    ))
}
