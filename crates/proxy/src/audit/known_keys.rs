//! The keys that the configured key services have, as wraps name them.

use std::sync::Arc;

use sealgate_envelope::{KeyReference, Wrap, key_service::KeyService, wrap::Provider};

/// One key-encryption key of the configuration.
#[derive(Debug, Clone)]
pub(super) struct KnownKey {
    pub(super) provider: Provider,
    /// None where the service has to be asked for its name, and is away.
    pub(super) reference: Option<KeyReference>,
}

impl KnownKey {
    pub(super) fn made(&self, wrap: &Wrap) -> bool {
        wrap.provider() == self.provider && self.reference == Some(wrap.key_reference())
    }
}

/// All of them, in the order of the configuration.
#[derive(Debug, Clone)]
pub(super) struct KnownKeys(pub(super) Vec<KnownKey>);

impl KnownKeys {
    pub(super) async fn of(services: &[Arc<dyn KeyService>]) -> Self {
        let mut known = Vec::with_capacity(services.len());
        for service in services {
            let reference = service.key_reference().await;
            if let Err(error) = &reference {
                tracing::warn!(
                    detail = error.detail(),
                    "a key service does not tell its key's name, so nobody can tell which wraps are its own"
                );
            }
            known.push(KnownKey {
                provider: service.provider(),
                reference: reference.ok(),
            });
        }
        Self(known)
    }

    /// Whether one of the wraps may be opened by a key of the configuration. One that does not tell its name may have made any of its provider.
    pub(super) fn may_open<'a>(&self, wraps: impl IntoIterator<Item = &'a Wrap>) -> bool {
        wraps.into_iter().any(|wrap| {
            self.0.iter().any(|key| {
                key.made(wrap) || (key.reference.is_none() && key.provider == wrap.provider())
            })
        })
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
