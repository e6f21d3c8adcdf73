//! Changes to the index, and what becomes of body files with them.

use redb::{Key, TableDefinition, Value, WriteTransaction};
use serde::Serialize;

use super::records::{
    BucketRecord, ObjectRecord, PartRecord, Segment, UploadRecord, encode_segments,
};
use super::{BODIES, BUCKETS, IndexError, OBJECTS, PARTS, UPLOADS, View};
use crate::bodies::PendingFile;
use crate::id::Id;

/// One change. Dropped without [`Transaction::commit`] it leaves the index as it was and removes the
/// files that it had adopted.
pub(crate) struct Transaction {
    inner: WriteTransaction,
    adopted: Vec<PendingFile>,
    obsolete: Vec<Obsolete>,
}

/// Files that nothing names once the change is durable.
pub(crate) struct Obsolete {
    /// The body that readers may still hold; none for a part, which nobody reads.
    pub(crate) body: Option<Id>,
    pub(crate) files: Vec<Id>,
}

impl Transaction {
    pub(super) fn new(inner: WriteTransaction) -> Self {
        Self {
            inner,
            adopted: Vec::new(),
            obsolete: Vec::new(),
        }
    }

    /// Takes over a file that this change names.
    pub(crate) fn adopt(&mut self, file: PendingFile) {
        self.adopted.push(file);
    }

    /// Makes the change durable and returns the files that may be removed now.
    pub(crate) fn commit(self) -> Result<Vec<Obsolete>, IndexError> {
        // Kept before the commit: where it fails it may have become durable all the same, and then the
        // index names these files. If it did not, the next start finds that nothing names them.
        self.adopted.into_iter().for_each(PendingFile::keep);
        self.inner.commit()?;
        Ok(self.obsolete)
    }

    pub(crate) fn put_bucket(
        &mut self,
        bucket: &str,
        record: &BucketRecord,
    ) -> Result<(), IndexError> {
        self.inner
            .open_table(BUCKETS)?
            .insert(bucket, encode(record)?.as_slice())?;
        Ok(())
    }

    pub(crate) fn remove_bucket(&mut self, bucket: &str) -> Result<(), IndexError> {
        self.inner.open_table(BUCKETS)?.remove(bucket)?;
        Ok(())
    }

    /// Stores an object whose bytes are in `segments`, in place of the one that has the key.
    /// `record.body` is set here.
    pub(crate) fn put_object(
        &mut self,
        bucket: &str,
        key: &str,
        mut record: ObjectRecord,
        segments: &[Segment],
    ) -> Result<(), IndexError> {
        self.remove_object(bucket, key)?;
        record.body = None;
        if !segments.is_empty() {
            let body = Id::random();
            self.inner.open_table(BODIES)?.insert(
                body.as_bytes().as_slice(),
                encode_segments(segments).as_slice(),
            )?;
            record.body = Some(body);
        }
        self.put_object_record(bucket, key, &record)
    }

    /// Replaces what is known about an object and leaves its bytes alone.
    pub(crate) fn put_object_record(
        &mut self,
        bucket: &str,
        key: &str,
        record: &ObjectRecord,
    ) -> Result<(), IndexError> {
        self.inner
            .open_table(OBJECTS)?
            .insert((bucket, key.as_bytes()), encode(record)?.as_slice())?;
        Ok(())
    }

    /// Removes an object and returns whether there was one.
    pub(crate) fn remove_object(&mut self, bucket: &str, key: &str) -> Result<bool, IndexError> {
        let Some(record) = self.object(bucket, key)? else {
            return Ok(false);
        };
        self.inner
            .open_table(OBJECTS)?
            .remove((bucket, key.as_bytes()))?;
        if let Some(body) = record.body {
            let files = self
                .segments(Some(body))?
                .iter()
                .map(|segment| segment.file)
                .collect();
            self.inner
                .open_table(BODIES)?
                .remove(body.as_bytes().as_slice())?;
            self.obsolete.push(Obsolete {
                body: Some(body),
                files,
            });
        }
        Ok(true)
    }

    pub(crate) fn put_upload(
        &mut self,
        bucket: &str,
        key: &str,
        upload: &str,
        record: &UploadRecord,
    ) -> Result<(), IndexError> {
        self.inner
            .open_table(UPLOADS)?
            .insert((bucket, key.as_bytes(), upload), encode(record)?.as_slice())?;
        Ok(())
    }

    /// Removes an upload and the rows of its parts; the files of parts that `used` does not name become
    /// obsolete.
    pub(crate) fn remove_upload(
        &mut self,
        bucket: &str,
        key: &str,
        upload: &str,
        used: &[Segment],
    ) -> Result<(), IndexError> {
        let used: std::collections::HashSet<Id> = used.iter().map(|segment| segment.file).collect();
        let parts = self.parts(upload)?;
        let mut table = self.inner.open_table(PARTS)?;
        for number in parts.keys() {
            table.remove((upload, *number))?;
        }
        drop(table);
        let files: Vec<Id> = parts
            .into_values()
            .filter_map(|part| part.file)
            .filter(|file| !used.contains(file))
            .collect();
        self.obsolete.push(Obsolete { body: None, files });
        self.inner
            .open_table(UPLOADS)?
            .remove((bucket, key.as_bytes(), upload))?;
        Ok(())
    }

    /// Stores a part in place of the one that has the number.
    pub(crate) fn put_part(
        &mut self,
        upload: &str,
        number: u16,
        record: &PartRecord,
    ) -> Result<(), IndexError> {
        if let Some(file) = self.part(upload, number)?.and_then(|old| old.file) {
            self.obsolete.push(Obsolete {
                body: None,
                files: vec![file],
            });
        }
        self.inner
            .open_table(PARTS)?
            .insert((upload, number), encode(record)?.as_slice())?;
        Ok(())
    }
}

impl View for Transaction {
    type Table<'table, K: Key + 'static, V: Value + 'static>
        = redb::Table<'table, K, V>
    where
        Self: 'table;

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<redb::Table<'_, K, V>, IndexError> {
        Ok(self.inner.open_table(definition)?)
    }
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, IndexError> {
    Ok(serde_json::to_vec(record)?)
}
