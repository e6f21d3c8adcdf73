//! What may change while a gateway runs: whose requests it takes, and how many.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use sealgate_access::{Engine, token::Claims};

use super::{Gateway, key_sets::KeySet, places::Places, throttling::NOT_ALL_OPEN};
use crate::audit::Trail;
use crate::auth::{
    AuthError, Authenticated, Caller, Credential, CredentialStore, Origin, SecretAccessKey,
    StoredKeys,
};
use crate::config::{Config, LimitsConfig, RatesConfig, RoleConfig, SessionsConfig};
use crate::error::S3Error;
use crate::listener::ConnectionInfo;
use crate::throttle::{Addresses, Share};

/// One state of it. A request looks at it once and keeps what it found.
pub(super) struct Live {
    pub(super) credentials: CredentialStore,
    pub(super) places: Arc<Places>,
    /// Who may do what; without it, every identity may do everything.
    pub(super) policy: Option<Arc<Engine>>,
    /// What makes and opens session tokens, if anything.
    pub(super) sessions: Option<SessionsConfig>,
    /// What identities and web identities may become, by name.
    pub(super) roles: HashMap<String, RoleConfig>,
    /// The public keys of identity providers, by name.
    pub(super) key_sets: HashMap<String, Arc<KeySet>>,
    /// The names of certificates that an identity's requests must come with, where it lists some.
    certificates: HashMap<String, Vec<String>>,
    /// The bounds of each identity, by its name.
    shares: HashMap<String, (RatesConfig, Arc<Share>)>,
    pub(super) addresses: Arc<Addresses>,
    limits: (usize, usize),
}

impl Live {
    pub(super) fn new(config: &Config, stored: &Arc<StoredKeys>) -> anyhow::Result<Self> {
        let names = config
            .identities
            .iter()
            .map(|identity| identity.name.clone());
        Ok(Self {
            credentials: credentials(config)?
                .with_sessions(
                    config
                        .short_lived
                        .sessions
                        .as_ref()
                        .map(|sessions| Arc::clone(&sessions.keys)),
                )
                .with_stored(Arc::clone(stored), names),
            sessions: config.short_lived.sessions.clone(),
            roles: config
                .short_lived
                .roles
                .iter()
                .map(|role| (role.name.clone(), role.clone()))
                .collect(),
            key_sets: config
                .short_lived
                .providers
                .iter()
                .map(|provider| {
                    let keys = KeySet::new(provider.clone())?;
                    Ok((provider.name.clone(), Arc::new(keys)))
                })
                .collect::<anyhow::Result<_>>()?,
            places: Arc::new(Places::new(&config.limits)),
            policy: config.policy.clone(),
            certificates: config
                .identities
                .iter()
                .filter_map(|identity| {
                    Some((identity.name.clone(), identity.certificates.clone()?))
                })
                .collect(),
            shares: config
                .identities
                .iter()
                .map(|identity| {
                    let rates = identity.limits.unwrap_or(config.limits.per_identity);
                    (identity.name.clone(), rates)
                })
                .chain(
                    config
                        .short_lived
                        .roles
                        .iter()
                        .map(|role| (role.name.clone(), config.limits.per_identity)),
                )
                .map(|(name, rates)| (name, (rates, Arc::new(Share::new(rates)))))
                .collect(),
            addresses: Arc::new(Addresses::new(config.limits.per_address)),
            limits: limits(&config.limits),
        })
    }

    /// The bounds of an identity; none for one that is not configured, such as nobody.
    pub(super) fn share(&self, identity: &str) -> Option<&Arc<Share>> {
        self.shares.get(identity).map(|(_, share)| share)
    }

    /// An answer to a request that was not authenticated. Nobody is told that there is no such access key while some are not open yet: a client would
    /// give up, where trying again helps. Who comes too late with a session or a grant is known by its secret, and recorded.
    pub(super) fn refusal(&self, error: AuthError, trail: &Trail) -> S3Error {
        if let AuthError::ExpiredToken { claims } = &error {
            trail.claim(claims);
            trail.refuse();
        }
        let is_lacking = self.credentials.stored().is_lacking();
        if is_lacking && matches!(error, AuthError::InvalidAccessKeyId { .. }) {
            return S3Error::unavailable(
                NOT_ALL_OPEN,
                "the access key is not known, and some that are stored could not be opened yet",
            );
        }
        error.into()
    }

    /// Whether a caller whose signature was verified may go on: by its connection, and as the session that it is. What its grant is worth, if it has
    /// one, is for [`Gateway::admit`] to say, which calls this.
    ///
    /// # Errors
    /// `AccessDenied` and `InvalidToken`.
    pub(super) fn check(
        &self,
        caller: &Authenticated<Caller>,
        connection: &ConnectionInfo,
    ) -> Result<(), S3Error> {
        if let Some(claims) = &caller.session {
            self.check_session(claims)?;
        }
        self.check_certificate(&caller.identity, connection)?;
        // Whoever assumed a role is bound as they are without it.
        let session = caller.session.as_ref();
        session.map_or(Ok(()), |claims| {
            self.check_certificate(&claims.source, connection)
        })
    }

