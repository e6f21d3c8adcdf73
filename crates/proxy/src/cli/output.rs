//! What commands say: results on standard output, errors on standard error.

use std::io::Write as _;

use anyhow::Context as _;

/// Writes one line to standard output and flushes it, so that a program that waits for the line gets it.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .context("standard output can't be written")
}

/// Writes an error with its causes to standard error.
pub(super) fn error(error: &anyhow::Error) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "sealgate: {error:#}");
}
