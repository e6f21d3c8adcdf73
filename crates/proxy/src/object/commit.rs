//! Commit records: fetched with one suffix request, opened, and remembered.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use quick_cache::{Weighter, sync::Cache};
use sealgate_envelope::{
    commit::{CommitRecord, CommitSearch, first_suffix_length},
    parts::ObjectLayout,
};

use super::{SealedHead, SealedObject, UpstreamIdentity, fetch::held_range};
use crate::{
    error::S3Error,
    upstream::{Target, Upstream, UpstreamRequest},
};

/// Records that are remembered, measured in parts. A part takes some 60 bytes, so all of them stay below 8 MiB.
const REMEMBERED_PARTS: u64 = 100_000;

/// An estimate for the cache's own bookkeeping.
const REMEMBERED_RECORDS: usize = 4_096;

/// What names a commit record: place and version. Bucket and key belong to it because everything else is the provider's to choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    bucket: String,
    wire_key: String,
    identity: UpstreamIdentity,
}

#[derive(Clone)]
struct Parts;

impl Weighter<Place, Arc<CommitRecord>> for Parts {
    fn weight(&self, _place: &Place, record: &Arc<CommitRecord>) -> u64 {
        record.parts().len().max(1) as u64
    }
}

/// Commit records by version of an object. They hold no secret: lengths, attempts and checksums.
pub struct CommitCache {
    records: Cache<Place, Arc<CommitRecord>, Parts>,
}

impl Default for CommitCache {
    fn default() -> Self {
        Self {
            records: Cache::with_weighter(REMEMBERED_RECORDS, REMEMBERED_PARTS, Parts),
        }
    }
}

impl CommitCache {
    /// The commit record of an object, from memory or from the upstream.
    ///
    /// # Errors
    ///
    /// When the record does not open, or the object was replaced meanwhile (`PreconditionFailed`, for the caller to repeat).
    pub async fn record(
        &self,
        upstream: &Upstream,
        target: &Target,
        object: &SealedObject,
    ) -> Result<Arc<CommitRecord>, S3Error> {
        let place = Place {
            bucket: target.bucket.clone().unwrap_or_default(),
            wire_key: target.key.clone().unwrap_or_default(),
            identity: object.identity.clone(),
        };
        if let Some(record) = self.records.get(&place) {
            return Ok(record);
        }
        let record = Arc::new(open(upstream, target, object).await?);
        self.records.insert(place, Arc::clone(&record));
        Ok(record)
    }
}

async fn open(
    upstream: &Upstream,
    target: &Target,
    object: &SealedObject,
) -> Result<CommitRecord, S3Error> {
    let sealed_length = object.identity.sealed_length;
    let mut suffix_length = first_suffix_length(sealed_length);
    loop {
        let suffix = fetch_suffix(upstream, target, &object.identity, suffix_length).await?;
        match CommitRecord::open_suffix(object.opened.secrets(), &suffix, sealed_length)? {
            CommitSearch::Found(record) => return Ok(record),
            CommitSearch::NeedMore {
                suffix_length: needed,
            } if needed > suffix_length && needed <= sealed_length => suffix_length = needed,
            CommitSearch::NeedMore { .. } => {
                return Err(S3Error::stored_data(
                    "the commit record is longer than the object",
                ));
            }
        }
    }
}

/// The last `length` bytes of exactly this version.
async fn fetch_suffix(
    upstream: &Upstream,
    target: &Target,
    identity: &UpstreamIdentity,
    length: u64,
) -> Result<bytes::Bytes, S3Error> {
    let request = UpstreamRequest::new(Method::GET, target.clone())
        .query(identity.version_query())
        .header(header::RANGE, text(&format!("bytes=-{length}"))?)
        .header(header::IF_MATCH, text(&identity.entity_tag)?);
    let answer = upstream.call(request).await?;
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return Err(S3Error::stored_data("the upstream ignored a range"));
    }
    if SealedHead::read(&answer, identity.version_id.as_deref())?.identity != *identity {
        return Err(S3Error::precondition_failed()
            .with_detail("the object was replaced between two requests"));
    }
    let end = identity.sealed_length;
    if held_range(&answer, end)? != (end.saturating_sub(length)..end) {
        return Err(S3Error::stored_data(
            "the upstream sent another range than was asked for",
        ));
    }
    let limit = usize::try_from(length).map_err(S3Error::internal)?;
    let suffix = answer.document(limit).await?;
    if suffix.len() != limit {
        return Err(S3Error::stored_data(
            "the upstream sent fewer bytes than the range has",
        ));
    }
    Ok(suffix.into_bytes())
}

pub(super) fn text(value: &str) -> Result<HeaderValue, S3Error> {
    HeaderValue::from_str(value).map_err(S3Error::internal)
}

impl SealedObject {
    /// Whether the whole object may be read without its commit record.
    pub fn needs_commit_record(&self) -> bool {
        self.opened.body().needs_commit_record()
    }

    /// Where its segments lie, confirmed by the commit record where one is needed.
    ///
    /// # Errors
    ///
    /// As [`CommitCache::record`].
    pub async fn layout(
        &self,
        commits: &CommitCache,
        upstream: &Upstream,
        target: &Target,
    ) -> Result<ObjectLayout, S3Error> {
        if self.needs_commit_record() {
            return Ok(commits
                .record(upstream, target, self)
                .await?
                .layout()
                .clone());
        }
        self.opened
            .layout()
            .ok_or_else(|| S3Error::internal("a verified object without a length"))
    }
}
