//! The access keys that clients may use.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sealgate_access::token::{Claims, TokenKeys};
use thiserror::Error;

use super::error::AuthError;
use super::keys::{SecretAccessKey, Service, SigningKey};
use super::limits::{MAX_ACCESS_KEY_ID_LENGTH, MAX_CACHED_SIGNING_KEYS};
use super::session::{OpenSession, SecurityToken};
use super::stored::{Standing, StoredKeys};

/// One access key of a client.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The public half, 1 to 128 characters.
    pub access_key_id: String,
    /// The secret half.
    pub secret: SecretAccessKey,
    /// The identity that requests signed with it act as.
    pub identity: String,
}

/// A credential that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// Two credentials have the same access key id.
    #[error("the access key id {0:?} occurs twice; give each client its own")]
    Duplicate(String),
    /// The access key id is empty or too long.
    #[error("the access key id {0:?} must have 1 to 128 characters")]
    AccessKeyIdLength(String),
    /// The secret is empty, so that everybody knew it.
    #[error("the secret of access key id {0:?} is empty")]
    EmptySecret(String),
}

/// All access keys, immutable once built. Secrets are zeroized on drop.
pub struct CredentialStore {
    by_access_key_id: HashMap<String, Arc<Entry>>,
    /// Those that lie in a directory, and the identities that may have some there.
    stored: Arc<StoredKeys>,
    identities: HashSet<String>,
    /// Stands in for the secret of an access key that does not exist, so that looking for one costs the same.
    stand_in: SecretAccessKey,
    /// What opens the tokens of sessions, where there are any.
    sessions: Option<Arc<TokenKeys>>,
}

/// Who holds the access key that a request names.
pub(super) enum Holder<'a> {
    /// An identity of the configuration.
    Identity(Arc<Entry>),
    /// A session, by the token of the request.
    Session(OpenSession),
    /// Nobody; what stands in verifies nothing.
    Nobody(&'a SecretAccessKey),
}

/// Whom a verified signature stands for.
pub(super) struct Signer {
    pub(super) identity: Arc<str>,
    pub(super) access_key_id: Arc<str>,
    pub(super) session: Option<Arc<Claims>>,
}

impl Holder<'_> {
    /// The key that has to have signed.
    pub(super) fn signing_key(&self, service: Service, day: &str, region: &str) -> SigningKey {
        match self {
            Self::Identity(entry) if service == Service::S3 => entry.signing_key(day, region),
            Self::Identity(entry) => SigningKey::derive_for(service, &entry.secret, day, region),
            Self::Session(session) => session.signing_key(service, day, region),
            Self::Nobody(stand_in) => SigningKey::derive_for(service, stand_in, day, region),
        }
    }

    /// What follows once the signature was verified: the time of a session must not be over, and the key of an identity is remembered.
    ///
    /// # Errors
    /// `ExpiredToken`.
    pub(super) fn verified(
        &self,
        service: Service,
        day: &str,
        region: &str,
        key: &SigningKey,
    ) -> Result<(), AuthError> {
        match self {
            Self::Session(session) => session.require_time()?,
            Self::Identity(entry) if service == Service::S3 => entry.remember(day, region, key),
            Self::Identity(_) | Self::Nobody(_) => {}
        }
        Ok(())
    }

    /// Who signed, once the signature was verified; nobody where there is no such key.
    pub(super) fn signer(&self) -> Option<Signer> {
        match self {
            Self::Identity(entry) => Some(Signer {
                identity: Arc::clone(&entry.identity),
                access_key_id: Arc::clone(&entry.access_key_id),
                session: None,
            }),
            Self::Session(session) => Some(Signer {
                identity: session.claims.identity.as_str().into(),
                access_key_id: session.claims.access_key_id.as_str().into(),
                session: Some(Arc::clone(&session.claims)),
            }),
            Self::Nobody(_) => None,
        }
    }
}

/// What is known of one access key.
pub(crate) struct Entry {
    access_key_id: Arc<str>,
    identity: Arc<str>,
    secret: SecretAccessKey,
    recent: Mutex<Vec<CachedKey>>,
}

struct CachedKey {
    day: String,
    region: String,
    key: SigningKey,
}

impl CredentialStore {
    /// Builds the store.
    ///
    /// # Errors
    /// An access key id that is empty, too long or there twice, or an empty secret.
    pub fn new(credentials: Vec<Credential>) -> Result<Self, CredentialError> {
        let mut by_access_key_id = HashMap::with_capacity(credentials.len());
        for credential in credentials {
            let access_key_id = credential.access_key_id;
            if access_key_id.is_empty() || access_key_id.len() > MAX_ACCESS_KEY_ID_LENGTH {
                return Err(CredentialError::AccessKeyIdLength(access_key_id));
            }
            if credential.secret.is_empty() {
                return Err(CredentialError::EmptySecret(access_key_id));
            }
            let entry = Entry::new(&access_key_id, credential.identity, credential.secret);
            if by_access_key_id
                .insert(access_key_id.clone(), Arc::new(entry))
                .is_some()
            {
                return Err(CredentialError::Duplicate(access_key_id));
            }
        }
        Ok(Self {
            by_access_key_id,
            stand_in: SecretAccessKey::new("no such access key"),
            sessions: None,
            stored: Arc::default(),
            identities: HashSet::new(),
        })
    }

