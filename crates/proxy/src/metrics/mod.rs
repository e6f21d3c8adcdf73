//! What the gateway counts, in the text format of Prometheus. docs/operations.md has a table of all names.
//!
//! Values of labels come from fixed lists, or from the configuration (names of key services); never from a request. So there is a bound on how
//! many there are, and nobody learns from them what is stored. A request costs a handful of atomic additions; what is only known elsewhere
//! (the keyring, the process) is read when somebody asks.

mod audit;
mod body;
mod certificates;
mod connections;
mod key_service;
mod keyring;
mod process;
mod refusals;
mod reloads;
mod requests;
mod upstream;

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Encoder as _, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::keyring::Keyring;

use crate::admin::Health;
use crate::audit::Audit;

pub(crate) use self::body::{Counted, Measured};
pub(crate) use self::certificates::CertificateMetrics;
pub(crate) use self::connections::ConnectionMetrics;
pub(crate) use self::reloads::ReloadMetrics;
pub(crate) use self::requests::RequestMetrics;
pub(crate) use self::upstream::UpstreamMetrics;

use self::key_service::KeyServiceMetrics;

/// The type of what [`Metrics::render`] returns (Prometheus, "Exposition formats").
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that one gateway counts.
pub struct Metrics {
    registry: Registry,
    pub(crate) requests: Arc<RequestMetrics>,
    pub(crate) certificates: CertificateMetrics,
    pub(crate) connections: ConnectionMetrics,
    pub(crate) reloads: ReloadMetrics,
    key_services: KeyServiceMetrics,
    throttled: IntCounterVec,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Counters at zero.
    ///
    /// # Errors
    /// If two of them have the same name, which would be a fault of ours.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new("sealgate_build_info", "The version that runs; always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(process::ProcessCollector::new()?))?;
        let requests = RequestMetrics::new()?;
        requests.register(&registry)?;
        let certificates = CertificateMetrics::new(&registry)?;
        let connections = ConnectionMetrics::new(&registry)?;
        let reloads = ReloadMetrics::new(&registry)?;
        let throttled = IntCounterVec::new(
            Opts::new(
                "sealgate_throttled_requests_total",
                "Requests that were answered SlowDown because of a bound on one client.",
            ),
            &["client", "bound"],
        )?;
        registry.register(Box::new(throttled.clone()))?;
        let key_services = KeyServiceMetrics::new(&registry)?;
        Ok(Self {
            registry,
            requests: Arc::new(requests),
            certificates,
            connections,
            reloads,
            key_services,
            throttled,
        })
    }

    /// Counts a request that was too many for its client: by what the client was told apart, and the bound.
    pub(crate) fn throttled(&self, client: &'static str, bound: &'static str) {
        self.throttled.with_label_values(&[client, bound]).inc();
    }

    /// The same key service, whose calls are counted under its name in the configuration.
    pub(crate) fn measured(&self, name: &str, service: Arc<dyn KeyService>) -> Arc<dyn KeyService> {
        self.key_services.measured(name, service)
    }

    /// Tells of the keyring from now on.
    ///
    /// # Errors
    /// If that was done before.
    pub(crate) fn watch_keyring(&self, keyring: Arc<Keyring>) -> prometheus::Result<()> {
        self.add(keyring::KeyringCollector::new(keyring)?)
    }

    /// Tells of a storage from now on.
    ///
    /// # Errors
    /// If that was done before.
    pub(crate) fn watch_upstream(&self, upstream: &UpstreamMetrics) -> prometheus::Result<()> {
        upstream.register(&self.registry)
    }

    /// Tells of readiness from now on.
    ///
    /// # Errors
    /// If that was done before.
    pub(crate) fn watch_health(&self, health: Arc<Health>) -> prometheus::Result<()> {
        self.add(HealthCollector::new(health)?)
    }

    /// Tells of the audit log from now on.
    ///
    /// # Errors
    /// If that was done before.
    pub(crate) fn watch_audit(&self, audit: Arc<Audit>) -> prometheus::Result<()> {
        self.add(audit::AuditCollector::new(audit)?)
    }

    /// Adds what somebody else counts.
    ///
    /// # Errors
    /// If a name is taken.
    pub(crate) fn add(&self, collector: impl Collector + 'static) -> prometheus::Result<()> {
        self.registry.register(Box::new(collector))
    }

    /// All of it, as a scraper reads it.
    ///
    /// # Errors
    /// If a name is one that Prometheus does not allow, which would be a fault of ours.
    pub fn render(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// What [`Health`] says, in numbers.
struct HealthCollector {
    health: Arc<Health>,
    ready: IntGauge,
    checks: IntGaugeVec,
}

impl HealthCollector {
    fn new(health: Arc<Health>) -> prometheus::Result<Self> {
        Ok(Self {
            health,
            ready: IntGauge::new(
                "sealgate_ready",
                "Whether /readyz says that the gateway is ready.",
            )?,
            checks: IntGaugeVec::new(
                Opts::new(
                    "sealgate_check_ok",
                    "Whether a check of /readyz found nothing in the way.",
                ),
                &["check"],
            )?,
        })
    }
}

impl Collector for HealthCollector {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        [self.ready.desc(), self.checks.desc()].concat()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.ready.set(self.health.is_ready().into());
        for (name, works) in self.health.findings() {
            self.checks
                .with_label_values(&[name.as_str()])
                .set(works.into());
        }
        [self.ready.collect(), self.checks.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_has_names_by_the_conventions() {
        let metrics = Metrics::new().unwrap();
        metrics.watch_health(Arc::default()).unwrap();
        let upstream = UpstreamMetrics::new().unwrap();
        metrics.watch_upstream(&upstream).unwrap();
        let mut running = metrics.requests.begin();
        running.end("GetObject", http::StatusCode::OK, None);
        drop(running);
        let mut refused = metrics.requests.begin();
        refused.end("-", http::StatusCode::FORBIDDEN, Some("Strange\"Code\n"));
        drop(refused);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        for line in [
            "sealgate_requests_total{operation=\"GetObject\",status=\"2xx\"} 1",
            "sealgate_requests_total{operation=\"Unknown\",status=\"4xx\"} 1",
            "sealgate_refusals_total{code=\"Other\"} 1",
            "sealgate_request_duration_seconds_count{operation=\"GetObject\"} 1",
            "sealgate_requests_in_flight 0",
            "sealgate_ready 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("Strange"), "{text}");
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let mut words = line.split(' ').skip(2);
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            assert!(
                name.starts_with("sealgate_") || name.starts_with("process_"),
                "{name}"
            );
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert_eq!(
                kind == "histogram",
                name.ends_with("_duration_seconds"),
                "{name}"
            );
        }
    }
}
