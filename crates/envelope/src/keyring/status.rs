//! What a keyring has done and holds, in numbers.

use std::time::Duration;

use super::locks::{AtomicU64, Ordering};
use super::metered_service::{KeyServiceStatus, MeteredService};
use super::opening::Opening;
use super::sealing::Sealing;
use super::unwrapping::Sources;

/// A snapshot for metrics. Counts are since the keyring was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyringStatus {
    /// Domains that have a working key to seal with.
    pub sealing_keys: usize,
    /// Working keys held for reading.
    pub cached_keys: usize,
    /// How long ago the oldest of them was opened.
    pub oldest_cached_key: Option<Duration>,
    /// Distinct unwraps under way.
    pub pending_unwraps: usize,
    /// Readings answered from the cache.
    pub hits: u64,
    /// Readings that waited for an unwrap that was already under way.
    pub joins: u64,
    /// Unwraps begun; one may try several wraps.
    pub unwraps: u64,
    /// Unwraps that failed with every wrap.
    pub failures: u64,
    /// Readings refused at once because the same unwrap had failed a moment ago.
    pub remembered_failures: u64,
    /// Readings served by a cached key beyond its age, because the key service was down or throttled.
    pub outage_hits: u64,
    /// Each key service, in the order of configuration.
    pub key_services: Vec<KeyServiceStatus>,
}

impl KeyringStatus {
    pub(super) fn of(sources: &Sources, opening: &Opening, sealing: &Sealing) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &opening.counts;
        Self {
            sealing_keys: sealing.sealing_keys(),
            cached_keys: opening.cached_keys(),
            oldest_cached_key: opening.oldest_cached_key(),
            pending_unwraps: opening.pending_unwraps(),
            hits: read(&counts.hits),
            joins: read(&counts.joins),
            unwraps: read(&counts.unwraps),
            failures: read(&counts.failures),
            remembered_failures: read(&counts.remembered),
            outage_hits: read(&counts.outage_hits),
            key_services: sources
                .services
                .iter()
                .map(MeteredService::status)
                .collect(),
        }
    }
}
