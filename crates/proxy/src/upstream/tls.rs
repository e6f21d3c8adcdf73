//! TLS towards the upstream: rustls, with the system's roots or a CA file.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::config::ClientCertificateFiles;

/// The TLS configuration for an upstream.
///
/// With `ca_file` (PEM, one or more certificates) only those roots are trusted; without it, the system's. `certificate` is shown to a storage
/// that asks for one.
///
/// # Errors
///
/// When a file cannot be read or holds nothing of use, or the system has no roots.
pub(crate) fn client_config(
    ca_file: Option<&Path>,
    certificate: Option<&ClientCertificateFiles>,
) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in CertificateDer::pem_file_iter(path)
            .with_context(|| format!("cannot read the CA file {}", path.display()))?
        {
            let certificate = certificate
                .with_context(|| format!("{} holds a damaged certificate", path.display()))?;
            roots.add(certificate).with_context(|| {
                format!(
                    "{} holds a certificate that cannot be a root",
                    path.display()
                )
            })?;
        }
        if roots.is_empty() {
            bail!(
                "the CA file {} holds no certificate; it must be PEM",
                path.display()
            );
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            bail!(
                "this system has no root certificates; install ca-certificates or name a CA file in the configuration"
            );
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS 1.2 and 1.3 are not available")?
        .with_root_certificates(roots);
    let Some(files) = certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let path = files.certificate.display();
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the client certificate {path}"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("cannot read the key {}", files.key.display()))?;
    builder.with_client_auth_cert(chain, key).with_context(|| {
        format!("the client certificate {path} and its key can't be used together")
    })
}
