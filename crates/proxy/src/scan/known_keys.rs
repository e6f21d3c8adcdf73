//! The keys that the configured key services have, as wraps name them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealgate_envelope::{
    Domain, Error, WorkingKeyId, Wrap, key_service::KeyService, wrap::Provider,
};
use sha2::{Digest as _, Sha256};

/// How long a service that was away is not asked again for its key's name: a command that goes through a million objects must not wait a million
/// times for the same one.
const AWAY_MEMORY: Duration = Duration::from_secs(30);

/// One key-encryption key of the configuration.
#[derive(Debug, Clone)]
pub(super) struct KnownKey {
    pub(super) service: Arc<dyn KeyService>,
    pub(super) provider: Provider,
    away: Arc<Mutex<Away>>,
}

/// What is remembered of a service that was away.
#[derive(Debug, Default)]
struct Away {
    /// When it did not tell its key's name, for the last time, and why.
    asked: Option<(Instant, Error)>,
    /// Why something could not be looked at because of it, the last time.
    cause: Option<String>,
}

impl KnownKey {
    /// Whether the key has made a wrap, as that says.
    ///
    /// # Errors
    ///
    /// Where the service has to be asked for the key's name first, and is away.
    pub(super) async fn made(&self, wrap: &Wrap) -> sealgate_envelope::Result<bool> {
        if wrap.provider() != self.provider {
            return Ok(false);
        }
        if let Some((since, error)) = &self.away().asked
            && since.elapsed() < AWAY_MEMORY
        {
            return Err(error.clone());
        }
        let made = self.service.opens(wrap.key_reference()).await;
        if let Err(error) = &made {
            let mut away = self.away();
            away.asked = Some((Instant::now(), error.clone()));
            away.cause = Some(error.detail().to_owned());
        }
        made
    }

    fn away(&self) -> MutexGuard<'_, Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, in the order of the configuration.
#[derive(Debug, Clone)]
pub(super) struct KnownKeys(pub(super) Vec<KnownKey>);

impl KnownKeys {
    pub(super) fn of(services: &[Arc<dyn KeyService>]) -> Self {
        let known = services.iter().map(|service| KnownKey {
            provider: service.provider(),
            service: Arc::clone(service),
            away: Arc::default(),
        });
        Self(known.collect())
    }

    /// Whether one of the wraps may be opened by a key of the configuration.
    ///
    /// # Errors
    ///
    /// When nobody can tell, because a service does not tell its key's name.
    pub(super) async fn may_open(&self, wraps: [&[Wrap]; 2]) -> sealgate_envelope::Result<bool> {
        let mut away = None;
        for wrap in wraps.into_iter().flatten() {
            for key in &self.0 {
                match key.made(wrap).await {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(error) => away = Some(error),
                }
            }
        }
        away.map_or(Ok(false), Err)
    }

    /// Notes that these wraps did not open because no service was there that may open them.
    pub(super) async fn note_away(&self, wraps: &[Wrap], cause: &str) {
        for key in &self.0 {
            for wrap in wraps {
                if key.made(wrap).await.is_ok_and(|made| made) {
                    key.away().cause = Some(cause.to_owned());
                }
            }
        }
    }

    /// Which of them were away when something was to be looked at, by their places in the configuration, and why.
    pub(super) fn away(&self) -> Vec<(usize, String)> {
        let causes = self.0.iter().map(|key| key.away().cause.clone());
        let away = causes.enumerate();
        away.filter_map(|(place, cause)| Some((place, cause?)))
            .collect()
    }
}

/// What a wrap says in one context, for a memory of what came of trying it.
pub(super) fn digest(id: WorkingKeyId, domain: &Domain, wrap: &Wrap) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(id.as_bytes());
    digest.update((domain.as_str().len() as u64).to_be_bytes());
    digest.update(domain.as_str());
    let mut encoded = Vec::new();
    wrap.encode(&mut encoded);
    digest.update(&encoded);
    digest.finalize().into()
}

/// A wrap's key, for people: provider and reference.
pub(super) fn name(wrap: &Wrap) -> String {
    let provider = wrap.provider();
    match provider.name() {
        Some(name) => format!("{name} {}", wrap.key_reference()),
        None => format!("provider {} {}", provider.code(), wrap.key_reference()),
    }
}
