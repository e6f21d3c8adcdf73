//! `sealgate keys`: the life of the keys that wrap all others, one file a command.

mod certificate;
mod command;
mod retire;
mod rewrap;
mod shred;
mod status;

use clap::{Args, Subcommand};

/// Care for the keys that wrap all others
#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    Status(status::StatusArguments),
    Flush(command::FlushArguments),
    Rotate(command::RotateArguments),
    Retire(retire::RetireArguments),
    Rewrap(rewrap::RewrapArguments),
    Shred(Box<shred::ShredArguments>),
    Certificate(certificate::CertificateArguments),
}

pub(super) fn run(arguments: &KeysArguments) -> anyhow::Result<()> {
    match &arguments.command {
        KeysCommand::Status(arguments) => status::run(arguments),
        KeysCommand::Flush(arguments) => command::flush(arguments),
        KeysCommand::Rotate(arguments) => command::rotate(arguments),
        KeysCommand::Retire(arguments) => retire::run(arguments),
        KeysCommand::Rewrap(arguments) => rewrap::run(arguments),
        KeysCommand::Shred(arguments) => shred::run(arguments),
        KeysCommand::Certificate(arguments) => certificate::run(arguments),
    }
}
