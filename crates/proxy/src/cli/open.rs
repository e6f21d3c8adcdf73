//! `sealgate open`: a sealed file into what it was.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use sealgate_envelope::Domain;

use super::files::{self, Destination, Input, KeySource, Progress, SEALED_EXTENSION};
use super::recorded::Deed;
use crate::audit::DECRYPT;
use crate::config::Config;
use crate::migration::PermitIssuer;

/// As it is recorded.
const COMMAND: &str = "sealgate open";

/// Open a sealed file: verified and decrypted
///
/// A file appears whole and verified, or not at all. To standard output go verified bytes only, but an error may still
/// follow them: check the exit status before you rely on them. With --config and [audit] in it, the command is recorded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealgate open --key-file notes.key notes.txt.sealed
  sealgate open --config sealgate.toml photos.tar.sealed - | tar x")]
pub(super) struct OpenArguments {
    /// The sealed file; `-` for standard input, which is kept sealed in a temporary file until its end has been seen
    input: PathBuf,

    /// Where to write it; `-` for standard output [default: INPUT without .sealed, or `-` for `-`]
    output: Option<PathBuf>,

    #[command(flatten)]
    keys: KeySource,

    /// The domain that it was sealed for
    #[arg(long, value_name = "NAME", default_value = sealgate_envelope::domain::FILE_DOMAIN)]
    domain: String,

    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: OpenArguments) -> anyhow::Result<()> {
    let config = arguments.keys.load()?;
    open(arguments, config)
}

/// Opens it by the key services of the configuration, or else by the key that is named.
pub(super) fn open(arguments: OpenArguments, config: Option<Config>) -> anyhow::Result<()> {
    let deed = Deed::of_file(COMMAND, &arguments.input, DECRYPT);
    files::run(config, &deed, |config, permit| {
        open_file(arguments, config, permit)
    })
}

async fn open_file(
    arguments: OpenArguments,
    config: Option<Config>,
    permit: PermitIssuer,
) -> anyhow::Result<()> {
    let output = match arguments.output {
        Some(output) => output,
        None => default_output(&arguments.input)?,
    };
    let destination = Destination::new(&output, arguments.force)?;
    let input = Input::open(&arguments.input)?;
    let name = input.name();
    let domain = Domain::new(arguments.domain)?;
    let sealed = files::blocking(move || input.into_sealed_file()).await?;
    let keyring = Box::pin(arguments.keys.keyring(config)).await?;
    let header = sealed.header();
    let working_key = keyring
        .opening_key(&permit(COMMAND), header.working_key_id(), header.wraps(), &domain)
        .await
        .with_context(|| format!("the key of {name} can't be had; check that key and --domain are those it was sealed with"))?;
    let mut reader = files::blocking({
        let name = name.clone();
        move || {
            sealed
                .open(&working_key, &domain)
                .with_context(|| format!("{name} can't be opened"))
        }
    })
    .await?;
    // Only now: header, commit record and length have proven to be genuine.
    let (mut output, completion) = destination.start()?;
    files::blocking(move || {
        let progress = Progress::new("opening", Some(reader.plaintext_length()));
        let copied = files::copy(&mut reader, &mut output, &progress);
        progress.finish();
        // Verified bytes go out also where an error follows them.
        copied
            .and(output.finish())
            .with_context(|| format!("{name} could not be opened to its end"))
    })
    .await?;
    completion.commit()
}

fn default_output(input: &Path) -> anyhow::Result<PathBuf> {
    if files::is_stream(input) {
        return Ok(input.to_owned());
    }
    let name = input
        .to_str()
        .and_then(|name| name.strip_suffix(SEALED_EXTENSION))
        .filter(|name| !name.is_empty());
    name.map(PathBuf::from).with_context(|| {
        format!(
            "{} does not end in {SEALED_EXTENSION}; name the output too",
            input.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_named_after_the_input() {
        assert_eq!(
            default_output(Path::new("a/b.txt.sealed")).unwrap(),
            Path::new("a/b.txt")
        );
        assert_eq!(default_output(Path::new("-")).unwrap(), Path::new("-"));
        for input in ["b.txt", ".sealed"] {
            assert!(
                default_output(Path::new(input))
                    .unwrap_err()
                    .to_string()
                    .contains("name the output")
            );
        }
    }
}
