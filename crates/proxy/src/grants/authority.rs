//! Whether a grant counts, by the configuration, the newest list of revocations and the clock.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use quick_cache::sync::Cache;
use sealgate_access::{
    Action,
    grant::{
        Grant, GrantError, GrantRequest, RevocationError, RevocationList, Revocations,
        SignedRevocationList, User, VerifiedGrant,
    },
    token::Claims,
};
use sha2::{Digest as _, Sha256};

use super::Clock;
use crate::config::GrantsConfig;

/// Grants whose signatures are known to be good.
const VERIFIED: usize = 256;

/// Grants whose first use is remembered. More are forgotten all at once, and recorded again.
const USED: usize = 10_000;

/// What a replica knows about grants.
#[derive(Debug)]
pub(crate) struct Authority {
    settings: ArcSwapOption<Settings>,
    /// Settings that there were.
    generations: AtomicU64,
    revocations: ArcSwap<Revocations>,
    /// Grants that were verified, by a digest of them, of their user and of the rules: signatures cost more than the rest of a small request. Time
    /// and revocations are looked at every time.
    verified: Cache<[u8; 32], Arc<VerifiedGrant>>,
    /// Grants whose first use here is recorded.
    used: Mutex<HashSet<String>>,
    clock: Clock,
}

/// The rules of a configuration, and a number that no others have.
#[derive(Debug)]
struct Settings {
    config: Arc<GrantsConfig>,
    generation: u64,
}

impl Authority {
    /// Knows no list of revocations yet, so no grant counts.
    pub(crate) fn new(
        deployment: &str,
        config: Option<&Arc<GrantsConfig>>,
        clock: Clock,
    ) -> Arc<Self> {
        let authority = Arc::new(Self {
            settings: ArcSwapOption::empty(),
            generations: AtomicU64::new(0),
            revocations: ArcSwap::from_pointee(Revocations::new(deployment, Vec::new(), 0)),
            verified: Cache::new(VERIFIED),
            used: Mutex::default(),
            clock,
        });
        authority.adopt(config);
        authority
    }

    /// Goes by other rules from now on, also for what is running. Without any, no grant counts.
    pub(crate) fn adopt(&self, config: Option<&Arc<GrantsConfig>>) {
        let (revokers, maximum_age) = config.map_or((Vec::new(), 0), |config| {
            (config.revokers.clone(), config.maximum_age.as_secs())
        });
        self.revocations
            .rcu(|known| known.with(revokers.clone(), maximum_age));
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        self.settings.store(config.map(|config| {
            Arc::new(Settings {
                config: Arc::clone(config),
                generation,
            })
        }));
    }

    /// The configuration that is gone by.
    pub(crate) fn config(&self) -> Option<Arc<GrantsConfig>> {
        let settings = self.settings.load();
        settings
            .as_ref()
            .map(|settings| Arc::clone(&settings.config))
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Takes over a list of revocations, from now on, also for what is running. Tells whether it is another one than before.
    ///
    /// # Errors
    /// [`RevocationError`]; after a list that goes backwards, or differs from another one of its number, no grant counts.
    pub(crate) fn take(&self, list: &SignedRevocationList) -> Result<bool, RevocationError> {
        if self.revocations.load().goes_by(list) {
            // That it has become stale is for requests to find, and for whoever runs the gateway to hear.
            self.revocations.load().is_revoked("", self.now())?;
            return Ok(false);
        }
        let mut outcome = Ok(());
        // One task calls this; requests go on by the list before until this one is verified.
        self.revocations.rcu(|known| {
            let mut next = Revocations::clone(known);
            outcome = next.update(list, self.now());
            next
        });
        outcome.map(|()| true)
    }

    /// How many grants the newest list does not name that one before had revoked.
    pub(crate) fn dropped(&self) -> usize {
        self.revocations.load().dropped()
    }

    /// The newest list of revocations.
    pub(crate) fn newest(&self) -> Option<RevocationList> {
        self.revocations.load().newest().cloned()
    }

    /// Why the list of revocations needs somebody, if it does, though grants still count: half of its life is over.
    pub(crate) fn aging(&self) -> Option<String> {
        super::aging(&self.revocations.load(), self.now())
    }

    /// Verifies a grant: everything, but signatures that were found good before.
    ///
    /// # Errors
    /// [`GrantError`].
    pub(crate) fn verify(self: &Arc<Self>, claims: &Arc<Claims>) -> Result<Granted, GrantError> {
        let settings = self.settings.load_full().ok_or(GrantError::NoRules)?;
        let user = User {
            identity: &claims.identity,
            person: &claims.source,
        };
        let digest = digest(settings.generation, user, &claims.grant);
        let revocations = self.revocations.load();
        let grant = if let Some(known) = self.verified.get(&digest) {
            known.still_counts(&revocations, self.now())?;
            known
        } else {
            let rules = &settings.config.rules;
            let grant = Grant::of_text(&claims.grant)?;
            let grant = Arc::new(grant.verify(user, rules, &revocations, self.now())?);
            self.verified.insert(digest, Arc::clone(&grant));
            grant
        };
        Ok(Granted {
            grant,
            claims: Arc::clone(claims),
            generation: settings.generation,
            authority: Arc::clone(self),
        })
    }

    /// Whether a grant was used here before, as far as that is remembered.
    pub(crate) fn was_used(&self, id: &str) -> bool {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(id)
    }

    /// Remembers that a grant's first use here is recorded.
    pub(crate) fn remember_use(&self, id: &str) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED {
            used.clear();
        }
        used.insert(id.to_owned());
    }
}

