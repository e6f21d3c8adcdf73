//! What others have of the keys that are still to go, looked at again when a part of the keys is gone.

use std::sync::Arc;

use anyhow::bail;
use sealgate_envelope::{KeyReference, Provider};

use super::exclusivity::{self, KnownKey, Refusal};
use super::look;
use super::order::Order;
use super::plan::PlannedKey;
use crate::cli::pace::PaceArguments;
use crate::cli::permit;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::scan::{Reservoir, Trial};

/// What speaks against the keys that are still to go, when others of the same order are gone already: whatever the domain
/// itself has can be looked at no more, but what others have can.
///
/// # Errors
///
/// Where something cannot be looked at.
pub(super) async fn look_at_others(
    gateway: &Arc<Gateway>,
    config: &Config,
    order: &Order,
    pace: &PaceArguments,
) -> anyhow::Result<Vec<Refusal>> {
    let plan = order.plan()?;
    let mut refusals = Vec::new();
    let left: Vec<_> = plan.keys.iter().filter(|key| !key.may_be_gone()).collect();
    if left.is_empty() {
        return Ok(refusals);
    }
    let (mut places, mut known) = (Vec::new(), Vec::new());
    for (place, (service, name)) in gateway
        .key_services
        .iter()
        .zip(&config.key_service_names)
        .enumerate()
    {
        let is_its = |key: &&PlannedKey| key.chosen.key_service.as_ref() == Some(name);
        if left.iter().copied().any(|key| is_its(&key)) {
            places.push(place);
        }
        known.push(match service.key_reference().await {
            Ok(reference) => KnownKey::new(name, service.provider(), reference),
            // One that is gone is nobody's.
            Err(_)
                if plan
                    .keys
                    .iter()
                    .any(|key| is_its(&key) && key.may_be_gone()) =>
            {
                KnownKey::new(name, Provider::Local, KeyReference::from_bytes([0; 8]))
            }
            Err(error) => bail!(
                "the key service {name} does not tell its key, so nobody can tell whose it is: {}",
                error.detail()
            ),
        });
    }
    for place in &places {
        if let Some(key) = known.get(*place) {
            refusals.extend(exclusivity::shared(config, &order.domain, &known, key));
        }
    }
    for key in left.iter().filter(|key| key.chosen.key_service.is_none()) {
        exclusivity::shared_recovery(config, &order.domain, &key.chosen.key, &mut refusals);
    }
    let trial = Trial::new(
        &gateway.key_services,
        &plan.names,
        &places,
        permit::for_shredding,
    );
    let mut nothing = Reservoir::new(0);
    let census = look::census(gateway, &Arc::new(trial), &plan.buckets, pace, &mut nothing).await?;
    for key in left {
        if let Some(found) = census.outside.get(&key.chosen.key) {
            refusals.push(exclusivity::wraps_for_others(&key.chosen.key, found));
        }
    }
    refusals.extend(exclusivity::unknown(&census));
    Ok(refusals)
}
