//! Whether a grant counts, by the configuration, the newest list of revocations and the clock.

use std::sync::{Arc, PoisonError, RwLock};

use sealgate_access::{
    Action,
    grant::{
        Grant, GrantError, RevocationError, RevocationList, Revocations, Rules,
        SignedRevocationList, VerifiedGrant,
    },
    token::Claims,
};

use super::Clock;
use crate::config::GrantsConfig;

/// What a replica knows about grants.
#[derive(Debug)]
pub(crate) struct Authority {
    rules: Rules,
    revocations: RwLock<Revocations>,
    clock: Clock,
}

impl Authority {
    /// Knows no list of revocations yet, so no grant counts.
    pub(crate) fn new(config: &GrantsConfig, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            rules: config.rules.clone(),
            revocations: RwLock::new(Revocations::new(
                config.rules.deployment.clone(),
                config.revokers.clone(),
                config.maximum_age.as_secs(),
            )),
            clock,
        })
    }

    /// What a grant needs.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Takes over a list of revocations, from now on, also for what is running.
    ///
    /// # Errors
    /// [`RevocationError`]; after a list that goes backwards, or differs from another one of its number, no grant counts.
    pub(crate) fn take(&self, list: &SignedRevocationList) -> Result<(), RevocationError> {
        self.revocations
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .update(list, self.now())
    }

    /// The newest list of revocations.
    pub(crate) fn newest(&self) -> Option<RevocationList> {
        let revocations = self
            .revocations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        revocations.newest().cloned()
    }

    /// Verifies the grant of a session: everything, as if it had never been seen before.
    ///
    /// # Errors
    /// [`GrantError`].
    pub(crate) fn verify(self: &Arc<Self>, claims: &Claims) -> Result<Granted, GrantError> {
        let grant = Grant::of_text(&claims.grant)?;
        let revocations = self
            .revocations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let grant = grant.verify(&claims.identity, &self.rules, &revocations, self.now())?;
        drop(revocations);
        Ok(Granted {
            grant: Arc::new(grant),
            authority: Arc::clone(self),
        })
    }
}

/// A grant that counted when a request came.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    grant: Arc<VerifiedGrant>,
    authority: Arc<Authority>,
}

