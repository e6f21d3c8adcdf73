//! The operator's signing key: Ed25519, in the files that OpenSSL reads and writes too (PKCS#8 and SPKI, as PEM).
//!
//! It signs orders, so that nobody else can have a domain destroyed, and certificates, so that they can be believed later.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64_NOPAD};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What stands before the 32 bytes of a key in its SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Bytes of a public key.
const PUBLIC_KEY_LENGTH: usize = 32;

/// The longest key file that is read.
const FILE_LIMIT: u64 = 4_096;

/// What signs.
pub(super) struct SigningKey(Ed25519KeyPair);

/// What verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey([u8; PUBLIC_KEY_LENGTH]);

impl SigningKey {
    /// Reads a key file, unless others than its owner have access to it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mode = fs::metadata(path)
            .with_context(|| format!("the signing key {shown} cannot be read"))?
            .permissions()
            .mode();
        ensure!(
            mode.trailing_zeros() >= 6,
            "the signing key {shown} has mode {:04o}: others than its owner have access to it; run: chmod 600 '{shown}' (and if others may have read it, make another key)",
            mode & 0o7777
        );
        let text = Zeroizing::new(read(path)?);
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text)
            .ok()
            .and_then(|der| Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        key.map(Self).with_context(|| {
            format!("{shown} is no Ed25519 key in PKCS#8 as PEM, as `openssl genpkey -algorithm ed25519` makes one")
        })
    }

    /// Opens the key file, or makes one where there is none, with the public key beside it. Returns whether it was made.
    pub(super) fn open_or_create(path: &Path) -> anyhow::Result<(Self, bool)> {
        if path.exists() {
            return Ok((Self::open(path)?, false));
        }
        let failed = |_| anyhow!("a signing key cannot be made: the system has no randomness");
        let key = Self(Ed25519KeyPair::generate().map_err(failed)?);
        let der = key.0.to_pkcs8v1().map_err(failed)?;
        let encoded = Zeroizing::new(BASE64.encode(der.as_ref()));
        let text = Zeroizing::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            encoded.as_str()
        ));
        write_new(path, text.as_bytes(), 0o600)?;
        let public = public_path(path);
        // Of an earlier key, or none at all: it is made of this one.
        if public.exists() {
            fs::remove_file(&public)
                .with_context(|| format!("{} cannot be replaced", public.display()))?;
        }
        write_new(&public, key.public()?.to_pem().as_bytes(), 0o644)?;
        Ok((key, true))
    }

    pub(super) fn public(&self) -> anyhow::Result<PublicKey> {
        let bytes = self.0.public_key().as_ref().try_into();
        Ok(PublicKey(bytes.context("a public key has 32 bytes")?))
    }

    /// The signature of these bytes, in base64.
    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        BASE64.encode(self.0.sign(bytes).as_ref())
    }
}

impl PublicKey {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read(path)?;
        Self::from_pem(&text).with_context(|| {
            format!(
                "{} is no Ed25519 public key as PEM; name the file that was made beside the signing key",
                path.display()
            )
        })
    }

    fn from_pem(text: &[u8]) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).ok()?;
        let bytes = der.strip_prefix(&SPKI_HEAD)?;
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn to_pem(&self) -> String {
        let der = [&SPKI_HEAD[..], &self.0].concat();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            BASE64.encode(&der)
        )
    }

    /// What people compare, as ssh shows it.
    pub(super) fn fingerprint(&self) -> String {
        format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(self.0)))
    }

    /// Whether the signature, in base64, is that of these bytes by this key.
    pub(super) fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        BASE64.decode(signature.as_bytes()).is_ok_and(|signature| {
            UnparsedPublicKey::new(&ED25519, self.0)
                .verify(bytes, &signature)
                .is_ok()
        })
    }
}

/// Where the public key lies.
pub(super) fn public_path(path: &Path) -> PathBuf {
    beside(path, ".pub")
}

/// The name with something behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let length = fs::metadata(path).map(|metadata| metadata.len());
    let length = length.with_context(|| format!("{shown} cannot be read"))?;
    ensure!(length <= FILE_LIMIT, "{shown} is too long for a key");
    fs::read(path).with_context(|| format!("{shown} cannot be read"))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_others_may_not_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signing.key");
        let (made, is_new) = SigningKey::open_or_create(&path).unwrap();
        assert!(is_new);
        let (again, is_new) = SigningKey::open_or_create(&path).unwrap();
        assert!(!is_new);
        assert_eq!(made.public().unwrap(), again.public().unwrap());
        let public = PublicKey::read(&public_path(&path)).unwrap();
        assert_eq!(public, made.public().unwrap());
        let signature = made.sign(b"content");
        assert!(public.verifies(b"content", &signature));
        assert!(!public.verifies(b"Content", &signature));
        for wrong in ["", "AAAA", &signature[1..]] {
            assert!(!public.verifies(b"content", wrong), "{wrong}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = SigningKey::open(&path).map(drop).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        write_new(&path, b"nothing", 0o600).unwrap();
        assert!(SigningKey::open(&path).is_err());
        assert!(PublicKey::read(&path).is_err());
        assert!(PublicKey::read(&directory.path().join("none")).is_err());
    }
}
