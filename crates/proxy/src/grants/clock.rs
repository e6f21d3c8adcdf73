//! What time it is, for grants: a clock that is set back brings no grant back.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Tells the time in seconds since 1970: the later of what the system's clock says, and what it said at the start and how long ago that is.
///
/// A clock that is set forward ends grants early; one that is set back while the process runs changes nothing. One that is set back while no
/// process runs does not go behind what was last written to the audit log, where there is one.
pub(crate) struct Clock {
    wall: Box<dyn Fn() -> u64 + Send + Sync>,
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
    start: u64,
}

impl Clock {
    /// The system's clock.
    pub(crate) fn system() -> Self {
        let started = Instant::now();
        Self::new(
            || {
                SystemTime::UNIX_EPOCH
                    .elapsed()
                    .map_or(0, |elapsed| elapsed.as_secs())
            },
            move || started.elapsed(),
        )
    }

    /// A clock of seconds since 1970, and one that says how long this one has been there and that nobody sets.
    pub(crate) fn new(
        wall: impl Fn() -> u64 + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            start: wall(),
            wall: Box::new(wall),
            elapsed: Box::new(elapsed),
        }
    }

    /// The same, but never earlier than a moment, in seconds since 1970.
    #[must_use]
    pub(crate) fn not_before(mut self, moment: u64) -> Self {
        self.start = self.start.max(moment);
        self
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let since_start = self.start.saturating_add((self.elapsed)().as_secs());
        (self.wall)().max(since_start)
    }
}

/// When something was last written to a directory, in seconds since 1970; 0 where that is not known.
pub(crate) fn last_written(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .filter_map(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map(|time| time.as_secs())
        .max()
        .unwrap_or(0)
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[test]
    fn what_was_written_last_tells_the_time() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(last_written(&directory.path().join("none")), 0);
        assert_eq!(last_written(directory.path()), 0);
        for (name, seconds) in [("a", 2_000), ("b", 1_000)] {
            let file = std::fs::File::create(directory.path().join(name)).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        }
        assert_eq!(last_written(directory.path()), 2_000);
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_and_one_that_is_set_forward_counts() {
        let wall = Arc::new(AtomicU64::new(1_000));
        let elapsed = Arc::new(AtomicU64::new(0));
        let (of_wall, of_elapsed) = (Arc::clone(&wall), Arc::clone(&elapsed));
        let clock = Clock::new(
            move || of_wall.load(Relaxed),
            move || Duration::from_secs(of_elapsed.load(Relaxed)),
        );
        assert_eq!(clock.now(), 1_000);
        elapsed.store(60, Relaxed);
        wall.store(400, Relaxed);
        assert_eq!(clock.now(), 1_060);
        wall.store(5_000, Relaxed);
        assert_eq!(clock.now(), 5_000);
        // A restart with a clock that was set back meanwhile.
        let restarted = Clock::new(|| 400, || Duration::from_secs(1)).not_before(1_060);
        assert_eq!(restarted.now(), 1_061);
        // Corrected: it was never 5,000.
        wall.store(1_061, Relaxed);
        assert_eq!(clock.now(), 1_061);
    }
}
