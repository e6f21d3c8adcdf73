//! Whether a grant counts, here and now.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{
    request::{GRANT_NAMESPACE, Grant, GrantRequest, REQUEST_LIMIT, VERSION},
    revocation::{RevocationError, Revocations},
};
use crate::{
    action::Action,
    canonical::{self, CanonicalError},
    moment::rfc3339,
    signature::{PublicKey, Signature},
};

/// The most approvals that are looked at: each costs the verification of a signature.
pub const APPROVALS_LIMIT: usize = 16;

/// Somebody who may approve, with one of their keys. Two keys of one person are one approver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    /// Their name. An identity of the same name, in whatever letter case, is the same person.
    pub name: String,
    /// Identities of other names that are theirs, too: those of the configuration, or `provider/subject` of web identities.
    pub identities: BTreeSet<String>,
    /// Their public key.
    pub key: PublicKey,
}

/// What a grant needs, from the configuration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The deployment.
    pub deployment: String,
    /// The identities that may ask for a grant.
    pub requesters: BTreeSet<String>,
    /// Who may approve.
    pub approvers: Vec<Approver>,
    /// How many different approvers it takes; at least one.
    pub quorum: usize,
    /// The longest time that a grant may last, in seconds.
    pub longest: u64,
}

/// Why a grant does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrantError {
    /// It cannot be read.
    #[error("the grant {0}")]
    Document(#[from] CanonicalError),
    /// It is of another version, or for another deployment.
    #[error("the grant is for another deployment, or of another version")]
    Foreign,
    /// It lasts longer than is allowed, or ends before it begins.
    #[error("the grant would last {seconds} s; at most {longest} s are allowed")]
    TooLong {
        /// How long it would last.
        seconds: u64,
        /// How long it may.
        longest: u64,
    },
    /// What is asked for makes no sense, or could deceive whoever reads it.
    #[error("the request's {part} is not what it may be: {fix}")]
    Unsound {
        /// Which part of it.
        part: &'static str,
        /// What it may be.
        fix: &'static str,
    },
    /// Whoever asks may not.
    #[error("{requester} may not ask for grants")]
    NotARequester {
        /// Who.
        requester: String,
    },
    /// Its time has not come.
    #[error("the grant begins at {}, and it is {}", rfc3339(*.not_before), rfc3339(*.now))]
    NotYet {
        /// From when it counts.
        not_before: u64,
        /// What time it is.
        now: u64,
    },
    /// Its time is over.
    #[error("the grant ended at {}, and it is {}", rfc3339(*.expires), rfc3339(*.now))]
    Expired {
        /// Until when it counted.
        expires: u64,
        /// What time it is.
        now: u64,
    },
    /// Somebody approved what they asked for.
    #[error("{requester} approved a grant for themselves")]
    SelfApproved {
        /// Who.
        requester: String,
    },
    /// A signature is of nobody who may approve, or does not verify.
    #[error("an approval is not that of an approver")]
    ForgedApproval,
    /// More approvals than are looked at.
    #[error("the grant has {count} approvals; at most {APPROVALS_LIMIT} are read")]
    TooManyApprovals {
        /// How many.
        count: usize,
    },
    /// Too few approved it.
    #[error("the grant has {found} of {quorum} approvals")]
    TooFewApprovals {
        /// How many different approvers there are.
        found: usize,
        /// How many it takes.
        quorum: usize,
    },
    /// The gateway goes by no rules.
    #[error("this gateway has no rules for grants")]
    NoRules,
    /// It was revoked.
    #[error("the grant was revoked")]
    Revoked,
    /// Nobody knows whether it was revoked.
    #[error("whether the grant was revoked is not known: {0}")]
    Revocations(#[from] RevocationError),
    /// Somebody else uses it.
    #[error("the grant is {requester}'s and nobody else's")]
    OfSomebodyElse {
        /// Whose it is.
        requester: String,
    },
}

/// The form of a person's name that all its spellings share, in whatever letter case and of whatever alphabet.
pub fn folded(name: &str) -> String {
    name.to_lowercase()
}

impl Approver {
    /// Whether a name is theirs, in whatever letter case and of whatever alphabet: subjects of identity providers have all of them.
    pub fn is(&self, identity: &str) -> bool {
        let mut own = std::iter::once(&self.name).chain(&self.identities);
        own.any(|name| folded(name) == folded(identity))
    }
}

impl Rules {
    /// Whether a key is somebody's, under whatever other name it stands as well.
    pub(super) fn is_key_of(&self, key: &PublicKey, name: &str) -> bool {
        self.approvers
            .iter()
            .any(|approver| approver.key == *key && approver.is(name))
    }

    /// The approver by whom a signature of a request is.
    pub(super) fn signer(
        &self,
        namespace: &str,
        request: &str,
        (key, signature): (&str, &str),
    ) -> Result<&Approver, GrantError> {
        let approver = self
            .approvers
            .iter()
            .find(|approver| approver.key.to_string() == key)
            .ok_or(GrantError::ForgedApproval)?;
        let signature = Signature::decode(signature).map_err(|_| GrantError::ForgedApproval)?;
        approver
            .key
            .verify(namespace, request.as_bytes(), &signature)
            .map_err(|_| GrantError::ForgedApproval)?;
        Ok(approver)
    }
}

impl GrantRequest {
    /// Whether it could ever be granted: by its version, its deployment, who asks, and how long it would last.
    ///
    /// # Errors
    ///
    /// [`GrantError`].
    pub fn fits(&self, rules: &Rules) -> Result<(), GrantError> {
        // First of all, so that no error repeats a text that deceives.
        self.check_texts()?;
        if self.version != VERSION || self.deployment != rules.deployment {
            return Err(GrantError::Foreign);
        }
        if !rules.requesters.contains(&self.requester) {
            return Err(GrantError::NotARequester {
                requester: self.requester.clone(),
            });
        }
        let seconds = self.expires.saturating_sub(self.not_before);
        if seconds == 0 || seconds > rules.longest {
            return Err(GrantError::TooLong {
                seconds,
                longest: rules.longest,
            });
        }
        Ok(())
    }

    fn is_now(&self, now: u64) -> Result<(), GrantError> {
        if now < self.not_before {
            return Err(GrantError::NotYet {
                not_before: self.not_before,
                now,
            });
        }
        if now >= self.expires {
            return Err(GrantError::Expired {
                expires: self.expires,
                now,
            });
        }
        Ok(())
    }
}

/// Who uses a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User<'a> {
    /// The identity, or the role.
    pub identity: &'a str,
    /// Whoever acts as it, where that is not the identity itself: another identity, or `provider/subject` of a web identity; empty else.
    pub person: &'a str,
}

