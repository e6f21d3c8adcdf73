//! Connections of clients: how many there are, and which had to end because there was no room.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// What is counted of connections. Clones count together.
#[derive(Clone)]
pub(crate) struct ConnectionMetrics {
    open: IntGauge,
    closed: IntCounterVec,
}

/// Why a connection had to end.
const REASONS: [&str; 3] = ["idle", "share", "refused"];

impl ConnectionMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let open = IntGauge::new(
            "sealgate_connections",
            "Connections of clients that are open.",
        )?;
        let closed = IntCounterVec::new(
            Opts::new(
                "sealgate_connections_closed_for_room_total",
                "Connections of clients that ended because all places were taken: idle had waited for a request for longest, share was beyond what its address may keep, refused came from an address that had its share.",
            ),
            &["reason"],
        )?;
        for reason in REASONS {
            closed.with_label_values(&[reason]);
        }
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(closed.clone()))?;
        Ok(Self { open, closed })
    }

    /// Counts one that has begun.
    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    /// Counts one that is gone.
    pub(crate) fn ended(&self) {
        self.open.dec();
    }

    /// Counts one that has to end.
    pub(crate) fn closed(&self, reason: &'static str) {
        self.closed.with_label_values(&[reason]).inc();
    }
}
