//! A key service with counters around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{KeyServiceFailure, Result};
use crate::key_service::{EncryptionContext, KeyService, UnwrapPermit, failure_of};
use crate::keys::{KeyReference, WorkingKey};
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
    /// Whether the last of these calls succeeded; true if there was none yet.
    pub healthy: bool,
}

/// Counts calls and failures of the service inside.
#[derive(Debug)]
pub(super) struct MeteredService {
    service: Arc<dyn KeyService>,
    generates: AtomicU64,
    wraps: AtomicU64,
    unwraps: AtomicU64,
    outages: AtomicU64,
    refusals: AtomicU64,
    last_call_failed: AtomicBool,
}

impl MeteredService {
    pub(super) fn new(service: Arc<dyn KeyService>) -> Self {
        Self {
            service,
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

    pub(super) async fn key_reference(&self) -> Result<KeyReference> {
        // Usually known; only its failures are calls worth counting.
        let result = self.service.key_reference().await;
        if result.is_err() {
            self.note(result)
        } else {
            result
        }
    }

    pub(super) async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        self.generates.fetch_add(1, Ordering::Relaxed);
        self.note(self.service.generate(context).await)
    }

    pub(super) async fn wrap(&self, context: &EncryptionContext, key: &WorkingKey) -> Result<Wrap> {
        self.wraps.fetch_add(1, Ordering::Relaxed);
        self.note(self.service.wrap(context, key).await)
    }

    pub(super) async fn unwrap(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        self.unwraps.fetch_add(1, Ordering::Relaxed);
        self.note(self.service.unwrap(permit, context, wrap).await)
    }

    fn note<T>(&self, result: Result<T>) -> Result<T> {
        let mut failed = false;
        if let Err(error) = &result {
            let failure = failure_of(error);
            let outage = failure.is_some_and(KeyServiceFailure::is_transient);
            (if outage {
                &self.outages
            } else {
                &self.refusals
            })
            .fetch_add(1, Ordering::Relaxed);
            // That a wrap was refused says something about the wrap, nothing about the service.
            failed = failure != Some(KeyServiceFailure::Refused);
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
            healthy: !self.last_call_failed.load(Ordering::Relaxed),
        }
    }
}
