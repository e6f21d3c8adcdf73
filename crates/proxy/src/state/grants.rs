//! Requests for grants with what approvers said of them, and the list of revocations: small records in the state bucket.
//!
//! Whoever runs the storage can write, hide and bring back all of them. Nothing here is believed: signatures are verified by whoever reads.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use sealgate_access::grant::{
    GrantRecord, RECORD_LIMIT, SIGNED_LIST_LIMIT, SignedRevocationList, is_id,
};

use super::StateBucket;
use crate::error::S3Error;

/// The prefix of requests; an id follows.
const REQUESTS: &str = "grants/requests/";

/// The list of revocations.
const REVOCATIONS: &str = "grants/revocations";

/// Requests that are looked at.
const REQUESTS_LIMIT: usize = 10_000;

/// Records that are older are removed: far longer than a grant may last.
const RECORD_AGE: Duration = Duration::from_hours(90 * 24);

/// Records of grants.
#[derive(Debug, Clone)]
pub(crate) struct GrantRecords {
    state: StateBucket,
}

/// A record of the storage, before it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The id in its name.
    pub(crate) id: String,
    /// When it was written, by the storage's clock.
    pub(crate) modified: SystemTime,
}

impl GrantRecords {
    pub(crate) fn new(state: StateBucket) -> Self {
        Self { state }
    }

    /// Stores a new request; false where there is one of its id.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub(crate) async fn add(&self, id: &str, record: &GrantRecord) -> Result<bool, S3Error> {
        let text = record.to_text().map_err(S3Error::internal)?;
        self.state.put_new(&name(id), text).await
    }

    /// A record with the tag that [`Self::replace`] takes; none if there is no such request. What cannot be read is an error.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read, and for what is no record.
    pub(crate) async fn get(
        &self,
        id: &str,
    ) -> Result<Option<(GrantRecord, HeaderValue)>, S3Error> {
        let Some((bytes, tag)) = self.state.get_tagged(&name(id), RECORD_LIMIT).await? else {
            return Ok(None);
        };
        let record = std::str::from_utf8(&bytes)
            .map_err(S3Error::internal)
            .and_then(|text| GrantRecord::of_text(text).map_err(S3Error::internal))?;
        Ok(Some((record, tag)))
    }

    /// Replaces a record; false where another one is there now.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub(crate) async fn replace(
        &self,
        id: &str,
        record: &GrantRecord,
        tag: &HeaderValue,
    ) -> Result<bool, S3Error> {
        let text = record.to_text().map_err(S3Error::internal)?;
        self.state.replace(&name(id), text, tag).await
    }

    /// Requests: the first [`REQUESTS_LIMIT`] by their names, which are hashes. Names that are none are passed over.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, S3Error> {
        let entries = self.state.list_first(REQUESTS, REQUESTS_LIMIT).await?;
        let listed = entries.into_iter().filter_map(|entry| {
            let id = entry.name.strip_prefix(REQUESTS)?;
            is_id(id).then(|| Listed {
                id: id.to_owned(),
                modified: entry.modified,
            })
        });
        Ok(listed.collect())
    }

    /// Removes requests of long ago, and whatever else lies among them as long.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read or written.
    pub(crate) async fn forget_the_old(&self) -> Result<(), S3Error> {
        let entries = self.state.list_first(REQUESTS, REQUESTS_LIMIT).await?;
        let old: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry.modified.elapsed().is_ok_and(|age| age > RECORD_AGE))
            .map(|entry| entry.name)
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        self.state.delete(&old).await
    }

    /// The list of revocations as it lies there, with the tag that [`Self::put_revocations`] takes.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read, and for what is no list.
    pub(crate) async fn revocations(
        &self,
    ) -> Result<Option<(SignedRevocationList, HeaderValue)>, S3Error> {
        match self.revocations_as_they_lie().await? {
            Some((list, tag)) => Ok(Some((list?, tag))),
            None => Ok(None),
        }
    }

    /// As [`Self::revocations`], also where what lies there is no list.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub(crate) async fn revocations_as_they_lie(
        &self,
    ) -> Result<Option<(Result<SignedRevocationList, S3Error>, HeaderValue)>, S3Error> {
        let found = self
            .state
            .get_tagged(REVOCATIONS, SIGNED_LIST_LIMIT)
            .await?;
        Ok(found.map(|(bytes, tag)| {
            let list = std::str::from_utf8(&bytes)
                .map_err(S3Error::internal)
                .and_then(|text| SignedRevocationList::of_text(text).map_err(S3Error::internal));
            (list, tag)
        }))
    }

    /// Puts a list in the place of the one with this tag, or where there is none; false where another one is there now.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub(crate) async fn put_revocations(
        &self,
        list: &SignedRevocationList,
        tag: Option<&HeaderValue>,
    ) -> Result<bool, S3Error> {
        let text = list.to_text().map_err(S3Error::internal)?;
        match tag {
            Some(tag) => self.state.replace(REVOCATIONS, text, tag).await,
            None => self.state.put_new(REVOCATIONS, text).await,
        }
    }
}

fn name(id: &str) -> String {
    format!("{REQUESTS}{id}")
}
