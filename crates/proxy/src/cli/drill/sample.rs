//! What a drill is held on: registry records and objects, chosen at random.

use anyhow::Context as _;
use sealgate_envelope::WorkingKeyId;

use crate::gateway::Gateway;
use crate::migration::Listing;
use crate::scan::Reservoir;

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
