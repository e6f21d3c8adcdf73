//! `sealgate keys certificate`: what `sealgate keys shred` left, believed only as far as its signature goes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::output;
use super::shred;

/// Check the certificates that `sealgate keys shred` leaves
#[derive(Debug, Args)]
pub(super) struct CertificateArguments {
    #[command(subcommand)]
    command: CertificateCommand,
}

#[derive(Debug, Subcommand)]
enum CertificateCommand {
    /// Verify the signature of a certificate, and print what it says
    ///
    /// The signature lies beside the certificate, with .sig behind its name. It needs no configuration and contacts nobody;
    /// OpenSSL can do the same: `base64 -d FILE.sig > s; openssl pkeyutl -verify -pubin -inkey KEY -rawin -in FILE -sigfile s`.
    #[command(
        after_help = "Examples:\n  sealgate keys certificate verify acme-alice.json --public-key shred-signing.key.pub"
    )]
    Verify {
        /// The certificate
        file: PathBuf,

        /// The public key that it must be signed by: the file beside the signing key, got from somebody you trust
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,

        /// Print the certificate's own JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(arguments: &CertificateArguments) -> anyhow::Result<()> {
    match &arguments.command {
        CertificateCommand::Verify {
            file,
            public_key,
            json,
        } => output::line(shred::verified(file, public_key, *json)?.trim_end()),
    }
}
