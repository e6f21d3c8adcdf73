//! The store: index and bodies together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use s3s::{S3Error, S3Result, s3_error};

use crate::bodies::{Bodies, Lease, Leases};
use crate::error::Error;
use crate::index::records::{ObjectRecord, Segment};
use crate::index::{Index, IndexError, Snapshot, Transaction, View};

/// A store in a directory. Clones share it; the directory is free again when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    root: PathBuf,
    index: Index,
    pub(crate) bodies: Arc<Bodies>,
    leases: Arc<Leases>,
}

/// An object that may be read until this value is dropped.
pub(crate) struct LeasedObject {
    pub(crate) record: ObjectRecord,
    pub(crate) segments: Vec<Segment>,
    pub(crate) lease: Option<Lease>,
}

impl Store {
    /// Opens the store in `directory`, which is made if it is missing, and removes what a crash left.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::Directory`] if the directory cannot be used, [`Error::Locked`] if another process (or
    /// another `Store` of this one) has it open, [`Error::Index`] if the index cannot be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let root = directory.as_ref().to_owned();
        fs::create_dir_all(&root).map_err(|source| Error::Directory {
            path: root.clone(),
            source,
        })?;
        // The index first: its lock keeps two processes from cleaning up after each other.
        let index = Index::open(&root.join("index.redb"))?;
        let bodies = Arc::new(Bodies::open(&root)?);
        bodies.remove_orphans(&index.read()?)?;
        let leases = Leases::new(Arc::clone(&bodies));
        Ok(Self {
            shared: Arc::new(Shared {
                root,
                index,
                bodies,
                leases,
            }),
        })
    }

    /// The directory of the store.
    pub fn directory(&self) -> &Path {
        &self.shared.root
    }

    /// The files that hold the bytes of an object, in order: one for an object that was put in one
    /// piece, one for each part of a multipart upload, none for an object without bytes. None if there
    /// is no such object. To look at, not to change; the files may vanish when the object is replaced.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::Index`] if the index cannot be read.
    pub fn body_files(&self, bucket: &str, key: &str) -> Result<Option<Vec<PathBuf>>, Error> {
        let snapshot = self.shared.index.read()?;
        let Some(record) = snapshot.object(bucket, key)? else {
            return Ok(None);
        };
        let segments = snapshot.segments(record.body)?;
        let files = segments.iter().filter(|segment| segment.length > 0);
        Ok(Some(
            files
                .map(|segment| self.shared.bodies.path(segment.file))
                .collect(),
        ))
    }

    /// Runs `work` on a blocking thread. It finishes even if the caller is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(S3Error::internal_error)?
    }

    pub(crate) fn bodies(&self) -> &Arc<Bodies> {
        &self.shared.bodies
    }
}

impl Shared {
    pub(crate) fn read(&self) -> Result<Snapshot, IndexError> {
        self.index.read()
    }

    /// Runs a change and makes it durable, or leaves everything as it was if `change` fails.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Transaction) -> S3Result<T>,
    ) -> S3Result<T> {
        let mut transaction = self.index.write()?;
        let outcome = change(&mut transaction)?;
        self.leases.discard(transaction.commit()?);
        Ok(outcome)
    }

    /// Looks an object up for reading.
    pub(crate) fn lease(&self, bucket: &str, key: &str) -> S3Result<LeasedObject> {
        let (lease, (record, segments)) = self.leases.lease(|| {
            let snapshot = self.read()?;
            snapshot.demand_bucket(bucket)?;
            let record = snapshot.demand_object(bucket, key)?;
            let segments = snapshot.segments(record.body)?;
            Ok::<_, S3Error>((record.body, (record, segments)))
        })?;
        Ok(LeasedObject {
            record,
            segments,
            lease,
        })
    }
}

/// Lookups whose failure is an S3 error.
pub(crate) trait Demand: View {
    fn demand_bucket(&self, bucket: &str) -> S3Result<()> {
        self.bucket(bucket)?
            .map(|_| ())
            .ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    fn demand_object(&self, bucket: &str, key: &str) -> S3Result<ObjectRecord> {
        self.object(bucket, key)?
            .ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    fn demand_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
    ) -> S3Result<crate::index::records::UploadRecord> {
        self.upload(bucket, key, upload)?.ok_or_else(|| {
            s3_error!(
                NoSuchUpload,
                "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
            )
        })
    }
}

impl<V: View> Demand for V {}

impl From<IndexError> for S3Error {
    fn from(error: IndexError) -> Self {
        S3Error::internal_error(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert!(matches!(
            Store::open(directory.path()),
            Err(Error::Locked { .. })
        ));
        drop(store);
        Store::open(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            Store::open(file.path()),
            Err(Error::Directory { .. })
        ));
    }
}