impl<'a> From<&'a str> for User<'a> {
    /// An identity that acts for itself.
    fn from(identity: &'a str) -> Self {
        Self {
            identity,
            person: "",
        }
    }
}

/// A grant that counts, until the next request asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedGrant {
    request: GrantRequest,
    approvers: BTreeSet<String>,
}

impl Grant {
    /// Verifies everything: encoding, deployment, time, signatures, quorum, revocation, and that it is the requester who uses it.
    ///
    /// # Errors
    ///
    /// [`GrantError`]; a single approval that is not good makes the grant fail, whatever the others are.
    pub fn verify<'a>(
        &self,
        user: impl Into<User<'a>>,
        rules: &Rules,
        revocations: &Revocations,
        now: u64,
    ) -> Result<VerifiedGrant, GrantError> {
        let user = user.into();
        let request: GrantRequest = canonical::read(&self.request, REQUEST_LIMIT)?;
        if request.requester != user.identity {
            return Err(GrantError::OfSomebodyElse {
                requester: request.requester,
            });
        }
        request.fits(rules)?;
        request.is_now(now)?;
        let approvers = self.approvers(&request, user.person, rules)?;
        let quorum = rules.quorum.max(1);
        if approvers.len() < quorum {
            return Err(GrantError::TooFewApprovals {
                found: approvers.len(),
                quorum,
            });
        }
        if revocations.is_revoked(&request.id, now)? {
            return Err(GrantError::Revoked);
        }
        Ok(VerifiedGrant { request, approvers })
    }

    /// The names of those who approved.
    fn approvers(
        &self,
        request: &GrantRequest,
        person: &str,
        rules: &Rules,
    ) -> Result<BTreeSet<String>, GrantError> {
        if self.approvals.len() > APPROVALS_LIMIT {
            return Err(GrantError::TooManyApprovals {
                count: self.approvals.len(),
            });
        }
        let mut names = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for approval in &self.approvals {
            let approver = rules.signer(
                GRANT_NAMESPACE,
                &self.request,
                (&approval.key, &approval.signature),
            )?;
            for asker in [request.requester.as_str(), person] {
                if !asker.is_empty() && rules.is_key_of(&approver.key, asker) {
                    return Err(GrantError::SelfApproved {
                        requester: asker.to_owned(),
                    });
                }
            }
            if keys.insert(approver.key) {
                names.insert(folded(&approver.name));
            }
        }
        Ok(names)
    }
}

impl VerifiedGrant {
    /// The request that was granted.
    pub fn request(&self) -> &GrantRequest {
        &self.request
    }

    /// Who approved it.
    pub fn approvers(&self) -> &BTreeSet<String> {
        &self.approvers
    }

    /// Whether its scope has an action anywhere.
    pub fn has(&self, action: Action) -> bool {
        let mut actions = self.request.scope.actions.iter();
        actions.any(|name| name == action.name())
    }

    /// Whether it still counts: its time, and that it was not revoked since.
    ///
    /// # Errors
    ///
    /// [`GrantError::NotYet`], [`GrantError::Expired`], [`GrantError::Revoked`] and [`GrantError::Revocations`].
    pub fn still_counts(&self, revocations: &Revocations, now: u64) -> Result<(), GrantError> {
        self.request.is_now(now)?;
        if revocations.is_revoked(&self.request.id, now)? {
            return Err(GrantError::Revoked);
        }
        Ok(())
    }

    /// Whether it allows an action on an object or, for a listing, on what lies below a prefix.
    pub fn allows(&self, action: Action, bucket: &str, key_or_prefix: &str) -> bool {
        self.request.scope.allows(action, bucket, key_or_prefix)
    }
}
