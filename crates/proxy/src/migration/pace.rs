//! How fast a command may go, and what it tells while it goes.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Bounds on bytes and objects a second, and a listener for progress.
pub struct Pace {
    bytes: Option<DefaultDirectRateLimiter>,
    objects: Option<DefaultDirectRateLimiter>,
    progress: Arc<dyn Fn(usize) + Send + Sync>,
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pace").finish_non_exhaustive()
    }
}

impl Pace {
    /// At most so many bytes and objects a second, if there is a bound; `progress` hears of bytes that pass.
    pub fn new(
        bytes_per_second: Option<NonZeroU32>,
        objects_per_second: Option<NonZeroU32>,
        progress: Arc<dyn Fn(usize) + Send + Sync>,
    ) -> Self {
        let limiter = |rate| RateLimiter::direct(Quota::per_second(rate));
        Self {
            bytes: bytes_per_second.map(limiter),
            objects: objects_per_second.map(limiter),
            progress,
        }
    }

    /// Waits until so many bytes may pass.
    pub(crate) async fn bytes(&self, count: usize) {
        if let Some(limiter) = &self.bytes {
            let mut left = count;
            // A piece may be longer than a whole second's worth, which a limiter would refuse.
            while left > 0 {
                let step = left.min(STEP);
                let cells = u32::try_from(step).ok().and_then(NonZeroU32::new);
                if let Some(cells) = cells
                    && limiter.until_n_ready(cells).await.is_err()
                {
                    // The rate is below one step a second: byte by byte, in effect.
                    limiter.until_ready().await;
                }
                left -= step;
            }
        }
        (self.progress)(count);
    }

    /// Waits until one more object may be begun.
    pub(crate) async fn object(&self) {
        if let Some(limiter) = &self.objects {
            limiter.until_ready().await;
        }
    }
}

/// Bytes that are asked for at once, which is also the lowest rate that is kept exactly.
pub const STEP: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn bytes_beyond_the_first_second_wait() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let progress = Arc::new(move |count| {
            counter.fetch_add(count, Ordering::Relaxed);
        });
        let pace = Pace::new(NonZeroU32::new(1 << 20), None, progress);
        let started = Instant::now();
        for _ in 0..3 {
            pace.bytes(512 << 10).await;
        }
        assert!(started.elapsed() >= Duration::from_millis(400));
        assert_eq!(seen.load(Ordering::Relaxed), 3 * (512 << 10));
    }
}
