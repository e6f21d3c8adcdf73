//! The state directory: one process at a time, and a state file that is whole after a crash at any moment.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::StartError;

const STATE_FILE: &str = "state.json";
const TEMPORARY_FILE: &str = "state.json.new";
const LOCK_FILE: &str = "lock";
/// Longest state file that is read: far above 10,000 keys with the longest descriptions.
const MAX_STATE_FILE: u64 = 256 << 20;

/// A state directory that this process has locked. The operating system releases the lock when the process ends, however
/// it ends.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Creates the directory where it is missing (mode 0700) and locks it.
    ///
    /// # Errors
    ///
    /// [`StartError::Locked`] when another process has it, [`StartError::File`] when it cannot be made.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StartError::File {
                action,
                path,
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("create the directory", path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StartError::Locked {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(StartError::File {
                action: "lock",
                path: lock_path,
                source,
            }),
        }
    }

    pub(crate) fn state_path(&self) -> PathBuf {
        self.path.join(STATE_FILE)
    }

    /// Reads the state file, or nothing where there is none yet.
    ///
    /// # Errors
    ///
    /// [`StartError::File`] when it cannot be read, [`StartError::State`] when others may read it or it is too long.
    pub(crate) fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StartError> {
        let path = self.state_path();
        let failed = |source| StartError::File {
            action: "read",
            path: path.clone(),
            source,
        };
        let refused = |reason: String| StartError::State {
            path: path.clone(),
            reason,
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(refused(format!(
                "others than its owner may read it (mode {mode:o}); run chmod 600 on it"
            )));
        }
        if metadata.len() > MAX_STATE_FILE {
            return Err(refused(format!("it is longer than {MAX_STATE_FILE} bytes")));
        }
        let mut bytes =
            Zeroizing::new(vec![0; usize::try_from(metadata.len()).unwrap_or_default()]);
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Replaces the state file: a new file (mode 0600) is written and synced, takes the name, and the directory is
    /// synced. After a crash there is the old state or the new one.
    ///
    /// # Errors
    ///
    /// What the operating system answers. The change must be taken back then.
    pub(crate) fn save(&self, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(TEMPORARY_FILE);
        // What a crash left behind may have any mode; a new file gets ours.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.state_path())?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kms");
        let first = StateDirectory::open(&path).unwrap();
        assert!(matches!(
            StateDirectory::open(&path),
            Err(StartError::Locked { .. })
        ));
        drop(first);
        StateDirectory::open(&path).unwrap();
    }

    #[test]
    fn saves_privately_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(directory.path()).unwrap();
        assert!(state.load().unwrap().is_none());
        fs::write(directory.path().join(TEMPORARY_FILE), "left by a crash").unwrap();
        state.save(b"one").unwrap();
        state.save(b"two").unwrap();
        assert_eq!(state.load().unwrap().unwrap().as_slice(), b"two");
        let mode = fs::metadata(state.state_path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(state.state_path(), fs::Permissions::from_mode(0o640)).unwrap();
        let error = state.load().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
