//! Telling state buckets of any deployment from buckets of data. What lies there is in the clear, and lost once something seals or deletes it.

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use sealgate_envelope::{
    WorkingKeyId,
    records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, registry_prefix},
};

use super::StateBucket;
use crate::{
    config::is_default_state_bucket,
    error::S3Error,
    upstream::{MAX_DOCUMENT_LENGTH, Target, Upstream, UpstreamRequest},
    xml::upstream_listings::parse_buckets,
};

/// Names below `registry/` among which one of a working key is looked for.
const MAXIMUM_NAMES: usize = 100;

/// By what a bucket shows that it is a state bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It has the name that a state bucket gets by default.
    Name,
    /// It holds the record of a working key. Whoever can write to the storage can put one anywhere.
    Record,
}

/// Whether a bucket is a state bucket of any deployment, as far as it shows.
///
/// # Errors
///
/// The storage's.
pub(crate) async fn sign_of_state(
    upstream: &Upstream,
    bucket: &str,
) -> Result<Option<Sign>, S3Error> {
    if is_default_state_bucket(bucket) {
        return Ok(Some(Sign::Name));
    }
    let records = StateBucket::new(upstream.clone(), bucket);
    let entries = records.list_first(registry_prefix(), MAXIMUM_NAMES).await?;
    let named = entries.iter().find_map(|entry| {
        let id: WorkingKeyId = entry.name.strip_prefix(registry_prefix())?.parse().ok()?;
        (entry.size <= MAXIMUM_RECORD_LENGTH as u64).then_some((entry, id))
    });
    let Some((entry, id)) = named else {
        return Ok(None);
    };
    let Some(bytes) = records.get(&entry.name, MAXIMUM_RECORD_LENGTH).await? else {
        return Ok(None);
    };
    Ok(RegistryRecord::parse(&bytes, id)
        .is_ok()
        .then_some(Sign::Record))
}

/// Refuses a bucket that objects must not be written to or deleted from, because gateways have their records there.
///
/// # Errors
///
/// When it is a state bucket, or the storage can't be asked.
pub(crate) async fn refuse_state_bucket(upstream: &Upstream, bucket: &str) -> anyhow::Result<()> {
    let sign = match sign_of_state(upstream, bucket).await {
        // By its name it is none, and more is not told to this account.
        Err(error) if error.status == StatusCode::FORBIDDEN => {
            tracing::warn!(bucket, %error, "whether this is a state bucket can't be told: its account may not list it");
            return Ok(());
        }
        sign => sign,
    };
    let shown = match sign
        .with_context(|| format!("whether {bucket} is a state bucket cannot be found out"))?
    {
        None => return Ok(()),
        Some(Sign::Name) => "by its name",
        Some(Sign::Record) => "by the records of working keys below registry/",
    };
    bail!(
        "{bucket} is a state bucket, {shown}: that of another deployment, or of this one, where `deployment` or the address of its storage is written otherwise. Without its records nothing of that deployment can be read. Name another bucket; if these are copies of records among data, give them a bucket of their own"
    )
}

/// The state buckets of other deployments, by their default names, beside one that has no working key yet; none beside one that has: then it is
/// known where what was stored belongs.
///
/// # Errors
///
/// The storage's.
pub(crate) async fn other_states_beside(state: &StateBucket) -> Result<Vec<String>, S3Error> {
    if !state.list_first(registry_prefix(), 1).await?.is_empty() {
        return Ok(Vec::new());
    }
    let request = UpstreamRequest::new(Method::GET, Target::service());
    let answer = state.upstream().call(request).await?;
    let mut others = parse_buckets(&answer.document(MAX_DOCUMENT_LENGTH).await?)?;
    others.retain(|name| name != state.name() && is_default_state_bucket(name));
    Ok(others)
}

/// What to say of them.
pub(crate) fn which_deployment(state: &str, others: &[String]) -> String {
    format!(
        "the state bucket {state} is new or empty, and there is {} on the same storage: if objects were stored before, `deployment` in the configuration is not the one that they were stored under, and none of them opens; correct it, and delete {state}",
        others.join(", ")
    )
}
