//! Writing one object from a stream: in one request, or in parts where it is large.

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use sealgate_envelope::layout::MAXIMUM_PARTS;

use super::body::Cutter;
use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    operation::{append_query, named},
    upstream::{Answer, MAX_DOCUMENT_LENGTH, RequestBody, Target, Upstream, UpstreamRequest},
    xml::{
        requests::{CompleteMultipartUpload, CompletedPart},
        upstream_answers::{Outcome, parse_completed, parse_initiated},
    },
};

/// The most that one request carries (S3 API, PutObject and UploadPart).
const MAXIMUM_REQUEST_LENGTH: u64 = 5 << 30;

/// Conditions belong to the request that makes the object: the last one of a multipart upload.
const CONDITIONS: [HeaderName; 2] = [header::IF_MATCH, header::IF_NONE_MATCH];

/// How objects go up that are too long for one request, or seem so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    /// Objects longer than this go up in parts of at least this length.
    pub(super) length: u64,
    /// Whether a completion may carry a condition, because the storage honours it there.
    pub(super) conditional: bool,
}

/// An object that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// The storage's tag.
    pub(super) entity_tag: EntityTag,
    /// The version, where the bucket has versions.
    pub(super) version_id: Option<String>,
}

impl Stored {
    fn read(answer: &Answer, entity_tag: Option<EntityTag>) -> Result<Self, S3Error> {
        let tag = entity_tag
            .or_else(|| answer.text(header::ETAG).map(EntityTag::parse))
            .ok_or_else(|| S3Error::internal("the storage gave the object no entity tag"))?;
        Ok(Self {
            entity_tag: tag,
            version_id: answer.text(named("x-amz-version-id")).map(str::to_owned),
        })
    }
}

/// Writes `length` bytes under `target`, with these headers. What is longer than a part goes up in parts, unless there is a condition that the
/// storage would ignore on their completion.
///
/// # Errors
///
/// The storage's error, or that of the body. After a refusal (4xx) there is no object; after anything else nobody knows, except that an upload in
/// parts was aborted. `EntityTooLarge` where only a completion could write that much, and would ignore the condition.
pub(super) async fn store(
    upstream: &Upstream,
    target: &Target,
    headers: HeaderMap,
    body: RequestBody,
    length: u64,
    parts: Parts,
) -> Result<Stored, S3Error> {
    let is_conditional = CONDITIONS.iter().any(|name| headers.contains_key(name));
    let part_length = if is_conditional && !parts.conditional {
        if length > MAXIMUM_REQUEST_LENGTH {
            return Err(S3Error::new(
                StatusCode::BAD_REQUEST,
                "EntityTooLarge",
                "The storage ignores conditions on CompleteMultipartUpload, and this is too long for one PutObject.",
            ));
        }
        MAXIMUM_REQUEST_LENGTH
    } else {
        parts.length
    };
    if length <= part_length.min(MAXIMUM_REQUEST_LENGTH) {
        let request = UpstreamRequest::new(Method::PUT, target.clone())
            .headers(headers)
            .stream(body, length);
        return Stored::read(&upstream.call(request).await?, None);
    }
    let mut placement = headers;
    let mut conditions = HeaderMap::new();
    for name in CONDITIONS {
        if let Some(value) = placement.remove(&name) {
            conditions.insert(name, value);
        }
    }
    let begin = UpstreamRequest::new(Method::POST, target.clone())
        .query("uploads=")
        .headers(placement);
    let answer = upstream.call(begin).await?;
    let upload_id = parse_initiated(&answer.document(MAX_DOCUMENT_LENGTH).await?)?;
    let upload = Upload {
        upstream,
        target,
        id: upload_id,
    };
    let outcome = upload
        .run(conditions, Cutter::new(body), length, part_length)
        .await;
    if outcome.is_err() {
        // What stays of it where this fails too, a lifecycle rule of the bucket removes.
        upload.abort().await.ok();
    }
    outcome
}

/// The length of each part but the last, so that there are at most 10,000.
fn length_of_parts(length: u64, wanted: u64) -> u64 {
    let least = length.div_ceil(u64::from(MAXIMUM_PARTS));
    wanted.max(least).min(MAXIMUM_REQUEST_LENGTH)
}

struct Upload<'a> {
    upstream: &'a Upstream,
    target: &'a Target,
    id: String,
}

impl Upload<'_> {
    async fn run(
        &self,
        conditions: HeaderMap,
        cutter: Cutter,
        length: u64,
        part_length: u64,
    ) -> Result<Stored, S3Error> {
        let part_length = length_of_parts(length, part_length);
        let mut parts = Vec::new();
        let mut sent = 0;
        while sent < length {
            let number = u16::try_from(parts.len() + 1).map_err(S3Error::internal)?;
            let piece = part_length.min(length - sent);
            let mut query = format!("partNumber={number}");
            append_query(&mut query, "uploadId", &self.id);
            let request = UpstreamRequest::new(Method::PUT, self.target.clone())
                .query(query)
                .stream(cutter.part(piece), piece);
            let answer = self.upstream.call(request).await?;
            parts.push(CompletedPart {
                number,
                entity_tag: Stored::read(&answer, None)?.entity_tag,
                checksums: Vec::new(),
            });
            sent += piece;
        }
        cutter.finish().await.map_err(S3Error::internal)?;
        let request = UpstreamRequest::new(Method::POST, self.target.clone())
            .query(self.query())
            .headers(conditions)
            .bytes(CompleteMultipartUpload::to_document(&parts).into_bytes());
        let answer = self.upstream.call(request).await?;
        let version_id = Stored::read(&answer, Some(EntityTag::strong("")))?.version_id;
        match parse_completed(&answer.document(MAX_DOCUMENT_LENGTH).await?)? {
            Outcome::Done(entity_tag) => Ok(Stored {
                entity_tag,
                version_id,
            }),
            Outcome::Failed(error) if error.code == "PreconditionFailed" => {
                Err(S3Error::precondition_failed())
            }
            Outcome::Failed(error) => Err(S3Error::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                error.code,
                error.message,
            )),
        }
    }

    async fn abort(&self) -> Result<(), S3Error> {
        let request = UpstreamRequest::new(Method::DELETE, self.target.clone()).query(self.query());
        self.upstream.call(request).await.map(drop)
    }

    fn query(&self) -> String {
        let mut query = String::new();
        append_query(&mut query, "uploadId", &self.id);
        query
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_are_never_too_many_parts(length in 1_u64..50 << 40, wanted in (5_u64 << 20)..5 << 30) {
            let part = length_of_parts(length, wanted);
            prop_assert!(length.div_ceil(part) <= 10_000 || part == MAXIMUM_REQUEST_LENGTH);
            prop_assert!(part >= 5 << 20);
        }
    }
}
