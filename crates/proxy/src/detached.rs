//! Work that goes on when the client that asked for it has left: to its end, but not for ever.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::error::S3Error;

/// How long work goes on that nobody waits for any more, in a place among the requests. No step of it may take longer in silence, by the bounds
/// of `limits.idle_timeout` and `limits.upstream_response_timeout`. What is cut off leaves what it would if the gateway had ended.
const ALONE: Duration = Duration::from_mins(15);

/// Work on a task of its own, and what comes of it. The client has left when this is dropped.
#[derive(Debug)]
pub(crate) struct Detached<T> {
    task: JoinHandle<Result<T, S3Error>>,
    _client: oneshot::Sender<Infallible>,
}

impl<T: Send + 'static> Detached<T> {
    /// Begins the work.
    pub(crate) fn begin(
        request_id: &str,
        work: impl Future<Output = Result<T, S3Error>> + Send + 'static,
    ) -> Self {
        let (client, left) = oneshot::channel();
        let request_id = request_id.to_owned();
        // In a box, because a task that keeps it by itself holds room for it twice.
        let mut work = Box::pin(work);
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome,
                _ = left => {}
            }
            timeout(ALONE, work).await.unwrap_or_else(|_| {
                tracing::warn!(
                    request_id,
                    "an operation was ended {ALONE:?} after its client had left: the storage is too slow, or what was asked for is too much"
                );
                Err(S3Error::unavailable(
                    "The client has left.",
                    "the operation took too long after its client had left",
                ))
            })
        });
        Self {
            task,
            _client: client,
        }
    }
}

impl<T> Future for Detached<T> {
    type Output = Result<T, S3Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(Pin::new(&mut self.task).poll(context));
        Poll::Ready(joined.unwrap_or_else(|error| {
            Err(S3Error::internal(format!(
                "the operation panicked: {error}"
            )))
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// Work that takes so long, and what is dropped with it.
    fn work(takes: Duration) -> (impl Future<Output = Result<(), S3Error>>, Arc<()>) {
        let place = Arc::new(());
        let held = Arc::clone(&place);
        let work = async move {
            sleep(takes).await;
            drop(held);
            Ok(())
        };
        (work, place)
    }

    async fn until_given_back(place: &Arc<()>) {
        while Arc::strong_count(place) > 1 {
            sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_worked_for_as_long_as_it_waits() {
        let (work, _place) = work(10 * ALONE);
        assert!(Detached::begin("id", work).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn work_for_nobody_ends_and_gives_its_place_back() {
        let (work, place) = work(10 * ALONE);
        let detached = Detached::begin("id", work);
        assert!(timeout(2 * ALONE, detached).await.is_err());
        let left = Instant::now();
        until_given_back(&place).await;
        assert!(left.elapsed() >= ALONE);
        assert!(left.elapsed() < ALONE + Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn work_for_nobody_that_takes_less_comes_to_its_end() {
        let (done, outcome) = oneshot::channel();
        let detached = Detached::begin("id", async move {
            sleep(ALONE / 2).await;
            done.send(()).unwrap();
            Ok(())
        });
        drop(detached);
        outcome.await.unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let detached: Detached<()> = Detached::begin("id", async { panic!("on purpose") });
        assert!(detached.await.is_err());
    }
}
