//! Secrets of a configuration: never written in it, only named by it.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::problem::Noted;
use super::table::Value;

/// The longest secret file that is read, in bytes. Keys and tokens are far shorter; a file above this is a wrong path.
const SECRET_FILE_LIMIT: u64 = 64 * 1024;

/// A secret in memory. Wiped on drop, absent from `Debug`, with no `Display`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the secret over; other copies of it, if any, are the caller's to wipe.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}

/// What a configuration may refer to outside its own text.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The directory that relative paths start from: that of the configuration file.
    pub directory: &'a Path,
    /// Looks up an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// The path that `text` means.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// The path of a file that must be there.
    pub(super) fn file(&self, value: &Value<'_>, fix: &str) -> Option<PathBuf> {
        let path = self.path(value.text()?);
        value.refers_to(&path);
        existing(value, path, fix)
    }

    /// As [`file`](Self::file), of a file with a private key.
    pub(super) fn secret_file(&self, value: &Value<'_>, fix: &str) -> Option<PathBuf> {
        let path = self.path(value.text()?);
        value.refers_to_secret(&path);
        existing(value, path, fix)
    }

    /// The secret that `value` names.
    pub(super) fn secret(&self, value: &Value<'_>) -> Option<Secret> {
        let text = value.text()?;
        match self.referenced(value, text) {
            Some(secret) => secret.ok(),
            None => value.problem(
                "a secret must not be written into the configuration",
                "name where it is: \"env:NAME\" for an environment variable or \"file:PATH\" for a file",
            ),
        }
    }

    /// A value that is no secret and may stand in the text, or be named like one.
    pub(super) fn text_or_reference(&self, value: &Value<'_>) -> Option<String> {
        let text = value.text()?;
        match self.referenced(value, text) {
            Some(secret) => secret.ok().map(|secret| secret.expose().to_owned()),
            None => Some(text.to_owned()),
        }
    }

    /// The secret that `text` refers to; `None` if it is no reference.
    fn referenced(&self, value: &Value<'_>, text: &str) -> Option<Result<Secret, Noted>> {
        if let Some(name) = text.strip_prefix("env:") {
            return Some(match (self.environment)(name).map(Secret::new) {
                Some(secret) if !secret.expose().is_empty() => Ok(secret),
                _ => value.noted(
                    format!("the environment variable {name} is not set"),
                    format!("set {name} before the start, or name another place"),
                ),
            });
        }
        let path = self.path(text.strip_prefix("file:")?);
        value.refers_to_secret(&path);
        Some(match read_secret(&path) {
            Ok(secret) => Ok(secret),
            Err(cause) => value.noted(
                format!("{}: {cause}", path.display()),
                "put the secret alone into that file, readable for this process, or name another place",
            ),
        })
    }
}

fn existing(value: &Value<'_>, path: PathBuf, fix: &str) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path);
    }
    value.problem(format!("there is no file {}", path.display()), fix)
}

/// The secret that a command line names, as a configuration would: `env:NAME` or `file:PATH`.
///
/// # Errors
/// What is wrong with the place, with its fix; never a part of the secret.
pub(crate) fn secret_of_reference(text: &str) -> Result<Secret, String> {
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name)
            .ok()
            .filter(|value| !value.is_empty())
            .map(Secret::new)
            .ok_or_else(|| format!("the environment variable {name} is not set"));
    }
    match text.strip_prefix("file:") {
        Some(path) => read_secret(Path::new(path)).map_err(|cause| format!("{path}: {cause}")),
        None => Err(
            "a secret is named by its place: env:NAME for an environment variable, file:PATH for a file"
                .to_owned(),
        ),
    }
}

/// The content of a secret file without the line end that editors add.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut content = Zeroizing::new(String::new());
    file.take(SECRET_FILE_LIMIT + 1)
        .read_to_string(&mut content)
        .map_err(|error| error.to_string())?;
    if content.len() as u64 > SECRET_FILE_LIMIT {
        return Err(format!(
            "longer than {SECRET_FILE_LIMIT} bytes, so it is no secret"
        ));
    }
    let secret = content.strip_suffix('\n').unwrap_or(&content);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err("the file is empty".to_owned());
    }
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", Secret::new("hunter2hunter2")),
            "Secret(redacted)"
        );
    }

    #[test]
    fn one_line_end_of_a_secret_file_is_no_part_of_the_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        for (content, secret) in [
            ("abc", "abc"),
            ("abc\n", "abc"),
            ("abc\r\n", "abc"),
            ("abc\n\n", "abc\n"),
            (" a ", " a "),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_secret(&path).unwrap().expose(), secret);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(read_secret(&path).unwrap_err().contains("empty"));
        std::fs::write(
            &path,
            vec![b'a'; usize::try_from(SECRET_FILE_LIMIT).unwrap() + 1],
        )
        .unwrap();
        assert!(read_secret(&path).unwrap_err().contains("longer"));
    }
}