impl Granted {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.grant.request().id
    }

    /// Whether its scope has an action anywhere.
    pub(crate) fn has(&self, action: Action) -> bool {
        self.grant.has(action)
    }

    /// Whether its scope has an action on an object or, for a listing, on what lies below a prefix.
    pub(crate) fn allows(&self, action: Action, bucket: &str, key_or_prefix: &str) -> bool {
        self.grant.allows(action, bucket, key_or_prefix)
    }

    /// Whether it still counts: the list of revocations and the time may have changed since.
    ///
    /// # Errors
    /// [`GrantError`].
    pub(crate) fn still_counts(&self) -> Result<(), GrantError> {
        let revocations = self
            .authority
            .revocations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        self.grant.still_counts(&revocations, self.authority.now())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    use sealgate_access::PrivateKey;
    use sealgate_access::grant::{Approval, Approver, GrantRecord, GrantRequest, Scope};

    use super::*;
    use crate::config::{NotifyConfig, RevocationSource};

    const NOW: u64 = 1_800_000_000;
    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::parse(&PrivateKey::text_of_seed(&[seed; 32])).unwrap()
    }

    fn config() -> GrantsConfig {
        GrantsConfig {
            rules: Rules {
                deployment: "d".to_owned(),
                requesters: BTreeSet::from(["oscar".to_owned()]),
                approvers: vec![Approver {
                    name: "alice".to_owned(),
                    identities: BTreeSet::new(),
                    key: key(1).public_key(),
                }],
                quorum: 1,
                longest: 3_600,
            },
            revokers: vec![key(2).public_key()],
            revocations: RevocationSource::State,
            maximum_age: Duration::from_mins(10),
            notify: NotifyConfig::default(),
        }
    }

    fn list(number: u64, issued: u64, revoked: &[&str]) -> SignedRevocationList {
        let list = RevocationList {
            version: RevocationList::VERSION,
            deployment: "d".to_owned(),
            number,
            issued,
            next_update: issued + 10_000,
            revoked: revoked.iter().map(|&id| id.to_owned()).collect(),
        };
        SignedRevocationList::sign(&list, &key(2)).unwrap()
    }

    fn claims() -> Claims {
        let request = GrantRequest {
            version: GrantRequest::VERSION,
            deployment: "d".to_owned(),
            id: ID.to_owned(),
            requester: "oscar".to_owned(),
            scope: Scope {
                bucket: "data".to_owned(),
                prefix: "case-7/".to_owned(),
                actions: vec!["s3:GetObject".to_owned(), "decrypt".to_owned()],
            },
            reason: "r".to_owned(),
            ticket: String::new(),
            not_before: NOW,
            expires: NOW + 3_600,
        };
        let mut record = GrantRecord::new(request.to_text().unwrap());
        let rules = config().rules;
        let approval = Approval::sign(&record.request, &key(1)).unwrap();
        record.approve(approval, "oscar", &rules).unwrap();
        Claims {
            identity: "oscar".to_owned(),
            session: String::new(),
            source: String::new(),
            access_key_id: "SGT".to_owned(),
            issued: NOW,
            expires: NOW + 3_600,
            grant: record.grant("oscar", &rules).to_text().unwrap(),
        }
    }

    /// An authority with clocks that the test sets: that of the wall, and that of the process.
    fn authority() -> (Arc<Authority>, Arc<AtomicU64>, Arc<AtomicU64>) {
        let wall = Arc::new(AtomicU64::new(NOW));
        let elapsed = Arc::new(AtomicU64::new(0));
        let (of_wall, of_elapsed) = (Arc::clone(&wall), Arc::clone(&elapsed));
        let clock = Clock::new(
            move || of_wall.load(Relaxed),
            move || Duration::from_secs(of_elapsed.load(Relaxed)),
        );
        (Authority::new(&config(), clock), wall, elapsed)
    }

    #[test]
    fn a_grant_counts_while_a_fresh_list_does_not_revoke_it() {
        let (authority, _, elapsed) = authority();
        assert!(matches!(
            authority.verify(&claims()),
            Err(GrantError::Revocations(RevocationError::Missing))
        ));
        authority.take(&list(1, NOW, &[])).unwrap();
        let granted = authority.verify(&claims()).unwrap();
        assert!(granted.allows(Action::GET_OBJECT, "data", "case-7/a"));
        assert!(!granted.allows(Action::GET_OBJECT, "data", "case-8/a"));
        assert!(granted.has(Action::DECRYPT) && !granted.has(Action::PUT_OBJECT));
        // Nobody signed a new list.
        elapsed.store(600, Relaxed);
        assert!(granted.still_counts().is_err());
        authority.take(&list(2, NOW + 600, &[])).unwrap();
        assert_eq!(granted.still_counts(), Ok(()));
        // What runs ends with a list that revokes, and with one that goes backwards.
        authority.take(&list(3, NOW + 600, &[ID])).unwrap();
        assert_eq!(granted.still_counts(), Err(GrantError::Revoked));
        assert!(authority.take(&list(1, NOW, &[])).is_err());
        assert!(matches!(
            granted.still_counts(),
            Err(GrantError::Revocations(RevocationError::RolledBack { .. }))
        ));
    }

    #[test]
    fn setting_the_clock_back_brings_no_grant_back() {
        let (authority, wall, elapsed) = authority();
        authority.take(&list(1, NOW, &[])).unwrap();
        let granted = authority.verify(&claims()).unwrap();
        elapsed.store(3_600, Relaxed);
        wall.store(NOW, Relaxed);
        authority.take(&list(2, NOW + 3_600, &[])).unwrap();
        assert!(matches!(
            authority.verify(&claims()),
            Err(GrantError::Expired { .. })
        ));
        assert!(granted.still_counts().is_err());
    }

    #[test]
    fn a_grant_is_its_requesters_and_no_changed_text_is_one() {
        let (authority, _, _) = authority();
        authority.take(&list(1, NOW, &[])).unwrap();
        let stolen = Claims {
            identity: "mallory".to_owned(),
            ..claims()
        };
        assert!(matches!(
            authority.verify(&stolen),
            Err(GrantError::OfSomebodyElse { .. })
        ));
        let wider = Claims {
            grant: claims().grant.replace("case-7/", ""),
            ..claims()
        };
        assert_eq!(
            authority.verify(&wider).unwrap_err(),
            GrantError::ForgedApproval
        );
    }
}