/// Of everything that the outcome of a verification depends on but time and revocations.
fn digest(generation: u64, user: User<'_>, grant: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(generation.to_be_bytes());
    for text in [user.identity, user.person, grant] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// A grant that counted when a request came.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    grant: Arc<VerifiedGrant>,
    claims: Arc<Claims>,
    generation: u64,
    authority: Arc<Authority>,
}

impl Granted {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.request().id
    }

    /// What was granted.
    pub(crate) fn request(&self) -> &GrantRequest {
        self.grant.request()
    }

    /// Who approved it.
    pub(crate) fn approvers(&self) -> impl Iterator<Item = &str> {
        self.grant.approvers().iter().map(String::as_str)
    }

    /// Whether its scope has an action anywhere.
    pub(crate) fn has(&self, action: Action) -> bool {
        self.grant.has(action)
    }

    /// Whether its scope has an action on an object or, for a listing, on what lies below a prefix.
    pub(crate) fn allows(&self, action: Action, bucket: &str, key_or_prefix: &str) -> bool {
        self.grant.allows(action, bucket, key_or_prefix)
    }

    /// Whether it still counts: the list of revocations, the rules and the time may have changed since.
    ///
    /// # Errors
    /// [`GrantError`].
    pub(crate) fn still_counts(&self) -> Result<(), GrantError> {
        let settings = self.authority.settings.load();
        let generation = settings.as_ref().ok_or(GrantError::NoRules)?.generation;
        if generation != self.generation {
            return self.authority.verify(&self.claims).map(|_| ());
        }
        let revocations = self.authority.revocations.load();
        self.grant.still_counts(&revocations, self.authority.now())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    use sealgate_access::PrivateKey;
    use sealgate_access::grant::{Approval, Approver, GrantRecord, Rules, Scope};

    use super::*;
    use crate::config::{NotifyConfig, RevocationSource};

    const NOW: u64 = 1_800_000_000;

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

    fn request() -> GrantRequest {
        let request = GrantRequest {
            version: GrantRequest::VERSION,
            deployment: "d".to_owned(),
            id: String::new(),
            nonce: String::new(),
            requester: "oscar".to_owned(),
            scope: Scope {
                bucket: "data".to_owned(),
                prefix: "case-7/".to_owned(),
                actions: vec!["s3:GetObject".to_owned(), "decrypt".to_owned()],
            },
            reason: "r".to_owned(),
            ticket: String::new(),
            made: NOW,
            not_before: NOW,
            expires: NOW + 3_600,
        };
        request.identified().unwrap()
    }

    fn claims() -> Arc<Claims> {
        let mut record = GrantRecord::new(request().to_text().unwrap());
        let rules = config().rules;
        let approval = Approval::sign(&record.request, &key(1)).unwrap();
        record.approve(approval, "oscar", &rules).unwrap();
        Arc::new(Claims {
            identity: "oscar".to_owned(),
            session: String::new(),
            source: String::new(),
            signed_by: String::new(),
            access_key_id: "SGT".to_owned(),
            issued: NOW,
            expires: NOW + 3_600,
            grant: record.grant("oscar", &rules).to_text().unwrap(),
        })
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
        let config = Arc::new(config());
        (Authority::new("d", Some(&config), clock), wall, elapsed)
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
        authority
            .take(&list(3, NOW + 600, &[&request().id]))
            .unwrap();
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
        // Found good once, under its own name.
        authority.verify(&claims()).unwrap();
        let stolen = Arc::new(Claims {
            identity: "mallory".to_owned(),
            ..Claims::clone(&claims())
        });
        assert!(matches!(
            authority.verify(&stolen),
            Err(GrantError::OfSomebodyElse { .. })
        ));
        let wider = GrantRequest {
            scope: Scope {
                prefix: String::new(),
                ..request().scope
            },
            ..request()
        };
        let wider = wider.identified().unwrap().to_text().unwrap();
        let grant = Grant::of_text(&claims().grant).unwrap();
        let grant = Grant {
            request: wider,
            ..grant
        };
        let wider = Arc::new(Claims {
            grant: grant.to_text().unwrap(),
            ..Claims::clone(&claims())
        });
        assert_eq!(
            authority.verify(&wider).unwrap_err(),
            GrantError::ForgedApproval
        );
        let changed = Arc::new(Claims {
            grant: claims().grant.replace("case-7/", ""),
            ..Claims::clone(&claims())
        });
        assert!(matches!(
            authority.verify(&changed),
            Err(GrantError::Unsound { .. })
        ));
    }

    #[test]
    fn a_grant_that_is_known_ends_by_revocation_and_by_other_rules() {
        let (authority, _, elapsed) = authority();
        authority.take(&list(1, NOW, &[])).unwrap();
        assert!(!authority.take(&list(1, NOW, &[])).unwrap());
        let granted = authority.verify(&claims()).unwrap();
        // An approver has left: what runs ends, and what was found good by the rules before is not.
        let mut left = config();
        left.rules.approvers[0].key = key(9).public_key();
        authority.adopt(Some(&Arc::new(left)));
        assert_eq!(granted.still_counts(), Err(GrantError::ForgedApproval));
        assert!(authority.verify(&claims()).is_err());
        authority.adopt(Some(&Arc::new(config())));
        assert_eq!(granted.still_counts(), Ok(()));
        authority.adopt(None);
        assert_eq!(granted.still_counts(), Err(GrantError::NoRules));
        assert!(matches!(
            authority.verify(&claims()),
            Err(GrantError::NoRules)
        ));
        authority.adopt(Some(&Arc::new(config())));
        authority.verify(&claims()).unwrap();
        // The list is as known as the grant, and stale.
        elapsed.store(600, Relaxed);
        assert!(authority.take(&list(1, NOW, &[])).is_err());
        assert!(matches!(
            authority.verify(&claims()),
            Err(GrantError::Revocations(RevocationError::Stale { .. }))
        ));
        let list = list(2, NOW + 600, &[&request().id]);
        assert!(authority.take(&list).unwrap());
        assert!(matches!(
            authority.verify(&claims()),
            Err(GrantError::Revoked)
        ));
    }

    /// What the signatures of a request cost, and what is left of that once they are known; see docs/access.md. Run it by its name.
    #[test]
    #[ignore = "measures"]
    fn cost_of_a_request_with_a_grant() {
        let (authority, _, _) = authority();
        authority.take(&list(1, NOW, &[])).unwrap();
        let claims = claims();
        let count = 2_000_u32;
        let started = std::time::Instant::now();
        for _ in 0..count {
            authority.verified.clear();
            authority.verify(&claims).unwrap();
        }
        let verified = started.elapsed() / count;
        let started = std::time::Instant::now();
        for _ in 0..count {
            authority.verify(&claims).unwrap();
        }
        let known = started.elapsed() / count;
        println!("verified {verified:?}, known {known:?}");
        assert!(known < verified / 4, "{known:?} of {verified:?}");
    }
}
