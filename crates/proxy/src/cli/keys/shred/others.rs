//! What others have of the keys that are still to go, looked at again when a part of the keys is gone.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use sealgate_envelope::{KeyReference, Provider};

use super::exclusivity::{self, KnownKey, Refusal};
use super::look;
use super::order::Order;
use crate::cli::pace::PaceArguments;
use crate::cli::permit;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::scan::{Reservoir, Trial, listed_buckets};
use crate::upstream::{Target, UpstreamRequest};

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
    // Those that live still; a key that is gone is nobody's, and would only stand in the way of telling.
    let (mut living, mut places, mut known, mut names) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (service, name) in gateway.key_services.iter().zip(&config.key_service_names) {
        let is_gone = plan
            .keys
            .iter()
            .any(|key| key.is_of(name) && key.may_be_gone());
        known.push(match service.key_reference().await {
            Ok(reference) => KnownKey::new(name, service.provider(), reference),
            Err(_) if is_gone => {
                KnownKey::new(name, Provider::Local, KeyReference::from_bytes([0; 8]))
            }
            Err(error) => bail!(
                "the key service {name} does not tell its key, so nobody can tell whose it is: {}. If it is gone, run this with a configuration without its [[key_service]]",
                error.detail()
            ),
        });
        if is_gone {
            continue;
        }
        if left.iter().any(|key| key.is_of(name)) {
            places.push(living.len());
            names.push(name);
        }
        living.push(Arc::clone(service));
    }
    for key in known.iter().filter(|key| names.contains(&&key.service)) {
        refusals.extend(exclusivity::shared(config, &order.domain, &known, key));
    }
    for key in left.iter().filter(|key| key.chosen.key_service.is_none()) {
        exclusivity::shared_recovery(config, &order.domain, &key.chosen.key, &mut refusals);
    }
    let trial = Trial::new(&living, &plan.names, &places, permit::for_shredding);
    let mut nothing = Reservoir::new(0);
    let buckets = buckets_of_today(gateway, &plan.buckets).await?;
    let census = look::census(gateway, &Arc::new(trial), &buckets, pace, &mut nothing).await?;
    for key in left {
        if let Some(found) = census.outside.get(&key.chosen.key) {
            refusals.push(exclusivity::wraps_for_others(&key.chosen.key, found));
        }
    }
    refusals.extend(exclusivity::unknown(&census.unknown_outside));
    Ok(refusals)
}

/// The buckets that the storage lists today, and those of the first look that are there still.
async fn buckets_of_today(gateway: &Gateway, earlier: &[String]) -> anyhow::Result<Vec<String>> {
    let mut buckets = listed_buckets(gateway).await?;
    for bucket in earlier {
        if buckets.contains(bucket) {
            continue;
        }
        let request = UpstreamRequest::new(Method::HEAD, Target::bucket(bucket.as_str()));
        match gateway.upstream.call(request).await {
            // What is gone is nobody's.
            Err(error) if error.status == StatusCode::NOT_FOUND => {}
            answer => {
                answer.with_context(|| format!("the bucket {bucket}"))?;
                buckets.push(bucket.clone());
            }
        }
    }
    Ok(buckets)
}
