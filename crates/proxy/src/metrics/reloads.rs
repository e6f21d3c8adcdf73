//! How the configuration was read again.

use std::time::SystemTime;

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// What is counted of it. Clones count together.
#[derive(Clone)]
pub(crate) struct ReloadMetrics {
    reloads: IntCounterVec,
    successful: IntGauge,
    succeeded_at: IntGauge,
    needs_restart: IntGauge,
}

impl ReloadMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            reloads: IntCounterVec::new(
                Opts::new(
                    "sealgate_configuration_reloads_total",
                    "How often the configuration was read, the start included.",
                ),
                &["outcome"],
            )?,
            successful: IntGauge::new(
                "sealgate_configuration_last_reload_successful",
                "Whether the configuration could be used when it was last read.",
            )?,
            succeeded_at: IntGauge::new(
                "sealgate_configuration_last_reload_success_timestamp_seconds",
                "When the configuration was last read and could be used, in seconds since 1970.",
            )?,
            needs_restart: IntGauge::new(
                "sealgate_configuration_needs_restart",
                "Whether the configuration holds changes that take effect at a restart.",
            )?,
        };
        for outcome in ["succeeded", "failed"] {
            metrics.reloads.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.reloads.clone()))?;
        registry.register(Box::new(metrics.successful.clone()))?;
        registry.register(Box::new(metrics.succeeded_at.clone()))?;
        registry.register(Box::new(metrics.needs_restart.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn succeeded(&self) {
        self.reloads.with_label_values(&["succeeded"]).inc();
        self.successful.set(1);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.succeeded_at
            .set(i64::try_from(now.as_secs()).unwrap_or_default());
    }

    pub(crate) fn failed(&self) {
        self.reloads.with_label_values(&["failed"]).inc();
        self.successful.set(0);
    }

    pub(crate) fn needs_restart(&self, needs: bool) {
        self.needs_restart.set(needs.into());
    }
}
