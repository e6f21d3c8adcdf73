//! `sealgate audit keygen`: the key of a log, or of a receiver.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use sealgate_audit::{Purpose, SigningKey};
use serde_json::json;

use super::super::{new_file::write_secret_line, output};

/// Make the key that signs a log's checkpoints, or that a receiver countersigns with
///
/// The private key goes to a file for its owner only, the public key to standard output: give it to whoever verifies.
/// Each gateway has a key and a log of its own; the name of the key is the name of the log.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate audit keygen audit.example.com/replica-1 --output audit.key\n  sealgate audit keygen audit.example.com --receiver --output receiver.key"
)]
pub(super) struct KeygenArguments {
    /// The name of the log or receiver, such as audit.example.com/replica-1
    #[arg(value_name = "NAME")]
    name: String,

    /// The file for the private key; it must not exist
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Make the key of a receiver
    #[arg(long)]
    receiver: bool,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &KeygenArguments) -> anyhow::Result<()> {
    let purpose = if arguments.receiver {
        Purpose::Cosigner
    } else {
        Purpose::Log
    };
    let key = SigningKey::generate(&arguments.name, purpose)?;
    write_secret_line(&arguments.output, &key.to_text())
        .with_context(|| format!("{} can't be made", arguments.output.display()))?;
    let public = key.public().to_string();
    output::line(&if arguments.json {
        let document =
            json!({ "name": arguments.name, "public_key": public, "file": arguments.output });
        serde_json::to_string_pretty(&document)?
    } else {
        public
    })
}
