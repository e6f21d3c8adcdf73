//! Working keys in memory: how many, how old, and how readings found them. Read when somebody asks.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounterVec, IntGaugeVec, Opts};
use sealgate_envelope::keyring::Keyring;

pub(super) struct KeyringCollector {
    keyring: Arc<Keyring>,
    lookups: IntCounterVec,
    keys: IntGaugeVec,
    oldest: Gauge,
    spared: IntCounterVec,
}

impl KeyringCollector {
    pub(super) fn new(keyring: Arc<Keyring>) -> prometheus::Result<Self> {
        Ok(Self {
            keyring,
            lookups: IntCounterVec::new(
                Opts::new(
                    "sealgate_working_key_lookups_total",
                    "Readings that needed a working key, by where it came from.",
                ),
                &["outcome"],
            )?,
            keys: IntGaugeVec::new(
                Opts::new("sealgate_working_keys", "Working keys in memory."),
                &["use"],
            )?,
            oldest: Gauge::new(
                "sealgate_oldest_working_key_age_seconds",
                "How long ago the oldest working key for reading was opened; 0 if there is none.",
            )?,
            spared: IntCounterVec::new(
                Opts::new(
                    "sealgate_key_service_calls_spared_total",
                    "Calls to key services that were not made because the service had failed again and again.",
                ),
                &["provider"],
            )?,
        })
    }
}

impl Collector for KeyringCollector {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.lookups.desc(),
            self.keys.desc(),
            self.oldest.desc(),
            self.spared.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = self.keyring.status();
        // The keyring counts by itself; here are only copies of its sums.
        self.lookups.reset();
        for (outcome, count) in [
            ("hit", status.hits),
            ("joined", status.joins),
            ("unwrapped", status.unwraps.saturating_sub(status.failures)),
            ("failed", status.failures),
            ("remembered_failure", status.remembered_failures),
            ("outage_hit", status.outage_hits),
        ] {
            self.lookups.with_label_values(&[outcome]).inc_by(count);
        }
        self.spared.reset();
        for service in &status.key_services {
            let provider = service.provider.name().unwrap_or("unknown");
            self.spared
                .with_label_values(&[provider])
                .inc_by(service.spared);
        }
        for (purpose, count) in [
            ("sealing", status.sealing_keys),
            ("opening", status.cached_keys),
        ] {
            self.keys
                .with_label_values(&[purpose])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.oldest
            .set(status.oldest_cached_key.unwrap_or_default().as_secs_f64());
        [
            self.lookups.collect(),
            self.keys.collect(),
            self.oldest.collect(),
            self.spared.collect(),
        ]
        .concat()
    }
}
