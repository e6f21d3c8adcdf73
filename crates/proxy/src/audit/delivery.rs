//! How far a log is behind at its receiver.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Lengths of the log that are remembered with their times. Beyond, two neighbours become one with the earlier time, so the lag is never told
/// too small.
const MAX_MARKS: usize = 512;

/// What the receiver has, and when it was last heard of.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Bytes of lines in the files at the start that the receiver had not.
    before: AtomicU64,
    /// Bytes of lines that it has taken since.
    taken: AtomicU64,
    /// Lines that it has.
    acknowledged: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the receiver last answered as it should; at first, when the log was opened.
    heard: Instant,
    /// Why it could not be reached the last time.
    trouble: Option<String>,
    /// How long the log was at which time, for what the receiver has not: the oldest first.
    marks: VecDeque<(u64, Instant)>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            before: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            state: Mutex::new(State {
                heard: Instant::now(),
                trouble: None,
                marks: VecDeque::new(),
            }),
        }
    }
}

impl Delivery {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the files of an earlier process hold: lines that the receiver has, and bytes that it has not.
    pub(super) fn begin(&self, acknowledged: u64, waiting: u64) {
        self.acknowledged.store(acknowledged, Ordering::Relaxed);
        self.before.store(waiting, Ordering::Relaxed);
    }

    /// Bytes that wait, where so many were written since the start.
    pub(super) fn bytes(&self, written: u64) -> u64 {
        let all = self.before.load(Ordering::Relaxed) + written;
        all.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Lines that the receiver has.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The log has so many lines now. Called often, or the lag is told too small by as much.
    pub(super) fn note(&self, size: u64) {
        let mut state = self.state();
        let known = state.marks.back().map(|(size, _)| *size);
        if size <= known.unwrap_or_else(|| self.acknowledged()) {
            return;
        }
        if state.marks.len() == MAX_MARKS {
            let marks = std::mem::take(&mut state.marks);
            let marks: Vec<_> = marks.into();
            let merged = marks.chunks(2).filter_map(|pair| {
                let (first, last) = (pair.first()?, pair.last()?);
                Some((last.0, first.1))
            });
            state.marks = merged.collect();
        }
        state.marks.push_back((size, Instant::now()));
    }

    /// The receiver has so many lines, of which it took so many bytes just now.
    pub(super) fn acknowledge(&self, size: u64, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        self.acknowledged.store(size, Ordering::Relaxed);
        let mut state = self.state();
        while state.marks.front().is_some_and(|(mark, _)| *mark <= size) {
            state.marks.pop_front();
        }
        state.heard = Instant::now();
        state.trouble = None;
    }

    /// The receiver could not be reached, or did not take what it was sent.
    pub(super) fn fail(&self, trouble: String) {
        self.state().trouble = Some(trouble);
    }

    /// Why the receiver could not be reached the last time.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// How old the oldest line is that the receiver has not; nothing where it has all.
    pub(super) fn lag(&self) -> Duration {
        let state = self.state();
        let oldest = state.marks.front();
        oldest.map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }

    /// How long ago the receiver last answered as it should, or else the log was opened.
    pub(super) fn silence(&self) -> Duration {
        self.state().heard.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_in_lines_bytes_and_time() {
        let delivery = Delivery::default();
        delivery.begin(10, 500);
        delivery.note(10);
        assert_eq!((delivery.bytes(0), delivery.lag()), (500, Duration::ZERO));
        delivery.note(12);
        std::thread::sleep(Duration::from_millis(20));
        delivery.note(15);
        assert!(delivery.lag() >= Duration::from_millis(20));
        assert_eq!(delivery.bytes(300), 800);
        delivery.fail("refused".to_owned());
        delivery.acknowledge(12, 600);
        assert_eq!((delivery.bytes(300), delivery.acknowledged()), (200, 12));
        assert_eq!(delivery.trouble(), None);
        assert!(delivery.state().marks.len() == 1);
        delivery.acknowledge(15, 200);
        assert_eq!((delivery.bytes(300), delivery.lag()), (0, Duration::ZERO));
    }

    #[test]
    fn a_long_outage_takes_no_more_memory_and_its_beginning_is_kept() {
        let delivery = Delivery::default();
        delivery.note(1);
        let first = delivery.state().marks.front().unwrap().1;
        for size in 2..10 * MAX_MARKS as u64 {
            delivery.note(size);
        }
        let state = delivery.state();
        assert!(state.marks.len() <= MAX_MARKS);
        assert_eq!(state.marks.front().unwrap().1, first);
        let sizes: Vec<_> = state.marks.iter().map(|(size, _)| *size).collect();
        assert!(sizes.is_sorted());
    }
}
