//! What one domain asks of its working keys: who wraps them, and how long each of them seals.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::key_service::EncryptionContext;
use crate::keys::WorkingKey;
use crate::wrap::Wrap;

/// Wraps working keys for somebody who is not asked: the wrap is for the registry record, and this process cannot open it.
pub trait RecordWrapper: fmt::Debug + Send + Sync + 'static {
    /// The wrap of a working key in this context; none where its domain has no such recipient.
    ///
    /// # Errors
    ///
    /// Where there is no entropy or the recipient's key is none; the working key is not used then.
    fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Option<Wrap>>;
}

/// By whom a domain's working keys are made and wrapped, and for how long they seal.
///
/// A policy says nothing about reading: a key that was made under another one opens as long as a key service of the
/// keyring has a wrap of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SealingPolicy {
    /// The key services, by their places in the keyring, counted from 0; the first that can makes the key. `None`: all.
    pub key_services: Option<Vec<usize>>,
    /// How many of them must have wrapped a new working key before it seals.
    pub required_wraps: usize,
    /// A working key of this age is replaced at its next use.
    pub soft_age: Duration,
    /// A working key of this age seals nothing any more, even if no new one can be made.
    pub hard_age: Duration,
}

impl SealingPolicy {
    /// The places of the key services that it names, of so many that a keyring has, in their order.
    #[must_use]
    pub fn places(&self, key_services: usize) -> Vec<usize> {
        match &self.key_services {
            Some(places) => places.clone(),
            None => (0..key_services).collect(),
        }
    }

    /// Checks that a keyring with so many key services can do as the policy says.
    pub(super) fn check(&self, key_services: usize) -> Result<()> {
        if self.hard_age < self.soft_age || self.soft_age.is_zero() {
            return Err(Error::misuse(
                "the soft age of working keys must be above zero and at most the hard age",
            ));
        }
        let available = match &self.key_services {
            None => key_services,
            Some(places) if places.iter().any(|place| *place >= key_services) => {
                return Err(Error::misuse(format!(
                    "a sealing policy names a key service that is not there; the keyring has {key_services}"
                )));
            }
            Some(places) => places.len(),
        };
        if self.required_wraps == 0 || self.required_wraps > available {
            return Err(Error::misuse(format!(
                "{} wraps are required of each working key, but {available} key services make them",
                self.required_wraps
            )));
        }
        Ok(())
    }
}
