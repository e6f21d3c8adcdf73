//! For how long a certificate is good: one that a listener shows to clients, or that is shown to another server.

use std::{path::Path, time::SystemTime};

use anyhow::{Context as _, anyhow};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;

/// A certificate that ends within this time is worth a warning, in seconds.
const NEAR: i64 = 14 * 24 * 3600;

/// How much earlier than a certificate begins it is taken, in seconds: clocks differ, and authorities make some that begin at once.
const EARLY: i64 = 3600;

/// From when until when a certificate is good, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CertificateValidity {
    begins: i64,
    ends: i64,
}

impl CertificateValidity {
    /// That of a certificate in DER.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn of(certificate: &[u8]) -> anyhow::Result<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|error| anyhow!("the certificate can't be read: {error}"))?;
        let validity = certificate.validity();
        Ok(Self {
            begins: validity.not_before.timestamp(),
            ends: validity.not_after.timestamp(),
        })
    }

    /// That of the first certificate in a PEM file, which is the one that is shown.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn of_file(path: &Path) -> anyhow::Result<Self> {
        let first = CertificateDer::pem_file_iter(path)
            .ok()
            .and_then(|mut all| all.next()?.ok());
        let first = first.with_context(|| format!("{} holds no certificate", path.display()))?;
        Self::of(&first)
    }

    /// When it ends.
    pub(crate) fn ends(self) -> i64 {
        self.ends
    }

    /// Why nobody takes it now, if nobody does.
    pub(crate) fn fault(self) -> Option<String> {
        self.fault_at(now())
    }

    fn fault_at(self, now: i64) -> Option<String> {
        let what = if self.ends < now {
            format!("the certificate ended at {}", moment(self.ends))
        } else if now < self.begins - EARLY {
            format!("the certificate begins only at {}", moment(self.begins))
        } else {
            return None;
        };
        Some(format!(
            "{what}, and here it is {}; put a certificate that is good now into its file, or set this machine's clock",
            moment(now)
        ))
    }

    /// The hours that are left, where they are few.
    pub(crate) fn hours_left(self) -> Option<i64> {
        self.hours_left_at(now())
    }

    fn hours_left_at(self, now: i64) -> Option<i64> {
        let left = self.ends - now;
        (left < NEAR).then_some(left / 3600)
    }
}

fn now() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// As people write it.
fn moment(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| format!("{seconds} s after 1970"),
        |moment| moment.replace_nanosecond(0).unwrap_or(moment).to_string(),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// Certificate and key, as PEM, of a certificate that ended (or ends) so many days from now, 30 days after it began.
    pub(crate) fn ending_in_days(days: i64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let end = OffsetDateTime::now_utc() + time::Duration::days(days);
        params.not_before = end - time::Duration::days(30);
        params.not_after = end;
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_good_between_its_beginning_and_its_end() {
        let validity = CertificateValidity {
            begins: 1_000_000,
            ends: 9_000_000,
        };
        assert_eq!(validity.fault_at(1_000_000 - EARLY), None);
        assert_eq!(validity.fault_at(9_000_000), None);
        let early = validity.fault_at(999_999 - EARLY).unwrap();
        assert!(early.contains("begins only at 1970-01-12"), "{early}");
        let late = validity.fault_at(9_000_001).unwrap();
        assert!(late.contains("ended at 1970-04-15"), "{late}");
        assert_eq!(validity.hours_left_at(2_000_000), None);
        assert_eq!(validity.hours_left_at(9_000_000 - 7_200), Some(2));
    }

    #[test]
    fn it_is_read_from_the_file_that_a_server_gets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.pem");
        for (days, is_good) in [(-1, false), (40, false), (20, true), (3, true)] {
            std::fs::write(&path, ending_in_days(days).0).unwrap();
            let validity = CertificateValidity::of_file(&path).unwrap();
            assert_eq!(validity.fault().is_none(), is_good, "{days}");
        }
        std::fs::write(&path, "-").unwrap();
        assert!(CertificateValidity::of_file(&path).is_err());
    }
}
