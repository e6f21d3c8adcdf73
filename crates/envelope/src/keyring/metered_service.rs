//! A key service with counters and a circuit breaker around it.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::Breaker;
use super::clock::Clock;
use super::locks::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::{
    EncryptionContext, KeyService, UnwrapPermit, failure_of, key_service_error,
};
use crate::keys::{KeyReference, WorkingKey};
use crate::random::{OsRandom, Random as _};
use crate::wrap::{Provider, Wrap};

/// What one key service was asked, and how it answered, since the keyring was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyServiceStatus {
    /// The kind of service.
    pub provider: Provider,
    /// Working keys it was asked to make.
    pub generates: u64,
    /// Working keys of others that it was asked to wrap.
    pub wraps: u64,
    /// Wraps that it was asked to open, those of self-checks counted.
    pub unwraps: u64,
    /// How many of all these failed by an outage or throttling.
    pub outages: u64,
    /// How many failed for any other reason.
    pub refusals: u64,
    /// Calls that were not made, because the service had failed again and again.
    pub spared: u64,
    /// Whether calls are held back now.
    pub is_spared: bool,
    /// Whether the last of these calls succeeded; true if there was none yet.
    pub healthy: bool,
}

/// Counts calls and failures of the service inside, and spares it while it is down.
#[derive(Debug)]
pub(super) struct MeteredService {
    service: Arc<dyn KeyService>,
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    spared: AtomicU64,
    generates: AtomicU64,
    wraps: AtomicU64,
    unwraps: AtomicU64,
    outages: AtomicU64,
    refusals: AtomicU64,
    last_call_failed: AtomicBool,
}

impl MeteredService {
    pub(super) fn new(service: Arc<dyn KeyService>, clock: Arc<dyn Clock>) -> Self {
        Self {
            service,
            clock,
            breaker: Mutex::default(),
            spared: AtomicU64::new(0),
            generates: AtomicU64::new(0),
            wraps: AtomicU64::new(0),
            unwraps: AtomicU64::new(0),
            outages: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            last_call_failed: AtomicBool::new(false),
        }
    }

    pub(super) fn provider(&self) -> Provider {
        self.service.provider()
    }

    pub(super) async fn opens(&self, reference: KeyReference) -> Result<bool> {
        // The turn to try belongs to the unwrap that follows: usually nobody is asked here.
        if self.breaker().holds_back(self.now()) {
            return Err(self.spare());
        }
        // Usually known; only its failures are calls worth counting.
        let result = self.service.opens(reference).await;
        if result.is_err() {
            self.note(result)
        } else {
            result
        }
    }

    pub(super) async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        self.admit()?;
        self.generates.fetch_add(1, Ordering::Relaxed);
        self.note(self.service.generate(context).await)
    }

    pub(super) async fn wrap(&self, context: &EncryptionContext, key: &WorkingKey) -> Result<Wrap> {
        self.admit()?;
        self.wraps.fetch_add(1, Ordering::Relaxed);
        self.note(self.service.wrap(context, key).await)
    }

    pub(super) async fn unwrap(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        self.admit()?;
        self.unwraps.fetch_add(1, Ordering::Relaxed);
        self.note(self.service.unwrap(permit, context, wrap).await)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a call to a service that is being spared; the failure is the outage that it would meet.
    fn admit(&self) -> Result<()> {
        if self.breaker().admits(self.now(), jitter()) {
            return Ok(());
        }
        Err(self.spare())
    }

    fn spare(&self) -> Error {
        self.spared.fetch_add(1, Ordering::Relaxed);
        key_service_error(
            KeyServiceFailure::Unavailable,
            "the key service has failed several times in a row and is asked again in some seconds",
        )
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn note<T>(&self, result: Result<T>) -> Result<T> {
        let mut failed = false;
        if let Err(error) = &result {
            let failure = failure_of(error);
            let outage = failure.is_some_and(KeyServiceFailure::is_transient);
            if outage {
                self.breaker().failed(self.now(), jitter());
            } else {
                self.breaker().answered();
            }
            (if outage {
                &self.outages
            } else {
                &self.refusals
            })
            .fetch_add(1, Ordering::Relaxed);
            // That a wrap was refused says something about the wrap, nothing about the service.
            failed = !matches!(
                failure,
                Some(KeyServiceFailure::Refused | KeyServiceFailure::WrapWithdrawn)
            );
        } else {
            self.breaker().answered();
        }
        self.last_call_failed.store(failed, Ordering::Relaxed);
        result
    }

    pub(super) fn status(&self) -> KeyServiceStatus {
        KeyServiceStatus {
            provider: self.provider(),
            generates: self.generates.load(Ordering::Relaxed),
            wraps: self.wraps.load(Ordering::Relaxed),
            unwraps: self.unwraps.load(Ordering::Relaxed),
            outages: self.outages.load(Ordering::Relaxed),
            refusals: self.refusals.load(Ordering::Relaxed),
            spared: self.spared.load(Ordering::Relaxed),
            is_spared: self.breaker().is_open(),
            healthy: !self.last_call_failed.load(Ordering::Relaxed),
        }
    }
}

/// Chance for pauses. Without a source of it pauses are merely equal, so a failure to get it is no failure here.
fn jitter() -> u8 {
    let mut bytes = [0];
    let _ = OsRandom.fill(&mut bytes);
    let [byte] = bytes;
    byte
}
