//! The offline recovery key: working keys wrapped for a key that lies in a safe (FORMAT.md section 2, provider 5).
//!
//! ```text
//!  gateway   RecoverySender   seals for the recovery key's public part, and cannot open again
//!  safe      RecoveryKey      opens, and accepts only what its one sender has sealed
//! ```
//!
//! The wraps are HPKE (RFC 9180) in Auth mode. Whoever only has the public part, such as the storage's provider after a
//! look at a configuration, could otherwise make a working key of his own, wrap it, and have his objects restored.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use async_trait::async_trait;
use data_encoding::BASE64URL_NOPAD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use super::{
    EncryptionContext, KeyAvailability, KeyDescription, KeyService, RewrapSource, UnwrapPermit,
    check_wrap_is_for, key_service_error,
};
use crate::decode::put_prefixed;
use crate::error::{Error, KeyServiceFailure, Result};
use crate::keyring::RecordWrapper;
use crate::keys::{KEY_LENGTH, KeyReference, WorkingKey};
use crate::random::{OsRandom, Random};
use crate::secret_file::{self, Kind, Label, Passphrase, SecretFile};
use crate::suite::TAG_LENGTH;
use crate::wrap::{Provider, Wrap};

/// The first byte of a blob.
const BLOB_VERSION: u8 = 1;
/// Version, encapsulated key, ciphertext and tag.
const BLOB_LENGTH: usize = 1 + KEY_LENGTH + KEY_LENGTH + TAG_LENGTH;
/// What HPKE's `info` begins with.
const INFO: &[u8] = b"sealgate recovery wrap 1";
/// The longest deployment id, in bytes.
const MAXIMUM_DEPLOYMENT_LENGTH: usize = 64;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;

/// The file: its labels are the deployment and the sender that is believed.
pub(crate) const RECOVERY_KEY: Kind = Kind {
    name: "sealgate-recovery-key",
    what: "recovery key file",
    overwriting: "; a recovery key is never overwritten: choose another path",
    labels: &[
        Label {
            what: "the deployment id",
            is_valid: is_deployment,
        },
        Label {
            what: "the sender's public key, 43 characters of base64url,",
            is_valid: |word| word.parse::<RecoveryPublicKey>().is_ok(),
        },
    ],
};

fn is_deployment(word: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAXIMUM_DEPLOYMENT_LENGTH).contains(&word.len()) && word.bytes().all(legal)
}

/// The public part of a recovery key or of a sender: 32 bytes of X25519, written in base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecoveryPublicKey([u8; KEY_LENGTH]);

impl RecoveryPublicKey {
    fn of(private: &PrivateKey) -> Self {
        Self(X25519HkdfSha256::sk_to_pk(private).to_bytes().into())
    }

    fn to_hpke(self) -> Result<<X25519HkdfSha256 as Kem>::PublicKey> {
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&self.0)
            .map_err(|error| Error::misuse(format!("not a public key: {error}")))
    }
}

impl FromStr for RecoveryPublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let key = bytes.and_then(|bytes| bytes.try_into().ok()).map(Self);
        key.ok_or_else(|| {
            Error::misuse(
                "a public key is 43 characters of base64url; `sealgate recovery init` prints it",
            )
        })
    }
}

impl fmt::Display for RecoveryPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for RecoveryPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The private key that proves to a recovery key who wrapped. A secret of the deployment, the same in all its gateways; it
/// opens nothing.
pub struct RecoverySenderKey(PrivateKey);

impl RecoverySenderKey {
    /// A fresh key.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`] without entropy.
    pub fn generate(random: &mut dyn Random) -> Result<Self> {
        Ok(Self(fresh(random)?))
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] for anything else; the error does not show it.
    pub fn from_text(text: &str) -> Result<Self> {
        let malformed = || {
            Error::misuse(
                "a sender key is 43 characters of base64url; `sealgate recovery init` writes one",
            )
        };
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        if BASE64URL_NOPAD.decode_len(text.len()) != Ok(KEY_LENGTH) {
            return Err(malformed());
        }
        BASE64URL_NOPAD
            .decode_mut(text.as_bytes(), bytes.as_mut_slice())
            .map_err(|_| malformed())?;
        private(&bytes).map(Self)
    }

    /// The key as text, for a file or an environment variable.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_LENGTH));
        BASE64URL_NOPAD.encode_append(exposed(&self.0).as_slice(), &mut text);
        text
    }

    /// Its public part, which the recovery key names as the one sender that it believes.
    #[must_use]
    pub fn public(&self) -> RecoveryPublicKey {
        RecoveryPublicKey::of(&self.0)
    }
}

impl fmt::Debug for RecoverySenderKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecoverySenderKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

/// Wraps working keys for a recovery key that is elsewhere.
#[derive(Debug)]
pub struct RecoverySender {
    recipient: RecoveryPublicKey,
    reference: KeyReference,
    sender: RecoverySenderKey,
    deployment: String,
}

