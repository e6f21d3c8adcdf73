//! What the commands for files share: keys, inputs, outputs that appear whole or not at all, and progress.

mod destination;
mod input;
mod key_source;
mod progress;

use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

pub(super) use self::destination::Destination;
pub(super) use self::input::Input;
pub(super) use self::key_source::{KeySource, MAXIMUM_INLINE_WRAPS, keyring_over};
pub(super) use self::progress::Progress;
use super::permit;
use super::recorded::{Deed, run_recorded};
use super::service::{StopSignals, runtime};
use crate::config::Config;
use crate::migration::PermitIssuer;

/// The name that stands for standard input or standard output.
pub(super) const STREAM: &str = "-";

/// What sealed files are called by default.
pub(super) const SEALED_EXTENSION: &str = ".sealed";

/// Bytes that are copied at once.
const COPY_LENGTH: usize = 256 * 1024;

/// Whether `path` stands for standard input or output.
pub(super) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == STREAM
}

/// What a signal leaves of a command that writes one file.
const INTERRUPTED: &str = "interrupted before the end; no file was written";

/// Runs a command with the configuration that has its keys, if there is one: then it is recorded, as every command is that uses the keys of a
/// deployment.
pub(super) fn run<F>(
    config: Option<Config>,
    deed: &Deed,
    command: impl FnOnce(Option<Config>, PermitIssuer) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    match config {
        Some(config) => run_recorded(config, deed, INTERRUPTED, |config, permit| {
            command(Some(config), permit)
        }),
        None => run_until_stopped(command(None, permit::for_own_file), INTERRUPTED),
    }
}

/// Runs a command to its end, or until a signal asks for it, of which `interrupted` says what it leaves behind. What the command holds is then
/// dropped, temporary files with it; a read that blocks is not waited for.
pub(super) fn run_until_stopped(
    command: impl Future<Output = anyhow::Result<()>>,
    interrupted: &'static str,
) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = StopSignals::catch()?;
        tokio::select! {
            outcome = command => outcome,
            () = signals.received() => bail!(interrupted),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// Runs `work`, which blocks, beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    spawn_blocking(work)
        .await
        .context("a thread ended by a fault of its own")?
}

/// Copies everything. Plaintext does not stay behind in memory.
pub(super) fn copy(
    reader: &mut impl Read,
    writer: &mut impl Write,
    progress: &Progress,
) -> io::Result<()> {
    let mut buffer = Zeroizing::new(vec![0; COPY_LENGTH]);
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(buffer.get(..count).unwrap_or_default())?;
        progress.advance(count);
    }
}

#[cfg(test)]
mod tests;
