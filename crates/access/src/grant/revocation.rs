//! Which grants are revoked: a signed, numbered list that is good for a short time only.
//!
//! Whoever stores it can hide it or serve an old one. Then it is stale or goes backwards, and every grant fails.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    canonical::{self, CanonicalError},
    moment::rfc3339,
    signature::{PrivateKey, PublicKey, Signature, SignatureError},
};

/// The namespace of signatures of the list.
pub const REVOCATIONS_NAMESPACE: &str = "sealgate-revocations";

/// The most bytes of a list: some 30,000 grants.
const LIST_LIMIT: usize = 1024 * 1024;

/// The most bytes of a signed list: the list in it is escaped, so it may be twice as long.
pub const SIGNED_LIST_LIMIT: usize = 2 * LIST_LIMIT;

/// How far the number of a list may be from that before: at the highest number there would be no next one.
const NUMBERS_AHEAD: u64 = 1 << 32;

/// How far clocks may be apart, in seconds.
const SKEW: u64 = 60;

/// The list that is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationList {
    /// The version of this document: 1.
    pub version: u8,
    /// The deployment that it is about.
    pub deployment: String,
    /// Its number; each list has a higher one than the last.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub issued: u64,
    /// From when it is stale, in seconds since 1970, if a gateway does not call it so before.
    pub next_update: u64,
    /// The ids of the grants that are revoked, in ascending order.
    pub revoked: BTreeSet<String>,
}

impl RevocationList {
    /// The version that is written.
    pub const VERSION: u8 = 1;

    /// The text that is signed.
    ///
    /// # Errors
    ///
    /// [`CanonicalError::TooLong`]: what nobody would read must not be signed.
    pub fn to_text(&self) -> Result<String, CanonicalError> {
        let text = canonical::write(self)?;
        if text.len() > LIST_LIMIT {
            return Err(CanonicalError::TooLong {
                length: text.len(),
                limit: LIST_LIMIT,
            });
        }
        Ok(text)
    }
}

/// A list with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRevocationList {
    /// The text of the list, byte for byte what was signed.
    pub list: String,
    /// The signature, in base64url without padding.
    pub signature: String,
}

impl SignedRevocationList {
    /// Signs a list.
    ///
    /// # Errors
    ///
    /// [`CanonicalError::TooLong`].
    pub fn sign(list: &RevocationList, key: &PrivateKey) -> Result<Self, RevocationError> {
        let list = list.to_text()?;
        let signature = key.sign(REVOCATIONS_NAMESPACE, list.as_bytes())?;
        Ok(Self {
            list,
            signature: signature.encode(),
        })
    }

    /// Takes over what `ssh-keygen -Y sign -n sealgate-revocations` wrote beside the text of a list.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Signature`], also where the signature is not of this text.
    pub fn of_openssh(list: &str, armored: &str) -> Result<Self, RevocationError> {
        let (key, signature) = Signature::of_openssh(armored, REVOCATIONS_NAMESPACE)?;
        key.verify(REVOCATIONS_NAMESPACE, list.as_bytes(), &signature)?;
        Ok(Self {
            list: list.to_owned(),
            signature: signature.encode(),
        })
    }

    /// The list, if one of these keys signed it for this deployment, however old it is: for whoever signs the next one.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Signature`], [`RevocationError::Document`] and [`RevocationError::Foreign`].
    pub fn verify(
        &self,
        deployment: &str,
        revokers: &[PublicKey],
    ) -> Result<RevocationList, RevocationError> {
        let signature = Signature::decode(&self.signature)?;
        let verified = revokers.iter().any(|key| {
            key.verify(REVOCATIONS_NAMESPACE, self.list.as_bytes(), &signature)
                .is_ok()
        });
        if !verified {
            return Err(SignatureError::Invalid.into());
        }
        self.unverified(deployment)
    }

