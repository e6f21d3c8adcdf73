//! The aws CLI and Python programs, run against an endpoint.

use std::{ffi::OsStr, process::Command, time::Duration};

use anyhow::Result;

use crate::{endpoint::Endpoint, environment, process};

/// The longest that one command of the aws CLI may take: 300 MiB through a debug build on a busy machine.
const AWS_LIMIT: Duration = Duration::from_mins(3);

/// The aws CLI, told where the endpoint is. Arguments follow.
///
/// # Errors
/// If the Python environment is missing.
pub fn aws(endpoint: &Endpoint) -> Result<Command> {
    // The program file names the interpreter of its installation; run it by ours, so that the environment may be moved.
    let mut command = Command::new(environment::python_program("python")?);
    command.arg(environment::python_program("aws")?);
    command.args(["--endpoint-url", &endpoint.url]);
    endpoint.describe_to(&mut command);
    Ok(command)
}

/// Runs the aws CLI and returns what it printed.
///
/// # Errors
/// If it fails or takes too long.
pub fn run_aws<I, S>(endpoint: &Endpoint, arguments: I) -> Result<String>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    process::run_successfully(aws(endpoint)?.args(arguments), AWS_LIMIT)
}

/// Python in a directory of the repository, with credentials for the endpoint. Arguments follow.
///
/// # Errors
/// If the Python environment is missing.
pub fn python(endpoint: &Endpoint, directory: &str) -> Result<Command> {
    let mut command = Command::new(environment::python_program("python")?);
    command.current_dir(environment::repository().join(directory));
    endpoint.describe_to(&mut command);
    Ok(command)
}
