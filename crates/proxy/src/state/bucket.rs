//! Small objects by name, in one bucket of an upstream.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use crate::{
    error::S3Error,
    migration::{Listing, Versioning, versioning},
    object::version_query,
    operation::append_query,
    upstream::{
        Answer, AnswerBody, DocumentShare, MAX_DOCUMENT_LENGTH, RequestBody, Target, Upstream,
        UpstreamRequest,
    },
    xml::{
        requests::{DeleteObjects, ObjectToDelete},
        upstream_answers::parse_deleted,
        upstream_listings::{ObjectsPage, parse_objects},
    },
};

/// Objects named in one DeleteObjects request (S3 API, DeleteObjects).
const DELETE_BATCH: usize = 1_000;

/// Pages of a listing that may be empty although more are said to follow. A listing without an end must not keep a request for ever.
const MAXIMUM_EMPTY_PAGES: usize = 1_000;

/// Versions of records that are looked at at once: as many as there are working keys, and some of each.
const MAXIMUM_VERSIONS: usize = 10_000_000;

/// What one entry is taken to hold, in bytes: a name of up to 400, and what is opened of it.
const ENTRY_MEMORY: usize = 512;

/// A client has no use for the storage's words about a bucket that it cannot see, and could take them to be about its own.
fn unavailable(error: S3Error) -> S3Error {
    S3Error::unavailable(
        "The gateway's own records cannot be reached. Please try again.",
        error,
    )
}

/// An object of the state bucket as a listing shows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The whole name.
    pub name: String,
    /// Its length.
    pub size: u64,
    /// When it was written, by the upstream's clock.
    pub modified: SystemTime,
}

/// One version of an object of the state bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordVersion {
    /// The whole name.
    pub name: String,
    /// Its version; none in a bucket that has no versions.
    pub version_id: Option<String>,
}

/// The bucket that holds the gateway's own records. Names are made by us and need no percent-encoding.
#[derive(Debug, Clone)]
pub struct StateBucket {
    upstream: Upstream,
    bucket: String,
}

impl StateBucket {
    /// Names the bucket; nothing is asked of the upstream yet.
    pub fn new(upstream: Upstream, bucket: impl Into<String>) -> Self {
        Self {
            upstream,
            bucket: bucket.into(),
        }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.bucket
    }

