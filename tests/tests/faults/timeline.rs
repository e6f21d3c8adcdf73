//! When what happened: the faults, so that a failure can tell which were near, and how often everything was done.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Faults that a failure shows.
const SHOWN: usize = 6;

/// A moment, counted from the beginning of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Duration);

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{:7.2}]", self.0.as_secs_f64())
    }
}

/// What has happened so far.
#[derive(Debug)]
pub(crate) struct Timeline {
    start: Instant,
    faults: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<String, u64>>,
    losses: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            faults: Mutex::default(),
            counts: Mutex::default(),
            losses: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.start.elapsed())
    }

    /// Notes the beginning or the end of a fault.
    pub(crate) fn fault(&self, what: &str) {
        locked(&self.faults).push(format!("{} {what}", self.now()));
    }

    /// Counts something.
    pub(crate) fn count(&self, what: &str) {
        *locked(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    /// How often everything whose name begins so was counted, by the rest of its name.
    pub(crate) fn counts(&self, prefix: &str) -> Vec<(String, u64)> {
        locked(&self.counts)
            .iter()
            .filter_map(|(name, count)| Some((name.strip_prefix(prefix)?.to_owned(), *count)))
            .collect()
    }

    /// The same, all together.
    pub(crate) fn sum(&self, prefix: &str) -> u64 {
        self.counts(prefix).iter().map(|(_, count)| count).sum()
    }

    /// The last faults.
    pub(crate) fn story(&self) -> String {
        let faults = locked(&self.faults);
        let skipped = faults.len().saturating_sub(SHOWN);
        let shown: Vec<_> = faults.iter().skip(skipped).cloned().collect();
        format!("  the last faults:\n  {}\n", shown.join("\n  "))
    }

    /// Notes something that must not be.
    pub(crate) fn lose(&self, what: &str) {
        locked(&self.losses).push(format!("{} {what}", self.now()));
    }

    /// All that must not be.
    pub(crate) fn losses(&self) -> Vec<String> {
        locked(&self.losses).clone()
    }
}
