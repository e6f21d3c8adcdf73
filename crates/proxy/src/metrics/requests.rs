//! Requests of clients: how many, how they end, how long they take, how much they move.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::refusals::Refusals;

/// Operations that are told apart. All that pass unread are one: nobody has a hundred histograms to look at.
const OPERATIONS: [&str; 25] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteObject",
    "DeleteObjects",
    "GetBucketLocation",
    "GetObject",
    "GetObjectAttributes",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "OptionsObject",
    "PostObject",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
    UNKNOWN,
];

/// A request that was refused before it was known what it asks for.
const UNKNOWN: &str = "Unknown";

/// An operation that passes unread, with a new signature.
const PASSED: &str = "Passed";

/// Classes of status codes, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds in seconds: from a small object in memory to hours of a large one over a slow line.
pub(super) const DURATIONS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// The class of a status.
pub(super) fn class(status: StatusCode) -> &'static str {
    let place = usize::from(status.as_u16() / 100).saturating_sub(1);
    CLASSES.get(place).copied().unwrap_or("5xx")
}

/// What is counted of requests.
pub(crate) struct RequestMetrics {
    operations: HashMap<&'static str, OperationMetrics>,
    passed: OperationMetrics,
    requests: IntCounterVec,
    durations: HistogramVec,
    refusals: Refusals,
    in_flight: IntGauge,
    interrupted: IntCounter,
    unverified: IntCounter,
    received: IntCounter,
    sent: IntCounter,
}

/// What is counted of one operation, made at its first use, so that nobody scrapes what was never asked for.
struct OperationMetrics {
    name: &'static str,
    by_class: [OnceLock<IntCounter>; CLASSES.len()],
    duration: OnceLock<Histogram>,
}

impl OperationMetrics {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            by_class: Default::default(),
            duration: OnceLock::new(),
        }
    }
}

impl RequestMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            operations: OPERATIONS
                .into_iter()
                .map(|name| (name, OperationMetrics::new(name)))
                .collect(),
            passed: OperationMetrics::new(PASSED),
            requests: IntCounterVec::new(
                Opts::new(
                    "sealgate_requests_total",
                    "Requests of clients that were answered.",
                ),
                &["operation", "status"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "sealgate_request_duration_seconds",
                    "From the head of a request to the last byte of its answer.",
                )
                .buckets(DURATIONS.to_vec()),
                &["operation"],
            )?,
            refusals: Refusals::new()?,
            in_flight: IntGauge::new(
                "sealgate_requests_in_flight",
                "Requests whose answer has not been sent to its end.",
            )?,
            interrupted: IntCounter::new(
                "sealgate_responses_interrupted_total",
                "Answers whose body was not sent to its end: the client went away, the storage broke off, or what it sent did not verify.",
            )?,
            unverified: IntCounter::new(
                "sealgate_verification_failures_total",
                "Requests that failed because what the storage has or sent did not verify: an error, or an answer that was cut off.",
            )?,
            received: IntCounter::new(
                "sealgate_request_body_bytes_total",
                "Bytes of requests' bodies, framing of chunks included.",
            )?,
            sent: IntCounter::new(
                "sealgate_response_body_bytes_total",
                "Bytes of answers' bodies.",
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.durations.clone()))?;
        self.refusals.register(registry)?;
        registry.register(Box::new(self.in_flight.clone()))?;
        registry.register(Box::new(self.interrupted.clone()))?;
        registry.register(Box::new(self.unverified.clone()))?;
        registry.register(Box::new(self.received.clone()))?;
        registry.register(Box::new(self.sent.clone()))
    }

    /// Begins to measure a request.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.in_flight.inc();
        Running {
            metrics: Arc::clone(self),
            started: Instant::now(),
            operation: UNKNOWN,
        }
    }

    /// What counts requests that failed because something did not verify.
    pub(crate) fn unverified(&self) -> IntCounter {
        self.unverified.clone()
    }

    /// What counts the bytes of a request's body.
    pub(crate) fn received(&self) -> IntCounter {
        self.received.clone()
    }

    fn of(&self, operation: &str) -> &OperationMetrics {
        self.operations.get(operation).unwrap_or(&self.passed)
    }
}

/// A request that is under way, until it is dropped.
pub(crate) struct Running {
    metrics: Arc<RequestMetrics>,
    started: Instant,
    operation: &'static str,
}

impl Running {
    /// Counts the answer, by what is known now: its operation (`-` if it has none), its status, and the code of its error.
    pub(crate) fn end(&mut self, operation: &'static str, status: StatusCode, code: Option<&str>) {
        self.operation = if operation == "-" { UNKNOWN } else { operation };
        let metrics = self.metrics.of(self.operation);
        let class = class(status);
        let place = CLASSES.iter().position(|name| *name == class);
        if let Some(counter) = place.and_then(|place| metrics.by_class.get(place)) {
            let labels = [metrics.name, class];
            counter
                .get_or_init(|| self.metrics.requests.with_label_values(&labels))
                .inc();
        }
        if let Some(code) = code {
            self.metrics.refusals.count(code);
        }
    }

    /// Counts bytes of the answer's body.
    pub(super) fn sent(&self, length: usize) {
        self.metrics.sent.inc_by(length as u64);
    }

    /// Counts an answer whose body ends early.
    pub(super) fn interrupted(&self) {
        self.metrics.interrupted.inc();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let metrics = self.metrics.of(self.operation);
        metrics
            .duration
            .get_or_init(|| self.metrics.durations.with_label_values(&[metrics.name]))
            .observe(self.started.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        for (status, expected) in [
            (100, "1xx"),
            (204, "2xx"),
            (304, "3xx"),
            (499, "4xx"),
            (503, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(class(StatusCode::from_u16(status).unwrap()), expected);
        }
    }
}
