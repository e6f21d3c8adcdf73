//! Whom the connection to a key service trusts, and who we are on it: shared by every service that is reached over TLS.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Which certificate authorities an https endpoint's certificate may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustRoots {
    /// Those of the operating system.
    System,
    /// Exactly those in this PEM text, one or more certificates; the system's are then not trusted.
    Pem(Vec<u8>),
}

/// A certificate that we show to a server which asks for one, and its private key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The chain in PEM, our own certificate first.
    pub chain: Vec<u8>,
    /// The private key in PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientCertificate")
            .finish_non_exhaustive()
    }
}

/// The certificate authorities in `pem`. Refuses what an HTTP client would panic on at its first use, and an empty list,
/// which would trust nobody.
pub(super) fn authorities(service: &str, pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| {
            Error::misuse(format!(
                "the CA certificates for {service} are no valid PEM: {error}"
            ))
        })?;
        roots.add(certificate).map_err(|error| {
            Error::misuse(format!(
                "a CA certificate for {service} cannot be used: {error}"
            ))
        })?;
    }
    if roots.is_empty() {
        return Err(Error::misuse(format!(
            "the CA file for {service} has no certificate in it; give it one or more in PEM"
        )));
    }
    Ok(roots)
}

/// Whether `url` begins with `scheme`, in any case.
pub(super) fn has_scheme(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_certificates_are_refused_before_a_client_could_panic() {
        for (pem, part) in [
            (&b""[..], "no certificate"),
            (
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "no certificate",
            ),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "cannot be used",
            ),
            (
                b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
                "no valid PEM",
            ),
        ] {
            let error = authorities("the KMS", pem).unwrap_err();
            assert_eq!(error.fault(), crate::Fault::Caller);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
