//! What waits to be recorded, and when the thread takes it.
//!
//! A sync costs the same for one record as for a hundred, so the thread lets requests gather while there are several: as PostgreSQL does with
//! `commit_delay` and `commit_siblings`. Whoever is alone never waits for others.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{RecordError, bell::Answering, lock_of};
use crate::line::Prepared;

/// Bytes of lines that one sync makes durable at most.
const MAX_BATCH: usize = 4 << 20;

/// How long events that nobody waits for may wait for others, whose sync makes them durable as well: an outcome of its own would cost as much as
/// the decision before it.
const LINGER: Duration = Duration::from_millis(50);

/// How long after a sync the next one waits for more callers, where there are several: a quarter of what requests take, within these bounds. So
/// it is little beside what they wait for anyway, and many share a sync even where they come slowly.
const GATHER: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(8));

/// The inverse of that quarter.
const SHARE: u32 = 4;

/// How many requests the mean of what they take follows, about.
const FOLLOWED: u32 = 16;

/// So many callers share a sync that more would save nothing that shows.
const ENOUGH: usize = 32;

/// A thread that has nothing to do looks around so often.
const IDLE: Duration = Duration::from_hours(1);

pub(super) type Answer = Result<Range<u64>, RecordError>;

pub(super) struct Job {
    pub(super) events: Vec<Prepared>,
    /// How many they were.
    pub(super) count: u64,
    pub(super) answer: Option<Answering>,
    pub(super) _places: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// Requests that run, those that wait here among them.
    open: AtomicUsize,
    /// What requests take, in microseconds: a mean of the last ones. Two that end at once may count as one.
    takes: AtomicU32,
}

/// What is known of the requests that run.
#[derive(Clone, Copy)]
struct Crowd {
    /// How many they are.
    open: usize,
    /// How long they are waited for.
    gather: Duration,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Jobs among them that callers wait for.
    awaited: usize,
    /// Since when there are jobs, and jobs that callers wait for.
    filled_at: Option<Instant>,
    awaited_at: Option<Instant>,
    /// When the thread came back for more.
    free_at: Option<Instant>,
    /// Callers that the last sync served.
    served: usize,
    /// Until when the thread sleeps, while it does.
    asleep_until: Option<Instant>,
    is_closed: bool,
}

impl State {
    /// When what waits is to be written.
    fn due(&self, crowd: Crowd) -> Option<Instant> {
        let filled_at = self.filled_at?;
        if self.is_closed {
            return Some(filled_at);
        }
        let Some(awaited_at) = self.awaited_at else {
            return Some(filled_at + LINGER);
        };
        let may_grow = self.awaited < crowd.open.min(ENOUGH);
        if may_grow && let Some(gathered_at) = self.gathered_at(crowd) {
            return Some(awaited_at.max(gathered_at));
        }
        Some(awaited_at)
    }

    /// Until when callers gather, where there are several.
    fn gathered_at(&self, crowd: Crowd) -> Option<Instant> {
        let is_crowd = self.awaited.max(self.served) > 1;
        is_crowd.then_some(self.free_at? + crowd.gather)
    }

    /// When the thread looks for what may come by then, soon after it had something to do: so that neither callers that gather nor outcomes, which
    /// may wait, have to wake it.
    fn looks_at(&self, crowd: Crowd, now: Instant) -> Option<Instant> {
        let lingered_at = self.free_at.map(|at| at + LINGER);
        let soon = [self.gathered_at(crowd), lingered_at];
        soon.into_iter().flatten().find(|at| *at > now)
    }

    /// Takes what waits, up to what one sync makes durable.
    fn batch(&mut self) -> (Vec<Job>, bool) {
        let mut length = 0;
        let mut jobs = Vec::with_capacity(self.jobs.len());
        let mut served = 0;
        while length < MAX_BATCH
            && let Some(job) = self.jobs.pop_front()
        {
            length += job.events.iter().map(Prepared::length).sum::<usize>();
            served += usize::from(job.answer.is_some());
            jobs.push(job);
        }
        self.awaited -= served;
        self.served = served;
        // What is left has waited long enough.
        if self.jobs.is_empty() {
            self.filled_at = None;
        }
        if self.awaited == 0 {
            self.awaited_at = None;
        }
        (jobs, self.is_closed && self.jobs.is_empty())
    }
}

impl Queue {
    /// A request has begun: it will want to record something.
    pub(super) fn enter(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended, and took so long.
    pub(super) fn leave(&self, took: Duration) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        // One download counts no more than what leads to the longest wait.
        let took = took.min(GATHER.1 * SHARE).as_micros();
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        let mean = self.takes.load(Ordering::Relaxed);
        let mean = mean - mean / FOLLOWED + took / FOLLOWED;
        self.takes.store(mean, Ordering::Relaxed);
    }

    fn crowd(&self) -> Crowd {
        let takes = Duration::from_micros(self.takes.load(Ordering::Relaxed).into());
        Crowd {
            open: self.open.load(Ordering::Relaxed),
            gather: (takes / SHARE).clamp(GATHER.0, GATHER.1),
        }
    }

    pub(super) fn length(&self) -> usize {
        lock_of(&self.state).jobs.len()
    }

