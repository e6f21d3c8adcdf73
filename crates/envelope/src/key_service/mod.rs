//! Services that wrap working keys under a key that never leaves them (FORMAT.md section 2).
//!
//! ```text
//!   Keyring ──► dyn KeyService ──┬─ aws::AwsKms             a key in AWS KMS, or in a server that speaks its protocol
//!                                ├─ vault::VaultTransit     a key in the Transit engine of Vault or OpenBao
//!                                ├─ pkcs11::Pkcs11Token     a key in a PKCS#11 token
//!                                ├─ local::LocalKeyService  a key file, for laptops and labs
//!                                └─ recovery::RecoveryKey   the offline recovery key, which only opens
//! ```
//!
//! A key service never sees an object, a data key or a name: only working keys, each with an [`EncryptionContext`].
//! Every failure is an [`Error::KeyService`](crate::Error::KeyService) whose
//! [`KeyServiceFailure`] says what may be done about it.

#[cfg(feature = "aws-kms")]
pub mod aws;
mod context;
mod failure;
#[cfg(feature = "local")]
pub mod local;
mod permit;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
#[cfg(feature = "recovery")]
pub mod recovery;
#[cfg(any(feature = "aws-kms", feature = "vault"))]
mod trust;
#[cfg(feature = "vault")]
pub mod vault;

use std::fmt;

use async_trait::async_trait;

pub use self::context::EncryptionContext;
pub use self::failure::{
    MAXIMUM_DETAIL_LENGTH, failure_of, key_service_error, revokes, serves_cached,
};
pub use self::permit::UnwrapPermit;
#[cfg(any(feature = "aws-kms", feature = "vault"))]
pub use self::trust::{ClientCertificate, TrustRoots};

use crate::error::{KeyServiceFailure, Result};
use crate::keys::{KeyReference, WorkingKey};
use crate::wrap::{Provider, Wrap};

/// One key-encryption key in a service that keeps it.
///
/// Object safe, so that a program can hold several kinds in one list. Implementations bound the time of every call by
/// themselves, retry what is worth it, and name the cause and the fix in their errors.
///
/// Cancel safety: dropping the future of any call is harmless; the service may or may not have done the work.
#[async_trait]
pub trait KeyService: fmt::Debug + Send + Sync + 'static {
    /// The kind of service, as it stands in a wrap.
    fn provider(&self) -> Provider;

    /// The reference to this key, as it stands in a wrap. The same for the life of the value once it is known.
    ///
    /// # Errors
    ///
    /// Where the key's name must be asked for first, whatever that call fails with; it is asked again next time.
    async fn key_reference(&self) -> Result<KeyReference>;

    /// Whether this service opens wraps of the key that a reference stands for: its own, or one that is the same key in
    /// another place, as with multi-Region keys of AWS.
    ///
    /// # Errors
    ///
    /// As [`key_reference`](Self::key_reference).
    async fn opens(&self, reference: KeyReference) -> Result<bool> {
        Ok(self.key_reference().await? == reference)
    }

    /// Makes a working key inside the service, and its wrap.
    ///
    /// # Errors
    ///
    /// [`KeyServiceFailure::Malformed`] if the key has not 32 bytes; else what the service said.
    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)>;

    /// Wraps a working key that another service made, so that either can open it.
    ///
    /// # Errors
    ///
    /// What the service said.
    async fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap>;

    /// Opens a wrap that this key made for exactly this context.
    ///
    /// # Errors
    ///
    /// [`KeyServiceFailure::NotConfigured`], without a call, if the wrap names another key;
    /// [`KeyServiceFailure::Refused`] if it was tampered with or made for another context.
    async fn unwrap(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey>;

    /// Turns a wrap into one under the newest version of this key, inside the service: no working key is revealed.
    ///
    /// # Errors
    ///
    /// As [`unwrap`](Self::unwrap); [`KeyServiceFailure::Misconfigured`] if the service cannot rewrap from that source.
    async fn rewrap(
        &self,
        context: &EncryptionContext,
        wrap: &Wrap,
        source: RewrapSource<'_>,
    ) -> Result<Wrap>;

    /// Asks the service about the key: its name and whether it can be used now.
    ///
    /// # Errors
    ///
    /// [`KeyServiceFailure::Misconfigured`] if the key is of a kind that cannot wrap; else what the service said.
    async fn describe(&self) -> Result<KeyDescription>;

    /// Ends the key: what it wrapped opens no more once this has returned. Where the service has a waiting period, the
    /// deletion is scheduled, `waiting_days` from now; where it has none, the key is gone at once. Of a key whose deletion
    /// is scheduled already, the date is told.
    ///
    /// # Errors
    ///
    /// [`KeyServiceFailure::Misconfigured`] where this cannot be done from here, or where related keys would go on opening
    /// what the key wrapped; [`KeyServiceFailure::NotFound`] if there is no such key; else what the service said.
    async fn schedule_deletion(&self, waiting_days: u8) -> Result<KeyDeletion> {
        let _ = waiting_days;
        Err(key_service_error(
            KeyServiceFailure::Misconfigured,
            "a key of this kind cannot be deleted by a key service's client; delete it where it was made",
        ))
    }
}

