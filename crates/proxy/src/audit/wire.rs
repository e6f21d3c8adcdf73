//! What gateway and receiver say to each other: HTTP over mutual TLS, bodies as the files have them.
//!
//! ```text
//! POST /v1/logs/<name>/hello   the log's newest checkpoint, or nothing       → 200 {"size":N}   how much the receiver has
//! POST /v1/logs/<name>/push    lines, each checkpoint behind its lines       → 200 the newest checkpoint, countersigned
//! GET  /v1/logs/<name>/checkpoint                                            → 200 the same
//!                                                                            → 409 {"fork":…} or {"size":N}, 400 {"malformed":…}
//! ```
//!
//! In `<name>`, `~` stands for each slash of the log's name.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// What an answer says that is no note.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// How many lines the receiver has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// Why the log is not what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fork: Option<String>,
    /// Why the request makes no sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) malformed: Option<String>,
    /// What failed at the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

/// What is said of the checkpoint of a log of which nothing was taken yet.
pub(crate) const NOTHING_YET: &str = "nothing was countersigned yet";

/// The longest answer, in bytes: a note.
pub(crate) const MAX_ANSWER: usize = sealgate_audit::limits::MAX_NOTE;

/// The name of a log in paths and in names of files.
pub(crate) fn path_name(log: &str) -> String {
    log.replace('/', "~")
}

/// The certificates of a PEM file.
pub(crate) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{} is no PEM file with certificates", path.display()))?;
    ensure!(
        !certificates.is_empty(),
        "{} holds no certificate",
        path.display()
    );
    Ok(certificates)
}

/// The private key of a PEM file.
pub(crate) fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path)
        .with_context(|| format!("{} is no PEM file with a private key", path.display()))
}

/// The authorities of a PEM file.
pub(crate) fn authorities(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| {
            format!(
                "{} holds a certificate that can't be a root",
                path.display()
            )
        })?;
    }
    Ok(roots)
}

/// The cryptography of every link.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
