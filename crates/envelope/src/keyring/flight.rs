//! One piece of work that many wait for: it runs in a task of its own, so no waiter's disappearance can stop it.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::key_service_error;

/// A place in the queue for a result that is being worked on.
#[derive(Clone, Debug)]
pub(super) struct Waiter<T> {
    result: watch::Receiver<Option<Result<T>>>,
}

impl<T: Clone + Send + Sync + 'static> Waiter<T> {
    /// Starts `work`; its result goes to this waiter and all its clones.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] outside a tokio runtime.
    pub(super) fn start(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::misuse(
                "a keyring must be used inside a tokio runtime, such as #[tokio::main] makes",
            )
        })?;
        let (sender, result) = watch::channel(None);
        runtime.spawn(async move {
            let outcome = work.await;
            sender.send_replace(Some(outcome));
        });
        Ok(Self { result })
    }

    /// Waits for the result. Cancel safe: the work goes on without this waiter.
    pub(super) async fn landed(mut self) -> Result<T> {
        let outcome = self
            .result
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|outcome| outcome.clone());
        // The sender disappears without a result only when the task panics or the runtime shuts down.
        outcome.unwrap_or_else(|| {
            Err(key_service_error(
                KeyServiceFailure::Unavailable,
                "the call to the key service was broken off; try again",
            ))
        })
    }

    /// Whether the task is gone without having left a result.
    pub(super) fn is_lost(&self) -> bool {
        self.result.has_changed().is_err() && self.result.borrow().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_dropped_waiter_stops_nobody_elses_work() {
        let (finish, finished) = tokio::sync::oneshot::channel::<u8>();
        let waiter = Waiter::start(async move { Ok(finished.await.unwrap()) }).unwrap();
        let other = waiter.clone();
        assert!(
            tokio::time::timeout(Duration::from_millis(1), waiter.landed())
                .await
                .is_err()
        );
        finish.send(7).unwrap();
        assert_eq!(other.landed().await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_that_panics_fails_its_waiters_and_is_known_to_be_lost() {
        let waiter = Waiter::<u8>::start(async { panic!("on purpose") }).unwrap();
        assert!(waiter.clone().landed().await.is_err());
        assert!(waiter.is_lost());
    }

    #[test]
    fn outside_a_runtime_it_says_so() {
        assert!(
            Waiter::start(async { Ok(1) })
                .unwrap_err()
                .detail()
                .contains("tokio")
        );
    }
}
