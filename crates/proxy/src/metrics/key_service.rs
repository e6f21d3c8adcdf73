//! Calls to key services: of which kind, how they ended, and how long they took.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use sealgate_envelope::key_service::{
    EncryptionContext, KeyDeletion, KeyDescription, KeyService, RewrapSource, UnwrapPermit,
    failure_of,
};
use sealgate_envelope::{KeyReference, KeyServiceFailure, Provider, Result, WorkingKey, Wrap};

/// Upper bounds in seconds: from a key file to the time-out of an operation with its retries.
const DURATIONS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0,
];

/// What is counted of all key services.
pub(super) struct KeyServiceMetrics {
    calls: IntCounterVec,
    durations: HistogramVec,
}

impl KeyServiceMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            calls: IntCounterVec::new(
                Opts::new(
                    "sealgate_key_service_calls_total",
                    "Calls to key services, probes included, by kind and outcome.",
                ),
                &["key_service", "call", "outcome"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "sealgate_key_service_call_duration_seconds",
                    "How long a call to a key service took, with its retries.",
                )
                .buckets(DURATIONS.to_vec()),
                &["key_service"],
            )?,
        };
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        Ok(metrics)
    }

    pub(super) fn measured(&self, name: &str, service: Arc<dyn KeyService>) -> Arc<dyn KeyService> {
        Arc::new(MeasuredKeyService {
            service,
            name: name.to_owned(),
            calls: self.calls.clone(),
            duration: self.durations.with_label_values(&[name]),
        })
    }
}

/// Counts the calls of the service inside.
struct MeasuredKeyService {
    service: Arc<dyn KeyService>,
    name: String,
    calls: IntCounterVec,
    duration: Histogram,
}

impl fmt::Debug for MeasuredKeyService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(formatter)
    }
}

impl MeasuredKeyService {
    async fn measure<T>(
        &self,
        call: &'static str,
        running: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        let result = running.await;
        self.duration.observe(started.elapsed().as_secs_f64());
        let outcome = result
            .as_ref()
            .err()
            .map_or("ok", |error| outcome(failure_of(error)));
        // Calls are rare, so the look-up does no harm.
        self.calls
            .with_label_values(&[self.name.as_str(), call, outcome])
            .inc();
        result
    }
}

fn outcome(failure: Option<KeyServiceFailure>) -> &'static str {
    match failure {
        Some(KeyServiceFailure::Unavailable) => "unavailable",
        Some(KeyServiceFailure::Throttled) => "throttled",
        Some(KeyServiceFailure::Denied) => "denied",
        Some(KeyServiceFailure::KeyUnusable) => "key_unusable",
        Some(KeyServiceFailure::NotFound) => "not_found",
        Some(KeyServiceFailure::Refused) => "refused",
        Some(KeyServiceFailure::WrapWithdrawn) => "wrap_withdrawn",
        Some(KeyServiceFailure::Malformed) => "malformed",
        Some(KeyServiceFailure::Misconfigured) => "misconfigured",
        _ => "other",
    }
}

#[async_trait]
impl KeyService for MeasuredKeyService {
    fn provider(&self) -> Provider {
        self.service.provider()
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        self.service.key_reference().await
    }

    async fn opens(&self, reference: KeyReference) -> Result<bool> {
        self.service.opens(reference).await
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        self.measure("generate", self.service.generate(context))
            .await
    }

    async fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap> {
        self.measure("wrap", self.service.wrap(context, working_key))
            .await
    }

    async fn unwrap(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        self.measure("unwrap", self.service.unwrap(permit, context, wrap))
            .await
    }

    async fn rewrap(
        &self,
        context: &EncryptionContext,
        wrap: &Wrap,
        source: RewrapSource<'_>,
    ) -> Result<Wrap> {
        self.measure("rewrap", self.service.rewrap(context, wrap, source))
            .await
    }

    async fn describe(&self) -> Result<KeyDescription> {
        self.measure("describe", self.service.describe()).await
    }

    async fn schedule_deletion(&self, waiting_days: u8) -> Result<KeyDeletion> {
        self.measure(
            "schedule_deletion",
            self.service.schedule_deletion(waiting_days),
        )
        .await
    }
}