    /// Also takes access keys of these identities that lie in a directory.
    #[must_use]
    pub(crate) fn with_stored(
        mut self,
        stored: Arc<StoredKeys>,
        identities: impl IntoIterator<Item = String>,
    ) -> Self {
        self.stored = stored;
        self.identities = identities.into_iter().collect();
        self
    }

    /// Those that lie in a directory.
    pub(crate) fn stored(&self) -> &Arc<StoredKeys> {
        &self.stored
    }

    /// Also takes tokens of sessions that these keys open.
    #[must_use]
    pub fn with_sessions(mut self, keys: Option<Arc<TokenKeys>>) -> Self {
        self.sessions = keys;
        self
    }

    /// Who holds an access key: with a token, a session and nobody else.
    ///
    /// # Errors
    /// For a token that is not good.
    pub(super) fn holder(
        &self,
        access_key_id: &str,
        token: Option<&SecurityToken>,
        now: i64,
    ) -> Result<Holder<'_>, AuthError> {
        if let Some(token) = token {
            let now = u64::try_from(now).unwrap_or_default();
            let keys = self.sessions.as_deref();
            return OpenSession::new(keys, token, access_key_id, now).map(Holder::Session);
        }
        if let Some(entry) = self.by_access_key_id.get(access_key_id) {
            return Ok(Holder::Identity(Arc::clone(entry)));
        }
        Ok(match self.stored.standing(access_key_id) {
            Some(Standing::Works { entry, ends })
                if ends.is_none_or(|ends| now < ends)
                    && self.identities.contains(&*entry.identity) =>
            {
                Holder::Identity(entry)
            }
            _ => Holder::Nobody(&self.stand_in),
        })
    }

    #[cfg(test)]
    fn find(&self, access_key_id: &str) -> Option<&Arc<Entry>> {
        self.by_access_key_id.get(access_key_id)
    }
}

impl Entry {
    pub(crate) fn new(
        access_key_id: &str,
        identity: impl Into<Arc<str>>,
        secret: SecretAccessKey,
    ) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            identity: identity.into(),
            secret,
            recent: Mutex::new(Vec::new()),
        }
    }

    /// The signing key of `day` and `region`, remembered or derived.
    fn signing_key(&self, day: &str, region: &str) -> SigningKey {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = recent
            .iter()
            .find(|cached| cached.day == day && cached.region == region);
        match cached {
            Some(cached) => cached.key.clone(),
            None => SigningKey::derive(&self.secret, day, region),
        }
    }

    /// Remembers a key. Only for requests that verified: others must not be able to displace keys in use.
    fn remember(&self, day: &str, region: &str, key: &SigningKey) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent
            .iter()
            .any(|cached| cached.day == day && cached.region == region)
        {
            return;
        }
        if recent.len() >= MAX_CACHED_SIGNING_KEYS {
            recent.remove(0);
        }
        recent.push(CachedKey {
            day: day.to_owned(),
            region: region.to_owned(),
            key: key.clone(),
        });
    }
}

