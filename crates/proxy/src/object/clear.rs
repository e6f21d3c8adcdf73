//! The head of an object that was never sealed. Only places that are marked migrating may take an object for one.

use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode, header};
use sealgate_envelope::header::HEADER_METADATA_NAME;

use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    operation::named,
    upstream::{Answer, Target, Upstream, UpstreamRequest},
};

/// What the upstream says of an object without a sealed header.
#[derive(Debug, Clone)]
pub struct ClearHead {
    /// The upstream's entity tag.
    pub entity_tag: EntityTag,
    /// The version, where the bucket has versions.
    pub version_id: Option<String>,
    /// Its whole length in bytes.
    pub length: u64,
    /// When it was written.
    pub last_modified: SystemTime,
    /// All headers of the answer.
    pub headers: HeaderMap,
}

impl ClearHead {
    /// Reads an answer to GET or HEAD. None where there is anything that could be a sealed header: such an object is opened or refused, and
    /// never served as it is. `asked_for` is the version that the request named, which an answer need not repeat.
    ///
    /// # Errors
    ///
    /// When the answer lacks what tells one version from another.
    pub fn read(answer: &Answer, asked_for: Option<&str>) -> Result<Option<Self>, S3Error> {
        if answer.headers().contains_key(HEADER_METADATA_NAME) {
            return Ok(None);
        }
        let missing =
            |what: &str| S3Error::stored_data(format!("the upstream does not say {what}"));
        let length = match answer.text(header::CONTENT_RANGE) {
            Some(range) => range
                .rsplit_once('/')
                .and_then(|(_, total)| total.parse().ok()),
            None => answer.content_length(),
        };
        let entity_tag = answer
            .text(header::ETAG)
            .ok_or_else(|| missing("the object's entity tag"))?;
        let last_modified = answer
            .text(header::LAST_MODIFIED)
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .ok_or_else(|| missing("when the object was written"))?;
        Ok(Some(Self {
            entity_tag: EntityTag::parse(entity_tag),
            version_id: answer
                .text(named("x-amz-version-id"))
                .or(asked_for)
                .map(str::to_owned),
            length: length.ok_or_else(|| missing("how long the object is"))?,
            last_modified,
            headers: answer.headers().clone(),
        }))
    }

    /// Asks for an object's head. None where it has a sealed header.
    ///
    /// # Errors
    ///
    /// The upstream's.
    pub async fn fetch(
        upstream: &Upstream,
        target: Target,
        version_id: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Option<Self>, S3Error> {
        let request = UpstreamRequest::new(Method::HEAD, target)
            .query(version_query(version_id))
            .headers(headers);
        Self::read(&upstream.call(request).await?, version_id)
    }

    /// Opens exactly this version for reading, with further headers such as a range. None where it was replaced meanwhile.
    ///
    /// # Errors
    ///
    /// The upstream's.
    pub async fn read_back(
        &self,
        upstream: &Upstream,
        method: Method,
        target: Target,
        query: &str,
        headers: HeaderMap,
    ) -> Result<Option<Answer>, S3Error> {
        let mut pinned = version_query(self.version_id.as_deref());
        if !query.is_empty() {
            if !pinned.is_empty() {
                pinned.push('&');
            }
            pinned.push_str(query);
        }
        let tag = super::commit::text(&self.entity_tag.to_string())?;
        let request = UpstreamRequest::new(method, target)
            .query(pinned)
            .headers(headers)
            .header(header::IF_MATCH, tag);
        let answer = match upstream.call(request).await {
            Err(error)
                if matches!(
                    error.status,
                    StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND
                ) =>
            {
                return Ok(None);
            }
            answer => answer?,
        };
        // A storage that ignores the condition may have sent another version, a sealed one even.
        let same = Self::read(&answer, self.version_id.as_deref())?.is_some_and(|found| {
            found.entity_tag == self.entity_tag
                && found.length == self.length
                && found.version_id == self.version_id
        });
        Ok(same.then_some(answer))
    }
}

/// The query that names a version; empty for the current one.
pub(crate) fn version_query(version_id: Option<&str>) -> String {
    let mut query = String::new();
    if let Some(version_id) = version_id {
        crate::operation::append_query(&mut query, "versionId", version_id);
    }
    query
}
