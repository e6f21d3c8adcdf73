//! `sealgate grant keygen`: the key of an approver, or of whoever revokes.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use sealgate_access::PrivateKey;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::output;
use super::keys;

/// Make a key that signs approvals, or the list of revocations
///
/// Run it on the machine of whoever will sign. The private key goes to a file for its owner only and never leaves that
/// machine; the public key goes to standard output, for public_keys of the configuration. A key of
/// `ssh-keygen -t ed25519` does as well.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate grant keygen --output alice.key\n  sealgate grant keygen --output revoker.key --json"
)]
pub(super) struct KeygenArguments {
    /// The file for the private key; it must not exist
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &KeygenArguments) -> anyhow::Result<()> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).context("the system has no randomness")?;
    let text = PrivateKey::text_of_seed(&seed);
    let public = PrivateKey::parse(&text)?.public_key().to_string();
    keys::write_new(&arguments.output, &text)?;
    output::line(&if arguments.json {
        json!({ "public_key": public, "file": arguments.output }).to_string()
    } else {
        public
    })
}
