//! `sealgate audit`: the log of decisions, for who keeps it and for who checks it.

mod export;
mod keygen;
mod places;
mod receive;
mod search;
mod tail;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Make keys for the audit log, verify it, look things up in it, and receive it on another machine
#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Keygen(keygen::KeygenArguments),
    Verify(verify::VerifyArguments),
    Search(search::SearchArguments),
    Export(export::ExportArguments),
    Tail(tail::TailArguments),
    Receive(receive::ReceiveArguments),
}

pub(super) fn run(arguments: AuditArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Keygen(arguments) => keygen::run(&arguments)?,
        Command::Verify(arguments) => return verify::run(&arguments),
        Command::Search(arguments) => search::run(arguments)?,
        Command::Export(arguments) => export::run(&arguments)?,
        Command::Tail(arguments) => tail::run(&arguments)?,
        Command::Receive(arguments) => receive::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
