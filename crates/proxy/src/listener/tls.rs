//! TLS for the listener: certificate and key from PEM files, TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN. Both can be exchanged while it serves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::certificate_validity::CertificateValidity;
use crate::config::{ClientAuthorities, TlsFiles};

/// Why a listener can't offer TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file is no PEM file with certificates.
    #[error("{}: {cause}; name a PEM file with the certificate chain, leaf first", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The key file is no PEM file with a private key.
    #[error("{}: {cause}; name a PEM file with one private key that has no passphrase", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The authorities of clients' certificates are of no use.
    #[error("{}: {cause}; name a PEM file with the certificates of authorities", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Both are readable and don't fit together, or this build can't use them.
    #[error(
        "certificate and key can't be used together: {0}; name the key that the certificate was made for"
    )]
    Unusable(#[from] rustls::Error),
}

/// The settings of a listener's TLS, which new connections look at. Those that are there keep what they began with.
#[derive(Clone, Debug)]
pub struct TlsHandle(Arc<ArcSwap<Settings>>);

#[derive(Debug)]
struct Settings {
    server: Arc<ServerConfig>,
    validity: CertificateValidity,
}

impl TlsHandle {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], with the file and what to do.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let settings = Settings {
            server: server_config(files)?,
            validity: validity(files)?,
        };
        Ok(Self(Arc::new(ArcSwap::from_pointee(settings))))
    }

    /// For connections that come from now on.
    pub(crate) fn set(&self, server: Arc<ServerConfig>, validity: CertificateValidity) {
        self.0.store(Arc::new(Settings { server, validity }));
    }

    /// For one new connection.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().server)
    }

    /// For how long the certificate is good.
    pub(crate) fn validity(&self) -> CertificateValidity {
        self.0.load().validity
    }
}

/// Reads the files and builds the server's side of TLS.
///
/// # Errors
/// [`TlsError`], with the file and what to do.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::Key {
        path: files.key.clone(),
        cause: error.to_string(),
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(client_verifier(clients, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// For how long the first certificate of a chain is good.
///
/// # Errors
/// [`TlsError`], where there is none that can be read.
pub(crate) fn validity(files: &TlsFiles) -> Result<CertificateValidity, TlsError> {
    let failed = |cause: String| TlsError::Certificate {
        path: files.certificate.clone(),
        cause,
    };
    let chain = read_certificates(&files.certificate)?;
    let first = chain
        .first()
        .ok_or_else(|| failed("there is no certificate in it".to_owned()))?;
    CertificateValidity::of(first).map_err(|error| failed(error.to_string()))
}

/// Takes certificates of these authorities alone.
fn client_verifier(
    clients: &ClientAuthorities,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let failed = |cause: String| TlsError::Authorities {
        path: clients.file.clone(),
        cause,
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(&clients.file)? {
        roots
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if clients.is_required {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    verifier.build().map_err(|error| failed(error.to_string()))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |cause: String| TlsError::Certificate {
        path: path.to_owned(),
        cause,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (pair(), pair());
        let certificate = write("certificate.pem", &one.cert.pem());
        let key = write("key.pem", &one.signing_key.serialize_pem());
        let wrong_key = write("other.pem", &other.signing_key.serialize_pem());
        let empty = write("empty.pem", "");

        let configure = |certificate: &PathBuf, key: &PathBuf| {
            server_config(&TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                clients: None,
            })
        };
        configure(&certificate, &key).unwrap();
        assert!(
            configure(&empty, &key)
                .unwrap_err()
                .to_string()
                .contains("empty.pem")
        );
        assert!(
            configure(&certificate, &empty)
                .unwrap_err()
                .to_string()
                .contains("empty.pem")
        );
        assert!(matches!(
            configure(&certificate, &wrong_key).unwrap_err(),
            TlsError::Unusable(_)
        ));
    }
}
