//! When the certificates of the listeners end.

use prometheus::{IntGaugeVec, Opts, Registry};

/// The ends of certificates, by listener.
#[derive(Clone)]
pub(crate) struct CertificateMetrics {
    expiry: IntGaugeVec,
}

impl CertificateMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let expiry = IntGaugeVec::new(
            Opts::new(
                "sealgate_tls_certificate_expiry_timestamp_seconds",
                "When the certificate of a listener, or the one that is shown to the receiver of the audit log, ends, in seconds since 1970.",
            ),
            &["listener"],
        )?;
        registry.register(Box::new(expiry.clone()))?;
        Ok(Self { expiry })
    }

    /// Says when the certificate of a listener ends, in seconds since 1970.
    pub(crate) fn set(&self, listener: &'static str, expiry: i64) {
        self.expiry.with_label_values(&[listener]).set(expiry);
    }
}
