//! The audit log: what is recorded, what could not be, and what waits for the receiver. Read when somebody asks.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge};

use crate::audit::Audit;

pub(super) struct AuditCollector {
    audit: Arc<Audit>,
    records: IntGauge,
    unsigned: IntGauge,
    refused: IntCounter,
    lost: IntCounter,
    receiver: Option<Receiver>,
}

struct Receiver {
    records: IntGauge,
    bytes: IntGauge,
    lag: Gauge,
    silence: Gauge,
}

impl AuditCollector {
    pub(super) fn new(audit: Arc<Audit>) -> prometheus::Result<Self> {
        let receiver = audit.has_receiver().then(Receiver::new).transpose()?;
        Ok(Self {
            audit,
            records: IntGauge::new("sealgate_audit_records", "Records in the audit log.")?,
            unsigned: IntGauge::new(
                "sealgate_audit_unsigned_records",
                "Records that no signed checkpoint covers yet.",
            )?,
            refused: IntCounter::new(
                "sealgate_audit_refused_requests_total",
                "Requests that were refused because they could not be recorded.",
            )?,
            lost: IntCounter::new(
                "sealgate_audit_lost_records_total",
                "Records that could not be written; the log says how many, too.",
            )?,
            receiver,
        })
    }
}

impl Receiver {
    fn new() -> prometheus::Result<Self> {
        Ok(Self {
            records: IntGauge::new(
                "sealgate_audit_waiting_records",
                "Records that the receiver has not acknowledged.",
            )?,
            bytes: IntGauge::new(
                "sealgate_audit_waiting_bytes",
                "Bytes of records that the receiver has not acknowledged.",
            )?,
            lag: Gauge::new(
                "sealgate_audit_lag_seconds",
                "How old the oldest record is that the receiver has not acknowledged; 0 if there is none.",
            )?,
            silence: Gauge::new(
                "sealgate_audit_last_acknowledgement_age_seconds",
                "How long ago the receiver last answered as it should, or else the log was opened.",
            )?,
        })
    }
}

impl Collector for AuditCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = [
            self.records.desc(),
            self.unsigned.desc(),
            self.refused.desc(),
            self.lost.desc(),
        ]
        .concat();
        if let Some(receiver) = &self.receiver {
            all.extend(receiver.records.desc());
            all.extend(receiver.bytes.desc());
            all.extend(receiver.lag.desc());
            all.extend(receiver.silence.desc());
        }
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let position = self.audit.position();
        self.records.set(whole(position.size));
        self.unsigned
            .set(whole(position.size.saturating_sub(position.signed)));
        // The log counts by itself; here are only copies of its sums.
        for (counter, count) in [
            (&self.refused, self.audit.refused()),
            (&self.lost, self.audit.lost()),
        ] {
            counter.reset();
            counter.inc_by(count);
        }
        let mut all = [
            self.records.collect(),
            self.unsigned.collect(),
            self.refused.collect(),
            self.lost.collect(),
        ]
        .concat();
        if let Some(receiver) = &self.receiver {
            receiver.records.set(whole(self.audit.waiting_records()));
            receiver.bytes.set(whole(self.audit.waiting_bytes()));
            receiver.lag.set(self.audit.lag().as_secs_f64());
            receiver.silence.set(self.audit.silence().as_secs_f64());
            all.extend(receiver.records.collect());
            all.extend(receiver.bytes.collect());
            all.extend(receiver.lag.collect());
            all.extend(receiver.silence.collect());
        }
        all
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
