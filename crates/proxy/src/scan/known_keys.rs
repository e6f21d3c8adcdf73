//! The keys that the configured key services have, as wraps name them.

use std::sync::Arc;

use sealgate_envelope::{Wrap, key_service::KeyService, wrap::Provider};

/// One key-encryption key of the configuration.
#[derive(Debug, Clone)]
pub(super) struct KnownKey {
    pub(super) service: Arc<dyn KeyService>,
    pub(super) provider: Provider,
}

impl KnownKey {
    /// Whether the key has made a wrap, as that says.
    ///
    /// # Errors
    ///
    /// Where the service has to be asked for the key's name first, and is away.
    pub(super) async fn made(&self, wrap: &Wrap) -> sealgate_envelope::Result<bool> {
        Ok(wrap.provider() == self.provider && self.service.opens(wrap.key_reference()).await?)
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
}

/// A wrap's key, for people: provider and reference.
pub(super) fn name(wrap: &Wrap) -> String {
    let provider = wrap.provider();
    match provider.name() {
        Some(name) => format!("{name} {}", wrap.key_reference()),
        None => format!("provider {} {}", provider.code(), wrap.key_reference()),
    }
}
