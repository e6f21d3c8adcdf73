//! What a drill is held on: registry records and objects, chosen at random.

use std::fmt;

use anyhow::Context as _;
use sealgate_envelope::WorkingKeyId;

use crate::gateway::Gateway;
use crate::migration::Listing;
use crate::scan::Reservoir;

/// Keys of each bucket that objects are chosen among. A bucket may have billions.
const MAXIMUM_LISTED: u64 = 100_000;

/// An object that was chosen.
#[derive(Clone, Debug)]
pub(super) struct ChosenObject {
    pub(super) bucket: String,
    pub(super) key: String,
}

impl fmt::Display for ChosenObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.bucket, self.key)
    }
}

/// The choice.
#[derive(Debug)]
pub(super) struct Sample {
    /// Working keys with a record.
    pub(super) records: Vec<WorkingKeyId>,
    /// Objects, of every bucket.
    pub(super) objects: Vec<ChosenObject>,
    /// Objects that were chosen among.
    pub(super) listed: u64,
    /// Whether there are more.
    pub(super) is_cut: bool,
}

impl Sample {
    /// At most `count` records, and as many objects of each bucket.
    pub(super) async fn take(
        gateway: &Gateway,
        buckets: &[String],
        prefix: &str,
        count: usize,
    ) -> anyhow::Result<Self> {
        let mut records = Reservoir::new(count);
        for id in gateway.working_keys(None).await? {
            records.offer(id)?;
        }
        let mut sample = Self {
            records: records.kept,
            objects: Vec::new(),
            listed: 0,
            is_cut: false,
        };
        for bucket in buckets {
            sample
                .add_objects(gateway, bucket, prefix, count)
                .await
                .with_context(|| format!("the bucket {bucket} cannot be listed"))?;
        }
        Ok(sample)
    }

    async fn add_objects(
        &mut self,
        gateway: &Gateway,
        bucket: &str,
        prefix: &str,
        count: usize,
    ) -> anyhow::Result<()> {
        let listing = Listing {
            upstream: gateway.upstream.clone(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            start_after: None,
            versions: false,
        };
        let mut entries = listing.entries();
        let mut keys = Reservoir::new(count);
        while let Some(entry) = entries.next().await? {
            if keys.offered == MAXIMUM_LISTED {
                self.is_cut = true;
                break;
            }
            keys.offer(entry.key)?;
        }
        self.listed += keys.offered;
        self.objects
            .extend(keys.kept.into_iter().map(|key| ChosenObject {
                bucket: bucket.to_owned(),
                key,
            }));
        Ok(())
    }
}
