//! The key services of a run, and the keys that they have.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::key_service::recovery::RecoveryKey;
use sealgate_envelope::{KeyReference, Provider};

use super::destroy;
use super::exclusivity::{self, KnownKey, Refusal};
use super::gone::GoneKey;
use super::plan::{ChosenKey, Plan, place_of, place_of_file};
use crate::cli::passphrase::PassphraseArgument;
use crate::cli::recovery_key;
use crate::config::{Config, KeyServiceConfig};
use crate::gateway::{self, Gateway};
use crate::scan::key_name::KeyName;

/// The recovery key whose file is to be destroyed, by its name and public part.
pub(super) struct RecoveryFile {
    pub(super) name: KeyName,
    pub(super) public: String,
}

impl RecoveryFile {
    pub(super) fn of(key: &RecoveryKey) -> anyhow::Result<Self> {
        Ok(Self {
            name: exclusivity::recovery_name(&key.public())
                .context("a recovery key without a name")?,
            public: key.public().to_string(),
        })
    }

    /// As a key that goes.
    pub(super) fn chosen(&self, path: &Path) -> ChosenKey {
        ChosenKey {
            key_service: None,
            key: self.name.clone(),
            full_name: self.public.clone(),
            place: place_of_file(path),
        }
    }
}

/// Opens the file of a recovery key that is to be destroyed.
pub(super) fn open_recovery(
    path: &Path,
    passphrase: &PassphraseArgument,
    config: &Config,
) -> anyhow::Result<RecoveryKey> {
    let key = recovery_key::open(path, passphrase)?;
    recovery_key::require_deployment(&key, config)?;
    Ok(key)
}

/// The clients of all key services. A key of the plan that has a full name of its own in its service is asked by that: an alias
/// may be pointed at another key, and other credentials may find another one under it. A key file of the plan that does not
/// hold its key, whether it is overwritten or away, has a client that opens
/// nothing, and so has a key of which the operator has said that it is destroyed.
pub(super) async fn key_services(
    config: &Config,
    plan: Option<&Plan>,
) -> anyhow::Result<Vec<Arc<dyn KeyService>>> {
    let mut services: Vec<Arc<dyn KeyService>> = Vec::new();
    for (service, name) in config.key_services.iter().zip(&config.key_service_names) {
        let key = plan.and_then(|plan| {
            let mut keys = plan.keys.iter();
            keys.find(|key| key.is_of(name)).or_else(|| {
                // One key file by two names goes once.
                let place =
                    matches!(service, KeyServiceConfig::Local { .. }).then(|| place_of(service))?;
                plan.keys.iter().find(|key| key.chosen.place == place)
            })
        });
        let planned = key.map(|key| &key.chosen);
        if let Some(key) = key.filter(|key| key.is_not_asked()) {
            // Its service may be gone, too, and would never answer.
            let reference = key.chosen.key.reference();
            let reference = reference.context("a key without a reference")?;
            services.push(Arc::new(GoneKey::new(provider_of(service), reference)));
            continue;
        }
        let service = match (service, planned) {
            (KeyServiceConfig::Local { file, .. }, Some(planned))
                if !LocalKeyService::is_in_file(file, &planned.full_name) =>
            {
                services.push(Arc::new(GoneKey::local(&planned.full_name)?));
                continue;
            }
            (KeyServiceConfig::AwsKms(config), Some(planned)) => {
                let mut config = config.clone();
                config.key.clone_from(&planned.full_name);
                gateway::key_service(&KeyServiceConfig::AwsKms(config)).await
            }
            (service, _) => gateway::key_service(service).await,
        };
        services.push(service.with_context(|| format!("[[key_service]] {name}"))?);
    }
    Ok(services)
}

fn provider_of(service: &KeyServiceConfig) -> Provider {
    match service {
        KeyServiceConfig::AwsKms(_) => Provider::AwsKms,
        KeyServiceConfig::VaultTransit(_) => Provider::VaultTransit,
        KeyServiceConfig::Pkcs11(_) => Provider::Pkcs11,
        KeyServiceConfig::Local { .. } => Provider::Local,
    }
}

/// Every key of the configuration, as its service tells it. While one does not, nobody can tell whose wraps are whose, and
/// what would be said of them, and advised, could be wrong: then there are refusals, and only those keys that were told.
///
/// # Errors
///
/// For a name that no key can have.
pub(super) async fn known_keys(
    gateway: &Gateway,
) -> anyhow::Result<Result<Vec<KnownKey>, (Vec<KnownKey>, Vec<Refusal>)>> {
    let mut known: Vec<KnownKey> = Vec::new();
    let mut refusals = Vec::new();
    let names = &gateway.config.key_service_names;
    for (service, name) in gateway.key_services.iter().zip(names) {
        let provider = service.provider();
        let described = match service.describe().await {
            Ok(described) => described,
            Err(error) => {
                let refusal = Refusal::new(
                    format!(
                        "the key service {name} does not tell its key, so nobody can tell whether it is the domain's: {}",
                        error.detail()
                    ),
                    "see that it can be reached, and run this again. If it is gone for good, so is what it alone has wrapped: give each [[domain]] that names it another key, take its [[key_service]] out of the configuration, and delete the objects and registry records that only it could open",
                );
                refusals.push(if destroy::is_outage(&error) {
                    refusal.passing()
                } else {
                    refusal
                });
                continue;
            }
        };
        let mut related = Vec::new();
        for other in &described.related_keys {
            related.push(KeyName::new(provider, KeyReference::of(provider, other)?));
        }
        known.push(KnownKey {
            service: name.clone(),
            key: KeyName::new(provider, described.key_reference),
            full_name: destroy::full_name(&described),
            availability: described.availability,
            related,
        });
    }
    if !refusals.is_empty() {
        return Ok(Err((known, refusals)));
    }
    // What one opens of another by its configuration, although the service does not say that they are related.
    for (place, service) in gateway.key_services.iter().enumerate() {
        for other in &gateway.key_services {
            let (Ok(reference), true) = (
                other.key_reference().await,
                other.provider() == service.provider(),
            ) else {
                continue;
            };
            let name = KeyName::new(other.provider(), reference);
            if service.opens(reference).await.unwrap_or(false)
                && let Some(key) = known.get_mut(place)
                && key.key != name
                && !key.related.contains(&name)
            {
                key.related.push(name);
            }
        }
    }
    Ok(Ok(known))
}
