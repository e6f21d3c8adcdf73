//! The keys of logs and of receivers, as lines of text that other tools read too (C2SP signed-note, and Go's `sumdb/note` for private keys).

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::limits::MAX_KEY_NAME;

/// Bytes of an Ed25519 seed and of a public key.
const KEY_LENGTH: usize = 32;

/// What the text of a private key begins with.
const PRIVATE_KEY: &str = "PRIVATE+KEY+";

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The checkpoints of the log that has the key's name (signature type 1, Ed25519).
    Log,
    /// Statements that a checkpoint was seen at a time and extends all earlier ones (signature type 4, `cosignature/v1`).
    Cosigner,
}

impl Purpose {
    fn signature_type(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Cosigner => 4,
        }
    }

    fn of_signature_type(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Log),
            4 => Some(Self::Cosigner),
            _ => None,
        }
    }
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name has characters that it may not have.
    #[error(
        "{0:?} is no name for a key: use 1 to 128 of a-z A-Z 0-9 . _ / - without empty parts, such as audit.example.com/replica-1"
    )]
    Name(String),
    /// It is not of the form of a key.
    #[error("not a {0}; `sealgate audit keygen` makes one")]
    Form(&'static str),
    /// The digest in the text is not that of the key.
    #[error("the key does not belong to its name: the line was altered or copied incompletely")]
    Mismatch,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// Whether a log or a cosigner may have this name. It is a part of file names and of URLs, so less is allowed than in C2SP signed-note.
pub fn is_key_name(name: &str) -> bool {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-');
    name.len() <= MAX_KEY_NAME
        && name.bytes().all(legal)
        && name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// The identifier of a key beside its name: no protection, only a way to find it.
fn key_id(name: &str, purpose: Purpose, public: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', purpose.signature_type()]);
    hasher.update(public);
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d])
}

/// A public key. Its text is `<name>+<id>+<base64 of type and key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: u32,
    purpose: Purpose,
    public: [u8; KEY_LENGTH],
}

impl VerifyingKey {
    fn new(name: &str, purpose: Purpose, public: [u8; KEY_LENGTH]) -> Self {
        Self {
            name: name.to_owned(),
            id: key_id(name, purpose, &public),
            purpose,
            public,
        }
    }

    /// The name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells it from other keys of the name.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it signs.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub(crate) fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = encode(self.purpose, &self.public);
        write!(f, "{}+{}+{}", self.name, format_id(self.id), *encoded)
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, purpose, public) = decode(text.trim(), "public key of a log or cosigner")?;
        let key = Self::new(name, purpose, *public);
        if id != format_id(key.id) {
            return Err(KeyError::Mismatch);
        }
        Ok(key)
    }
}

/// A private key. Its text is `PRIVATE+KEY+<name>+<id>+<base64 of type and seed>`; `Debug` shows the public key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; KEY_LENGTH]>,
    public: VerifyingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public).finish()
    }
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Random`].
    pub fn generate(name: &str, purpose: Purpose) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; KEY_LENGTH]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| KeyError::Random)?;
        Self::of_seed(name, purpose, seed)
    }

    /// The key that a seed stands for.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn of_seed(
        name: &str,
        purpose: Purpose,
        seed: Zeroizing<[u8; KEY_LENGTH]>,
    ) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name(name.to_owned()));
        }
        let form = KeyError::Form("private key");
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| form.clone())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| form)?;
        Ok(Self {
            pair,
            seed,
            public: VerifyingKey::new(name, purpose, public),
        })
    }

    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// [`KeyError`]; no message quotes the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let what = "private key of a log or receiver";
        let rest = text
            .trim()
            .strip_prefix(PRIVATE_KEY)
            .ok_or(KeyError::Form(what))?;
        let (name, id, purpose, seed) = decode(rest, what)?;
        let key = Self::of_seed(name, purpose, seed)?;
        if id != format_id(key.public.id) {
            return Err(KeyError::Mismatch);
        }
        Ok(key)
    }

    /// The text of the key, which is secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let encoded = encode(self.public.purpose, self.seed.as_slice());
        let (name, id) = (&self.public.name, self.public.id);
        // Never grown, so no copies are left behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_NAME + 128));
        text.push_str(PRIVATE_KEY);
        text.push_str(name);
        text.push('+');
        text.push_str(&format_id(id));
        text.push('+');
        text.push_str(&encoded);
        text
    }

    /// What verifies its signatures.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

fn format_id(id: u32) -> String {
    format!("{id:08x}")
}

fn encode(purpose: Purpose, key: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 + KEY_LENGTH));
    bytes.push(purpose.signature_type());
    bytes.extend_from_slice(key);
    Zeroizing::new(STANDARD.encode(bytes.as_slice()))
}

type Decoded<'a> = (&'a str, &'a str, Purpose, Zeroizing<[u8; KEY_LENGTH]>);

fn decode<'a>(text: &'a str, what: &'static str) -> Result<Decoded<'a>, KeyError> {
    let form = || KeyError::Form(what);
    let (name, rest) = text.split_once('+').ok_or_else(form)?;
    let (id, encoded) = rest.split_once('+').ok_or_else(form)?;
    if !is_key_name(name) {
        return Err(form());
    }
    let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| form())?);
    let (kind, key) = bytes.split_first().ok_or_else(form)?;
    let purpose = Purpose::of_signature_type(*kind).ok_or_else(form)?;
    let key: [u8; KEY_LENGTH] = key.try_into().map_err(|_| form())?;
    Ok((name, id, purpose, Zeroizing::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_go_are_read_and_written_alike() {
        // From the documentation of golang.org/x/mod/sumdb/note.
        let private =
            "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = SigningKey::parse(private).unwrap();
        assert_eq!(key.public().to_string(), public);
        assert_eq!(key.to_text().as_str(), private);
        assert_eq!(&VerifyingKey::from_str(public).unwrap(), key.public());
    }

    #[test]
    fn a_line_that_was_altered_is_refused_and_never_quoted() {
        let key = SigningKey::generate("example.com/one", Purpose::Cosigner).unwrap();
        let text = key.to_text();
        let renamed = text.replace("/one", "/two");
        assert_eq!(SigningKey::parse(&renamed).unwrap_err(), KeyError::Mismatch);
        for cut in [text.len() - 1, 20, 0] {
            let error = SigningKey::parse(&text[..cut]).unwrap_err();
            assert!(!error.to_string().contains("example.com"), "{error}");
        }
        assert!(!format!("{key:?}").contains(&text[text.len() - 20..]));
        let public = key.public().to_string();
        assert!(VerifyingKey::from_str(&public.replace("/one", "/two")).is_err());
    }

    #[test]
    fn names_are_fit_for_urls_and_files() {
        for name in ["a", "audit.example.com/replica-1", "A_b"] {
            assert!(is_key_name(name), "{name}");
        }
        let long = "a".repeat(129);
        for name in [
            "", "a b", "a+b", "a//b", "/a", "a/", "a/../b", ".", "ä", "a\n", &long,
        ] {
            assert!(!is_key_name(name), "{name}");
        }
    }
}
