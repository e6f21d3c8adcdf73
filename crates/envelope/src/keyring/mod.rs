//! Working keys: made for sealing, opened for reading, cached, and replaced with age.
//!
//! ```text
//!                 sealing_key(domain)            opening_key(permit, …)
//!                        │                               │
//!   Keyring     one key per domain and process    cache ─┴─ one unwrap for many readers
//!                        │        │                            │           │
//!                        ▼        ▼                            ▼           ▼
//!              key services      registry               key services    registry
//!              generate, wrap    put_if_absent          unwrap          get
//! ```
//!
//! What is stored never chooses a key to seal with, and never chooses which key service is contacted. Calls to key
//! services grow with processes × domains × days for sealing and with working keys × hours for reading, not with
//! objects.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use sealgate_envelope::Domain;
//! use sealgate_envelope::key_service::{UnwrapPermit, local::LocalKeyService};
//! use sealgate_envelope::keyring::Keyring;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("sealgate.key");
//! let service = LocalKeyService::create(&path)?;
//! let keyring = Keyring::builder(Arc::new(service)).build()?;
//!
//! let domain = Domain::new("laptop/notes")?;
//! let sealing = keyring.sealing_key(&domain).await?;
//!
//! let permit = UnwrapPermit::issue("notes are read by their owner");
//! let opening = keyring.opening_key(&permit, sealing.id(), sealing.inline_wraps(), &domain).await?;
//! assert_eq!(*opening, *sealing.key());
//! # Ok(())
//! # }
//! ```

mod breaker;
mod cache;
mod clock;
mod failure_memory;
mod flight;
mod limits;
mod locks;
mod metered_service;
mod opening;
mod policy;
pub mod registry;
mod sealing;
mod status;
#[cfg(test)]
mod tests;
mod unwrapping;

use std::fmt;
use std::sync::Arc;

pub use self::clock::{Clock, SystemClock};
pub use self::limits::KeyringLimits;
pub use self::metered_service::KeyServiceStatus;
pub use self::policy::{RecordWrapper, SealingPolicy};
pub use self::registry::RegistryStore;
pub use self::sealing::{Rotation, SealingKey};
pub use self::status::KeyringStatus;
pub use crate::key_service::UnwrapPermit;

use self::metered_service::MeteredService;
use self::opening::Opening;
use self::sealing::Sealing;
use self::unwrapping::Sources;
use crate::domain::Domain;
use crate::error::Result;
use crate::key_service::{EncryptionContext, KeyService};
use crate::keys::{WorkingKey, WorkingKeyId};
use crate::random::{OsRandom, Random};
use crate::wrap::Wrap;

/// Working keys of this process, over key services and a registry. Cheap to clone; all clones are one keyring.
#[derive(Clone, Debug)]
pub struct Keyring {
    sources: Arc<Sources>,
    opening: Arc<Opening>,
    sealing: Arc<Sealing>,
}

impl Keyring {
    /// Begins a keyring whose working keys are made by `first`.
    pub fn builder(first: Arc<dyn KeyService>) -> KeyringBuilder {
        KeyringBuilder {
            services: vec![first],
            registry: None,
            opens: true,
            record_wrapper: None,
            limits: KeyringLimits::default(),
            clock: Arc::new(SystemClock::default()),
            random: Box::new(OsRandom),
        }
    }

    /// The working key that seals for `domain`, made now if there is none or if it has reached its soft age.
    ///
    /// A new key is used only when each of its wraps has been opened again and compared, and its registry record is
    /// durable. Where a new one cannot be made, the old one goes on until its hard age. The result may be kept for
    /// sealing one object, and should not be kept for longer.
    ///
    /// Cancel safe: dropping the future does not stop the making of a key that others wait for.
    ///
    /// # Errors
    ///
    /// [`Error::KeyService`](crate::Error::KeyService) if there is no usable key and none can be made; for some seconds
    /// after a failure the same error is given again without another call. [`Error::Misuse`](crate::Error::Misuse)
    /// outside a tokio runtime.
    pub async fn sealing_key(&self, domain: &Domain) -> Result<SealingKey> {
        self.sealing.key_for(domain, None).await
    }

    /// As [`sealing_key`](Self::sealing_key), by the key services and for the time that `policy` names instead of the
    /// keyring's own. A key that was made under one policy never seals under another.
    ///
    /// Cancel safe as [`sealing_key`](Self::sealing_key).
    ///
    /// # Errors
    ///
    /// As [`sealing_key`](Self::sealing_key); [`Error::Misuse`](crate::Error::Misuse) for a policy that this keyring
    /// cannot follow.
    pub async fn sealing_key_under(
        &self,
        policy: &Arc<SealingPolicy>,
        domain: &Domain,
    ) -> Result<SealingKey> {
        self.sealing.key_for(domain, Some(policy)).await
    }

    /// Whether a working key is there that may seal under `policy` for this domain: then
    /// [`sealing_key_under`](Self::sealing_key_under) needs none to be made. Without one, this is the moment to find out
    /// whether there is anything to be sealed for the domain at all, since each key that is made costs calls to key
    /// services and a registry record.
    #[must_use]
    pub fn has_sealing_key(&self, policy: &Arc<SealingPolicy>, domain: &Domain) -> bool {
        self.sealing.has_key(policy, domain)
    }

