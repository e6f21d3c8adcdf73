//! Asks the key services now and then whether their keys can be used, and says when that changes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sealgate_envelope::{
    key_service::{KeyAvailability, KeyDescription, KeyService},
    keyring::SealingPolicy,
};

use super::{Gateway, self_check};
use crate::admin::{Health, Need, Obstacle, Reporter};
use crate::config::{Config, Mode};

/// How long a key that is too old stays in memory at most.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// The longest pause before a key service that could not be used is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The domain of what is made to see whether it can be.
const PROBE: &str = "sealgate-probe";

/// Where the findings about key services go.
#[derive(Debug)]
pub(super) struct KeyChecks {
    services: Vec<Reporter>,
    /// Whether new working keys of any domain can have as many wraps as they need.
    quorum: Reporter,
    /// Whether those of every domain can.
    quorum_of_all: Reporter,
}

impl KeyChecks {
    pub(super) fn register(health: &Health, config: &Config) -> Self {
        let check =
            |name: &String| health.register(format!("key_service:{name}"), Need::Informative);
        Self {
            services: config.key_service_names.iter().map(check).collect(),
            quorum: health.register("key_quorum", Need::Required),
            quorum_of_all: health.register("key_quorum_of_every_domain", Need::Informative),
        }
    }

    /// Whether enough key services can be used, once all of them have been asked.
    ///
    /// What one tenant's key lacks is no reason to take the gateway from the others: no gateway has that key any more.
    fn judge(&self, config: &Config) {
        let works: Option<Vec<bool>> = self.services.iter().map(Reporter::works).collect();
        let Some(works) = works else {
            return;
        };
        let has_a_quorum = |policy: &SealingPolicy| {
            let places = policy.places(works.len());
            let usable = places
                .iter()
                .filter(|place| works.get(**place) == Some(&true));
            usable.count() >= policy.required_wraps
        };
        let mut without = Vec::new();
        let mut any = false;
        for (name, policy) in config.sealing_policies() {
            if has_a_quorum(policy) {
                any = true;
            } else {
                without.push(name);
            }
        }
        let fix = "see the causes of the checks key_service:NAME; `sealgate keys status` shows each domain";
        let cause = "fewer key services can be used than required_wraps says: new working keys can't be made, and old ones serve until their ages end";
        self.quorum
            .report((!any).then(|| Obstacle::new(cause, fix)));
        self.quorum_of_all.report((!without.is_empty()).then(|| {
            let domains = without.join(", ");
            Obstacle::new(format!("{cause}: {domains}"), fix)
        }));
    }
}

impl Gateway {
    /// Asks every key service at once and then again at the configured interval, for as long as the gateway lives. What
    /// it says goes to the log at the start and whenever it changes; nothing waits for it.
    pub(crate) fn watch_key_services(self: &Arc<Self>) {
        let names = self.config.key_service_names.iter();
        let checks = &self.key_checks.services;
        for ((name, service), reporter) in names.zip(&self.key_services).zip(checks) {
            let watched = watch(
                Arc::downgrade(self),
                name.clone(),
                Arc::clone(service),
                reporter.clone(),
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
                gateway.uploads.memory.drop_expired();
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
    reporter: Reporter,
) {
    while let Some(gateway) = gateway.upgrade() {
        let found = match gateway.config.mode {
            Mode::WriteOnly => obstacle_to_generating(&*service).await,
            // Whoever asks for readiness wants to know whether the key opens what it wraps. Without anybody to tell, a description has to do,
            // which costs a key service less.
            Mode::ReadWrite if gateway.config.admin.is_some() => obstacle_to_use(&*service).await,
            Mode::ReadWrite => obstacle_of(service.describe().await),
        };
        let interval = gateway.config.limits.key_service_probe_interval;
        let pause = match &found {
            None => interval,
            Some(_) => interval.min(RETRY_INTERVAL),
        };
        let shown = found.clone();
        let obstacle = found.map(|cause| {
            Obstacle::new(
                cause,
                "look whether the service runs, and whether its principal may use the key; `sealgate check` asks it the same",
            )
        });
        if reporter.report(obstacle) {
            match shown {
                None => tracing::info!(key_service = name, "the key service can be used"),
                Some(obstacle) => tracing::error!(
                    key_service = name,
                    obstacle,
                    "the key service cannot be used: {}",
                    what_goes_on(gateway.key_services.len())
                ),
            }
        }
        gateway.key_checks.judge(&gateway.config);
        drop(gateway);
        tokio::time::sleep(pause).await;
    }
}

/// What a gateway with so many key services does without one of them.
fn what_goes_on(services: usize) -> &'static str {
    if services > 1 {
        "what the others have wrapped goes on, and new working keys have one wrap fewer"
    } else {
        "it is the only one, so no new working key can be made, and objects open only while their working keys are in memory (docs/keys.md, \"When a key service is away\")"
    }
}

/// Why a service is of no use; `None` if it makes a working key and opens its wrap to the same one.
async fn obstacle_to_use(service: &dyn KeyService) -> Option<String> {
    match self_check::opens_what_it_makes(service, PROBE).await {
        Ok(true) => None,
        Ok(false) => Some("the key service opened its own wrap to another key".to_owned()),
        Err(error) => Some(error.detail().to_owned()),
    }
}

/// Why a service makes no working keys; `None` if it does. A principal that may do nothing else can be asked nothing else.
pub(super) async fn obstacle_to_generating(service: &dyn KeyService) -> Option<String> {
    let made = self_check::generates(service, PROBE).await;
    made.err().map(|error| error.detail().to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_only_spoken_of_where_there_are_some() {
        assert!(what_goes_on(1).starts_with("it is the only one"));
        assert!(what_goes_on(2).contains("the others"));
    }
}
