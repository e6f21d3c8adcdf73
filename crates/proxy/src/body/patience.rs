//! How long a client is waited for while it sends a body.
//!
//! A limit on silence alone would let a client that sends a byte now and then keep its place, and the memory set aside for it, for hours. So only
//! so many bytes, and not each of them, begin the time anew. Time in which nobody waits for the client does not count: it may be the storage that
//! is slow.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// What is left of the time that one client is waited for.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    left: Duration,
    /// Bytes for which all of the limit is granted again.
    progress: usize,
    received: usize,
}

/// It has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunOut;

impl Patience {
    /// So long for the first `progress` bytes, and again for as many more.
    pub(crate) fn new(limit: Duration, progress: usize) -> Self {
        Self {
            limit,
            left: limit,
            progress,
            received: 0,
        }
    }

    /// How long the client is waited for.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// What comes of the client, if it comes in time. A call that is dropped takes no time away.
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
        let began = Instant::now();
        let received = tokio::time::timeout(self.left, receiving).await;
        self.left = self.left.saturating_sub(began.elapsed());
        received.map_err(|_| RunOut)
    }

    /// Counts bytes that came.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        if self.received >= self.progress {
            self.received = 0;
            self.left = self.limit;
        }
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
}
