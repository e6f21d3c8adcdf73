//! The directory: files appear whole or not at all, and one command writes at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::file::{CredentialFile, FILE_LIMIT, Moment};

/// What the file of an access key ends in.
const EXTENSION: &str = "toml";

/// What a file ends in that says of an access key that it was revoked. It needs neither a lock nor room, and nothing that writes the other file can take
/// it back.
const REVOKED: &str = "revoked";

/// The most files: each is looked at every second.
pub(crate) const FILES_LIMIT: usize = 4_096;

/// The file that is locked by the command whose turn it is.
const LOCK: &str = ".lock";

/// How long a command waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(30);

/// The pause between attempts meanwhile.
const TURN_PAUSE: Duration = Duration::from_millis(20);

/// Owner and group may read it: commands are often run by another user than the gateway, and no secret stands in it.
const FILE_MODE: u32 = 0o640;

/// A directory of access keys.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

/// What a directory looked like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The files by their access key ids, with what the file system says of each: a file that was exchanged looks different. None of one that is
    /// no file.
    pub(crate) files: BTreeMap<String, Option<Mark>>,
    /// The access keys of which a file of its own says that they were revoked.
    pub(crate) revoked: BTreeSet<String>,
    /// Whether there are more files than are looked at.
    pub(crate) has_more: bool,
}

/// Device, inode, length, and the time of the last change.
pub(crate) type Mark = (u64, u64, u64, i64, i64);

/// That it is nobody else's turn to write.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    directory: &'a Directory,
    _lock: File,
}

impl Directory {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks which files there are, without reading them. Those that are known are looked at however many others there are, and one that is odd keeps
    /// nobody from looking at the rest.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn look(&self, is_known: impl Fn(&str) -> bool) -> io::Result<Look> {
        let mut look = Look::default();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let (Some(name), Some(end)) = (
                path.file_stem().and_then(|name| name.to_str()),
                path.extension().and_then(|end| end.to_str()),
            ) else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            if end == REVOKED && (is_known(name) || look.revoked.len() < FILES_LIMIT) {
                look.revoked.insert(name.to_owned());
            }
            if end != EXTENSION {
                continue;
            }
            if look.files.len() >= FILES_LIMIT && !is_known(name) {
                look.has_more = true;
                continue;
            }
            // Links are followed: a volume of Kubernetes has nothing else. What vanished meanwhile is not there.
            let mark = match std::fs::metadata(&path) {
                Ok(found) if found.is_file() => Some((
                    found.dev(),
                    found.ino(),
                    found.len(),
                    found.ctime(),
                    found.ctime_nsec(),
                )),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Ok(_) | Err(_) => None,
            };
            look.files.insert(name.to_owned(), mark);
        }
        Ok(look)
    }

    /// Reads the file of an access key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(&self, access_key_id: &str) -> Result<CredentialFile, String> {
        let read = || {
            let path = self.file(access_key_id);
            // To open a pipe would wait for somebody who writes.
            if !std::fs::metadata(&path)?.is_file() {
                return Err(io::Error::other("it is no file"));
            }
            let file = File::open(path)?;
            let mut content = Vec::new();
            file.take(FILE_LIMIT + 1).read_to_end(&mut content)?;
            Ok::<_, io::Error>(content)
        };
        let content = read().map_err(|error| error.to_string())?;
        if content.len() as u64 > FILE_LIMIT {
            return Err(format!("it is longer than {FILE_LIMIT} bytes"));
        }
        let mut file = CredentialFile::parse(&content, access_key_id)?;
        if self.is_revoked(access_key_id) {
            file.revoke(Moment::now());
        }
        Ok(file)
    }

    /// Whether a file of its own says that an access key was revoked.
    pub(crate) fn is_revoked(&self, access_key_id: &str) -> bool {
        std::fs::symlink_metadata(self.of_revocation(access_key_id)).is_ok()
    }

    /// Whether there is anything of an access key.
    pub(crate) fn has(&self, access_key_id: &str) -> bool {
        std::fs::symlink_metadata(self.file(access_key_id)).is_ok()
            || self.is_revoked(access_key_id)
    }

    /// Revokes an access key, whatever its file says and whoever else writes. Where there is no room for a file, the access key's own goes.
    ///
    /// # Errors
    /// Where neither can be done.
    pub(crate) fn revoke(&self, access_key_id: &str) -> anyhow::Result<()> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(self.of_revocation(access_key_id));
        let revoke = || match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(self.file(access_key_id))
            }
            Ok(_) | Err(_) => File::open(&self.path)?.sync_all(),
        };
        revoke().with_context(|| {
            format!(
                "{access_key_id} can't be revoked in {}",
                self.path.display()
            )
        })
    }

    /// All files, each with what is wrong with it where it cannot be read; none where the directory is not there yet.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn read_all(
        &self,
    ) -> anyhow::Result<BTreeMap<String, Result<CredentialFile, String>>> {
        let look = match self.look(|_| false) {
            Ok(look) => look,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Look::default(),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} can't be read", self.path.display()));
            }
        };
        let read = |name: String| {
            let file = self.read(&name);
            (name, file)
        };
        Ok(look.files.into_keys().map(read).collect())
    }

    /// Waits until no other command writes; makes the directory where it is not there, for its owner alone.
    ///
    /// # Errors
    /// Where another one takes too long, or the directory cannot be written.
    pub(crate) fn turn(&self) -> anyhow::Result<Turn<'_>> {
        self.turn_within(TURN_LIMIT)
    }

    /// As [`turn`](Self::turn), with a limit of its own.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub(crate) fn turn_within(&self, limit: Duration) -> anyhow::Result<Turn<'_>> {
        let unusable = || {
            format!(
                "{} can't be used; run this as a user who may write there",
                self.path.display()
            )
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&self.path)
            .with_context(unusable)?;
        let mut options = OpenOptions::new();
        // Whoever may open it can keep others waiting.
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(self.path.join(LOCK)).with_context(unusable)?;
        let deadline = Instant::now() + limit;
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Turn {
                        directory: self,
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) => ensure!(
                    Instant::now() < deadline,
                    "another command has been writing to {} for {} s",
                    self.path.display(),
                    limit.as_secs()
                ),
                Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
            }
            std::thread::sleep(TURN_PAUSE);
        }
    }

    fn of_revocation(&self, access_key_id: &str) -> PathBuf {
        self.path.join(format!("{access_key_id}.{REVOKED}"))
    }

    fn file(&self, access_key_id: &str) -> PathBuf {
        self.path.join(format!("{access_key_id}.{EXTENSION}"))
    }
}