impl RecoverySender {
    /// Wraps for `recipient`, as `sender`, the working keys of this deployment.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] for a deployment id that a recovery key file cannot hold.
    pub fn new(
        recipient: RecoveryPublicKey,
        sender: RecoverySenderKey,
        deployment: impl Into<String>,
    ) -> Result<Self> {
        let deployment = deployment.into();
        if !is_deployment(&deployment) {
            return Err(Error::misuse("not a deployment id"));
        }
        Ok(Self {
            reference: KeyReference::of(Provider::Recovery, &recipient.to_string())?,
            recipient,
            sender,
            deployment,
        })
    }

    /// The reference that stands in the wraps.
    #[must_use]
    pub fn key_reference(&self) -> KeyReference {
        self.reference
    }

    /// The wrap of a working key in this context. It cannot be opened here, and so not be compared.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`] without entropy; [`Error::Misuse`] if one of the public keys is none.
    pub fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap> {
        self.wrap_with(&mut OsRandom, context, working_key)
    }

    /// As [`wrap`](Self::wrap), with other random bytes than the system's: for test vectors.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`] without entropy; [`Error::Misuse`] if one of the public keys is none.
    pub fn wrap_with(
        &self,
        random: &mut dyn Random,
        context: &EncryptionContext,
        working_key: &WorkingKey,
    ) -> Result<Wrap> {
        let mode = OpModeS::<X25519HkdfSha256>::Auth((
            self.sender.0.clone(),
            self.sender.public().to_hpke()?,
        ));
        let mut random = Fallible {
            random,
            failure: None,
        };
        let sealed = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, _>(
            &mode,
            &self.recipient.to_hpke()?,
            &info(&self.deployment)?,
            working_key.expose(),
            &context.to_associated_data()?,
            &mut random,
        );
        if let Some(failure) = random.failure {
            return Err(failure);
        }
        let (encapsulated, sealed) = sealed.map_err(|error| {
            Error::misuse(format!(
                "nothing can be wrapped for the recovery key: {error}"
            ))
        })?;
        let blob = [&[BLOB_VERSION][..], &encapsulated.to_bytes(), &sealed].concat();
        Wrap::new(Provider::Recovery, self.reference, blob)
    }
}

impl RecordWrapper for RecoverySender {
    fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Option<Wrap>> {
        RecoverySender::wrap(self, context, working_key).map(Some)
    }
}

/// The private recovery key, for the day when no key service is left.
///
/// As a [`KeyService`] it opens the wraps that its sender made for it, and makes none.
pub struct RecoveryKey {
    private: PrivateKey,
    public: RecoveryPublicKey,
    reference: KeyReference,
    sender: RecoveryPublicKey,
    deployment: String,
}

impl RecoveryKey {
    /// Makes a key and its file, mode 0600, sealed with a passphrase if one is given. It will believe `sender` alone, about
    /// `deployment` alone. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the file exists (it is never overwritten) or cannot be made, or for a malformed deployment id;
    /// [`Error::Machine`] without entropy.
    pub fn create(
        path: impl AsRef<Path>,
        deployment: &str,
        sender: RecoveryPublicKey,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self> {
        let key = Self::new(fresh(&mut OsRandom)?, deployment, sender)?;
        key.to_file()
            .write_new(&RECOVERY_KEY, path.as_ref(), passphrase)?;
        Ok(key)
    }

    /// Opens a recovery key file, with its passphrase if it is sealed with one. Blocks.
    ///
    /// # Errors
    ///
    /// As for a local key file: see [`LocalKeyService::open_with`](super::local::LocalKeyService::open_with).
    pub fn open(path: impl AsRef<Path>, passphrase: Option<&Passphrase>) -> Result<Self> {
        let file = SecretFile::read(&RECOVERY_KEY, path.as_ref(), passphrase)?;
        let [deployment, sender] = file.labels.as_slice() else {
            return Err(Error::misuse("a recovery key file has two labels"));
        };
        Self::new(private(&file.key)?, deployment, sender.parse()?)
    }

    /// Whether the file is sealed with a passphrase. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is no recovery key file.
    pub fn is_sealed(path: impl AsRef<Path>) -> Result<bool> {
        secret_file::is_sealed(&RECOVERY_KEY, path.as_ref())
    }

    /// Overwrites the file that this key was read from with zeros, and waits until they are on disk. The file stays, for
    /// [`remove_overwritten`](secret_file::remove_overwritten). Blocks. Copies of it stay, and so may what the medium keeps of
    /// overwritten blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the file has another key by now, or cannot be written.
    pub fn overwrite_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let labels = self.to_file().labels;
        secret_file::overwrite(&RECOVERY_KEY, path.as_ref(), |found| found == labels)
    }

    /// Whether the file is a whole one with this key's labels. Blocks.
    #[must_use]
    pub fn is_in_file(&self, path: impl AsRef<Path>) -> bool {
        let labels = self.to_file().labels;
        secret_file::is_of(&RECOVERY_KEY, path.as_ref(), |found| found == labels)
    }

