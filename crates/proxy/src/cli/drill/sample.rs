//! What a drill is held on: registry records and objects, chosen at random.

use anyhow::Context as _;
use sealgate_envelope::WorkingKeyId;

use crate::gateway::Gateway;
use crate::migration::Listing;

/// Keys of the bucket that objects are chosen among. A bucket may have billions.
const MAXIMUM_LISTED: u64 = 100_000;

/// The choice.
#[derive(Debug)]
pub(super) struct Sample {
    /// The bucket of the objects.
    pub(super) bucket: String,
    /// Working keys with a record.
    pub(super) records: Vec<WorkingKeyId>,
    /// Keys of objects.
    pub(super) objects: Vec<String>,
    /// Objects that were chosen among.
    pub(super) listed: u64,
    /// Whether there are more.
    pub(super) is_cut: bool,
}

impl Sample {
    /// At most `count` of each.
    pub(super) async fn take(
        gateway: &Gateway,
        bucket: &str,
        prefix: &str,
        count: usize,
    ) -> anyhow::Result<Self> {
        let mut records = Reservoir::new(count);
        for id in gateway.working_keys(None).await? {
            records.offer(id)?;
        }
        let listing = Listing {
            upstream: gateway.upstream.clone(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            start_after: None,
            versions: false,
        };
        let mut entries = listing.entries();
        let mut objects = Reservoir::new(count);
        let mut is_cut = false;
        while let Some(entry) = entries
            .next()
            .await
            .with_context(|| format!("the bucket {bucket} cannot be listed"))?
        {
            if objects.offered == MAXIMUM_LISTED {
                is_cut = true;
                break;
            }
            objects.offer(entry.key)?;
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            records: records.kept,
            listed: objects.offered,
            objects: objects.kept,
            is_cut,
        })
    }
}

/// So many of a row whose length is not known, each with the same chance (Vitter's algorithm R).
struct Reservoir<T> {
    kept: Vec<T>,
    count: usize,
    offered: u64,
}

impl<T> Reservoir<T> {
    fn new(count: usize) -> Self {
        Self {
            kept: Vec::new(),
            count,
            offered: 0,
        }
    }

    fn offer(&mut self, item: T) -> anyhow::Result<()> {
        self.offered += 1;
        if self.kept.len() < self.count {
            self.kept.push(item);
            return Ok(());
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).context("the system has no randomness")?;
        let place = usize::try_from(u64::from_be_bytes(bytes) % self.offered)?;
        if let Some(kept) = self.kept.get_mut(place) {
            *kept = item;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservoir_keeps_so_many_different_ones_and_the_late_ones_too() {
        let mut late = 0;
        for _ in 0..200 {
            let mut reservoir = Reservoir::new(5);
            for item in 0..50 {
                reservoir.offer(item).unwrap();
            }
            let mut kept = reservoir.kept;
            kept.sort_unstable();
            kept.dedup();
            assert_eq!(kept.len(), 5);
            late += kept.iter().filter(|item| **item >= 25).count();
        }
        // 500 of 1,000 are expected; the chance of fewer than 400 is below 10^-9.
        assert!((400..=600).contains(&late), "{late}");
        let mut short = Reservoir::new(5);
        short.offer(1).unwrap();
        assert_eq!(short.kept, [1]);
    }
}
