//! Which buckets there are: what the storage lists to this account, and what the configuration names.

use anyhow::Context as _;
use http::Method;

use crate::{
    config::Config,
    error::S3Error,
    gateway::Gateway,
    upstream::{MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
    xml::upstream_listings::parse_buckets,
};

/// The buckets that the storage lists, without the state bucket.
///
/// # Errors
///
/// When it does not.
pub(crate) async fn listed_buckets(gateway: &Gateway) -> anyhow::Result<Vec<String>> {
    let state = gateway.state.name();
    let request = UpstreamRequest::new(Method::GET, Target::service());
    let answer = gateway.upstream.call(request).await;
    let answer = answer.context("the buckets cannot be listed; name them")?;
    let mut buckets =
        parse_buckets(&answer.document(MAX_DOCUMENT_LENGTH).await?).map_err(S3Error::from)?;
    buckets.retain(|bucket| bucket != state);
    Ok(buckets)
}

/// Buckets that the configuration names and that are not among these: of another account, say, or hidden from this one.
pub(crate) fn buckets_missing_from(config: &Config, walked: &[String]) -> Vec<String> {
    let domains = config.domains.iter().flat_map(|rule| &rule.buckets);
    let migrating = config.migrating.iter().flat_map(|table| &table.buckets);
    let mut names: Vec<_> = domains
        .chain(migrating)
        .filter(|name| !name.contains('*') && !walked.contains(name))
        .cloned()
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
