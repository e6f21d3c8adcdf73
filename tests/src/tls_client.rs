//! Connections over TLS, as a client that trusts the authority of one test.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A client that trusts one authority and shows no certificate.
///
/// # Errors
/// If the authority's file can't be read.
pub fn trusting(ca_file: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A connection to a server on this machine whose certificate is of that authority.
///
/// # Errors
/// If nobody listens there, or the certificate is another one.
pub async fn connect(address: &str, ca_file: &Path) -> Result<TlsStream<TcpStream>> {
    let config = trusting(ca_file)?;
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?)
}
