//! One bound on all documents that are in memory as a whole: requests in XML, and answers of the upstream.
//!
//! Each document has a limit of its own. Without a common one, as many clients as there are places could each make the gateway hold the longest.
//!
//! Whoever finds too little waits for its turn (`turns.rs`), but not for long.

mod turns;

use std::{
    future::Future,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::Notify;

use self::turns::{RequestNumber, Turn, Turns};

/// Documents up to this length are not counted: the bound on concurrent requests bounds them well enough, and errors can always be read.
const UNCOUNTED: usize = 64 * 1024;

/// What is asked for at once while a document of unknown length grows, in bytes.
const STEP: usize = 256 * 1024;

/// How long a request waits for its turn: longer than it takes to serve those that were there before, and less than clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The request that a task works for.
    static REQUEST: RequestNumber;
}

/// How many requests there have been.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Bytes that documents may hold in memory, all together. Cheap to clone.
#[derive(Clone)]
pub struct DocumentMemory(Arc<Mutex<Turns>>);

/// All of it is in use; a request that is repeated later finds some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("documents hold all the memory that they may (limits.document_memory)")]
pub struct DocumentMemoryExhausted;

/// The share of one document; given back when it is dropped.
pub struct DocumentShare {
    memory: DocumentMemory,
    request: RequestNumber,
    held: usize,
}

/// A wish that was not taken out of the order yet.
struct Wish<'a> {
    memory: &'a DocumentMemory,
    turn: Option<Turn>,
}

/// Has all documents of a future count as those of one request: of the one that its caller works for, if it works for any. A request whose documents counted
/// apart could wait for itself.
pub(crate) fn of_one_request<F: Future>(future: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(current_request(), future)
}

fn current_request() -> RequestNumber {
    REQUEST
        .try_with(|request| *request)
        .unwrap_or_else(|_| REQUESTS.fetch_add(1, Ordering::Relaxed))
}

impl DocumentMemory {
    /// A bound of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Mutex::new(Turns::new(bytes))))
    }

    /// The share of a document that is about to be read.
    pub fn share(&self) -> DocumentShare {
        DocumentShare {
            memory: self.clone(),
            request: current_request(),
            held: 0,
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for DocumentMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentMemory").finish_non_exhaustive()
    }
}

impl DocumentShare {
    /// Makes room for a document of `length` bytes.
    ///
    /// # Errors
    ///
    /// When other documents hold too much for too long, or this one's request would hold more than there is.
    pub async fn grow_to(&mut self, length: usize) -> Result<(), DocumentMemoryExhausted> {
        if length <= UNCOUNTED.max(self.held) {
            return Ok(());
        }
        let whole = length
            .checked_next_multiple_of(STEP)
            .ok_or(DocumentMemoryExhausted)?;
        let wanted = whole - self.held;
        let (turn, decided) = self.memory.turns().ask(self.request, wanted)?;
        let wish = Wish {
            memory: &self.memory,
            turn: Some(turn),
        };
        let granted = tokio::time::timeout(PATIENCE, wish.granted(turn, &decided)).await;
        if granted != Ok(true) {
            return Err(DocumentMemoryExhausted);
        }
        self.held = whole;
        Ok(())
    }
}

impl Drop for DocumentShare {
    fn drop(&mut self) {
        if self.held > 0 {
            self.memory.turns().give_back(self.request, self.held);
        }
    }
}

impl std::fmt::Debug for DocumentShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentShare")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Wish<'_> {
    /// Whether it is granted, once that is decided.
    async fn granted(mut self, turn: Turn, decided: &Notify) -> bool {
        while self.memory.turns().decision(turn).is_none() {
            decided.notified().await;
        }
        self.turn = None;
        self.memory.turns().take(turn)
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            self.memory.turns().withdraw(turn);
        }
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

    #[tokio::test(start_paused = true)]
    async fn documents_share_one_bound_and_give_back_what_they_held() {
        let memory = DocumentMemory::new(1 << 20);
        let mut first = memory.share();
        first.grow_to(700 << 10).await.unwrap();
        let mut second = memory.share();
        assert_eq!(
            second.grow_to(300 << 10).await,
            Err(DocumentMemoryExhausted)
        );
        second.grow_to(UNCOUNTED).await.unwrap();
        second.grow_to(200 << 10).await.unwrap();
        second.grow_to(256 << 10).await.unwrap();
        assert_eq!(
            memory.share().grow_to(UNCOUNTED + 1).await,
            Err(DocumentMemoryExhausted)
        );
        drop(first);
        second.grow_to(1 << 20).await.unwrap();
        drop(HeldDocument::new(Bytes::new(), second));
        memory.share().grow_to(1 << 20).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_when_others_give_back_and_whoever_leaves_gives_back_too() {
        let memory = DocumentMemory::new(1 << 20);
        let mut first = memory.share();
        first.grow_to(1 << 20).await.unwrap();
        let waiting = {
            let memory = memory.clone();
            tokio::spawn(async move {
                let mut share = memory.share();
                share.grow_to(512 << 10).await.map(|()| share)
            })
        };
        let mut third = memory.share();
        let cancelled = third.grow_to(512 << 10);
        let cancelled = tokio::time::timeout(PATIENCE / 2, cancelled).await;
        assert!(cancelled.is_err());
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        memory.share().grow_to(512 << 10).await.unwrap();
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn the_documents_of_one_request_do_not_wait_for_each_other() {
        let memory = DocumentMemory::new(1 << 20);
        let started = tokio::time::Instant::now();
        let request = of_one_request(async {
            let mut body = memory.share();
            body.grow_to(512 << 10).await.unwrap();
            let more = of_one_request(async {
                let mut answer = memory.share();
                answer.grow_to(768 << 10).await
            });
            more.await
        });
        assert_eq!(request.await, Err(DocumentMemoryExhausted));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
