//! `sealgate keys`: the life of the keys that wrap all others, one file a command.

mod retire;
mod rewrap;

use clap::{Args, Subcommand};

/// Care for the keys that wrap all others
#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    Retire(retire::RetireArguments),
    Rewrap(rewrap::RewrapArguments),
}

pub(super) fn run(arguments: &KeysArguments) -> anyhow::Result<()> {
    match &arguments.command {
        KeysCommand::Retire(arguments) => retire::run(arguments),
        KeysCommand::Rewrap(arguments) => rewrap::run(arguments),
    }
}
