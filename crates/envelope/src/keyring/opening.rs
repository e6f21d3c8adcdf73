//! Opening keys: the cache, one unwrap for many readers, and what happens while a key service is down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::cache::{Cached, KeyCache};
use super::clock::Clock;
use super::failure_memory::{Attempt, FailureMemory};
use super::flight::Waiter;
use super::limits::KeyringLimits;
use super::locks::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};
use super::unwrapping::Sources;
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::{
    EncryptionContext, UnwrapPermit, key_service_error, revokes, serves_cached,
};
use crate::keys::WorkingKey;
use crate::wrap::Wrap;

/// The reading half of a keyring.
#[derive(Debug)]
pub(super) struct Opening {
    sources: Arc<Sources>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    turns: Semaphore,
    pending_unwraps: usize,
    pub(super) counts: OpeningCounts,
}

/// How calls of `opening_key` were answered.
#[derive(Debug, Default)]
pub(super) struct OpeningCounts {
    pub(super) hits: AtomicU64,
    pub(super) joins: AtomicU64,
    pub(super) unwraps: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) remembered: AtomicU64,
    pub(super) outage_hits: AtomicU64,
}

#[derive(Debug)]
struct State {
    cache: KeyCache,
    failures: FailureMemory,
    flights: HashMap<Attempt, Waiter<Arc<WorkingKey>>>,
    /// Flushes so far: what began before the last one leaves nothing behind.
    flushes: u64,
}

/// What a look at the state, under its lock, decides for one call.
enum Decision {
    Answer(Result<Arc<WorkingKey>>),
    Wait(Waiter<Arc<WorkingKey>>),
}

