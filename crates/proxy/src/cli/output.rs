//! What commands say: results on standard output, errors on standard error.

use std::io::{self, Write as _};

use anyhow::Context as _;

/// Writes one line to standard output and flushes it, so that a program that waits for the line gets it.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .context("standard output can't be written")
}

/// Writes an error with its causes to standard error.
pub(super) fn error(error: &anyhow::Error) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(io::stderr().lock(), "sealgate: {}", describe(error));
}

/// Writes a warning to standard error.
#[cfg(target_os = "linux")]
pub(super) fn warning(text: &str) {
    let _ = writeln!(io::stderr().lock(), "sealgate: warning: {text}");
}

/// The error, its causes, and the detail that the envelope keeps for operators: whoever runs a command is one.
fn describe(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match detail(error) {
        Some(detail) if !text.contains(detail) => format!("{text} ({detail})"),
        _ => text,
    }
}

fn detail(error: &anyhow::Error) -> Option<&str> {
    let envelope = error.chain().find_map(|cause| {
        // Errors of readers and writers carry it inside, where the chain of causes does not go.
        cause
            .downcast_ref::<sealgate_envelope::Error>()
            .or_else(|| {
                let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
                inner.downcast_ref()
            })
    });
    envelope.map(sealgate_envelope::Error::detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_get_the_reason() {
        let stored = sealgate_envelope::Error::stored("the file is cut short");
        let direct = anyhow::Error::from(stored.clone()).context("a.sealed can't be opened");
        let inside =
            anyhow::Error::from(io::Error::other(stored)).context("a.sealed can't be opened");
        for error in [direct, inside] {
            let text = describe(&error);
            assert!(text.starts_with("a.sealed can't be opened: "), "{text}");
            assert!(text.ends_with(" (the file is cut short)"), "{text}");
        }
    }

    #[test]
    fn what_was_said_is_not_repeated() {
        let misuse = sealgate_envelope::Error::misuse("there is no such file");
        assert_eq!(describe(&misuse.into()), "there is no such file");
        assert_eq!(describe(&anyhow::anyhow!("interrupted")), "interrupted");
    }
}
