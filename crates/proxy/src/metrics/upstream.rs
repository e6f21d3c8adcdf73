//! Requests to the storage: how they were answered, how long until the answer began, what had to be sent again.

use http::StatusCode;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::requests::{DURATIONS, class};

/// What is counted of storages. Clones count together.
#[derive(Clone)]
pub(crate) struct UpstreamMetrics {
    requests: IntCounterVec,
    answered: [IntCounter; 4],
    unanswered: IntCounter,
    duration: Histogram,
    retries: IntCounter,
}

/// What an answer may be; redirects of others than 304 are never followed, and are errors.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl UpstreamMetrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "sealgate_upstream_requests_total",
                "Attempts to ask the storage, by the class of the answer's status; none: there was no answer.",
            ),
            &["status"],
        )?;
        Ok(Self {
            answered: CLASSES.map(|class| requests.with_label_values(&[class])),
            unanswered: requests.with_label_values(&["none"]),
            requests,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "sealgate_upstream_request_duration_seconds",
                    "From the beginning of a request to the storage, its body included, to the head of the answer.",
                )
                .buckets(DURATIONS.to_vec()),
            )?,
            retries: IntCounter::new(
                "sealgate_upstream_retries_total",
                "Requests that were sent to the storage again because a connection broke.",
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.retries.clone()))
    }

    /// Counts one attempt, and its answer if there was one.
    pub(crate) fn attempted(&self, started: std::time::Instant, status: Option<StatusCode>) {
        self.duration.observe(started.elapsed().as_secs_f64());
        let class = status.map(class);
        let place = CLASSES.iter().position(|name| Some(*name) == class);
        place
            .and_then(|place| self.answered.get(place))
            .unwrap_or(&self.unanswered)
            .inc();
    }

    /// Counts a request that is sent again.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }
}
