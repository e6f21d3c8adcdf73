//! Whether the wraps that the configuration requires are wraps by different keys: one key by two names protects against nothing.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::ensure;
use sealgate_envelope::{KeyReference, Provider, key_service::KeyService, keyring::SealingPolicy};

use crate::config::{Config, KeyServiceConfig};

/// Which key a key service has, as far as it is known.
pub(crate) type KnownKey = Option<(Provider, KeyReference)>;

/// The keys whose names the configuration settles. Nobody is asked: what an alias stands for stays unknown.
pub(crate) async fn configured_keys(
    config: &Config,
    services: &[Arc<dyn KeyService>],
) -> anyhow::Result<Vec<KnownKey>> {
    let mut keys = Vec::with_capacity(services.len());
    for (config, service) in config.key_services.iter().zip(services) {
        keys.push(match config {
            KeyServiceConfig::AwsKms(kms) if !kms.key.starts_with("arn:") => None,
            KeyServiceConfig::AwsKms(kms) if !kms.key.contains(":key/") => None,
            _ => Some((service.provider(), service.key_reference().await?)),
        });
    }
    Ok(keys)
}

/// Refuses a quorum that needs more different keys than there are. Keys that are not known yet count as different; when a
/// working key is made, only what has become of them counts.
///
/// # Errors
///
/// Which domain, and which key services have the same key.
pub(crate) fn check_quorums(config: &Config, keys: &[KnownKey]) -> anyhow::Result<()> {
    let names = &config.key_service_names;
    check(names, &config.sealing, "limits.required_wraps", keys)?;
    for rule in &config.domains {
        let place = format!(
            "[[domain]] of buckets {}, required_wraps",
            rule.buckets.join(", ")
        );
        check(names, &rule.sealing, &place, keys)?;
    }
    Ok(())
}

fn check(
    names: &[String],
    policy: &SealingPolicy,
    place: &str,
    keys: &[KnownKey],
) -> anyhow::Result<()> {
    let places = policy.places(keys.len());
    let mut seen = HashSet::new();
    let mut twins = Vec::new();
    for place in &places {
        let known = keys.get(*place).copied().flatten();
        if known.is_some_and(|key| !seen.insert(key))
            && let Some(name) = names.get(*place)
        {
            twins.push(name.as_str());
        }
    }
    ensure!(
        places.len() - twins.len() >= policy.required_wraps,
        "{place}: {} wraps are required, but the key services have {} different keys: key service {} has the key of one before it; give each a key of its own, or lower required_wraps",
        policy.required_wraps,
        places.len() - twins.len(),
        twins.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_key_by_two_names_is_one_of_a_quorum() {
        let key = |value| Some((Provider::Local, KeyReference::from_bytes([value; 8])));
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let policy = |key_services, required_wraps| SealingPolicy {
            key_services,
            required_wraps,
            soft_age: Duration::from_secs(1),
            hard_age: Duration::from_secs(1),
        };
        let check = |policy: &SealingPolicy, keys: &[KnownKey]| check(&names, policy, "x", keys);
        let twins = [key(1), key(1), key(2)];
        check(&policy(None, 2), &twins).unwrap();
        let error = check(&policy(None, 3), &twins).unwrap_err().to_string();
        assert!(error.contains("key service b has"), "{error}");
        check(&policy(Some(vec![1, 0]), 2), &twins).unwrap_err();
        check(&policy(Some(vec![2, 0]), 2), &twins).unwrap();
        check(&policy(None, 2), &[None, None]).unwrap();
    }
}
