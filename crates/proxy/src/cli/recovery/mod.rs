//! `sealgate recovery`: the offline key for the day when no key service is left.

mod copy;
mod init;
mod open;
mod storage;

use clap::{Args, Subcommand};

/// Make an offline recovery key, and restore objects with it
#[derive(Debug, Args)]
pub(super) struct RecoveryArguments {
    #[command(subcommand)]
    command: RecoveryCommand,
}

#[derive(Debug, Subcommand)]
enum RecoveryCommand {
    Init(init::InitArguments),
    Copy(Box<copy::CopyArguments>),
    Open(Box<open::OpenArguments>),
}

pub(super) fn run(arguments: &RecoveryArguments) -> anyhow::Result<()> {
    match &arguments.command {
        RecoveryCommand::Init(arguments) => init::run(arguments),
        RecoveryCommand::Copy(arguments) => copy::run(arguments),
        RecoveryCommand::Open(arguments) => open::run(arguments),
    }
}
