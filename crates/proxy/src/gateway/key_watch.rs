//! Asks the key services now and then whether their keys can be used, and says when that changes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sealgate_envelope::key_service::{
    EncryptionContext, KeyAvailability, KeyDescription, KeyService,
};
use sealgate_envelope::{Domain, OsRandom, WorkingKeyId};

use super::Gateway;
use crate::config::Mode;

/// How long a key that is too old stays in memory at most.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

impl Gateway {
    /// Asks every key service at once and then again at the configured interval, for as long as the gateway lives. What
    /// it says goes to the log at the start and whenever it changes; nothing waits for it.
    pub(crate) fn watch_key_services(self: &Arc<Self>) {
        let names = self.config.key_service_names.iter();
        for (name, service) in names.zip(&self.key_services) {
            let watched = watch(
                Arc::downgrade(self),
                name.clone(),
                Arc::clone(service),
                self.config.limits.key_service_probe_interval,
            );
            tokio::spawn(watched);
        }
    }

    /// Drops working keys that became too old, for as long as the gateway lives: also those that nobody asks for any more are wiped in time.
    pub(crate) fn drop_expired_keys(self: &Arc<Self>) {
        let gateway = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(gateway) = gateway.upgrade() {
                gateway.keyring.drop_expired();
                drop(gateway);
                tokio::time::sleep(EXPIRY_INTERVAL).await;
            }
        });
    }
}

async fn watch(
    gateway: Weak<Gateway>,
    name: String,
    service: Arc<dyn KeyService>,
    interval: Duration,
) {
    let mut known = None;
    while let Some(mode) = gateway.upgrade().map(|gateway| gateway.config.mode) {
        let found = match mode {
            Mode::ReadWrite => obstacle_of(service.describe().await),
            Mode::WriteOnly => obstacle_to_generating(&*service).await,
        };
        if known.as_ref() != Some(&found) {
            match &found {
                None => tracing::info!(key_service = name, "the key service can be used"),
                Some(obstacle) => tracing::error!(
                    key_service = name,
                    obstacle,
                    "the key service cannot be used: what the others have wrapped goes on, and new working keys have one wrap fewer"
                ),
            }
            known = Some(found);
        }
        tokio::time::sleep(interval).await;
    }
}

/// Why a service makes no working keys; `None` if it does. A principal that may do nothing else can be asked nothing else.
pub(super) async fn obstacle_to_generating(service: &dyn KeyService) -> Option<String> {
    let probe = async {
        let context = EncryptionContext::new(
            Domain::new("sealgate-probe")?,
            WorkingKeyId::generate(&mut OsRandom)?,
        );
        service.generate(&context).await.map(drop)
    };
    probe.await.err().map(|error| error.detail().to_owned())
}

/// Why the key of a service cannot be used, by what it says of it; `None` if it can.
pub(super) fn obstacle_of(described: sealgate_envelope::Result<KeyDescription>) -> Option<String> {
    match described {
        Ok(description) => match description.availability {
            KeyAvailability::Enabled => None,
            KeyAvailability::Disabled => Some("the key is disabled".to_owned()),
            KeyAvailability::PendingDeletion => Some("the key is going to be deleted".to_owned()),
            _ => Some("the key is in a state in which it does not work".to_owned()),
        },
        Err(error) => Some(error.detail().to_owned()),
    }
}
