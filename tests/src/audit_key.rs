//! Keys that sign audit logs.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{environment, process};

const LIMIT: Duration = Duration::from_mins(1);

/// Makes the key of a log, or with `--receiver` among `more` that of a receiver, in a file; returns its public key.
///
/// # Errors
/// If the command refuses.
pub fn make(name: &str, file: &Path, more: &[&str]) -> Result<String> {
    let mut command = Command::new(environment::own_program("sealgate")?);
    command.args(["audit", "keygen", name, "--output"]);
    let public = process::run_successfully(command.arg(file).args(more), LIMIT)?;
    Ok(public.trim().to_owned())
}
