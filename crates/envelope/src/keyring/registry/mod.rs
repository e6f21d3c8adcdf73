//! Where the records of working keys are kept (FORMAT.md section 10).
//!
//! A record is a few hundred bytes that name a working key's wraps, authenticated under that key. With a registry,
//! rotation rewrites these records and no object. [`RegistryRecord`](crate::records::RegistryRecord) has the bytes, and
//! [`registry_name`](crate::records::registry_name) the name in an object store. Files and small programs may do without one.

mod directory;
mod memory;

use std::fmt;

use async_trait::async_trait;

pub use self::directory::DirectoryRegistry;
pub use self::memory::MemoryRegistry;

use crate::error::Result;
use crate::keys::WorkingKeyId;

/// A small store of records by working-key identifier.
///
/// It need not be trusted: records are authenticated, and none chooses a key to seal with. What it loses, only the
/// wraps in the objects themselves replace.
///
/// Every failure to reach the storage is an [`Error::KeyService`](crate::Error::KeyService) with
/// [`Unavailable`](crate::KeyServiceFailure::Unavailable), so that callers treat it as the outage that it is.
///
/// Cancel safety: a dropped `put_if_absent` may or may not have written the record; the others change nothing.
#[async_trait]
pub trait RegistryStore: fmt::Debug + Send + Sync + 'static {
    /// Writes the record unless there is one, and returns when it is durable.
    ///
    /// # Errors
    ///
    /// If the storage cannot be reached or refuses; a record may then have been written.
    async fn put_if_absent(&self, id: WorkingKeyId, record: &[u8]) -> Result<PutOutcome>;

    /// Reads a record; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the storage cannot be reached, or if it holds more than [`MAXIMUM_RECORD_LENGTH`](crate::records::MAXIMUM_RECORD_LENGTH) bytes under that name.
    async fn get(&self, id: WorkingKeyId) -> Result<Option<Vec<u8>>>;

    /// The identifiers of at most `limit` records in ascending order, beginning behind `after`.
    ///
    /// Fewer than `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// If the storage cannot be reached.
    async fn list(&self, after: Option<WorkingKeyId>, limit: usize) -> Result<Vec<WorkingKeyId>>;
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The record was written.
    Created,
    /// There was one already; it was left as it is.
    Exists,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::MAXIMUM_RECORD_LENGTH;

    fn id(value: u8) -> WorkingKeyId {
        WorkingKeyId::from_bytes([value; 16])
    }

    /// What every store must do.
    async fn behaves(store: &dyn RegistryStore) {
        assert_eq!(store.get(id(1)).await.unwrap(), None);
        for value in [3, 1, 2] {
            assert_eq!(
                store.put_if_absent(id(value), &[value; 300]).await.unwrap(),
                PutOutcome::Created
            );
        }
        assert_eq!(
            store.put_if_absent(id(1), b"other").await.unwrap(),
            PutOutcome::Exists
        );
        assert_eq!(store.get(id(1)).await.unwrap().unwrap(), [1; 300]);
        assert_eq!(store.list(None, 10).await.unwrap(), [id(1), id(2), id(3)]);
        assert_eq!(store.list(None, 2).await.unwrap(), [id(1), id(2)]);
        assert_eq!(store.list(Some(id(2)), 2).await.unwrap(), [id(3)]);
        assert!(
            store
                .put_if_absent(id(4), &vec![0; MAXIMUM_RECORD_LENGTH + 1])
                .await
                .is_err()
        );
        assert_eq!(store.get(id(4)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn memory_behaves() {
        behaves(&MemoryRegistry::default()).await;
    }

    #[tokio::test]
    async fn directory_behaves_and_keeps_what_it_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry");
        behaves(&DirectoryRegistry::open(&path).unwrap()).await;
        let again = DirectoryRegistry::open(&path).unwrap();
        assert_eq!(again.get(id(2)).await.unwrap().unwrap(), [2; 300]);
        assert_eq!(
            std::fs::read_dir(&path).unwrap().count(),
            3,
            "no temporary file is left behind"
        );
    }

    #[tokio::test]
    async fn directory_ignores_other_files_and_refuses_large_ones() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryRegistry::open(directory.path()).unwrap();
        std::fs::write(directory.path().join("README"), b"x").unwrap();
        std::fs::write(
            directory.path().join(id(9).to_string()),
            vec![0; MAXIMUM_RECORD_LENGTH + 1],
        )
        .unwrap();
        assert_eq!(store.list(None, 10).await.unwrap(), [id(9)]);
        assert!(store.get(id(9)).await.is_err());
    }

    #[tokio::test]
    async fn one_of_many_simultaneous_writers_wins() {
        let directory = tempfile::tempdir().unwrap();
        let store = std::sync::Arc::new(DirectoryRegistry::open(directory.path()).unwrap());
        let mut writers = tokio::task::JoinSet::new();
        for value in 0..16_u8 {
            let store = std::sync::Arc::clone(&store);
            writers.spawn(async move {
                (
                    value,
                    store.put_if_absent(id(1), &[value; 64]).await.unwrap(),
                )
            });
        }
        let outcomes = writers.join_all().await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == PutOutcome::Created)
            .collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(store.get(id(1)).await.unwrap().unwrap(), [winners[0].0; 64]);
    }
}
