//! Signatures of people: Ed25519, in the form of OpenSSH (PROTOCOL.sshsig), so that `ssh-keygen -Y sign` makes them too.
//!
//! What is signed begins with `SSHSIG` and names a namespace, so a signature for one purpose is none for another, and none for a login.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ssh_key::{HashAlg, SshSig};
use thiserror::Error;

/// The first word of a key file of our own.
const OWN_KEY: &str = "sealgate-approver-key-1";

/// The longest key or signature that is read, in bytes.
const TEXT_LIMIT: usize = 16 * 1024;

/// Bytes of an Ed25519 signature.
const SIGNATURE_LENGTH: usize = 64;

/// Why a key or a signature is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The key cannot be read.
    #[error("not an Ed25519 key: {0}")]
    Key(String),
    /// The key is sealed with a passphrase.
    #[error(
        "the key has a passphrase; sign with `ssh-keygen -Y sign -n NAMESPACE -f KEY FILE` instead"
    )]
    Passphrase,
    /// The signature cannot be read, is of another algorithm or for another purpose, or does not verify.
    #[error("the signature does not verify")]
    Invalid,
}

/// Somebody's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a line of an OpenSSH `.pub` file: `ssh-ed25519 AAAA… comment`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`], also for keys of other algorithms.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        if text.len() > TEXT_LIMIT {
            return Err(SignatureError::Key("too long".to_owned()));
        }
        let key = ssh_key::PublicKey::from_openssh(text.trim())
            .map_err(|error| SignatureError::Key(error.to_string()))?;
        match key.key_data().ed25519() {
            Some(key) => Ok(Self(key.0)),
            None => Err(SignatureError::Key(format!(
                "it is of the algorithm {}",
                key.algorithm()
            ))),
        }
    }

    /// Verifies a signature for a purpose.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`].
    pub fn verify(
        &self,
        namespace: &str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let signed = signed_data(namespace, message)?;
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&signed, &signature.0)
            .map_err(|_| SignatureError::Invalid)
    }
}

/// As in a `.pub` file, without a comment.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = Vec::with_capacity(51);
        for field in [b"ssh-ed25519".as_slice(), &self.0] {
            let length = u32::try_from(field.len()).unwrap_or_default();
            blob.extend_from_slice(&length.to_be_bytes());
            blob.extend_from_slice(field);
        }
        write!(f, "ssh-ed25519 {}", BASE64.encode(&blob))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Somebody's private key, on a machine of their own.
pub struct PrivateKey(Ed25519KeyPair);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

impl PrivateKey {
    /// The text of a key file of our own, from 32 random bytes.
    pub fn text_of_seed(seed: &[u8; 32]) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(format!("{OWN_KEY} {}\n", BASE64URL_NOPAD.encode(seed)))
    }

    /// Reads a key file: our own, or an OpenSSH one without a passphrase.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`] and [`SignatureError::Passphrase`]; never a part of the key.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        if text.len() > TEXT_LIMIT {
            return Err(SignatureError::Key("too long".to_owned()));
        }
        let unreadable = || SignatureError::Key("the file cannot be read".to_owned());
        let pair = if let Some(encoded) = text.trim().strip_prefix(OWN_KEY) {
            let seed = BASE64URL_NOPAD
                .decode(encoded.trim().as_bytes())
                .map(zeroize::Zeroizing::new)
                .map_err(|_| unreadable())?;
            Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| unreadable())?
        } else {
            let key = ssh_key::PrivateKey::from_openssh(text).map_err(|_| unreadable())?;
            if key.is_encrypted() {
                return Err(SignatureError::Passphrase);
            }
            let pair = key.key_data().ed25519().ok_or_else(|| {
                SignatureError::Key(format!("it is of the algorithm {}", key.algorithm()))
            })?;
            let seed = zeroize::Zeroizing::new(pair.private.to_bytes());
            Ed25519KeyPair::from_seed_and_public_key(seed.as_slice(), &pair.public.0)
                .map_err(|_| unreadable())?
        };
        Ok(Self(pair))
    }

    /// Its public half.
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(self.0.public_key().as_ref()) {
            *to = *from;
        }
        PublicKey(bytes)
    }

    /// Signs for a purpose.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`], which no message of ours leads to.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<Signature, SignatureError> {
        let signed = signed_data(namespace, message)?;
        Signature::of_bytes(self.0.sign(&signed).as_ref())
    }
}

/// A signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_LENGTH]);

impl Signature {
    fn of_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| SignatureError::Invalid)
    }

    /// Reads what [`Self::encode`] writes, and nothing else.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`].
    pub fn decode(text: &str) -> Result<Self, SignatureError> {
        if text.len() > TEXT_LIMIT {
            return Err(SignatureError::Invalid);
        }
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| SignatureError::Invalid)?;
        Self::of_bytes(&bytes)
    }

    /// Its 64 bytes, in base64url without padding.
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// Takes the signature and its key out of what `ssh-keygen -Y sign` wrote.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Invalid`], also for other algorithms, another namespace, and another hash than the default of ssh-keygen.
    pub fn of_openssh(armored: &str, namespace: &str) -> Result<(PublicKey, Self), SignatureError> {
        if armored.len() > TEXT_LIMIT {
            return Err(SignatureError::Invalid);
        }
        let found = SshSig::from_pem(armored).map_err(|_| SignatureError::Invalid)?;
        let key = found
            .public_key()
            .ed25519()
            .ok_or(SignatureError::Invalid)?;
        if found.namespace() != namespace
            || found.hash_alg() != HashAlg::Sha512
            || found.algorithm() != ssh_key::Algorithm::Ed25519
        {
            return Err(SignatureError::Invalid);
        }
        Ok((PublicKey(key.0), Self::of_bytes(found.signature_bytes())?))
    }
}

fn signed_data(namespace: &str, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
    SshSig::signed_data(namespace, HashAlg::Sha512, message).map_err(|_| SignatureError::Invalid)
}