    /// What a session stands for may have been taken back since it was made: its identity is gone, its role trusts whoever got it no more, or the
    /// access key that signed for it was revoked.
    fn check_session(&self, claims: &Claims) -> Result<(), S3Error> {
        let may = match self.roles.get(&claims.identity) {
            None => claims.source.is_empty() && self.is_identity(&claims.identity),
            Some(role) => self.trusts(role, &claims.source),
        };
        let origin = self.credentials.stored().origin(&claims.signed_by);
        if may && origin == Origin::Unknown {
            return Err(S3Error::unavailable(
                "Not all sessions can be verified at the moment. Please try again.",
                "whether the access key that signed for the session was revoked is not known yet",
            ));
        }
        if !may || origin == Origin::TakenBack {
            let detail = "what the session stands for was taken back";
            return Err(S3Error::from(AuthError::InvalidToken).with_detail(detail));
        }
        Ok(())
    }

    /// Whether there is an identity of this name; a role is none.
    fn is_identity(&self, name: &str) -> bool {
        self.shares.contains_key(name) && !self.roles.contains_key(name)
    }

    /// Whether an identity may assume a role.
    pub(super) fn may_assume(&self, role: &RoleConfig, identity: &str) -> bool {
        self.is_identity(identity) && role.identities.iter().any(|name| name == identity)
    }

    /// Whether a role trusts an identity, or the `PROVIDER/SUBJECT` of a web identity.
    fn trusts(&self, role: &RoleConfig, source: &str) -> bool {
        match source.split_once('/') {
            Some((provider, subject)) => role
                .web_identities
                .iter()
                .any(|trust| trust.provider == provider && trust.matches(subject)),
            None => self.may_assume(role, source),
        }
    }

    /// These names, in whatever letter case, and those of the roles that whoever has one of them may assume. A role can assume none.
    pub(super) fn with_roles(&self, names: BTreeSet<String>) -> BTreeSet<String> {
        let roles = self.roles.values();
        let is_assumed = |role: &RoleConfig, name: &String| {
            let mut identities = role.identities.iter();
            self.trusts(role, name)
                || identities.any(|identity| {
                    identity.eq_ignore_ascii_case(name) && self.is_identity(identity)
                })
        };
        let assumed = roles.filter(|role| names.iter().any(|name| is_assumed(role, name)));
        let assumed: Vec<_> = assumed.map(|role| role.name.clone()).collect();
        names.into_iter().chain(assumed).collect()
    }

    /// Whether the connection's certificate is one that this identity's requests must come with. It adds to the signature, which was verified
    /// before, and never stands for it.
    ///
    /// # Errors
    /// `AccessDenied`, with what the certificate says for the log alone.
    fn check_certificate(
        &self,
        identity: &str,
        connection: &ConnectionInfo,
    ) -> Result<(), S3Error> {
        let Some(listed) = self.certificates.get(identity) else {
            return Ok(());
        };
        let shown = connection.certificate.as_deref().unwrap_or_default();
        if shown.iter().any(|name| listed.contains(name)) {
            return Ok(());
        }
        Err(S3Error::access_denied(
            "Requests of this identity must come with a client certificate that the gateway knows to be its own.",
        )
        .with_detail(format!("the certificate of the connection has the names {shown:?}")))
    }

    /// The state that follows this one. What is used up stays so where its bound is the same; else what older requests hold no longer counts.
    fn next(&self, config: &Config) -> anyhow::Result<Self> {
        let mut next = Self::new(config, self.credentials.stored())?;
        // Without it everything would be allowed at once. A file that was cut off must not do that; a restart shows whether it is meant.
        if config.policy.is_none() {
            next.policy.clone_from(&self.policy);
        }
        if next.limits == self.limits {
            next.places = Arc::clone(&self.places);
        }
        if next.addresses.config() == self.addresses.config() {
            next.addresses = Arc::clone(&self.addresses);
        }
        for (name, keys) in &mut next.key_sets {
            if let Some(known) = self.key_sets.get(name)
                && known.is_of(keys)
            {
                *keys = Arc::clone(known);
            }
        }
        for (name, (rates, share)) in &mut next.shares {
            if let Some((before, known)) = self.shares.get(name)
                && before == rates
            {
                *share = Arc::clone(known);
            }
        }
        Ok(next)
    }
}

fn limits(limits: &LimitsConfig) -> (usize, usize) {
    (limits.concurrent_requests, limits.unsigned_requests)
}

impl Gateway {
    /// Whether requests are decided about by policies.
    pub(crate) fn has_policy(&self) -> bool {
        self.live.load().policy.is_some()
    }

    /// Takes over the identities and the limits of another configuration, for requests that come from now on. Requests that are under way go on.
    ///
    /// # Errors
    /// If credentials can't be used; then nothing has changed.
    pub(crate) fn adopt(&self, config: &Config) -> anyhow::Result<()> {
        let next = self.live.load().next(config)?;
        self.live.store(Arc::new(next));
        self.grants.adopt(config.grants.as_ref());
        Ok(())
    }
}

fn credentials(config: &Config) -> anyhow::Result<CredentialStore> {
    let all = config.identities.iter().flat_map(|identity| {
        identity.credentials.iter().map(|credential| Credential {
            access_key_id: credential.access_key_id.clone(),
            secret: SecretAccessKey::new(credential.secret_access_key.expose()),
            identity: identity.name.clone(),
        })
    });
    CredentialStore::new(all.collect()).context("[[identity]]")
}
