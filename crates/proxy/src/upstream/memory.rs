//! One bound on all documents that are in memory as a whole: requests in XML, and answers of the upstream.
//!
//! Each document has a limit of its own. Without a common one, as many clients as there are places could each make the gateway hold the longest.

use std::{ops::Deref, sync::Arc};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Documents up to this length are not counted: the bound on concurrent requests bounds them well enough, and errors can always be read.
const UNCOUNTED: usize = 64 * 1024;

/// What is asked for at once while a document of unknown length grows, in bytes.
const STEP: usize = 256 * 1024;

/// Bytes that documents may hold in memory, all together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DocumentMemory(Arc<Semaphore>);

/// All of it is in use; a request that is repeated later finds some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("documents hold all the memory that they may (limits.document_memory)")]
pub struct DocumentMemoryExhausted;

/// The share of one document; given back when it is dropped.
#[derive(Debug)]
pub struct DocumentShare {
    memory: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl DocumentMemory {
    /// A bound of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let permits = usize::try_from(bytes)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }

    /// The share of a document that is about to be read.
    pub fn share(&self) -> DocumentShare {
        DocumentShare {
            memory: Arc::clone(&self.0),
            permit: None,
        }
    }
}

impl DocumentShare {
    /// Makes room for a document of `length` bytes.
    ///
    /// # Errors
    ///
    /// When other documents hold too much. It never waits: two documents that wait for each other would wait for ever.
    pub fn grow_to(&mut self, length: usize) -> Result<(), DocumentMemoryExhausted> {
        let held = self
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        if length <= UNCOUNTED.max(held) {
            return Ok(());
        }
        let wanted = u32::try_from(length.next_multiple_of(STEP) - held)
            .map_err(|_| DocumentMemoryExhausted)?;
        let more = Arc::clone(&self.memory)
            .try_acquire_many_owned(wanted)
            .map_err(|_| DocumentMemoryExhausted)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            permit => *permit = Some(more),
        }
        Ok(())
    }
}

/// A document in memory, with its share.
#[derive(Debug)]
pub struct HeldDocument {
    bytes: Bytes,
    _share: DocumentShare,
}

impl HeldDocument {
    /// Ties a document to its share.
    pub fn new(bytes: Bytes, share: DocumentShare) -> Self {
        Self {
            bytes,
            _share: share,
        }
    }

    /// The document alone, for what is small, or no longer held for long.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for HeldDocument {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_share_one_bound_and_give_back_what_they_held() {
        let memory = DocumentMemory::new(1 << 20);
        let mut first = memory.share();
        first.grow_to(700 << 10).unwrap();
        let mut second = memory.share();
        assert_eq!(second.grow_to(300 << 10), Err(DocumentMemoryExhausted));
        second.grow_to(UNCOUNTED).unwrap();
        second.grow_to(200 << 10).unwrap();
        second.grow_to(256 << 10).unwrap();
        assert_eq!(
            memory.share().grow_to(UNCOUNTED + 1),
            Err(DocumentMemoryExhausted)
        );
        drop(first);
        second.grow_to(1 << 20).unwrap();
        drop(HeldDocument::new(Bytes::new(), second));
        memory.share().grow_to(1 << 20).unwrap();
    }
}
