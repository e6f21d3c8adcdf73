//! Files that must not exist yet, written whole or not at all: one that was begun would be in the way of another try.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use zeroize::Zeroizing;

/// For its owner alone.
pub(super) const PRIVATE: u32 = 0o600;

/// As the user's mask says.
pub(super) const COMMON: u32 = 0o666;

/// Makes a file and writes it durably. Where that fails, there is no such file.
///
/// # Errors
/// Also where it exists; then it stays as it is.
pub(super) fn write_new(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    write_new_with(path, mode, |file| {
        file.write_all(content)?;
        file.sync_all()
    })
}

/// As [`write_new`], of one line, for its owner alone.
///
/// # Errors
/// As there.
pub(super) fn write_secret_line(path: &Path, secret: &str) -> io::Result<()> {
    // As long as it gets: one that grows leaves a copy behind.
    let mut line = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
    line.extend_from_slice(secret.as_bytes());
    line.push(b'\n');
    write_new(path, PRIVATE, &line)
}

fn write_new_with(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    write(&mut file).inspect_err(|_| {
        // What keeps it from being written may keep it from being removed; the first cause is told.
        let _ = std::fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_not_in_the_way_of_another_try() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let full = |_: &mut File| Err(io::Error::from(io::ErrorKind::StorageFull));
        write_new_with(&path, PRIVATE, full).unwrap_err();
        write_new(&path, PRIVATE, b"a").unwrap();
        let again = write_new(&path, PRIVATE, b"b").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"a");
    }
}