    pub(super) fn push(&self, job: Job) -> Result<(), RecordError> {
        let now = Instant::now();
        let mut state = lock_of(&self.state);
        if state.is_closed {
            return Err(RecordError::Closed);
        }
        if job.answer.is_some() {
            state.awaited += 1;
            state.awaited_at.get_or_insert(now);
        }
        state.filled_at.get_or_insert(now);
        state.jobs.push_back(job);
        let due = state.due(self.crowd());
        // A wake-up is a system call: there is one only where the thread would sleep too long.
        let is_too_late = |until: &mut Instant| due.is_some_and(|due| due < *until);
        let wakes = state.asleep_until.take_if(is_too_late).is_some();
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes no more; what waits is written.
    pub(super) fn close(&self) {
        lock_of(&self.state).is_closed = true;
        self.filled.notify_all();
    }

    /// Takes no more, and drops what waits.
    pub(super) fn end(&self) {
        let mut state = lock_of(&self.state);
        *state = State {
            is_closed: true,
            ..State::default()
        };
    }

    /// Takes what waits, up to a batch; waits until there is something, until `wake`, or until the queue is closed and nothing waits.
    pub(super) fn take(&self, wake: Option<Instant>) -> (Vec<Job>, bool) {
        let mut state = lock_of(&self.state);
        let mut now = Instant::now();
        state.free_at = Some(now);
        loop {
            let crowd = self.crowd();
            let due = state.due(crowd);
            if due.is_some_and(|due| due <= now) {
                return state.batch();
            }
            if state.is_closed {
                return (Vec::new(), true);
            }
            if wake.is_some_and(|wake| wake <= now) {
                return (Vec::new(), false);
            }
            let until = due
                .or_else(|| state.looks_at(crowd, now))
                .into_iter()
                .chain(wake)
                .min();
            let until = until.unwrap_or(now + IDLE);
            state.asleep_until = Some(until);
            let left = until.saturating_duration_since(now);
            state = self
                .filled
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
            state.asleep_until = None;
            now = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn crowd(open: usize) -> Crowd {
        let queue = Queue::default();
        queue.open.store(open, Ordering::Relaxed);
        queue.crowd()
    }

    #[test]
    fn the_longer_requests_take_the_longer_others_are_waited_for() {
        let after = |took: Duration| {
            let queue = Queue::default();
            for _ in 0..200 {
                queue.enter();
                queue.leave(took);
            }
            queue.crowd().gather.as_micros()
        };
        assert_eq!(after(MS), 2_000);
        assert!((4_900..=5_000).contains(&after(20 * MS)));
        // A download of an hour is no reason to wait longer than that.
        assert!((7_900..=8_000).contains(&after(3_600_000 * MS)));
    }

    /// Callers wait since `awaited_at`; the last sync served so many and ended at `free_at`.
    fn waiting(awaited: usize, awaited_at: Instant, served: usize, free_at: Instant) -> State {
        State {
            awaited,
            filled_at: Some(awaited_at),
            awaited_at: Some(awaited_at),
            free_at: Some(free_at),
            served,
            ..State::default()
        }
    }

    #[test]
    fn whoever_is_alone_waits_for_nobody() {
        let now = Instant::now();
        // Alone at all, and beside a long download.
        for open in [0, 1, 2] {
            assert_eq!(waiting(1, now, 1, now).due(crowd(open)), Some(now));
        }
        // Where all that run wait, nobody else can come.
        assert_eq!(waiting(8, now, 8, now).due(crowd(8)), Some(now));
        assert_eq!(waiting(ENOUGH, now, 8, now).due(crowd(1_000)), Some(now));
    }

    #[test]
    fn several_gather_for_a_moment_after_the_last_sync() {
        let now = Instant::now();
        for (awaited, served) in [(2, 1), (1, 2)] {
            let state = waiting(awaited, now, served, now);
            assert_eq!(state.due(crowd(8)), Some(now + 2 * MS));
            // Whoever comes later than that waits for nobody.
            let late = waiting(awaited, now + 10 * MS, served, now);
            assert_eq!(late.due(crowd(8)), Some(now + 10 * MS));
        }
    }

    #[test]
    fn what_nobody_waits_for_lingers_until_the_queue_is_closed() {
        let now = Instant::now();
        let mut state = State {
            filled_at: Some(now),
            free_at: Some(now),
            ..State::default()
        };
        assert_eq!(state.due(crowd(8)), Some(now + LINGER));
        state.is_closed = true;
        assert_eq!(state.due(crowd(8)), Some(now));
        assert_eq!(State::default().due(crowd(8)), None);
    }

    fn job(answer: Option<Answering>) -> Job {
        Job {
            events: Vec::new(),
            count: 1,
            answer,
            _places: None,
        }
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_by_what_is_due_earlier() {
        let queue = Queue::default();
        let (answer, _answered) = super::super::bell::pair(1);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(None).0.len());
            while lock_of(&queue.state).asleep_until.is_none() {
                std::thread::sleep(MS);
            }
            queue.push(job(None)).unwrap();
            queue.push(job(Some(answer))).unwrap();
            assert!((1..=2).contains(&taken.join().unwrap()));
        });
    }
}