    /// The list, whoever signed it: for whoever goes on from it because its key was replaced, and takes over what it revokes.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Document`] and [`RevocationError::Foreign`].
    pub fn unverified(&self, deployment: &str) -> Result<RevocationList, RevocationError> {
        let list: RevocationList = canonical::read(&self.list, LIST_LIMIT)?;
        if list.version != RevocationList::VERSION || list.deployment != deployment {
            return Err(RevocationError::Foreign);
        }
        Ok(list)
    }

    /// Its one encoding.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn to_text(&self) -> Result<String, CanonicalError> {
        canonical::write(self)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn of_text(text: &str) -> Result<Self, CanonicalError> {
        canonical::read(text, SIGNED_LIST_LIMIT)
    }
}

/// Why a list is not taken, or why there is none to go by.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RevocationError {
    /// It cannot be read.
    #[error("the list of revocations {0}")]
    Document(#[from] CanonicalError),
    /// Nobody who may has signed it.
    #[error("the list of revocations is signed by nobody who may revoke: {0}")]
    Signature(#[from] SignatureError),
    /// It is about another deployment, or of another version.
    #[error("the list of revocations is about another deployment, or of another version")]
    Foreign,
    /// It is older than one that was seen before.
    #[error("the list of revocations goes backwards: number {found} after {seen}")]
    RolledBack {
        /// The number of the list.
        found: u64,
        /// The highest number that was seen.
        seen: u64,
    },
    /// It leaves no room for those that follow.
    #[error("the list of revocations has the number {found}, far ahead of {seen}")]
    FarAhead {
        /// The number of the list.
        found: u64,
        /// The highest number that was seen.
        seen: u64,
    },
    /// There are two of the same number that differ.
    #[error("there are two different lists of revocations of the number {number}")]
    Forked {
        /// Their number.
        number: u64,
    },
    /// It is not from the past.
    #[error("the list of revocations is from the future: made at {}, and it is {}", rfc3339(*.issued), rfc3339(*.now))]
    FromTheFuture {
        /// When it says that it was made.
        issued: u64,
        /// What time it is.
        now: u64,
    },
    /// It was good until some time ago.
    #[error("the list of revocations is stale since {}, and it is {}", rfc3339(*.next_update), rfc3339(*.now))]
    Stale {
        /// Until when it was good.
        next_update: u64,
        /// What time it is.
        now: u64,
    },
    /// There is none.
    #[error("there is no list of revocations yet")]
    Missing,
}

/// The newest list that a replica has seen. It remembers the number, so a list that goes backwards is noticed; a replica that starts anew is
/// protected by `next_update` alone.
#[derive(Debug, Clone)]
pub struct Revocations {
    deployment: String,
    revokers: Vec<PublicKey>,
    maximum_age: u64,
    newest: Option<(RevocationList, SignedRevocationList)>,
    /// What lists before had revoked and the newest does not name: it stays revoked.
    dropped: BTreeSet<String>,
    /// What was wrong with a list that somebody who may revoke had signed; until it is resolved, nobody knows what is revoked.
    trouble: Option<RevocationError>,
}

impl Revocations {
    /// Knows no list yet; grants fail until there is one. A list is good until its `next_update`, but for `maximum_age` seconds at most.
    pub fn new(deployment: impl Into<String>, revokers: Vec<PublicKey>, maximum_age: u64) -> Self {
        Self {
            deployment: deployment.into(),
            revokers,
            maximum_age,
            newest: None,
            dropped: BTreeSet::new(),
            trouble: None,
        }
    }

    /// Takes a list over, if it is newer than the one before, whatever its dates are: what a newer one revokes stays revoked, and while that is stale or
    /// of the future, no grant counts.
    ///
    /// # Errors
    ///
    /// [`RevocationError`]. After a list that goes backwards no grant counts until the newest is seen again; after two of one number that differ, until
    /// there is one of a higher number: each of them may lack what the other one revokes.
    pub fn update(
        &mut self,
        signed: &SignedRevocationList,
        now: u64,
    ) -> Result<(), RevocationError> {
        let list = signed.verify(&self.deployment, &self.revokers)?;
        let is_forked = matches!(self.trouble, Some(RevocationError::Forked { .. }));
        let trouble = match &self.newest {
            Some((seen, _)) if list.number < seen.number => Some(RevocationError::RolledBack {
                found: list.number,
                seen: seen.number,
            }),
            Some((seen, known)) if list.number == seen.number && known.list != signed.list => {
                Some(RevocationError::Forked {
                    number: list.number,
                })
            }
            Some((seen, _)) if list.number == seen.number && is_forked => self.trouble.clone(),
            Some((seen, _)) if list.number - seen.number > NUMBERS_AHEAD => {
                return Err(RevocationError::FarAhead {
                    found: list.number,
                    seen: seen.number,
                });
            }
            _ => None,
        };
        if let Some(trouble) = trouble {
            // A fork is not forgotten over a list that goes backwards.
            if !is_forked {
                self.trouble = Some(trouble.clone());
            }
            return Err(trouble);
        }
        let fresh = self.fresh(&list, now);
        if let Some((seen, _)) = &self.newest {
            self.dropped.extend(seen.revoked.iter().cloned());
        }
        self.dropped.retain(|id| !list.revoked.contains(id));
        self.newest = Some((list, signed.clone()));
        self.trouble = None;
        fresh
    }

    /// Whether a list is the one that is gone by, so that taking it over would change nothing.
    pub fn goes_by(&self, signed: &SignedRevocationList) -> bool {
        let newest = self.newest.as_ref();
        self.trouble.is_none() && newest.is_some_and(|(_, known)| known.list == signed.list)
    }

    /// The same lists by other rules: those whom a configuration names now. A list that none of them signed counts no more, and neither does its
    /// number, which whoever had the key has chosen; what it revoked stays revoked. Without anybody who may revoke, what is known waits for somebody.
    #[must_use]
    pub fn with(&self, revokers: Vec<PublicKey>, maximum_age: u64) -> Self {
        let mut next = Self {
            revokers,
            maximum_age,
            ..self.clone()
        };
        if let Some((list, signed)) = &self.newest
            && !next.revokers.is_empty()
            && signed.verify(&next.deployment, &next.revokers).is_err()
        {
            next.dropped.extend(list.revoked.iter().cloned());
            next.newest = None;
            next.trouble = None;
        }
        next
    }

    /// Whether a grant is revoked.
    ///
    /// # Errors
    ///
    /// [`RevocationError`] where nobody knows, so that no grant counts: there is no list, it is stale, it went backwards, or there are two.
    pub fn is_revoked(&self, grant: &str, now: u64) -> Result<bool, RevocationError> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        let (list, _) = self.newest.as_ref().ok_or(RevocationError::Missing)?;
        self.fresh(list, now)?;
        Ok(list.revoked.contains(grant) || self.dropped.contains(grant))
    }

    /// How many grants the newest list does not name that one before had revoked. They stay revoked here; whoever signs lists does not leave any out.
    pub fn dropped(&self) -> usize {
        self.dropped.len()
    }

    /// The newest list; none before the first.
    pub fn newest(&self) -> Option<&RevocationList> {
        self.newest.as_ref().map(|(list, _)| list)
    }

    /// When the newest list was made, and from when it is stale, in seconds since 1970.
    pub fn life(&self) -> Option<(u64, u64)> {
        let list = self.newest()?;
        Some((list.issued, self.stale_from(list)))
    }

    /// The number of the newest list; none before the first.
    pub fn number(&self) -> Option<u64> {
        self.newest().map(|list| list.number)
    }

    fn stale_from(&self, list: &RevocationList) -> u64 {
        let at_most = list.issued.saturating_add(self.maximum_age);
        list.next_update.min(at_most)
    }

    fn fresh(&self, list: &RevocationList, now: u64) -> Result<(), RevocationError> {
        let next_update = self.stale_from(list);
        if now >= next_update {
            return Err(RevocationError::Stale { next_update, now });
        }
        // A clock that was set back would make a stale list fresh again.
        if list.issued > now.saturating_add(SKEW) {
            return Err(RevocationError::FromTheFuture {
                issued: list.issued,
                now,
            });
        }
        Ok(())
    }
}
