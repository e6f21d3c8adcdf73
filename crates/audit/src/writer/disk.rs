//! The little that a log needs of a disk, so that tests can have one that fails.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use super::journal;
use crate::directory::{open_appending, sync_directory};

/// A file that is appended to.
pub(super) trait Output: Send {
    /// Appends all bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything that was appended is durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A disk.
pub(super) trait Disk: Send + fmt::Debug {
    /// Opens a file for appending, after its first `length` bytes: what is behind them is cut off for good. A missing file is made.
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Output>>;
    /// Opens a journal, to write over it from its beginning.
    fn open_journal(&self, path: &Path) -> io::Result<Box<dyn Output>>;
}

/// The file system.
#[derive(Debug)]
pub(super) struct FileSystem;

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