/// The waiting periods of AWS KMS, in days (AWS KMS API, ScheduleKeyDeletion).
pub const WAITING_DAYS: std::ops::RangeInclusive<u8> = 7..=30;

/// What has become of a key that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDeletion {
    /// The key's full name.
    pub key_name: String,
    /// How it goes.
    pub manner: DeletionManner,
    /// From when nobody can take it back, in milliseconds since 1970-01-01T00:00:00Z.
    pub final_from: u64,
}

/// How a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeletionManner {
    /// It opens nothing any more; until the date the deletion can be cancelled.
    Scheduled,
    /// The same in a server that speaks the protocol of AWS KMS and is not known to be AWS's own.
    ScheduledElsewhere,
    /// The server has deleted it.
    Deleted,
    /// The token has destroyed it.
    Destroyed,
    /// Its file was overwritten and removed.
    Overwritten,
}

impl DeletionManner {
    /// What was done, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled | Self::ScheduledElsewhere => "deletion scheduled",
            Self::Deleted => "deleted",
            Self::Destroyed => "destroyed in its token",
            Self::Overwritten => "file overwritten and removed",
        }
    }

    /// What may hold the key all the same, and is out of the service's reach.
    #[must_use]
    pub fn survivors(self) -> Option<&'static str> {
        match self {
            Self::Scheduled => None,
            Self::ScheduledElsewhere | Self::Deleted => {
                Some("backups and snapshots of the key server from before")
            }
            Self::Destroyed => Some("backups of the token, and tokens that it was cloned to"),
            Self::Overwritten => Some(
                "copies and backups of the file, and what the medium keeps of overwritten blocks",
            ),
        }
    }
}

/// Which key wrapped what is to be rewrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewrapSource<'a> {
    /// An older version of the same key.
    SameKey,
    /// Another key of the same service, by its name as key references are made of it (for AWS KMS: its ARN).
    Key(&'a str),
}

/// What a key service says about its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDescription {
    /// The key's full name, of which the reference is made: an ARN, or a local key's id.
    pub key_name: String,
    /// The reference that stands in its wraps.
    pub key_reference: KeyReference,
    /// Whether it can be used.
    pub availability: KeyAvailability,
    /// The full names of other keys that open what this one wrapped, and the other way round: a multi-Region key of AWS in
    /// its other Regions.
    pub related_keys: Vec<String>,
    /// The serial number of the token that holds it, as a PKCS#11 URI writes it: two tokens may have one label.
    pub serial: Option<String>,
    /// Where its deletion is scheduled and the service tells the date.
    pub deletion: Option<KeyDeletion>,
}

impl KeyDescription {
    fn new(key_name: String, key_reference: KeyReference, availability: KeyAvailability) -> Self {
        Self {
            key_name,
            key_reference,
            availability,
            related_keys: Vec::new(),
            serial: None,
            deletion: None,
        }
    }
}

/// Whether a key can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAvailability {
    /// It wraps and unwraps.
    Enabled,
    /// Somebody disabled it.
    Disabled,
    /// It is going to be deleted; nothing under it will open then.
    PendingDeletion,
    /// Any other state in which it does not work, such as missing key material.
    Unavailable,
}

/// The time now, in milliseconds since 1970-01-01T00:00:00Z.
#[cfg(any(feature = "local", feature = "pkcs11", feature = "vault"))]
fn unix_milliseconds() -> u64 {
    std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Refuses a wrap of another key before anything is sent: a header must not choose whom we contact.
pub(crate) fn check_wrap_is_for(
    provider: Provider,
    key_reference: KeyReference,
    wrap: &Wrap,
) -> Result<()> {
    if wrap.provider() == provider && wrap.key_reference() == key_reference {
        return Ok(());
    }
    Err(key_service_error(
        KeyServiceFailure::NotConfigured,
        &format!(
            "the wrap is of key {} of provider {}, this service has key {}",
            wrap.key_reference(),
            wrap.provider().code(),
            key_reference
        ),
    ))
}
