//! The little that a log needs of a disk, so that tests can have one that fails.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use super::journal;
use crate::directory::{open_appending, sync_directory};

/// A file that is appended to.
pub trait Output: Send {
    /// Appends all bytes.
    ///
    /// # Errors
    /// Of the disk; then some of them may be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything that was appended is durable.
    ///
    /// # Errors
    /// Of the disk; then nothing that was appended since the last sync counts.
    fn sync(&mut self) -> io::Result<()>;
}

/// A disk.
pub trait Disk: Send + fmt::Debug {
    /// Opens a file for appending, after its first `length` bytes: what is behind them is cut off for good. A missing file is made.
    ///
    /// # Errors
    /// Of the disk.
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Output>>;
    /// Writes what a file has from byte `from` on, up to `length`, once more in its place, and returns when that is durable.
    ///
    /// What an earlier process wrote may be readable and on no disk: after a sync that failed, the system may keep the bytes in memory, call them
    /// clean, and tell of the failure once. A sync alone would succeed then, and make nothing durable.
    ///
    /// # Errors
    /// Of the disk.
    fn rewrite(&self, path: &Path, from: u64, length: u64) -> io::Result<()>;
    /// Opens a journal, to write over it from its beginning.
    ///
    /// # Errors
    /// Of the disk.
    fn open_journal(&self, path: &Path) -> io::Result<Box<dyn Output>>;
}

/// The file system.
#[derive(Debug)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Output>> {
        let file = open_appending(path)?;
        let found = file.metadata()?.len();
        if found < length {
            return Err(io::Error::other(format!(
                "{} has {found} bytes, where {length} were written",
                path.display()
            )));
        }
        if found > length {
            file.set_len(length)?;
        }
        file.sync_all()?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Box::new(file))
    }

    fn rewrite(&self, path: &Path, from: u64, length: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        let rest = length.saturating_sub(from);
        (&mut file).take(rest).read_to_end(&mut bytes)?;
        file.seek(SeekFrom::Start(from))?;
        file.write_all(&bytes)?;
        file.sync_all()
    }

    fn open_journal(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(journal::open(path)?))
    }
}

impl Output for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
