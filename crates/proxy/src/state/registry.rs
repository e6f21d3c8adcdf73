//! The registry of working keys in the state bucket (FORMAT.md section 10).

use async_trait::async_trait;
use sealgate_envelope::{
    Error, KeyServiceFailure, Result, WorkingKeyId,
    keyring::registry::{PutOutcome, RegistryStore},
    records::{MAXIMUM_RECORD_LENGTH, registry_name, registry_prefix},
};

use super::StateBucket;
use crate::error::S3Error;

/// Working keys that are listed at most: a hundred years of one key a day for each of a hundred replicas.
const MAXIMUM_LISTED: usize = 4_000_000;

/// Registry records as objects of the state bucket.
#[derive(Debug, Clone)]
pub struct S3Registry {
    state: StateBucket,
}

impl S3Registry {
    /// The registry in this bucket.
    pub fn new(state: StateBucket) -> Self {
        Self { state }
    }
}

fn unavailable(error: &S3Error) -> Error {
    Error::key_service(
        KeyServiceFailure::Unavailable,
        format!("the registry in the state bucket: {error}"),
    )
}

#[async_trait]
impl RegistryStore for S3Registry {
    async fn put_if_absent(&self, id: WorkingKeyId, record: &[u8]) -> Result<PutOutcome> {
        let name = registry_name(id);
        let written = self
            .state
            .put_new(&name, bytes::Bytes::copy_from_slice(record))
            .await;
        Ok(if written.map_err(|error| unavailable(&error))? {
            PutOutcome::Created
        } else {
            PutOutcome::Exists
        })
    }

    async fn get(&self, id: WorkingKeyId) -> Result<Option<Vec<u8>>> {
        let record = self
            .state
            .get(&registry_name(id), MAXIMUM_RECORD_LENGTH)
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(record.map(Vec::from))
    }

    async fn list(&self, after: Option<WorkingKeyId>, limit: usize) -> Result<Vec<WorkingKeyId>> {
        let entries = self
            .state
            .list(registry_prefix(), MAXIMUM_LISTED)
            .await
            .map_err(|error| unavailable(&error))?;
        let mut ids: Vec<WorkingKeyId> = entries
            .iter()
            .filter_map(|entry| entry.name.strip_prefix(registry_prefix())?.parse().ok())
            .filter(|id| after.is_none_or(|after| after.as_bytes() < WorkingKeyId::as_bytes(id)))
            .collect();
        ids.sort_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
        ids.truncate(limit);
        Ok(ids)
    }
}

/// The registry for commands that write nothing, and seal nothing that stays: a record that is put here is dropped with the working key.
#[derive(Debug, Clone)]
pub struct ReadOnlyRegistry(S3Registry);

impl ReadOnlyRegistry {
    /// The registry in this bucket.
    pub fn new(state: StateBucket) -> Self {
        Self(S3Registry::new(state))
    }
}

#[async_trait]
impl RegistryStore for ReadOnlyRegistry {
    async fn put_if_absent(&self, _id: WorkingKeyId, _record: &[u8]) -> Result<PutOutcome> {
        Ok(PutOutcome::Created)
    }

    async fn get(&self, id: WorkingKeyId) -> Result<Option<Vec<u8>>> {
        self.0.get(id).await
    }

    async fn list(&self, after: Option<WorkingKeyId>, limit: usize) -> Result<Vec<WorkingKeyId>> {
        self.0.list(after, limit).await
    }
}
