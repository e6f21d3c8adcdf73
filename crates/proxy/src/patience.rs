//! How long a client or the storage is waited for while it sends a body.
//!
//! A limit on silence alone would let a peer that sends a byte now and then keep a request's place, and the memory set aside for it, for hours. So
//! only so many bytes, and not each of them, begin the time anew. Time in which nobody waits for the peer does not count: it may be the other side
//! that is slow.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// What is left of the time that one peer is waited for.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    left: Duration,
    /// What is left of all the time there is, whatever comes; without a bound the longest.
    in_all: Duration,
    /// Bytes for which all of the limit is granted again.
    progress: usize,
    received: usize,
}

/// How long after its time a timer may ring, on a busy machine, without anything being wrong.
const LATE: Duration = Duration::from_secs(1);

/// It has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunOut;

impl Patience {
    /// So long for the first `progress` bytes, and again for as many more.
    pub(crate) fn new(limit: Duration, progress: usize) -> Self {
        Self {
            limit,
            left: limit,
            in_all: Duration::MAX,
            progress,
            received: 0,
        }
    }

    /// No longer than this, whatever comes.
    #[must_use]
    pub(crate) fn in_all(self, in_all: Duration) -> Self {
        Self { in_all, ..self }
    }

    /// How long the peer is waited for.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether it is all of the time that has run out, and not that for some progress.
    pub(crate) fn is_used_up(&self) -> bool {
        self.in_all.is_zero()
    }

    /// What comes of the peer, if it comes in time. A call that is dropped takes no time away.
    ///
    /// # Errors
    /// [`RunOut`].
    pub(crate) async fn wait<T>(
        &mut self,
        receiving: impl Future<Output = T>,
    ) -> Result<T, RunOut> {
        let mut receiving = pin!(receiving);
        // Most often it is there, and no clock is looked at.
        let first = poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context)));
        if let Poll::Ready(received) = first.await {
            return Ok(received);
        }
        let allowed = self.left.min(self.in_all);
        let began = Instant::now();
        let received = tokio::time::timeout(allowed, receiving).await;
        let waited = began.elapsed();
        // What is there so long after the time was up came before we looked: it was us who did not look, and nobody knows for how long.
        let was_late = received.is_ok() && waited > allowed.saturating_add(LATE);
        if !was_late {
            self.left = self.left.saturating_sub(waited);
            self.in_all = self.in_all.saturating_sub(waited);
        }
        received.map_err(|_| RunOut)
    }

    /// Counts bytes that came.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        if self.received >= self.progress {
            self.renew();
        }
    }

    /// Grants all of the limit again.
    pub(crate) fn renew(&mut self) {
        self.received = 0;
        self.left = self.limit;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// How many pieces of so many bytes come, one a second, until patience has run out; at most a thousand.
    async fn pieces(length: usize) -> usize {
        let mut patience = Patience::new(LIMIT, 100);
        for number in 0..1_000 {
            if patience.wait(sleep(Duration::from_secs(1))).await.is_err() {
                return number;
            }
            patience.count(length);
        }
        1_000
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_too_little_is_waited_for_no_longer_than_the_silent() {
        let mut patience = Patience::new(LIMIT, 100);
        let began = Instant::now();
        assert_eq!(
            patience.wait(std::future::pending::<()>()).await,
            Err(RunOut)
        );
        assert!(began.elapsed() < LIMIT + Duration::from_secs(1));
        assert!(pieces(1).await <= 10);
        assert!(pieces(9).await <= 10);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_enough_is_waited_for() {
        assert_eq!(pieces(12).await, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_gateway_takes_for_itself_does_not_count() {
        let mut patience = Patience::new(LIMIT, 100);
        for _ in 0..5 {
            sleep(LIMIT).await;
            assert!(patience.wait(sleep(Duration::from_secs(1))).await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_looked_at_late_is_not_taken_for_slow() {
        let mut patience = Patience::new(LIMIT, 100);
        for _ in 0..5 {
            let mut waiting = Box::pin(patience.wait(sleep(Duration::from_secs(1))));
            let first = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context)));
            assert!(first.await.is_pending());
            // It comes after a second, and nobody looks.
            sleep(LIMIT + 2 * LATE).await;
            assert_eq!(waiting.await, Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_all_of_it() {
        let mut patience = Patience::new(LIMIT, 1).in_all(3 * LIMIT);
        let began = Instant::now();
        while patience.wait(sleep(Duration::from_secs(7))).await.is_ok() {
            assert!(!patience.is_used_up());
            patience.count(1);
            assert!(began.elapsed() <= 3 * LIMIT);
        }
        assert!(patience.is_used_up());
        assert!(began.elapsed() >= 3 * LIMIT);
    }
}
