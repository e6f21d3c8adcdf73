//! A registry that is gone with the process: for tests, and for programs whose headers carry all the wraps they need.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{PutOutcome, RegistryStore};
use crate::error::{Error, Result};
use crate::keys::WorkingKeyId;
use crate::records::MAXIMUM_RECORD_LENGTH;

/// Records in memory.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    records: Mutex<BTreeMap<WorkingKeyId, Vec<u8>>>,
}

impl MemoryRegistry {
    fn records(&self) -> MutexGuard<'_, BTreeMap<WorkingKeyId, Vec<u8>>> {
        // Each change is one map operation, so a panic elsewhere leaves nothing half done.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RegistryStore for MemoryRegistry {
    async fn put_if_absent(&self, id: WorkingKeyId, record: &[u8]) -> Result<PutOutcome> {
        if record.len() > MAXIMUM_RECORD_LENGTH {
            return Err(Error::misuse(
                "a registry record must have at most 65,536 bytes",
            ));
        }
        let mut records = self.records();
        if records.contains_key(&id) {
            return Ok(PutOutcome::Exists);
        }
        records.insert(id, record.to_vec());
        Ok(PutOutcome::Created)
    }

    async fn get(&self, id: WorkingKeyId) -> Result<Option<Vec<u8>>> {
        Ok(self.records().get(&id).cloned())
    }

    async fn list(&self, after: Option<WorkingKeyId>, limit: usize) -> Result<Vec<WorkingKeyId>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .records()
            .range((start, Bound::Unbounded))
            .take(limit)
            .map(|(id, _)| *id)
            .collect())
    }
}
