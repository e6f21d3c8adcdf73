//! TLS for the listener: a certificate chain and its private key, both PEM.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::StartError;

/// A certificate chain with its private key, ready to serve.
#[derive(Clone)]
pub struct TlsIdentity(Arc<ServerConfig>);

impl TlsIdentity {
    /// Reads a certificate chain, leaf first, and the private key of the leaf (PKCS #8, PKCS #1 or SEC 1).
    ///
    /// # Errors
    ///
    /// [`StartError::Tls`] when one of them is not PEM or they do not belong together.
    pub fn from_pem(certificates: &[u8], private_key: &[u8]) -> Result<Self, StartError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                StartError::Tls(format!("the certificate file is not PEM: {error}"))
            })?;
        if chain.is_empty() {
            return Err(StartError::Tls(
                "the certificate file holds no CERTIFICATE section".to_owned(),
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(private_key).map_err(|error| {
            StartError::Tls(format!("the key file holds no usable private key: {error}"))
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| {
                StartError::Tls(format!(
                    "certificate and key cannot be used together: {error}"
                ))
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TlsIdentity(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_key_must_fit() {
        let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let two = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let refused = |certificate: &str, key: &str| {
            TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert!(refused(&certificate, &two.signing_key.serialize_pem()).contains("together"));
        assert!(refused("", &key).contains("no CERTIFICATE"));
        assert!(refused(&certificate, "").contains("private key"));
    }
}
