//! The command line of sealgate.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealgate::cli::run()
}
