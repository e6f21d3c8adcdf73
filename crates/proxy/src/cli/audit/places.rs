//! What these commands are given: public keys, as text or in files, and small files.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, bail, ensure};
use sealgate_audit::{Purpose, VerifyingKey, limits::MAX_NOTE};

/// A public key for a purpose: the key itself, or the name of a file that holds it.
pub(super) fn public_key(text: &str, purpose: Purpose) -> anyhow::Result<VerifyingKey> {
    let key: VerifyingKey = if text.contains('+') && !Path::new(text).exists() {
        text.parse()?
    } else {
        small_file(Path::new(text))?
            .parse()
            .with_context(|| text.to_owned())?
    };
    let what = match purpose {
        Purpose::Log => "a log",
        Purpose::Cosigner => "a receiver",
    };
    ensure!(
        key.purpose() == purpose,
        "{text} is not the public key of {what}"
    );
    Ok(key)
}

/// What is said where the files of a log can't be read.
pub(super) fn unreadable_log(directory: &Path) -> String {
    format!(
        "{} can't be read; name the directory of the log, or that of one log among a receiver's copies",
        directory.display()
    )
}

/// A file of a few lines.
pub(super) fn small_file(path: &Path) -> anyhow::Result<String> {
    let read = || {
        let mut text = String::new();
        File::open(path)?
            .take(MAX_NOTE as u64 + 1)
            .read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let text = read().with_context(|| format!("{} can't be read", path.display()))?;
    if text.len() > MAX_NOTE {
        bail!("{} is longer than {MAX_NOTE} bytes", path.display());
    }
    Ok(text)
}

/// A point in time, as far as it is written: `2026-01-31`, `2026-01-31T12`, up to `2026-01-31T12:00:00.000000Z`. UTC.
pub(super) fn time(text: &str) -> Result<String, String> {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000000Z";
    let fits = |(byte, form): (u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == *form,
    };
    let is_time = text.len() >= "0000-00-00".len()
        && text.len() <= FORM.len()
        && text.bytes().zip(FORM).all(fits);
    if is_time {
        // A shorter time sorts before every longer one that begins with it, which is what is meant.
        return Ok(text.trim_end_matches('Z').to_owned());
    }
    let whole_seconds = text.len() == "0000-00-00T00:00:00Z".len() && text.ends_with('Z');
    if whole_seconds && time(text.trim_end_matches('Z')).is_ok() {
        return Ok(text.trim_end_matches('Z').to_owned());
    }
    Err("write a time of UTC such as 2026-01-31 or 2026-01-31T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_exact_as_it_is_written() {
        for text in ["2026-01-31", "2026-01-31T12", "2026-01-31T12:00:00"] {
            assert_eq!(time(text).as_deref(), Ok(text));
        }
        let second = time("2026-01-31T12:00:00Z").unwrap();
        assert!(second.as_str() < "2026-01-31T12:00:00.000000Z");
        for text in [
            "",
            "yesterday",
            "2026-1-31",
            "31.01.2026",
            "2026-01-31 12:00",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