impl Turn<'_> {
    /// Writes a file that was not there.
    ///
    /// # Errors
    /// Where there is one, the directory is full, or it cannot be written. Then nothing has changed.
    pub(crate) fn create(&self, file: &CredentialFile) -> anyhow::Result<()> {
        let look = self.directory.look(|_| false);
        let count = look.map_or(0, |look| look.files.len());
        ensure!(
            count < FILES_LIMIT,
            "there are {FILES_LIMIT} access keys in {}, which is the most; revoke some, they are removed when they have ended for 30 days",
            self.directory.path.display()
        );
        self.write(file, |written, path| written.persist_noclobber(path))
    }

    /// Writes a file in the place of the one that was there.
    ///
    /// # Errors
    /// Where it cannot be written. Then nothing has changed.
    pub(crate) fn replace(&self, file: &CredentialFile) -> anyhow::Result<()> {
        self.write(file, |written, path| written.persist(path))
    }

    /// Removes what is left of an access key.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub(crate) fn remove(&self, access_key_id: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.file(access_key_id))?;
        match std::fs::remove_file(self.directory.of_revocation(access_key_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Durable when it returns, and whole at every moment: a gateway sees the file as it was or as it is.
    fn write(
        &self,
        file: &CredentialFile,
        persist: impl FnOnce(tempfile::NamedTempFile, &Path) -> Result<File, tempfile::PersistError>,
    ) -> anyhow::Result<()> {
        let path = self.directory.file(&file.access_key_id);
        let text = file.to_text()?;
        let write = || {
            let mut written = tempfile::Builder::new()
                .prefix(".new-")
                .tempfile_in(&self.directory.path)?;
            written.write_all(text.as_bytes())?;
            written
                .as_file()
                .set_permissions(Permissions::from_mode(FILE_MODE))?;
            written.as_file().sync_all()?;
            persist(written, &path).map_err(|error| error.error)?;
            File::open(&self.directory.path)?.sync_all()
        };
        write().with_context(|| format!("{} can't be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::SealedSecret;
    use super::*;

    fn file(access_key_id: &str) -> CredentialFile {
        let secret = SealedSecret {
            header: "aGVhZGVy".to_owned(),
            body: "Ym9keQ".to_owned(),
        };
        CredentialFile::new("app", access_key_id.to_owned(), Moment::now(), secret)
    }

    #[test]
    fn files_are_written_read_exchanged_and_removed() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path().join("credentials"));
        assert!(directory.read_all().unwrap().is_empty());
        let look = || directory.look(|_| false);
        assert!(look().is_err());
        let turn = directory.turn().unwrap();
        turn.create(&file("SGAK1")).unwrap();
        assert!(turn.create(&file("SGAK1")).is_err());
        let before = look().unwrap();
        let mut changed = file("SGAK1");
        changed.revoke(Moment::now());
        turn.replace(&changed).unwrap();
        assert_ne!(look().unwrap(), before);
        assert_eq!(directory.read("SGAK1").unwrap(), changed);
        let names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        turn.remove("SGAK1").unwrap();
        assert!(look().unwrap().files.is_empty());
    }

    #[test]
    fn two_who_write_at_once_lose_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path());
        directory.turn().unwrap().create(&file("SGAK1")).unwrap();
        std::thread::scope(|scope| {
            for number in 0..4 {
                let directory = &directory;
                scope.spawn(move || {
                    for round in 0..10 {
                        let turn = directory.turn().unwrap();
                        let mut changed = directory.read("SGAK1").unwrap();
                        let before = changed.replaced_by.take().unwrap_or_default();
                        changed.replaced_by = Some(format!("{before}.{number}-{round}"));
                        turn.replace(&changed).unwrap();
                    }
                });
            }
        });
        let found = directory.read("SGAK1").unwrap().replaced_by.unwrap();
        assert_eq!(found.split('.').count(), 41, "{found}");
    }

    #[test]
    fn a_revocation_needs_no_file_that_can_be_read_and_no_lock() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path());
        let turn = directory.turn().unwrap();
        turn.create(&file("SGAK1")).unwrap();
        directory.revoke("SGAK1").unwrap();
        directory.revoke("SGAK1").unwrap();
        // Whoever writes the file as it was takes nothing back.
        turn.replace(&file("SGAK1")).unwrap();
        assert!(directory.read("SGAK1").unwrap().revoked.is_some());
        std::fs::write(parent.path().join("SGAK2.toml"), "cut o").unwrap();
        directory.revoke("SGAK2").unwrap();
        let look = directory.look(|_| false).unwrap();
        assert!(look.revoked.contains("SGAK1") && look.revoked.contains("SGAK2"));
        turn.remove("SGAK1").unwrap();
        assert!(!directory.has("SGAK1") && directory.has("SGAK2"));
    }

    #[test]
    fn an_odd_entry_keeps_nobody_from_the_others() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path());
        directory.turn().unwrap().create(&file("SGAK1")).unwrap();
        let path = |name: &str| parent.path().join(name);
        std::os::unix::fs::symlink(path("SGAK2.toml"), path("SGAK2.toml")).unwrap();
        std::fs::create_dir(path("SGAK3.toml")).unwrap();
        let look = directory.look(|_| false).unwrap();
        assert!(look.files["SGAK1"].is_some());
        assert!(look.files["SGAK2"].is_none() && look.files["SGAK3"].is_none());
        let read = directory.read_all().unwrap();
        assert!(read["SGAK1"].is_ok() && read["SGAK2"].is_err() && read["SGAK3"].is_err());
    }

    #[test]
    fn what_is_no_file_of_ours_is_passed_over_and_what_is_broken_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path());
        for name in [".new-abc", "notes.txt", ".hidden.toml"] {
            std::fs::write(parent.path().join(name), "x").unwrap();
        }
        assert!(directory.read_all().unwrap().is_empty());
        std::fs::write(parent.path().join("SGAK1.toml"), "x").unwrap();
        let long = vec![b'#'; usize::try_from(FILE_LIMIT).unwrap() + 1];
        std::fs::write(parent.path().join("SGAK2.toml"), long).unwrap();
        let found = directory.read_all().unwrap();
        assert!(
            found["SGAK1"]
                .as_ref()
                .unwrap_err()
                .contains("does not say")
        );
        assert!(found["SGAK2"].as_ref().unwrap_err().contains("longer"));
    }
}
