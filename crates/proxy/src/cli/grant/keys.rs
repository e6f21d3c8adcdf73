//! Files of keys and signatures on the machine of whoever signs.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sealgate_access::PrivateKey;
use zeroize::Zeroizing;

use crate::cli::new_file::{self, PRIVATE};
use crate::cli::output;

/// The longest file of a key or a signature, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// Reads a short text.
pub(super) fn read_text(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_LIMIT + 1)
        .read_to_string(&mut text)
        .with_context(|| path.display().to_string())?;
    ensure!(
        text.len() as u64 <= FILE_LIMIT,
        "{} is longer than {FILE_LIMIT} bytes: it is another file",
        path.display()
    );
    Ok(text)
}

/// Reads a private key, which nobody else may read.
pub(super) fn read_private(path: &Path) -> anyhow::Result<PrivateKey> {
    let mode = std::fs::metadata(path)
        .with_context(|| path.display().to_string())?
        .permissions()
        .mode();
    let of_others = mode & 0o077;
    ensure!(
        of_others == 0,
        "{} can be read by others than its owner: chmod 600 it, and think about making a new key",
        path.display()
    );
    let text = read_text(path)?;
    PrivateKey::parse(&text).with_context(|| path.display().to_string())
}

/// Writes a file that must not exist, for its owner alone.
pub(super) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    new_file::write_new(path, PRIVATE, text.as_bytes())
        .with_context(|| format!("{} can't be made", path.display()))
}

/// Waits until nobody else on this machine writes any of these files, and says so. The locks end with what is returned.
pub(super) fn lock(paths: &[&Path]) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&name);
        let file = file.and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = file.with_context(|| unlockable(&name))?;
        files.push(((metadata.dev(), metadata.ino()), name, file));
    }
    // One file by two names is locked once, or this would wait for itself. All in one order, or two could wait for each other.
    files.sort_by_key(|(identity, ..)| *identity);
    files.dedup_by_key(|(identity, ..)| *identity);
    for (_, name, file) in &files {
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            output::warning(&format!(
                "somebody else holds {}: waiting until they are done",
                name.display()
            ));
        }
        file.lock().with_context(|| unlockable(name))?;
    }
    Ok(files.into_iter().map(|(.., file)| file).collect())
}

fn unlockable(name: &Path) -> String {
    format!("{} can't be locked", name.display())
}

/// Replaces a file at once, so that whoever reads it sees the one or the other.
pub(super) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_by_two_names_is_locked_once_and_released_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        let by_other_name = directory.path().join(".").join("list");
        std::os::unix::fs::symlink(directory.path(), directory.path().join("link")).unwrap();
        let by_link = directory.path().join("link/list");
        let other = directory.path().join("memory");
        for _ in 0..2 {
            let locks = lock(&[&path, &by_other_name, &other, &by_link]).unwrap();
            assert_eq!(locks.len(), 2);
            let held = File::open(directory.path().join("list.lock")).unwrap();
            assert!(matches!(held.try_lock(), Err(TryLockError::WouldBlock)));
        }
    }
}