    /// The working key `id`, for reading something that must be of `domain`.
    ///
    /// It comes from the cache, from the wraps that came with what is read (`inline`), or from the registry. Any number
    /// of simultaneous calls for the same key and wraps make one unwrap. `domain` must be the reader's own expectation:
    /// a key of another domain does not open.
    ///
    /// Cancel safe: dropping the future stops no unwrap, neither its own nor one that others wait for.
    ///
    /// # Errors
    ///
    /// [`Error::KeyService`](crate::Error::KeyService), with
    /// [`Unavailable`](crate::KeyServiceFailure::Unavailable) or [`Throttled`](crate::KeyServiceFailure::Throttled) where
    /// trying later makes sense; [`Error::Stored`](crate::Error::Stored) for a registry record that is damaged or not
    /// authentic; [`Error::Misuse`](crate::Error::Misuse) outside a tokio runtime.
    pub async fn opening_key(
        &self,
        permit: &UnwrapPermit,
        id: WorkingKeyId,
        inline: &[Wrap],
        domain: &Domain,
    ) -> Result<Arc<WorkingKey>> {
        self.opening
            .open(permit, EncryptionContext::new(domain.clone(), id), inline)
            .await
    }

    /// Drops, and so wipes, working keys that are too old to be used. Without it, one that nobody asks for any more would stay
    /// until it makes room for another.
    pub fn drop_expired(&self) {
        self.opening.drop_expired();
        self.sealing.drop_expired();
    }

    /// Forgets every working key, for reading and for sealing, and tells how many were dropped. The next use of each asks a
    /// key service again, so one whose KEK was disabled serves no more, not even for the grace of an outage. Keys are wiped
    /// when their last user has finished; an unwrap that is under way ends, for those who wait for it alone.
    pub fn flush(&self) -> usize {
        // In this order: a sealing key that is made meanwhile finds the count of flushes changed, and is not kept.
        self.opening.flush() + self.sealing.flush()
    }

    /// Makes a new working key for each domain that this process has one for, or for `domain` alone. Where none can be made
    /// the present one goes on, as it does at its soft age, and its next use tries again.
    ///
    /// Cancel safe: keys that are being made are finished all the same.
    pub async fn rotate(&self, domain: Option<&Domain>) -> Rotation {
        self.sealing.rotate(domain).await
    }

    /// Counts and sizes, for metrics. It reveals no identifier.
    pub fn status(&self) -> KeyringStatus {
        KeyringStatus::of(&self.sources, &self.opening, &self.sealing)
    }
}

/// Collects what a [`Keyring`] is made of.
pub struct KeyringBuilder {
    services: Vec<Arc<dyn KeyService>>,
    registry: Option<Arc<dyn RegistryStore>>,
    opens: bool,
    record_wrapper: Option<Arc<dyn RecordWrapper>>,
    limits: KeyringLimits,
    clock: Arc<dyn Clock>,
    random: Box<dyn Random + Send>,
}

impl fmt::Debug for KeyringBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyringBuilder")
            .field("services", &self.services)
            .field("registry", &self.registry)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl KeyringBuilder {
    /// Adds a key service that wraps each working key too, so that either can open it; if the ones before it cannot be
    /// reached, it makes the key.
    #[must_use]
    pub fn key_service(mut self, service: Arc<dyn KeyService>) -> Self {
        self.services.push(service);
        self
    }

    /// Keeps a record of each working key; without it, only the wraps in headers open what was sealed.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn RegistryStore>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Makes working keys and opens none, for principals that may only encrypt: what it made stays usable while it is in
    /// memory, everything else fails with [`KeyServiceFailure::WriteOnly`](crate::KeyServiceFailure::WriteOnly).
    ///
    /// A new wrap can't be opened again and compared then: whether it opens shows where it is read.
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.opens = false;
        self
    }

    /// Adds one more wrap to each registry record, which is in no header and counts for no quorum: that of an offline
    /// recovery key. Without a registry it has no effect.
    #[must_use]
    pub fn record_wrapper(mut self, wrapper: Arc<dyn RecordWrapper>) -> Self {
        self.record_wrapper = Some(wrapper);
        self
    }

    /// Ages, counts and pauses.
    #[must_use]
    pub fn limits(mut self, limits: KeyringLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Another clock than the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source for the identifiers of working keys than the operating system; for tests only.
    #[must_use]
    pub fn random(mut self, random: Box<dyn Random + Send>) -> Self {
        self.random = random;
        self
    }

    /// The keyring. Contacts nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) for limits that contradict each other or the number of key services.
    pub fn build(self) -> Result<Keyring> {
        self.limits.check(self.services.len())?;
        let sources = Arc::new(Sources {
            services: self
                .services
                .into_iter()
                .map(|service| MeteredService::new(service, Arc::clone(&self.clock)))
                .collect(),
            registry: self.registry,
            opens: self.opens,
        });
        let opening = Arc::new(Opening::new(
            Arc::clone(&sources),
            Arc::clone(&self.clock),
            &self.limits,
        ));
        let sealing = Arc::new(Sealing::new(
            Arc::clone(&sources),
            Arc::clone(&opening),
            self.clock,
            self.limits,
            self.record_wrapper,
            self.random,
        ));
        Ok(Keyring {
            sources,
            opening,
            sealing,
        })
    }
}
