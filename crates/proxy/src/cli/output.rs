//! What commands say: results on standard output, errors on standard error.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

/// Text as it may go to a terminal: names and messages of a storage stand in it, and must neither move the cursor nor turn the order of what is
/// read. Escapes are those of JSON, so that a document stays one. Lines stay lines if `keeps_lines`.
pub(super) fn printable(text: &str, keeps_lines: bool) -> Cow<'_, str> {
    let is_fine = |character: char| match character {
        '\n' | '\t' => keeps_lines,
        // Marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9).
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            false
        }
        _ => !character.is_control(),
    };
    if text.chars().all(is_fine) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_fine(character) {
            escaped.push(character);
        } else {
            // Writing to a String never fails.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        }
    }
    Cow::Owned(escaped)
}

/// Writes one line, or a document, to standard output and flushes it, so that a program that waits for the line gets it.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", printable(text, true))
        .and_then(|()| stdout.flush())
        .context("standard output can't be written")
}

/// Writes an error with its causes to standard error.
pub(super) fn error(error: &anyhow::Error) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(
        io::stderr().lock(),
        "sealgate: {}",
        printable(&describe(error), true)
    );
}

/// The exit status of a command that finds something right or wrong, or could not find out, which is told.
pub(super) fn exit_code(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            self::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard error what goes on.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "sealgate: {text}");
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
    fn what_others_say_cannot_command_a_terminal() {
        assert_eq!(printable("plain, \u{e9}", false), "plain, \u{e9}");
        assert_eq!(printable("a\nb", true), "a\nb");
        assert_eq!(
            printable("a\nb\u{9b}2J\u{202e}", false),
            "a\\u000ab\\u009b2J\\u202e"
        );
        let document = serde_json::to_string("\u{9b}\u{202e}").unwrap();
        let back: String = serde_json::from_str(&printable(&document, true)).unwrap();
        assert_eq!(back, "\u{9b}\u{202e}");
    }

    #[test]
    fn what_was_said_is_not_repeated() {
        let misuse = sealgate_envelope::Error::misuse("there is no such file");
        assert_eq!(describe(&misuse.into()), "there is no such file");
        assert_eq!(describe(&anyhow::anyhow!("interrupted")), "interrupted");
    }
}
