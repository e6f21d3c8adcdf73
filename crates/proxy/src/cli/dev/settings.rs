//! What `sealgate dev` makes once and keeps in its directory.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::super::random::random_hex;
use crate::config::{Secret, StaticCredentials};

/// The file in the directory, readable by its owner alone.
const FILE: &str = "settings.json";

/// The directory and what was found or made in it.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) directory: PathBuf,
    pub(super) deployment: String,
    /// What clients sign with.
    pub(super) client: StaticCredentials,
    /// What the gateway signs with towards the embedded storage.
    pub(super) storage: StaticCredentials,
    /// What the gateway signs with towards the embedded key server.
    pub(super) key_service: StaticCredentials,
}

impl Settings {
    /// Opens the directory, which is made if it is not there, and reads or makes the settings.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        let shown = directory.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("{shown} can't be made; name another directory with --dir"))?;
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Two processes may start at once: whoever comes second reads what the first one wrote.
                write_once(&path, &Document::make()?)?;
                fs::read_to_string(&path)
            }
            read => read,
        };
        let text =
            Zeroizing::new(text.with_context(|| format!("{} can't be read", path.display()))?);
        let document: Document = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is damaged; restore it, or name another directory with --dir",
                path.display()
            )
        })?;
        Ok(Self {
            directory: directory.to_owned(),
            deployment: document.deployment,
            client: document.client.into(),
            storage: document.storage.into(),
            key_service: document.key_service.into(),
        })
    }
}

/// The file's content.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    deployment: String,
    client: Pair,
    storage: Pair,
    key_service: Pair,
}

#[derive(Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Pair {
    access_key_id: String,
    secret_access_key: String,
}

impl Document {
    fn make() -> anyhow::Result<Self> {
        Ok(Self {
            deployment: random_hex::<16>()?,
            client: Pair::make("SGCLIENT")?,
            storage: Pair::make("SGSTORAGE")?,
            key_service: Pair::make("SGKEYS")?,
        })
    }
}

impl Pair {
    fn make(prefix: &str) -> anyhow::Result<Self> {
        Ok(Self {
            access_key_id: format!("{prefix}{}", random_hex::<5>()?.to_uppercase()),
            secret_access_key: random_hex::<20>()?,
        })
    }
}

impl From<Pair> for StaticCredentials {
    fn from(pair: Pair) -> Self {
        Self {
            access_key_id: pair.access_key_id.clone(),
            secret_access_key: Secret::new(pair.secret_access_key.as_str()),
            session_token: None,
        }
    }
}

/// Writes the file whole or not at all, and leaves one alone that is already there.
fn write_once(path: &Path, document: &Document) -> anyhow::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", random_hex::<8>()?));
    let mut text = Zeroizing::new(serde_json::to_string_pretty(document)?);
    text.push('\n');
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    // It may not be there, if it was what could not be made.
    let _ = fs::remove_file(&temporary);
    written.with_context(|| format!("{} can't be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn settings_are_made_once_and_kept_for_the_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("deep/dev");
        let first = Settings::open(&directory).unwrap();
        let second = Settings::open(&directory).unwrap();
        assert_eq!(first.deployment, second.deployment);
        assert_eq!(
            first.client.secret_access_key.expose(),
            second.client.secret_access_key.expose()
        );
        assert_ne!(
            first.client.secret_access_key.expose(),
            first.storage.secret_access_key.expose()
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join(FILE)), 0o600);
        assert_eq!(
            fs::read_dir(&directory).unwrap().count(),
            1,
            "a temporary file was left"
        );
    }

    #[test]
    fn settings_of_another_process_are_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, "theirs").unwrap();
        write_once(&path, &Document::make().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }

    #[test]
    fn damaged_settings_are_an_error_that_does_not_quote_them() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "{\"client\": \"hunter2\"}").unwrap();
        let error = format!("{:#}", Settings::open(directory.path()).unwrap_err());
        assert!(
            error.contains("damaged") && error.contains("--dir"),
            "{error}"
        );
    }
}
