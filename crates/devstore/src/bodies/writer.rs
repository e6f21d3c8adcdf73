//! A body on its way to the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Bodies, sync_directory};
use crate::checksum::{Digester, Digests};
use crate::id::Id;

/// Hashes and writes a body. Dropped, it leaves nothing.
pub(crate) struct BodyWriter {
    bodies: Arc<Bodies>,
    digester: Digester,
    file: Option<IncomingFile>,
    length: u64,
}

impl BodyWriter {
    pub(super) fn new(bodies: Arc<Bodies>, digester: Digester) -> Self {
        Self {
            bodies,
            digester,
            file: None,
            length: 0,
        }
    }

    /// Appends bytes. Blocks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(IncomingFile::create(&self.bodies)?),
        };
        file.handle.write_all(bytes)?;
        self.digester.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Ends the body: what it hashed to, to be verified before [`StagedFile::persist`].
    pub(crate) fn finish(self) -> (StagedFile, Digests) {
        let staged = StagedFile {
            bodies: self.bodies,
            file: self.file,
            length: self.length,
        };
        (staged, self.digester.finish())
    }
}

/// A complete body that is not durable yet. Dropped, it leaves nothing.
pub(crate) struct StagedFile {
    bodies: Arc<Bodies>,
    file: Option<IncomingFile>,
    length: u64,
}

impl StagedFile {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Makes the bytes and the name durable; none for a body without bytes. Blocks.
    pub(crate) fn persist(self) -> io::Result<Option<PendingFile>> {
        let Some(file) = self.file else {
            return Ok(None);
        };
        file.handle.sync_all()?;
        let stored = PendingFile::new(Arc::clone(&self.bodies), Id::random());
        fs::rename(&file.path, self.bodies.path(stored.id()))?;
        sync_directory(&self.bodies.stored)?;
        Ok(Some(stored))
    }
}

/// A file under `incoming/`, which disappears with this value unless it was renamed.
struct IncomingFile {
    handle: File,
    path: PathBuf,
}

impl IncomingFile {
    fn create(bodies: &Bodies) -> io::Result<Self> {
        let path = bodies.incoming.join(Id::random().to_string());
        let handle = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self { handle, path })
    }
}

impl Drop for IncomingFile {
    fn drop(&mut self) {
        // After the rename there is nothing under this name; after a failure the next start tries again.
        let _ = fs::remove_file(&self.path);
    }
}

/// A durable body file that the index does not name yet. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct PendingFile {
    bodies: Arc<Bodies>,
    id: Id,
    keep: bool,
}

impl PendingFile {
    pub(super) fn new(bodies: Arc<Bodies>, id: Id) -> Self {
        Self {
            bodies,
            id,
            keep: false,
        }
    }

    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// Leaves the file to the index.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(self.bodies.path(self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> (tempfile::TempDir, Arc<Bodies>) {
        let directory = tempfile::tempdir().unwrap();
        let bodies = Arc::new(Bodies::open(directory.path()).unwrap());
        (directory, bodies)
    }

    fn files(bodies: &Bodies) -> usize {
        [&bodies.incoming, &bodies.stored]
            .into_iter()
            .map(|path| fs::read_dir(path).unwrap().count())
            .sum()
    }

    #[test]
    fn a_kept_body_is_stored_under_its_name() {
        let (_directory, bodies) = bodies();
        let mut writer = bodies.create(Digester::new([]));
        writer.write(b"hello ").unwrap();
        writer.write(b"world").unwrap();
        let (staged, digests) = writer.finish();
        assert_eq!(
            (staged.length(), digests.etag().as_str()),
            (11, "5eb63bbbe01eeed093cb22bb8f5acdc3")
        );
        let stored = staged.persist().unwrap().unwrap();
        let id = stored.id();
        stored.keep();
        assert_eq!(fs::read(bodies.path(id)).unwrap(), b"hello world");
        assert_eq!(files(&bodies), 1);
    }

    #[test]
    fn what_is_given_up_leaves_nothing_at_any_stage() {
        let (_directory, bodies) = bodies();
        let started = || {
            let mut writer = bodies.create(Digester::new([]));
            writer.write(b"x").unwrap();
            writer
        };
        drop(started());
        drop(started().finish());
        drop(started().finish().0.persist().unwrap());
        assert_eq!(files(&bodies), 0);
    }

    #[test]
    fn an_empty_body_needs_no_file() {
        let (_directory, bodies) = bodies();
        let mut writer = bodies.create(Digester::new([]));
        writer.write(b"").unwrap();
        assert!(writer.finish().0.persist().unwrap().is_none());
        assert_eq!(files(&bodies), 0);
    }
}