impl Opening {
    pub(super) fn new(
        sources: Arc<Sources>,
        clock: Arc<dyn Clock>,
        limits: &KeyringLimits,
    ) -> Self {
        Self {
            sources,
            clock,
            state: Mutex::new(State {
                cache: KeyCache::new(limits),
                failures: FailureMemory::new(limits),
                flights: HashMap::new(),
                flushes: 0,
            }),
            turns: Semaphore::new(limits.concurrent_unwraps),
            pending_unwraps: limits.pending_unwraps,
            counts: OpeningCounts::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete in itself, so a panic elsewhere leaves a valid state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a key that this process has just made, with its wraps, unless there was a flush since its making began at `started`. Its age counts from
    /// then, as that of a key which was opened does: a revocation that happens meanwhile must not be outlived.
    pub(super) fn adopt(
        &self,
        flushes: u64,
        context: EncryptionContext,
        key: Arc<WorkingKey>,
        wraps: Vec<Wrap>,
        started: Duration,
    ) {
        let mut state = self.state();
        if state.flushes == flushes {
            state.cache.insert(context, key, wraps, started);
        }
    }

    /// Forgets every key, failure and unwrap under way. Those who wait for such an unwrap still get its key; nobody else does.
    pub(super) fn flush(&self) -> usize {
        let mut state = self.state();
        state.flushes += 1;
        state.failures.clear();
        state.flights.clear();
        state.cache.clear()
    }

    pub(super) fn flushes(&self) -> u64 {
        self.state().flushes
    }

    pub(super) fn oldest_cached_key(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.state().cache.oldest(now)
    }

    /// Drops, and so wipes, the keys that can't serve any more.
    pub(super) fn drop_expired(&self) {
        let now = self.clock.monotonic();
        self.state().cache.drop_expired(now);
    }

    pub(super) fn cached_keys(&self) -> usize {
        self.state().cache.len()
    }

    pub(super) fn pending_unwraps(&self) -> usize {
        self.state().flights.len()
    }

    pub(super) async fn open(
        self: &Arc<Self>,
        permit: &UnwrapPermit,
        context: EncryptionContext,
        wraps: &[Wrap],
    ) -> Result<Arc<WorkingKey>> {
        match self.decide(permit, context, wraps) {
            Decision::Answer(answer) => answer,
            Decision::Wait(waiter) => waiter.landed().await,
        }
    }

    fn decide(
        self: &Arc<Self>,
        permit: &UnwrapPermit,
        context: EncryptionContext,
        wraps: &[Wrap],
    ) -> Decision {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let serving = match state.cache.look_up(&context, now) {
            Cached::Fresh(key) => {
                count(&self.counts.hits);
                return Decision::Answer(Ok(key));
            }
            Cached::InOutage(key) => Some(key),
            Cached::Absent => None,
        };
        if !self.sources.opens {
            return self.serve_or(serving, || Decision::Answer(Err(write_only(&context))));
        }
        let attempt = Attempt::new(&context, wraps);
        if let Some(waiter) = state
            .flights
            .get(&attempt)
            .filter(|waiter| !waiter.is_lost())
        {
            let waiter = waiter.clone();
            return self.serve_or(serving, || {
                count(&self.counts.joins);
                Decision::Wait(waiter)
            });
        }
        if let Some(error) = state.failures.look_up(&attempt, now) {
            return self.serve_or(serving, || {
                count(&self.counts.remembered);
                Decision::Answer(Err(error))
            });
        }
        if state.cache.genuine_wraps(&context).is_empty() && state.failures.is_flooded(now) {
            return self.serve_or(serving, || {
                let detail = "so many different wraps were refused in the last seconds that no unknown one is tried; \
                              look in the log for objects that were forged or put elsewhere";
                Decision::Answer(Err(key_service_error(KeyServiceFailure::Throttled, detail)))
            });
        }
        if state.flights.len() >= self.pending_unwraps {
            state.flights.retain(|_, waiter| !waiter.is_lost());
        }
        if state.flights.len() >= self.pending_unwraps {
            return self.serve_or(serving, || {
                let detail =
                    "too many different working keys are being opened at the same time; try again";
                Decision::Answer(Err(key_service_error(KeyServiceFailure::Throttled, detail)))
            });
        }
        count(&self.counts.unwraps);
        let flight = Arc::clone(self).fly(
            permit.carry(),
            context,
            wraps.to_vec(),
            attempt,
            state.flushes,
        );
        match Waiter::start(flight) {
            // The task cannot land before this insertion: landing needs the lock that is held here.
            Ok(waiter) => {
                state.flights.insert(attempt, waiter.clone());
                self.serve_or(serving, || Decision::Wait(waiter))
            }
            Err(error) => Decision::Answer(Err(error)),
        }
    }

    /// During an outage a key within its grace is served at once, whatever goes on beside.
    fn serve_or(
        &self,
        serving: Option<Arc<WorkingKey>>,
        otherwise: impl FnOnce() -> Decision,
    ) -> Decision {
        match serving {
            Some(key) => {
                count(&self.counts.outage_hits);
                Decision::Answer(Ok(key))
            }
            None => otherwise(),
        }
    }

    /// The unwrap itself, in a task of its own.
    async fn fly(
        self: Arc<Self>,
        permit: UnwrapPermit,
        context: EncryptionContext,
        wraps: Vec<Wrap>,
        attempt: Attempt,
        flushes: u64,
    ) -> Result<Arc<WorkingKey>> {
        let genuine = self.state().cache.genuine_wraps(&context).to_vec();
        let opened = {
            // The semaphore is never closed; were it, going on without a turn would be the lesser evil.
            let _turn = self.turns.acquire().await.ok();
            // The age counts from before the call: a revocation that happens during it must not be outlived.
            let now = self.clock.monotonic();
            self.sources
                .unwrap(&permit, &context, &wraps, &genuine)
                .await
                .map(|opened| (Arc::new(opened.key), opened.wraps, now))
        };
        let mut state = self.state();
        if state.flushes != flushes {
            // Whoever waits for this began before the flush.
            return opened.map(|(key, ..)| key);
        }
        state.flights.remove(&attempt);
        match opened {
            Ok((key, genuine, opened)) => {
                state
                    .cache
                    .insert(context, Arc::clone(&key), genuine, opened);
                Ok(key)
            }
            Err(error) => {
                count(&self.counts.failures);
                let now = self.clock.monotonic();
                state.failures.remember(attempt, error.clone(), now);
                if revokes(&error) {
                    state.cache.remove(&context);
                }
                let serving = if serves_cached(&error) {
                    state.cache.enter_outage(&context, now)
                } else {
                    None
                };
                drop(state);
                tracing::warn!(
                    working_key = %context.working_key_id(),
                    intent = permit.intent(),
                    detail = error.detail(),
                    served_from_cache = serving.is_some(),
                    "a working key could not be unwrapped"
                );
                serving
                    .inspect(|_| count(&self.counts.outage_hits))
                    .ok_or(error)
            }
        }
    }
}

fn write_only(context: &EncryptionContext) -> Error {
    key_service_error(
        KeyServiceFailure::WriteOnly,
        &format!(
            "this process is write-only and did not make working key {}; open it with one that may decrypt",
            context.working_key_id()
        ),
    )
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
