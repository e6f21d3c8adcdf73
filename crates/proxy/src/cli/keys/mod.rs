//! `sealgate keys`: the life of the keys that wrap all others, one file a command.

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
    Rewrap(rewrap::RewrapArguments),
}

pub(super) fn run(arguments: &KeysArguments) -> anyhow::Result<()> {
    match &arguments.command {
        KeysCommand::Rewrap(arguments) => rewrap::run(arguments),
    }
}
