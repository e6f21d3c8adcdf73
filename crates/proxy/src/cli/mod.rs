//! The command line: one file a subcommand.

mod audit;
mod bucket;
mod check;
mod credentials;
#[cfg(feature = "dev")]
mod dev;
mod drill;
mod export;
mod files;
mod gc;
mod grant;
mod init;
mod inspect;
mod key_file;
mod keys;
mod kms;
mod migrate;
mod new_file;
mod open;
mod open_files;
mod operator;
mod output;
mod pace;
mod passphrase;
mod permit;
mod policy;
#[cfg(target_os = "linux")]
mod process_memory;
mod random;
mod recorded;
mod recovery;
mod recovery_key;
mod reload;
mod seal;
mod serve;
mod service;
mod verify;
mod walk;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::logging;

/// Encrypts what S3 clients store, and verifies and decrypts what they fetch.
#[derive(Debug, Parser)]
#[command(name = "sealgate", version, about, long_about = None, max_term_width = 110)]
struct Arguments {
    /// Log single steps too, as the configuration's `[log]` says; commands only warn otherwise
    #[arg(short, long, global = true)]
    verbose: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "dev")]
    Dev(dev::DevArguments),
    Init(init::InitArguments),
    Check(check::CheckArguments),
    Serve(serve::ServeArguments),
    Gc(gc::GcArguments),
    Migrate(migrate::MigrateArguments),
    Verify(verify::VerifyArguments),
    Export(export::ExportArguments),
    Seal(seal::SealArguments),
    Open(open::OpenArguments),
    Inspect(inspect::InspectArguments),
    KeyFile(key_file::KeyFileArguments),
    Keys(keys::KeysArguments),
    Recovery(recovery::RecoveryArguments),
    Drill(drill::DrillArguments),
    Audit(audit::AuditArguments),
    Policy(policy::PolicyArguments),
    Grant(Box<grant::GrantArguments>),
    Credentials(credentials::CredentialsArguments),
}

/// Runs the command that the process was started with.
///
/// Standard output gets what was asked for, standard error logs and errors. The exit status is 0 for success, 1 for a
/// failure that was reported, 2 for a command line that makes no sense.
pub fn run() -> ExitCode {
    #[cfg(target_os = "linux")]
    process_memory::keep_from_others();
    let arguments = Arguments::parse();
    if arguments.verbose {
        logging::be_verbose();
    }
    let outcome = match arguments.command {
        #[cfg(feature = "dev")]
        Command::Dev(arguments) => dev::run(arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => return check::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Gc(arguments) => gc::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Seal(arguments) => seal::run(arguments),
        Command::Open(arguments) => open::run(arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::KeyFile(arguments) => key_file::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Recovery(arguments) => recovery::run(&arguments),
        Command::Drill(arguments) => drill::run(&arguments),
        Command::Audit(arguments) => match audit::run(arguments) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Grant(arguments) => grant::run(&arguments),
        Command::Policy(arguments) => return policy::run(&arguments),
        Command::Credentials(arguments) => credentials::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
