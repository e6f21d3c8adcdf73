//! `sealgate seal`: a file into a sealed file (FORMAT.md section 8).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use sealgate_envelope::header::{HeaderBuilder, HeaderKey};
use sealgate_envelope::io::SealWriter;
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::{Domain, Place, Suite};

use super::files::{self, Destination, Input, KeySource, Progress, SEALED_EXTENSION};
use super::recorded::Deed;
use crate::audit::ENCRYPT;
use crate::config::Config;
use crate::gateway::now_in_milliseconds;

/// The metadata entry of a file's original name (FORMAT.md section 3).
pub(super) const FILE_NAME_ENTRY: &str = "file-name";

/// Seal a file: encrypted, and every change to it will be noticed
///
/// The sealed file appears whole or not at all, readable by you alone. The original stays as it is. With --config and
/// [audit] in it, the command is recorded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealgate seal --key-file notes.key notes.txt
  sealgate seal --kms-key alias/backup database.dump database.dump.sealed
  tar c photos | sealgate seal --config sealgate.toml - photos.tar.sealed")]
pub(super) struct SealArguments {
    /// The file to seal; `-` for standard input
    input: PathBuf,

    /// Where to write it; `-` for standard output [default: INPUT.sealed, or `-` for `-`]
    output: Option<PathBuf>,

    #[command(flatten)]
    keys: KeySource,

    /// The domain that it is bound to; `open` must be given the same. With --config, its key services make the keys
    #[arg(long, value_name = "NAME", default_value = sealgate_envelope::domain::FILE_DOMAIN)]
    domain: String,

    /// The cipher suite
    #[arg(long, value_enum, default_value_t = SuiteChoice::Aes256Gcm)]
    suite: SuiteChoice,

    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

/// A suite by the name that configurations use.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SuiteChoice {
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    #[value(name = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl From<SuiteChoice> for Suite {
    fn from(choice: SuiteChoice) -> Self {
        match choice {
            SuiteChoice::Aes256Gcm => Self::Aes256Gcm,
            SuiteChoice::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
        }
    }
}

pub(super) fn run(arguments: SealArguments) -> anyhow::Result<()> {
    let config = arguments.keys.load()?;
    seal(arguments, config)
}

/// Seals it by the key services of the configuration, or else by the key that is named.
pub(super) fn seal(arguments: SealArguments, config: Option<Config>) -> anyhow::Result<()> {
    let deed = Deed::of_file("sealgate seal", &arguments.input, ENCRYPT);
    files::run(config, &deed, |config, _| seal_file(arguments, config))
}

async fn seal_file(arguments: SealArguments, config: Option<Config>) -> anyhow::Result<()> {
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| default_output(&arguments.input));
    let destination = Destination::new(&output, arguments.force)?;
    let input = Input::open(&arguments.input)?;
    let domain = Domain::new(arguments.domain)?;
    let metadata = metadata(&arguments.input)?;
    let suite = Suite::from(arguments.suite);
    let (keyring, policy) = Box::pin(arguments.keys.sealing_keyring(config, &domain)).await?;
    let sealing_key = match &policy {
        Some(policy) => keyring.sealing_key_under(policy, &domain).await,
        None => keyring.sealing_key(&domain).await,
    }
    .context("no working key could be made")?;
    let (output, completion) = destination.start()?;
    files::blocking(move || {
        let key = HeaderKey {
            id: sealing_key.id(),
            key: sealing_key.key(),
            wraps: sealing_key.inline_wraps(),
        };
        let header = HeaderBuilder::new(Place::file(&domain), key, now_in_milliseconds())
            .metadata(metadata)
            .suite(suite);
        let name = input.name();
        let length = input.length();
        let progress = Progress::new("sealing", length);
        let mut writer = SealWriter::new(output, header, length)?;
        files::copy(&mut input.into_reader(), &mut writer, &progress)
            .and_then(|()| writer.finish()?.finish())
            .with_context(|| format!("{name} could not be sealed"))?;
        progress.finish();
        Ok(())
    })
    .await?;
    completion.commit()
}

/// The name travels sealed, for people who wonder later what a file was.
fn metadata(input: &Path) -> anyhow::Result<Metadata> {
    let mut metadata = Metadata::new();
    if let Some(name) = input.file_name().filter(|_| !files::is_stream(input)) {
        metadata.insert(FILE_NAME_ENTRY, name.to_string_lossy().as_bytes())?;
    }
    Ok(metadata)
}

fn default_output(input: &Path) -> PathBuf {
    if files::is_stream(input) {
        return input.to_owned();
    }
    let mut name = input.as_os_str().to_owned();
    name.push(SEALED_EXTENSION);
    name.into()
}
