//! What one identity or one address has left.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::RatesConfig;

/// The state of one client's bounds.
#[derive(Debug)]
pub(crate) struct Share {
    requests: Option<DefaultDirectRateLimiter>,
    bytes: Option<DefaultDirectRateLimiter>,
    concurrent: Option<Arc<Semaphore>>,
}

/// What a client has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    /// For the log and for metrics.
    pub(crate) bound: &'static str,
    /// When it may come again.
    pub(crate) wait: Duration,
}

impl Share {
    pub(crate) fn new(rates: RatesConfig) -> Self {
        let per_second = |rate| {
            Some(RateLimiter::direct(Quota::per_second(NonZeroU32::new(
                rate,
            )?)))
        };
        Self {
            requests: per_second(rates.requests_per_second),
            bytes: per_second(rates.bytes_per_second),
            concurrent: (rates.concurrent_requests > 0)
                .then(|| Arc::new(Semaphore::new(rates.concurrent_requests))),
        }
    }

    /// Lets one request begin. What it returns is held until its answer was sent.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(crate) fn begin(&self) -> Result<Option<OwnedSemaphorePermit>, Excess> {
        let place = match &self.concurrent {
            None => None,
            Some(places) => Some(Arc::clone(places).try_acquire_owned().map_err(|_| Excess {
                bound: "concurrent_requests",
                wait: Duration::from_secs(1),
            })?),
        };
        if let Some(limiter) = &self.requests {
            limiter.check().map_err(|not_until| Excess {
                bound: "requests_per_second",
                wait: not_until.wait_time_from(DefaultClock::default().now()),
            })?;
        }
        Ok(place)
    }

    /// Whether bodies have to be counted.
    pub(super) fn has_pace(&self) -> bool {
        self.bytes.is_some()
    }

    /// How long to wait before so many bytes may pass; none if they may, which counts them.
    pub(super) fn wait_for_bytes(&self, count: usize) -> Option<Duration> {
        let limiter = self.bytes.as_ref()?;
        let count = NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX))?;
        match limiter.check_n(count) {
            Ok(Ok(())) => None,
            Ok(Err(not_until)) => Some(not_until.wait_time_from(DefaultClock::default().now())),
            // A piece of more than a second's worth: it takes all of one.
            Err(capacity) => {
                let whole = NonZeroU32::new(capacity.0)?;
                let whole = limiter.check_n(whole).ok()?;
                whole
                    .err()
                    .map(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_alone() {
        let share = Share::new(RatesConfig {
            requests_per_second: 2,
            ..RatesConfig::default()
        });
        assert!(share.begin().is_ok() && share.begin().is_ok());
        let excess = share.begin().unwrap_err();
        assert_eq!(excess.bound, "requests_per_second");
        assert!(excess.wait > Duration::ZERO && excess.wait <= Duration::from_secs(1));

        let share = Share::new(RatesConfig {
            concurrent_requests: 1,
            ..RatesConfig::default()
        });
        let place = share.begin().unwrap();
        assert_eq!(share.begin().unwrap_err().bound, "concurrent_requests");
        drop(place);
        assert!(share.begin().unwrap().is_some());

        let share = Share::new(RatesConfig {
            bytes_per_second: 1 << 20,
            ..RatesConfig::default()
        });
        assert_eq!(share.wait_for_bytes(1 << 20), None);
        assert!(share.wait_for_bytes(1 << 19).unwrap() > Duration::from_millis(300));
        assert!(share.wait_for_bytes(3 << 20).unwrap() <= Duration::from_secs(1));

        let free = Share::new(RatesConfig::default());
        assert!((0..10_000).all(|_| free.begin().is_ok()));
        assert_eq!(free.wait_for_bytes(usize::MAX), None);
    }
}