    /// The storage that the bucket is on.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Whether it is there.
    ///
    /// # Errors
    ///
    /// The upstream's error.
    pub async fn exists(&self) -> Result<bool, S3Error> {
        let bucket = Target::bucket(&self.bucket);
        let head = self
            .upstream
            .send(UpstreamRequest::new(Method::HEAD, bucket))
            .await?;
        match head.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(head.into_error().await),
        }
    }

    /// Makes sure that the bucket exists, and creates it where that is allowed.
    ///
    /// # Errors
    ///
    /// The upstream's error, when the bucket is neither there nor can be made.
    pub async fn ensure(&self) -> Result<(), S3Error> {
        if self.exists().await? {
            return Ok(());
        }
        let region = &self.upstream.settings().region;
        // us-east-1 is the one region that must not be named (S3 API, CreateBucket).
        let body = if region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
        };
        let create = UpstreamRequest::new(Method::PUT, Target::bucket(&self.bucket)).bytes(body);
        match self.upstream.call(create).await {
            Ok(_) => {
                tracing::info!(bucket = %self.bucket, "created the state bucket");
                Ok(())
            }
            // Another replica was faster.
            Err(error) if error.code == "BucketAlreadyOwnedByYou" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes a record, unless one of this name exists. Returns whether it was written.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub async fn put_new(&self, name: &str, content: impl Into<Bytes>) -> Result<bool, S3Error> {
        let content = content.into();
        let request = || {
            UpstreamRequest::new(Method::PUT, self.target(name))
                .header(header::IF_NONE_MATCH, HeaderValue::from_static("*"))
                .bytes(content.clone())
                .repeat_although_conditional()
        };
        let mut answer = self.upstream.send(request()).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            // The storage was away when the gateway started, or the bucket is new.
            self.ensure().await.map_err(unavailable)?;
            answer = self.upstream.send(request()).await?;
        }
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => {
                // The record that is there may be the one that we wrote before the connection broke.
                let ours =
                    answer.was_repeated() && self.get(name, content.len()).await? == Some(content);
                Ok(ours)
            }
            _ => Err(unavailable(answer.into_error().await)),
        }
    }

    /// Writes a record; one of the same name is replaced.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub async fn put(&self, name: &str, content: impl Into<Bytes>) -> Result<(), S3Error> {
        self.call(UpstreamRequest::new(Method::PUT, self.target(name)).bytes(content))
            .await?;
        Ok(())
    }

    /// Streams an object of exactly `length` bytes.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub async fn put_stream(
        &self,
        name: &str,
        body: RequestBody,
        length: u64,
    ) -> Result<(), S3Error> {
        self.call(UpstreamRequest::new(Method::PUT, self.target(name)).stream(body, length))
            .await?;
        Ok(())
    }

    /// Reads a record of at most `limit` bytes; none if there is no such name.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub async fn get(&self, name: &str, limit: usize) -> Result<Option<Bytes>, S3Error> {
        match self
            .upstream
            .call(UpstreamRequest::new(Method::GET, self.target(name)))
            .await
        {
            Ok(answer) => Ok(Some(answer.document(limit).await?.into_bytes())),
            Err(error) if matches!(&*error.code, "NoSuchKey" | "NoSuchBucket") => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// As [`Self::get`], with the entity tag that [`Self::replace`] takes.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub async fn get_tagged(
        &self,
        name: &str,
        limit: usize,
    ) -> Result<Option<(Bytes, HeaderValue)>, S3Error> {
        let request = UpstreamRequest::new(Method::GET, self.target(name));
        match self.upstream.call(request).await {
            Ok(answer) => {
                let tag = answer.headers().get(header::ETAG).cloned().ok_or_else(|| {
                    S3Error::internal("the upstream sent a record without an entity tag")
                })?;
                Ok(Some((answer.document(limit).await?.into_bytes(), tag)))
            }
            Err(error) if matches!(&*error.code, "NoSuchKey" | "NoSuchBucket") => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Writes a record in place of the one with this entity tag, and tells whether it did: not if another one is there now.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub async fn replace(
        &self,
        name: &str,
        content: impl Into<Bytes>,
        tag: &HeaderValue,
    ) -> Result<bool, S3Error> {
        let request = UpstreamRequest::new(Method::PUT, self.target(name))
            .header(header::IF_MATCH, tag.clone())
            .bytes(content);
        let answer = self.upstream.send(request).await?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
                Ok(false)
            }
            _ => Err(unavailable(answer.into_error().await)),
        }
    }

    /// Opens an object for reading: its length and its body; none if there is no such name.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub async fn get_stream(&self, name: &str) -> Result<Option<(u64, AnswerBody)>, S3Error> {
        let request = UpstreamRequest::new(Method::GET, self.target(name));
        let answer = match self.upstream.call(request).await {
            Err(error) if error.code == "NoSuchKey" => return Ok(None),
            answer => answer.map_err(unavailable)?,
        };
        let length = answer
            .content_length()
            .ok_or_else(|| S3Error::internal("the upstream sent a record without a length"))?;
        Ok(Some((length, answer.into_parts().1)))
    }

    async fn call(&self, request: UpstreamRequest) -> Result<Answer, S3Error> {
        self.upstream.call(request).await.map_err(unavailable)
    }

    /// All names that begin with `prefix`, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// The upstream's error, or `SlowDown` past the limit: names are chosen by whoever can write to the bucket.
    pub async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Entry>, S3Error> {
        self.list_within(prefix, limit, &mut None).await
    }

    /// As [`Self::list`], for what clients can have listed as often as they like: the names count as documents do, for as long as the share is kept.
    ///
    /// # Errors
    ///
    /// As [`Self::list`], and `SlowDown` where all documents together hold too much.
    pub async fn list_held(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<DocumentShare>), S3Error> {
        let mut share = Some(self.upstream.settings().memory.share());
        let entries = self.list_within(prefix, limit, &mut share).await?;
        Ok((entries, share))
    }

    async fn list_within(
        &self,
        prefix: &str,
        limit: usize,
        share: &mut Option<DocumentShare>,
    ) -> Result<Vec<Entry>, S3Error> {
        let entries = self.collect(prefix, limit.saturating_add(1), share).await?;
        if entries.len() > limit {
            return Err(S3Error::slow_down(format!(
                "more than {limit} records under {prefix}"
            )));
        }
        Ok(entries)
    }

    /// The names that begin with `prefix`, the first `limit` of them: for callers that delete what they get, and come again.
    ///
    /// # Errors
    ///
    /// The upstream's error, or `ServiceUnavailable` for a listing that is not what was asked for.
    pub async fn list_first(&self, prefix: &str, limit: usize) -> Result<Vec<Entry>, S3Error> {
        self.collect(prefix, limit, &mut None).await
    }

    async fn collect(
        &self,
        prefix: &str,
        limit: usize,
        share: &mut Option<DocumentShare>,
    ) -> Result<Vec<Entry>, S3Error> {
        let mut entries = Vec::new();
        let mut token: Option<String> = None;
        let mut empty_pages = 0;
        loop {
            let page = self.page(prefix, None, token.as_deref()).await?;
            empty_pages += usize::from(page.objects.is_empty());
            for object in page.objects {
                if entries.len() == limit {
                    return Ok(entries);
                }
                entries.push(Entry {
                    name: object.key,
                    size: object.size,
                    modified: object.last_modified.into(),
                });
            }
            if let Some(share) = share {
                share
                    .grow_to(entries.len().saturating_mul(ENTRY_MEMORY))
                    .await
                    .map_err(S3Error::slow_down)?;
            }
            token = match next_page(token.as_deref(), page.next_continuation_token, empty_pages)? {
                Some(next) => Some(next),
                None => return Ok(entries),
            };
        }
    }

    /// The distinct beginnings of names up to the first `/` behind `prefix`, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// As [`Self::list`].
    pub async fn list_prefixes(&self, prefix: &str, limit: usize) -> Result<Vec<String>, S3Error> {
        let mut prefixes = Vec::new();
        let mut token: Option<String> = None;
        let mut empty_pages = 0;
        loop {
            let page = self.page(prefix, Some("/"), token.as_deref()).await?;
            empty_pages += usize::from(page.common_prefixes.is_empty());
            prefixes.extend(page.common_prefixes);
            if prefixes.len() > limit {
                return Err(S3Error::slow_down(format!(
                    "more than {limit} names under {prefix}"
                )));
            }
            token = match next_page(token.as_deref(), page.next_continuation_token, empty_pages)? {
                Some(next) => Some(next),
                None => return Ok(prefixes),
            };
        }
    }

    async fn page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        token: Option<&str>,
    ) -> Result<ObjectsPage, S3Error> {
        let mut query = String::from("list-type=2");
        append_query(&mut query, "prefix", prefix);
        for (name, value) in [("delimiter", delimiter), ("continuation-token", token)] {
            if let Some(value) = value {
                append_query(&mut query, name, value);
            }
        }
        let request = UpstreamRequest::new(Method::GET, Target::bucket(&self.bucket)).query(query);
        let document = self
            .call(request)
            .await?
            .document(MAX_DOCUMENT_LENGTH)
            .await?;
        let page = parse_objects(&document)?;
        // Names are deleted on the word of a listing, so one that ignores the prefix must not be believed: the registry is in this bucket too.
        let mut names = page.objects.iter().map(|object| &object.key);
        let strays = names.any(|name| !name.starts_with(prefix))
            || page
                .common_prefixes
                .iter()
                .any(|name| !name.starts_with(prefix));
        if strays {
            return Err(malformed_listing(
                "holds names that do not begin with the prefix that was asked for",
            ));
        }
        Ok(page)
    }

    /// All versions of the names that begin with `prefix`: earlier ones too, where the bucket keeps them.
    ///
    /// # Errors
    ///
    /// The upstream's error, or `ServiceUnavailable` for a listing that is not what was asked for.
    pub async fn versions(&self, prefix: &str) -> Result<Vec<RecordVersion>, S3Error> {
        let kept = versioning(&self.upstream, &self.bucket).await;
        let listing = Listing {
            upstream: self.upstream.clone(),
            bucket: self.bucket.clone(),
            prefix: prefix.to_owned(),
            start_after: None,
            versions: kept.map_err(unavailable)? != Versioning::Off,
        };
        let mut entries = listing.entries();
        let mut found = Vec::new();
        while let Some(entry) = entries.next().await.map_err(unavailable)? {
            if !entry.key.starts_with(prefix) {
                return Err(malformed_listing(
                    "holds names that do not begin with the prefix that was asked for",
                ));
            }
            if found.len() == MAXIMUM_VERSIONS {
                return Err(S3Error::slow_down(format!(
                    "more than {MAXIMUM_VERSIONS} versions of records under {prefix}"
                )));
            }
            found.push(RecordVersion {
                name: entry.key,
                version_id: entry.version_id,
            });
        }
        Ok(found)
    }

    /// Reads one version of a record of at most `limit` bytes; none if it is gone.
    ///
    /// # Errors
    ///
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub async fn get_version(
        &self,
        version: &RecordVersion,
        limit: usize,
    ) -> Result<Option<Bytes>, S3Error> {
        let request = UpstreamRequest::new(Method::GET, self.target(&version.name))
            .query(version_query(version.version_id.as_deref()));
        match self.upstream.call(request).await {
            Ok(answer) => Ok(Some(answer.document(limit).await?.into_bytes())),
            Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Deletes these names; names that do not exist are no error.
    ///
    /// # Errors
    ///
    /// The upstream's error for the request or for single names, which is logged too. All other names are gone then, or may be.
    pub async fn delete(&self, names: &[String]) -> Result<(), S3Error> {
        let current = names.iter().map(|name| RecordVersion {
            name: name.clone(),
            version_id: None,
        });
        self.delete_versions(&current.collect::<Vec<_>>()).await
    }

    /// Deletes these versions for good, and not only the current one of a name.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`].
    pub async fn delete_versions(&self, versions: &[RecordVersion]) -> Result<(), S3Error> {
        let mut kept = 0;
        for batch in versions.chunks(DELETE_BATCH) {
            let objects = batch
                .iter()
                .map(|version| ObjectToDelete {
                    key: version.name.clone(),
                    version_id: version.version_id.clone(),
                    ..ObjectToDelete::default()
                })
                .collect();
            let body = DeleteObjects {
                quiet: true,
                objects,
            }
            .to_document()
            .into_bytes();
            let request = UpstreamRequest::new(Method::POST, Target::bucket(&self.bucket))
                .query("delete=")
                .header(
                    http::HeaderName::from_static("content-md5"),
                    HeaderValue::from_str(&crate::operation::content_md5(&body))
                        .map_err(S3Error::internal)?,
                )
                .bytes(body);
            let answer = self.call(request).await?;
            let result = answer.document(MAX_DOCUMENT_LENGTH).await?;
            // Where nothing failed, some servers have nothing to say in quiet mode.
            let failures = if result.is_empty() {
                Vec::new()
            } else {
                parse_deleted(&result)?.failures
            };
            if let Some(first) = failures.first() {
                tracing::warn!(
                    bucket = self.bucket,
                    names = failures.len(),
                    first = %first.key,
                    code = %first.code,
                    message = %first.message,
                    "the storage did not delete some of the gateway's own records; `sealgate gc` will try again"
                );
            }
            kept += failures.len();
        }
        if kept > 0 {
            return Err(unavailable(S3Error::internal(format!(
                "{kept} of {} records could not be deleted",
                versions.len()
            ))));
        }
        Ok(())
    }

    fn target(&self, name: &str) -> Target {
        Target::object(&self.bucket, name)
    }
}

/// Where the next page of a listing begins; none behind the last one.
fn next_page(
    current: Option<&str>,
    next: Option<String>,
    empty_pages: usize,
) -> Result<Option<String>, S3Error> {
    let Some(next) = next.filter(|next| current != Some(next.as_str())) else {
        return Ok(None);
    };
    if empty_pages > MAXIMUM_EMPTY_PAGES {
        return Err(malformed_listing("has no end"));
    }
    Ok(Some(next))
}

fn malformed_listing(what: &str) -> S3Error {
    unavailable(S3Error::internal(format!(
        "the storage's listing of the state bucket {what}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_ends_with_its_tokens_or_is_cut() {
        let token = |text: &str| Some(text.to_owned());
        assert_eq!(next_page(None, token("a"), 0).unwrap(), token("a"));
        assert_eq!(next_page(Some("a"), token("b"), 1_000).unwrap(), token("b"));
        assert_eq!(next_page(Some("a"), token("a"), 0).unwrap(), None);
        assert_eq!(next_page(Some("a"), None, 1_001).unwrap(), None);
        assert!(next_page(Some("a"), token("b"), 1_001).is_err());
    }
}
