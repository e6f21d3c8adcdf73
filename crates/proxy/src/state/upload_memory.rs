//! The keys of open uploads in memory: so many, so old, and none of what a flush has forgotten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;
use sealgate_envelope::UploadHash;
use tokio::time::Instant;

use super::OpenUpload;

/// Open uploads whose keys are kept in memory.
const CAPACITY: usize = 4_096;

/// Uploads that need not be opened again.
pub struct UploadMemory {
    open: Cache<UploadHash, Remembered>,
    /// How long one of them is remembered.
    age: Duration,
    /// Times that all were forgotten: what was on its way then is not kept.
    flushes: AtomicU64,
}

/// An upload, and since when it is remembered.
#[derive(Debug, Clone)]
struct Remembered {
    upload: Arc<OpenUpload>,
    since: Instant,
}

impl UploadMemory {
    /// Remembers uploads for at most `age`, as working keys are.
    pub(super) fn new(age: Duration) -> Self {
        Self {
            open: Cache::new(CAPACITY),
            age,
            flushes: AtomicU64::new(0),
        }
    }

    /// Forgets the keys of open uploads; the next part of each opens its record again.
    pub fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        self.open.clear();
    }

    /// Forgets, and so wipes, what has been remembered for too long.
    pub fn drop_expired(&self) {
        self.open
            .retain(|_, remembered| remembered.since.elapsed() < self.age);
    }

    /// How often keys were forgotten. Whoever makes or opens the keys of an upload asks before.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Keeps an upload, unless there was a flush since its keys were on their way.
    pub(super) fn remember(&self, flushes: u64, hash: UploadHash, upload: Arc<OpenUpload>) {
        let since = Instant::now();
        self.open.insert(hash, Remembered { upload, since });
        // Afterwards: a flush is counted before it forgets, so either it is seen here, or it forgets this one too.
        if self.flushes() != flushes {
            self.forget(hash);
        }
    }

    /// An upload that is remembered, and not for too long.
    pub(super) fn recall(&self, hash: UploadHash) -> Option<Arc<OpenUpload>> {
        self.open
            .get(&hash)
            .filter(|remembered| remembered.since.elapsed() < self.age)
            .map(|remembered| remembered.upload)
    }

    /// Forgets one that is no longer open.
    pub(super) fn forget(&self, hash: UploadHash) {
        self.open.remove(&hash);
    }
}
