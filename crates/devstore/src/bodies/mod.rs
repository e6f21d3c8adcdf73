//! The bytes of objects and parts: one file for each upload of a part or of a whole object.
//!
//! A file is written under `incoming/`, synced, renamed into `bodies/` and the directory synced, and
//! only then does the index name it. It is never written again. So a crash leaves either a file that
//! nothing names, which the next start removes, or a complete one.

mod leases;
mod reader;
mod writer;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::id::Id;
use crate::index::{IndexError, View};
pub(crate) use leases::{Lease, Leases};
pub(crate) use reader::BodyReader;
pub(crate) use writer::{BodyWriter, PendingFile, StagedFile};

/// The two directories.
#[derive(Debug)]
pub(crate) struct Bodies {
    incoming: PathBuf,
    stored: PathBuf,
}

impl Bodies {
    /// Opens the directories below `root`, and makes them durable if they are new.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let bodies = Self {
            incoming: root.join("incoming"),
            stored: root.join("bodies"),
        };
        for path in [&bodies.incoming, &bodies.stored] {
            fs::create_dir_all(path).map_err(|source| Error::Directory {
                path: path.clone(),
                source,
            })?;
        }
        sync_directory(root).map_err(|source| Error::Directory {
            path: root.to_owned(),
            source,
        })?;
        Ok(bodies)
    }

    /// Where a body file is.
    pub(crate) fn path(&self, file: Id) -> PathBuf {
        self.stored.join(file.to_string())
    }

    /// Starts a new file; nothing is created before its first byte.
    pub(crate) fn create(self: &Arc<Self>, digester: crate::checksum::Digester) -> BodyWriter {
        BodyWriter::new(Arc::clone(self), digester)
    }

    /// Gives a stored file a second name, so that a copy costs no bytes.
    ///
    /// The name is durable only after [`Bodies::sync`].
    pub(crate) fn link(self: &Arc<Self>, file: Id) -> io::Result<PendingFile> {
        let copy = PendingFile::new(Arc::clone(self), Id::random());
        if fs::hard_link(self.path(file), self.path(copy.id())).is_err() {
            // Not every file system has hard links, and each limits how many a file may have.
            fs::copy(self.path(file), self.path(copy.id()))?;
            File::open(self.path(copy.id()))?.sync_all()?;
        }
        Ok(copy)
    }

    /// Makes the names in `bodies/` durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.stored)
    }

    /// Removes a file that the index no longer names. A failure only leaves work for the next start.
    pub(crate) fn remove(&self, file: Id) {
        if file == Id::NONE {
            return;
        }
        let path = self.path(file);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a body file could not be removed");
        }
    }

    /// Removes what a crash left: everything in `incoming/`, and body files that the index does not name.
    /// Must run before the first request.
    pub(crate) fn remove_orphans(&self, index: &impl View) -> Result<(), Error> {
        let mut named = HashSet::new();
        index.for_each_file(|file| {
            if file != Id::NONE {
                named.insert(file);
            }
        })?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Directory { path, source }
        };
        for entry in fs::read_dir(&self.incoming).map_err(failed(&self.incoming))? {
            let path = entry.map_err(failed(&self.incoming))?.path();
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        for entry in fs::read_dir(&self.stored).map_err(failed(&self.stored))? {
            let path = entry.map_err(failed(&self.stored))?.path();
            // A name that is not ours was put here by someone else and stays.
            let Some(file) = path
                .file_name()
                .and_then(|name| name.to_str()?.parse::<Id>().ok())
            else {
                continue;
            };
            if !named.remove(&file) {
                fs::remove_file(&path).map_err(failed(&path))?;
            }
        }
        if let Some(file) = named.iter().next() {
            let error = IndexError::Body(format!(
                "file {file} and {} others are missing",
                named.len() - 1
            ));
            tracing::error!(%error, "objects of this store cannot be read");
        }
        Ok(())
    }
}

/// Makes the names in a directory durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