    fn new(private: PrivateKey, deployment: &str, sender: RecoveryPublicKey) -> Result<Self> {
        if !is_deployment(deployment) {
            return Err(Error::misuse(
                "a deployment id is 1 to 64 of A-Z a-z 0-9 - _ .",
            ));
        }
        let public = RecoveryPublicKey::of(&private);
        Ok(Self {
            private,
            reference: KeyReference::of(Provider::Recovery, &public.to_string())?,
            public,
            sender,
            deployment: deployment.to_owned(),
        })
    }

    fn to_file(&self) -> SecretFile {
        SecretFile {
            labels: vec![self.deployment.clone(), self.sender.to_string()],
            key: exposed(&self.private),
        }
    }

    /// The public part, for configurations.
    #[must_use]
    pub fn public(&self) -> RecoveryPublicKey {
        self.public
    }

    /// The one sender whose wraps it opens.
    #[must_use]
    pub fn sender(&self) -> RecoveryPublicKey {
        self.sender
    }

    /// The deployment that it is of.
    #[must_use]
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    fn open_wrap(&self, context: &EncryptionContext, wrap: &Wrap) -> Result<WorkingKey> {
        check_wrap_is_for(Provider::Recovery, self.reference, wrap)?;
        let refused = |fault: &str| {
            key_service_error(
                KeyServiceFailure::Refused,
                &format!(
                    "recovery key {} does not open the wrap of working key {}: {fault}",
                    self.reference,
                    context.working_key_id()
                ),
            )
        };
        let blob = wrap.blob();
        if blob.len() != BLOB_LENGTH {
            return Err(refused("its blob has not 81 bytes"));
        }
        let Some((&[BLOB_VERSION], rest)) = blob.split_first_chunk::<1>() else {
            return Err(refused("its blob is not of version 1"));
        };
        let Some((encapsulated, sealed)) = rest.split_first_chunk::<KEY_LENGTH>() else {
            return Err(refused("its blob has not 81 bytes"));
        };
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| refused("its encapsulated key is malformed"))?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, _>(
            &OpModeR::<X25519HkdfSha256>::Auth(self.sender.to_hpke()?),
            &self.private,
            &encapsulated,
            &info(&self.deployment)?,
            sealed,
            &context.to_associated_data()?,
        )
        .map_err(|_| {
            refused(
                "it was tampered with, made by another sender than this deployment's gateways, or made for another domain or working key",
            )
        })?;
        WorkingKey::from_slice(&Zeroizing::new(opened))
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecoveryKey")
            .field("public", &self.public)
            .field("sender", &self.sender)
            .field("deployment", &self.deployment)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyService for RecoveryKey {
    fn provider(&self) -> Provider {
        Provider::Recovery
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.reference)
    }

    async fn generate(&self, _: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        Err(opens_only())
    }

    async fn wrap(&self, _: &EncryptionContext, _: &WorkingKey) -> Result<Wrap> {
        Err(opens_only())
    }

    async fn unwrap(
        &self,
        _permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        self.open_wrap(context, wrap)
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        Err(opens_only())
    }

    async fn describe(&self) -> Result<KeyDescription> {
        Ok(KeyDescription::new(
            self.public.to_string(),
            self.reference,
            KeyAvailability::Enabled,
        ))
    }
}

fn opens_only() -> Error {
    key_service_error(
        KeyServiceFailure::Misconfigured,
        "a recovery key opens and makes nothing; seal by a key service",
    )
}

/// HPKE's `info`: lp(name) ‖ lp(deployment).
fn info(deployment: &str) -> Result<Vec<u8>> {
    let mut info = Vec::new();
    put_prefixed(&mut info, INFO)?;
    put_prefixed(&mut info, deployment.as_bytes())?;
    Ok(info)
}

fn fresh(random: &mut dyn Random) -> Result<PrivateKey> {
    let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
    random.fill(bytes.as_mut_slice())?;
    private(&bytes)
}

fn private(bytes: &[u8; KEY_LENGTH]) -> Result<PrivateKey> {
    PrivateKey::from_bytes(bytes)
        .map_err(|error| Error::misuse(format!("not a private key: {error}")))
}

fn exposed(private: &PrivateKey) -> Zeroizing<[u8; KEY_LENGTH]> {
    let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
    private.write_exact(bytes.as_mut_slice());
    bytes
}

/// Our source of random bytes for a library whose sources never fail: what it makes is thrown away if ours did.
struct Fallible<'a> {
    random: &'a mut dyn Random,
    failure: Option<Error>,
}

impl TryRng for Fallible<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> std::result::Result<(), Self::Error> {
        if let Err(error) = self.random.fill(bytes) {
            self.failure = Some(error);
        }
        Ok(())
    }
}

impl TryCryptoRng for Fallible<'_> {}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
