//! Certificates that vanish with the test.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::servers::gateway::TlsFiles;

/// A certificate authority of one test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_file: PathBuf,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, whose certificate is `ca.pem` in a directory.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn new(directory: &Path) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Clients of OpenSSL insist on it.
        authority.key_usages = vec![
            rcgen::KeyUsagePurpose::KeyCertSign,
            rcgen::KeyUsagePurpose::CrlSign,
            rcgen::KeyUsagePurpose::DigitalSignature,
        ];
        authority
            .distinguished_name
            .push(rcgen::DnType::CommonName, "authority of the rig");
        let certificate = authority.self_signed(&authority_key)?;
        let ca_file = directory.join("ca.pem");
        std::fs::write(&ca_file, certificate.pem())?;
        Ok(Self {
            issuer: Issuer::new(authority, authority_key),
            ca_file,
        })
    }

    /// Its own certificate.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// A certificate for a server on this machine, in `NAME.pem` and `NAME-key.pem`; files that are there are replaced.
    ///
    /// # Errors
    /// If the files can't be written.
    pub fn server(&self, directory: &Path, name: &str) -> Result<TlsFiles> {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let pair = self.sign(directory, name, CertificateParams::new(names)?)?;
        Ok(TlsFiles {
            ca_file: self.ca_file.clone(),
            certificate: pair.certificate,
            key: pair.key,
            more: String::new(),
        })
    }

    /// A certificate for a client: its common name, and further names such as `app.example.org`.
    ///
    /// # Errors
    /// If the files can't be written.
    pub fn client(&self, directory: &Path, common_name: &str, names: &[&str]) -> Result<Pair> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut client = CertificateParams::new(names)?;
        client
            .distinguished_name
            .push(rcgen::DnType::CommonName, common_name);
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(directory, common_name, client)
    }

    fn sign(&self, directory: &Path, name: &str, mut params: CertificateParams) -> Result<Pair> {
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let pair = Pair {
            certificate: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}-key.pem")),
        };
        std::fs::write(&pair.certificate, certificate.pem())?;
        std::fs::write(&pair.key, key.serialize_pem())?;
        Ok(pair)
    }
}

/// A certificate authority and a server certificate for this machine, as PEM files in a directory.
///
/// # Errors
/// If the files can't be written.
pub fn make(directory: &Path) -> Result<TlsFiles> {
    Authority::new(directory)?.server(directory, "server")
}
