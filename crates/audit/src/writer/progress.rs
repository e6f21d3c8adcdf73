//! Since when the disk gets nothing done: one that is slow is waited for, one that hangs is not.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{
    disk::{Disk, Output},
    lock_of,
};

/// Since when nothing of what the thread does at the disk has ended; nothing while it is not there.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    /// The thread goes to the disk.
    pub(super) fn begin(&self) {
        *lock_of(&self.0) = Some(Instant::now());
    }

    /// It comes back.
    pub(super) fn end(&self) {
        *lock_of(&self.0) = None;
    }

    pub(super) fn since(&self) -> Option<Instant> {
        *lock_of(&self.0)
    }

    /// Something has ended.
    fn note<T>(&self, ended: T) -> T {
        if let Some(since) = lock_of(&self.0).as_mut() {
            *since = Instant::now();
        }
        ended
    }
}

/// A disk whose progress is noted.
pub(super) struct Followed {
    disk: Box<dyn Disk>,
    progress: Progress,
}

impl Followed {
    pub(super) fn new(disk: Box<dyn Disk>, progress: Progress) -> Self {
        Self { disk, progress }
    }

    fn follow(&self, opened: io::Result<Box<dyn Output>>) -> io::Result<Box<dyn Output>> {
        let output = self.progress.note(opened)?;
        let progress = self.progress.clone();
        Ok(Box::new(FollowedOutput { output, progress }))
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for Followed {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Output>> {
        self.follow(self.disk.open(path, length))
    }

    fn rewrite(&self, path: &Path, from: u64, length: u64) -> io::Result<()> {
        self.progress.note(self.disk.rewrite(path, from, length))
    }

    fn open_journal(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        self.follow(self.disk.open_journal(path))
    }
}

struct FollowedOutput {
    output: Box<dyn Output>,
    progress: Progress,
}

impl Output for FollowedOutput {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.progress.note(self.output.append(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.progress.note(self.output.sync())
    }
}
