//! Registry records, each read once as long as it is remembered.

use std::sync::Arc;

use quick_cache::sync::Cache;
use sealgate_envelope::{
    Error, WorkingKeyId, Wrap,
    records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, UnverifiedRegistryRecord, registry_name},
};

use crate::{error::S3Error, state::StateBucket};

/// Records that are remembered, of a few hundred bytes each. Objects of one working key often lie beside each other.
const REMEMBERED: usize = 20_000;

/// What the registry has of a working key.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Missing,
    /// With what is wrong.
    Damaged(Arc<str>),
    /// Parsed, and not verified.
    Present(Arc<UnverifiedRegistryRecord>),
}

impl Record {
    /// The wraps that it claims; none where there is no such record.
    pub(super) fn wraps(&self) -> &[Wrap] {
        match self {
            Self::Present(record) => record.wraps(),
            Self::Missing | Self::Damaged(_) => &[],
        }
    }
}

/// The registry, for reading.
pub(super) struct Registry {
    state: StateBucket,
    records: Cache<WorkingKeyId, Record>,
}

impl Registry {
    pub(super) fn new(state: StateBucket) -> Self {
        Self {
            state,
            records: Cache::new(REMEMBERED),
        }
    }

    /// The record of a working key.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be read; that is not remembered.
    pub(super) async fn record(&self, id: WorkingKeyId) -> Result<Record, S3Error> {
        self.records
            .get_or_insert_async(&id, async {
                let name = registry_name(id);
                let Some(bytes) = self.state.get(&name, MAXIMUM_RECORD_LENGTH).await? else {
                    return Ok(Record::Missing);
                };
                Ok(RegistryRecord::parse(&bytes, id).map_or_else(
                    |error: Error| Record::Damaged(error.detail().into()),
                    |record| Record::Present(Arc::new(record)),
                ))
            })
            .await
    }
}