impl fmt::Debug for CredentialStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identities = self
            .by_access_key_id
            .values()
            .map(|entry| (&entry.access_key_id, &entry.identity));
        formatter.debug_map().entries(identities).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stored::Origin;
    use super::*;

    fn credential(access_key_id: &str, secret: &str) -> Credential {
        Credential {
            access_key_id: access_key_id.to_owned(),
            secret: SecretAccessKey::new(secret),
            identity: "alice".to_owned(),
        }
    }

    #[test]
    fn bad_credentials_are_refused() {
        let fault = |credentials| CredentialStore::new(credentials).unwrap_err();
        assert_eq!(
            fault(vec![credential("A", "s"), credential("A", "t")]),
            CredentialError::Duplicate("A".to_owned())
        );
        assert_eq!(
            fault(vec![credential("", "s")]),
            CredentialError::AccessKeyIdLength(String::new())
        );
        assert_eq!(
            fault(vec![credential("A", "")]),
            CredentialError::EmptySecret("A".to_owned())
        );
    }

    #[test]
    fn stored_keys_are_good_for_identities_that_there_are_until_their_end() {
        let entry = |id: &str, identity: &str| {
            Arc::new(Entry::new(id, identity, SecretAccessKey::new("secret")))
        };
        let stored = Arc::new(StoredKeys::default());
        let works = |entry, ends| Standing::Works { entry, ends };
        stored.set(
            [
                ("SGAK1", works(entry("SGAK1", "alice"), None)),
                ("SGAK2", works(entry("SGAK2", "alice"), Some(100))),
                ("SGAK3", works(entry("SGAK3", "gone"), None)),
                ("AKIA", works(entry("AKIA", "mallory"), None)),
                ("SGAK4", Standing::Revoked),
            ]
            .map(|(id, standing)| (id.to_owned(), standing))
            .into(),
            false,
            true,
        );
        let store = CredentialStore::new(vec![credential("AKIA", "s")])
            .unwrap()
            .with_stored(Arc::clone(&stored), ["alice".to_owned()]);
        let who = |id: &str, now| {
            let signer = store.holder(id, None, now).unwrap().signer();
            signer.map(|signer| signer.identity.to_string())
        };
        assert_eq!(who("SGAK1", 1_000).as_deref(), Some("alice"));
        assert_eq!(who("SGAK2", 99).as_deref(), Some("alice"));
        assert_eq!(who("SGAK2", 100), None);
        assert_eq!(who("SGAK3", 0), None);
        assert_eq!(who("SGAK4", 0), None);
        // The configuration comes first.
        assert_eq!(who("AKIA", 0).as_deref(), Some("alice"));
        store.stored().set(HashMap::new(), false, true);
        assert_eq!(who("SGAK1", 0), None);
    }

    #[test]
    fn sessions_end_with_the_access_key_that_signed_for_them_and_wait_for_what_is_not_known() {
        let (id, other) = ("SGAKAAAAAAAAAAAAAAAA", "SGAKBBBBBBBBBBBBBBBB");
        let stored = StoredKeys::default();
        let set = |standing: Option<Standing>, is_complete| {
            let known = standing.map(|standing| (id.to_owned(), standing));
            stored.set(known.into_iter().collect(), false, is_complete);
        };
        set(Some(Standing::Ended), true);
        assert_eq!(stored.origin(id), Origin::Good);
        assert_eq!(stored.origin(other), Origin::TakenBack);
        set(Some(Standing::Revoked), true);
        assert_eq!(stored.origin(id), Origin::TakenBack);
        set(None, false);
        assert_eq!(stored.origin(id), Origin::Unknown);
        // Of the configuration, or of nobody.
        assert_eq!(stored.origin("SGAPP1"), Origin::Good);
        assert_eq!(stored.origin(""), Origin::Good);
    }

    #[test]
    fn whether_keys_are_lacking_is_known() {
        let stored = StoredKeys::default();
        assert!(!stored.is_lacking());
        stored.set(HashMap::new(), true, true);
        assert!(stored.is_lacking());
    }

    #[test]
    fn debug_output_has_no_secret() {
        let store = CredentialStore::new(vec![credential("AKIA", "hidden-value")]).unwrap();
        let printed = format!("{store:?} {:?}", credential("AKIA", "hidden-value"));
        assert!(printed.contains("AKIA") && printed.contains("alice"));
        assert!(!printed.contains("hidden-value"));
    }

    #[test]
    fn the_cache_is_bounded_and_right() {
        let store = CredentialStore::new(vec![credential("AKIA", "s")]).unwrap();
        let entry = store.find("AKIA").unwrap();
        for number in 0..3 * MAX_CACHED_SIGNING_KEYS {
            let region = format!("region-{number}");
            for _ in 0..2 {
                let key = entry.signing_key("20130524", &region);
                let fresh = SigningKey::derive(&SecretAccessKey::new("s"), "20130524", &region);
                assert_eq!(key.sign(&[b"x"]), fresh.sign(&[b"x"]));
                entry.remember("20130524", &region, &key);
            }
        }
        assert_eq!(entry.recent.lock().unwrap().len(), MAX_CACHED_SIGNING_KEYS);
    }

    #[test]
    fn keys_of_verified_requests_are_remembered_by_day_and_for_s3_alone() {
        let store = CredentialStore::new(vec![credential("AKIA", "s")]).unwrap();
        let entry = store.find("AKIA").unwrap();
        let holder = store.holder("AKIA", None, 0).unwrap();
        let secret = SecretAccessKey::new("s");
        let right =
            |service, day: &str| SigningKey::derive_for(service, &secret, day, "r").sign(&[b"x"]);
        let given = |service, day: &str| holder.signing_key(service, day, "r").sign(&[b"x"]);
        for (service, day, remembered) in [
            (Service::Sts, "20130524", 0),
            (Service::S3, "20130524", 1),
            (Service::S3, "20130524", 1),
            (Service::S3, "20130525", 2),
        ] {
            let key = holder.signing_key(service, day, "r");
            assert_eq!(key.sign(&[b"x"]), right(service, day));
            holder.verified(service, day, "r", &key).unwrap();
            assert_eq!(entry.recent.lock().unwrap().len(), remembered, "{day}");
        }
        // A mark shows that what is remembered is used, and for what.
        let mark = SigningKey::derive(&SecretAccessKey::new("mark"), "20130526", "r");
        entry.remember("20130526", "r", &mark);
        assert_eq!(given(Service::S3, "20130526"), mark.sign(&[b"x"]));
        for (service, day) in [
            (Service::Sts, "20130526"),
            (Service::S3, "20130525"),
            (Service::S3, "20130527"),
        ] {
            assert_eq!(given(service, day), right(service, day), "{day}");
        }
    }
}
