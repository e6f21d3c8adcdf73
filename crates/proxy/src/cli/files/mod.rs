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
use super::service::{StopSignals, runtime};

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

/// Runs a command to its end, or until a signal asks for it. What the command holds is then dropped, temporary files with
/// it; a read that blocks is not waited for.
pub(super) fn run(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    run_until_stopped(command, "interrupted before the end; no file was written")
}

/// As [`run`], for a command that says itself what a signal leaves behind.
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
