//! The registry records of the domain: verified while its keys are there, deleted when they are gone.
//!
//! Whoever can write to the state bucket can put a version there that claims the domain, under the id of somebody else's
//! working key. So nothing is deleted by a claim alone: before, each record has to open and verify; afterwards, what came
//! meanwhile goes only if nothing but destroyed keys ever wrapped it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{bail, ensure};
use sealgate_envelope::key_service::{EncryptionContext, KeyService, failure_of, serves_cached};
use sealgate_envelope::records::{RegistryRecord, UnverifiedRegistryRecord, registry_name};
use sealgate_envelope::{KeyServiceFailure, WorkingKey, WorkingKeyId};

use super::destroy::detailed;
use super::exclusivity::Refusal;
use super::plan::Plan;
use crate::cli::permit;
use crate::error::S3Error;
use crate::scan::census::{Census, RecordVersions};
use crate::scan::key_name::KeyName;
use crate::scan::patiently;
use crate::state::RecordVersion;

/// Records that are named in one refusal.
const EXAMPLES: usize = 5;

/// What there is to delete, and what to do about a record that is in the way.
const DELETE_IT: &str = "look at its versions at the storage (`aws s3api list-object-versions --bucket STATE-BUCKET --prefix registry/ID`), delete those that no gateway of yours has written, or that only a key could verify which is gone for good, and run this again";

/// Verifies all records of the domain, by the keys that open them. Returns the ids of the working keys that they are of.
pub(super) async fn verified(
    services: &[Arc<dyn KeyService>],
    census: &Census,
    refusals: &mut Vec<Refusal>,
) -> Vec<String> {
    let mut ids = Vec::new();
    let mut wrong = Vec::new();
    for (id, versions) in &census.records {
        match verify(services, *id, versions).await {
            Ok(()) => ids.push(id.to_string()),
            Err(error) => wrong.push(format!("registry/{id}: {error:#}")),
        }
    }
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(EXAMPLES);
        wrong.truncate(EXAMPLES);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        refusals.push(Refusal::new(
            format!(
                "registry records claim to be of the domain, and that cannot be verified: {}{more}",
                wrong.join("; ")
            ),
            DELETE_IT,
        ));
    }
    ids
}

async fn verify(
    services: &[Arc<dyn KeyService>],
    id: WorkingKeyId,
    versions: &RecordVersions,
) -> anyhow::Result<()> {
    ensure!(
        versions.foreign.count == 0,
        "other versions of it claim {}",
        versions.foreign
    );
    let key = opened(services, id, versions).await?;
    for (_, record) in &versions.own {
        let domain = record.claimed_domain().clone();
        record
            .clone()
            .verify(&key, &domain)
            .map_err(|error| detailed(&error))?;
    }
    Ok(())
}

/// The working key, by any wrap of any version.
async fn opened(
    services: &[Arc<dyn KeyService>],
    id: WorkingKeyId,
    versions: &RecordVersions,
) -> anyhow::Result<WorkingKey> {
    let permit = permit::for_shredding("sealgate keys shred");
    let mut away = None;
    for (_, record) in &versions.own {
        let context = EncryptionContext::new(record.claimed_domain().clone(), id);
        for wrap in record.wraps() {
            for service in services {
                if service.provider() != wrap.provider()
                    || !service.opens(wrap.key_reference()).await.unwrap_or(false)
                {
                    continue;
                }
                let opened = patiently(|| async {
                    match service.unwrap(&permit, &context, wrap).await {
                        Err(error) if serves_cached(&error) => Err(S3Error::from(error)),
                        opened => Ok(opened),
                    }
                });
                match opened.await {
                    Ok(Ok(key)) => return Ok(key),
                    Ok(Err(error)) => {
                        let is_refused = failure_of(&error) == Some(KeyServiceFailure::Refused);
                        away = away.or((!is_refused).then(|| detailed(&error)));
                    }
                    Err(error) => away = Some(error.into()),
                }
            }
        }
    }
    match away {
        Some(error) => Err(error),
        None => bail!("no key of the configuration opens it"),
    }
}

/// What a census after the keys are gone shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// These versions are to be deleted.
    pub(super) versions: Vec<RecordVersion>,
    /// These records claim the domain, came since the look, and are left: nobody can tell whose they are.
    pub(super) left: Vec<String>,
}

/// The versions that are to be deleted now, as a census after the keys are gone shows them. `living` are the keys that the
/// configuration still has. Nobody who can write there is to keep an order from its end: what is not known to be the domain's
/// stays, and is named in the certificate.
///
/// # Errors
///
/// Where a version cannot be read, or a key that lives has wrapped one.
pub(super) fn to_delete(
    census: &Census,
    plan: &Plan,
    stated: &[KeyName],
    living: &[KeyName],
) -> anyhow::Result<Found> {
    ensure!(
        census.unread.count == 0,
        "the keys are destroyed; whether registry records are the domain's cannot be told: {}. Mend or delete them, and run this again",
        census.unread
    );
    let is_gone = |key: &KeyName| plan.has(key) || stated.contains(key);
    let mut inside = census.inside.iter();
    if let Some((key, found)) = inside.find(|(key, _)| !is_gone(key) && living.contains(key)) {
        bail!(
            "meanwhile {found} was wrapped by {key}, which is not destroyed, or which these credentials may not use, so that nobody can tell: a gateway has another configuration, or somebody has put that there. Correct it; {DELETE_IT}"
        );
    }
    let verified: BTreeSet<&str> = plan.records.iter().map(String::as_str).collect();
    let mut all = Found::default();
    for (id, found) in &census.records {
        let by_gone_keys = |record: &UnverifiedRegistryRecord| {
            let mut wraps = record.wraps().iter();
            wraps.all(|wrap| is_gone(&KeyName::of(wrap)))
        };
        // One that a gateway made since the look: no wrap of it opens any more, whosever it says to be.
        let is_late = || {
            let mut own = found.own.iter();
            found.foreign.count == 0 && own.all(|(_, record)| by_gone_keys(record))
        };
        if verified.contains(id.to_string().as_str()) || is_late() {
            all.versions
                .extend(found.own.iter().map(|(version, _)| version.clone()));
        } else {
            all.left.push(registry_name(*id));
        }
    }
    Ok(all)
}

/// The working keys whose records were verified and never came to be deleted: they were gone by then, or the listing leaves them
/// out.
pub(super) fn never_seen(
    plan: &Plan,
    deleting: &BTreeMap<String, BTreeSet<String>>,
) -> anyhow::Result<Vec<WorkingKeyId>> {
    let mut missing = Vec::new();
    for id in &plan.records {
        let id = id.parse()?;
        if !deleting.contains_key(&registry_name(id)) {
            missing.push(id);
        }
    }
    Ok(missing)
}

/// Whether this is a record of that working key, and claims one of these domains. Anything else that lies in its place was put
/// there by somebody who may write there, and is nobody's to delete.
pub(super) fn claims_one_of(bytes: &[u8], id: WorkingKeyId, names: &[String]) -> bool {
    RegistryRecord::parse(bytes, id).is_ok_and(|record| {
        names
            .iter()
            .any(|name| name == record.claimed_domain().as_str())
    })
}

/// Notes what is to be deleted. What was noted by an earlier run counts once.
pub(super) fn note(deleting: &mut BTreeMap<String, BTreeSet<String>>, versions: &[RecordVersion]) {
    for version in versions {
        let id = version.version_id.clone().unwrap_or_default();
        deleting.entry(version.name.clone()).or_default().insert(id);
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
