//! Lookups that are the same in a snapshot and inside a change.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{AccessGuard, Key, ReadableTable, TableDefinition, Value};
use serde::de::DeserializeOwned;

use super::records::{
    BucketRecord, ObjectRecord, PartRecord, Segment, UploadRecord, decode_segments,
};
use super::{BODIES, BUCKETS, IndexError, OBJECTS, PARTS, UPLOADS};
use crate::id::Id;
use crate::limits::MAX_PART_NUMBER;

/// Read access to the tables.
pub(crate) trait View {
    type Table<'table, K: Key + 'static, V: Value + 'static>: ReadableTable<K, V>
    where
        Self: 'table;

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<Self::Table<'_, K, V>, IndexError>;

    fn bucket(&self, bucket: &str) -> Result<Option<BucketRecord>, IndexError> {
        decode(self.table(BUCKETS)?.get(bucket)?)
    }

    /// All buckets by name.
    fn buckets(&self) -> Result<Vec<(String, BucketRecord)>, IndexError> {
        let table = self.table(BUCKETS)?;
        let mut found = Vec::new();
        for entry in table.range::<&str>(..)? {
            let (name, value) = entry?;
            found.push((
                name.value().to_owned(),
                serde_json::from_slice(value.value())?,
            ));
        }
        Ok(found)
    }

    fn object(&self, bucket: &str, key: &str) -> Result<Option<ObjectRecord>, IndexError> {
        decode(self.table(OBJECTS)?.get((bucket, key.as_bytes()))?)
    }

    /// Whether a bucket holds no object.
    fn is_empty(&self, bucket: &str) -> Result<bool, IndexError> {
        Ok(self.next_object(bucket, Bound::Unbounded)?.is_none())
    }

    /// The first object whose key is within the bound, in byte order.
    fn next_object(
        &self,
        bucket: &str,
        from: Bound<&[u8]>,
    ) -> Result<Option<(Vec<u8>, ObjectRecord)>, IndexError> {
        let from = match from {
            Bound::Included(key) => Bound::Included((bucket, key)),
            Bound::Excluded(key) => Bound::Excluded((bucket, key)),
            Bound::Unbounded => Bound::Included((bucket, [].as_slice())),
        };
        let table = self.table(OBJECTS)?;
        let Some(entry) = table.range((from, Bound::Unbounded))?.next() else {
            return Ok(None);
        };
        let (name, value) = entry?;
        let (found_bucket, key) = name.value();
        if found_bucket != bucket {
            return Ok(None);
        }
        Ok(Some((
            key.to_owned(),
            serde_json::from_slice(value.value())?,
        )))
    }

    /// The files of a body, in order.
    fn segments(&self, body: Option<Id>) -> Result<Vec<Segment>, IndexError> {
        let Some(body) = body else {
            return Ok(Vec::new());
        };
        let table = self.table(BODIES)?;
        let entry = table
            .get(body.as_bytes().as_slice())?
            .ok_or_else(|| IndexError::Body(body.to_string()))?;
        decode_segments(body, entry.value())
    }

    fn upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
    ) -> Result<Option<UploadRecord>, IndexError> {
        decode(self.table(UPLOADS)?.get((bucket, key.as_bytes(), upload))?)
    }

    /// The first upload of a bucket after a key and id: by key, then by time.
    fn next_upload(
        &self,
        bucket: &str,
        from: Bound<(&[u8], &str)>,
    ) -> Result<Option<(Vec<u8>, String, UploadRecord)>, IndexError> {
        let from = match from {
            Bound::Included((key, upload)) => Bound::Included((bucket, key, upload)),
            Bound::Excluded((key, upload)) => Bound::Excluded((bucket, key, upload)),
            Bound::Unbounded => Bound::Included((bucket, [].as_slice(), "")),
        };
        let table = self.table(UPLOADS)?;
        let Some(entry) = table.range((from, Bound::Unbounded))?.next() else {
            return Ok(None);
        };
        let (name, value) = entry?;
        let (found_bucket, key, upload) = name.value();
        if found_bucket != bucket {
            return Ok(None);
        }
        Ok(Some((
            key.to_owned(),
            upload.to_owned(),
            serde_json::from_slice(value.value())?,
        )))
    }

    fn part(&self, upload: &str, number: u16) -> Result<Option<PartRecord>, IndexError> {
        decode(self.table(PARTS)?.get((upload, number))?)
    }

    /// Every part of an upload by its number.
    fn parts(&self, upload: &str) -> Result<BTreeMap<u16, PartRecord>, IndexError> {
        let table = self.table(PARTS)?;
        let mut found = BTreeMap::new();
        for entry in table.range((upload, 0)..=(upload, MAX_PART_NUMBER))? {
            let (name, value) = entry?;
            found.insert(name.value().1, serde_json::from_slice(value.value())?);
        }
        Ok(found)
    }

    /// Calls `visit` with every file that an object or a part names.
    fn for_each_file(&self, mut visit: impl FnMut(Id)) -> Result<(), IndexError> {
        for entry in self.table(BODIES)?.range::<&[u8]>(..)? {
            let (name, value) = entry?;
            let body =
                Id::try_from(name.value()).map_err(|error| IndexError::Body(error.to_string()))?;
            decode_segments(body, value.value())?
                .iter()
                .map(|segment| segment.file)
                .for_each(&mut visit);
        }
        for entry in self.table(PARTS)?.range::<(&str, u16)>(..)? {
            let part: PartRecord = serde_json::from_slice(entry?.1.value())?;
            part.file.into_iter().for_each(&mut visit);
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(
    entry: Option<AccessGuard<'_, &'static [u8]>>,
) -> Result<Option<T>, IndexError> {
    Ok(entry
        .map(|value| serde_json::from_slice(value.value()))
        .transpose()?)
}
