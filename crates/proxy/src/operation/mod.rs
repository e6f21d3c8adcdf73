//! The operations, one file each: *check, ask upstream, transform, answer*. Only they know what an S3 operation means for sealed objects.
//!
//! [`Exchange`] is one authenticated request on its way through; [`run`] hands it to its operation.

mod buckets;
mod checksums;
mod clear;
mod complete;
mod copy_object;
mod delete;
mod get_object;
mod get_object_attributes;
mod head;
mod headers;
mod keep_alive;
mod list_uploads;
mod listings;
mod metadata;
mod multipart;
mod options_object;
mod pass;
mod post_object;
mod put_object;
mod upload_part;

pub(crate) use self::{
    headers::{admit_tags_in_the_clear, cors as cors_headers, crosses_unchanged},
    post_object::post_object,
};
pub(crate) use checksums::{from_sealed as checksum_from_sealed, to_sealed as checksum_to_sealed};
pub(crate) use metadata::{of_headers as metadata_of_headers, to_answer as metadata_to_answer};
pub(crate) use put_object::{commit_region, of_keyring};

use std::{convert::Infallible, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    audit::{DECRYPT, ENCRYPT, Trail},
    auth::{Authenticated, Caller},
    body::{
        Algorithm, BodySettings, ClientBody, MissingLength, PlaintextBody,
        limits::{MIN_BODY_PROGRESS, MIN_DOCUMENT_PROGRESS},
    },
    config::{DomainRule, Scheme},
    error::S3Error,
    gateway::{Gateway, Place},
    object::SealedObject,
    object_key::{ObjectKey, ObjectPath},
    policy::Rights,
    query_string::QueryString,
    route::Operation,
    upstream::{self, BodyFailure, HeldDocument, MAX_DOCUMENT_LENGTH, UpstreamRequest},
    xml,
};

/// The body of an answer to a client. When it fails, the connection is reset and never ended cleanly.
pub type ResponseBody = UnsyncBoxBody<Bytes, BodyFailure>;

/// The longest XML request body: a Complete of 10,000 parts, each with an entity tag and a checksum, with room to spare.
const MAX_REQUEST_DOCUMENT: usize = 8 << 20;

/// The storage class where the storage names none (S3 API, HeadObject).
const DEFAULT_STORAGE_CLASS: &str = "STANDARD";

/// One request: who makes it, what it asks for, and its body, which has not been polled yet.
pub struct Exchange {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) caller: Authenticated<Caller>,
    pub(crate) request_id: String,
    /// The request in the audit log.
    pub(crate) trail: Arc<Trail>,
    /// What the caller was allowed.
    pub(crate) rights: Rights,
    /// The scheme that the client used, for URLs in answers.
    pub(crate) scheme: Scheme,
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) path: ObjectPath,
    pub(crate) query: QueryString,
    /// The query for the upstream, as [`upstream_query`](crate::route::upstream_query) writes it.
    pub(crate) upstream_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<ClientBody>,
    /// Its place among the concurrent requests, which work that outlives the client's connection goes on occupying.
    pub(crate) _place: Place,
}

/// Runs the operation that the request asks for.
///
/// # Errors
///
/// The S3 error to answer with. Nothing of a failed write is visible afterwards.
pub async fn run(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let intent = exchange.begin_intent().await?;
    // Beside what waits for the intent, it would make the future of every request too large for the stack.
    let answer = Box::pin(upstream::of_one_request(perform(exchange)));
    intent.release(answer).await
}

async fn perform(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    match exchange.operation.clone() {
        Operation::ListBuckets => buckets::list(exchange).await,
        Operation::OptionsObject => options_object::options_object(exchange).await,
        Operation::CreateBucket
        | Operation::DeleteBucket
        | Operation::HeadBucket
        | Operation::GetBucketLocation
        | Operation::Pass(_) => pass::pass(exchange).await,
        Operation::ListObjects | Operation::ListObjectsV2 | Operation::ListObjectVersions => {
            listings::list(exchange).await
        }
        Operation::ListMultipartUploads => list_uploads::list(exchange).await,
        Operation::DeleteObject => delete::delete_object(exchange).await,
        Operation::DeleteObjects => delete::delete_objects(exchange).await,
        Operation::PutObject => put_object::put_object(exchange).await,
        Operation::GetObject => get_object::get_object(exchange).await,
        Operation::HeadObject => get_object::head_object(exchange).await,
        Operation::GetObjectAttributes => {
            get_object_attributes::get_object_attributes(exchange).await
        }
        Operation::CopyObject => copy_object::copy_object(exchange).await,
        Operation::CreateMultipartUpload => multipart::create(exchange).await,
        Operation::UploadPart { upload_id, number } => {
            upload_part::upload_part(exchange, &upload_id, number).await
        }
        Operation::UploadPartCopy { upload_id, number } => {
            upload_part::upload_part_copy(exchange, &upload_id, number).await
        }
        Operation::ListParts { upload_id } => multipart::list_parts(exchange, &upload_id).await,
        Operation::CompleteMultipartUpload { upload_id } => {
            complete::complete(exchange, &upload_id).await
        }
        Operation::AbortMultipartUpload { upload_id } => {
            multipart::abort(exchange, &upload_id).await
        }
    }
}

/// What is about to be done, of which the audit log knows: durable where it changes something, and else perhaps only later.
#[must_use = "nothing may be told of a request before its intent is durable"]
struct Begun(Arc<Trail>);

impl Begun {
    /// Waits for an answer, or an error, and hands it on once the intent is durable. Where it can't be recorded, that is told at once: what was
    /// asked for is dropped, whether the storage has answered or not. Of what changes something nothing is dropped, because its intent is durable.
    async fn release<T>(
        self,
        answer: impl Future<Output = Result<T, S3Error>>,
    ) -> Result<T, S3Error> {
        let answer = async { Ok(answer.await) };
        let ((), answer) = future::try_join(self.0.durable(), answer).await?;
        answer
    }
}

impl Exchange {
    /// Tells the audit log what is about to be done. What changes nothing goes on while the disk writes: no key is opened meanwhile
    /// ([`policy`](crate::policy)), and nothing is answered.
    async fn begin_intent(&self) -> Result<Begun, S3Error> {
        if self.operation.writes() {
            self.record_intent().await?;
        } else {
            let (bucket, key) = (self.bucket(), self.key());
            self.trail.begin(self.action(), bucket, key).await?;
        }
        Ok(Begun(Arc::clone(&self.trail)))
    }

    /// Records what is about to be done, before anything of it is.
    pub(crate) async fn record_intent(&self) -> Result<(), S3Error> {
        if self.operation == Operation::DeleteObjects {
            // Nothing is decided yet: each key is, and recorded, once the body has been read.
            return Ok(());
        }
        let (bucket, key) = (self.bucket(), self.key());
        self.trail.intend(self.action(), bucket, key).await
    }

    /// What the operation does to the bytes of its object.
    fn action(&self) -> Option<&'static str> {
        match &self.operation {
            Operation::GetObject | Operation::HeadObject | Operation::GetObjectAttributes => {
                Some(DECRYPT)
            }
            Operation::PutObject
            | Operation::CopyObject
            | Operation::CreateMultipartUpload
            | Operation::UploadPart { .. }
            | Operation::UploadPartCopy { .. }
            | Operation::CompleteMultipartUpload { .. } => Some(ENCRYPT),
            _ => None,
        }
    }

    /// Notes for the audit log under which key an object is.
    pub(crate) fn opened(&self, object: &SealedObject) {
        self.trail.used_key(object.header.working_key_id());
    }

    /// A request header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A request header, or the query parameter of the same name: presigned URLs carry headers in their query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        if let Some(value) = self.header(name) {
            return Some(value.to_owned());
        }
        let found = self
            .query
            .parameters()
            .iter()
            .find(|parameter| parameter.name.eq_ignore_ascii_case(name))?;
        found.value.clone()
    }

    /// The version of the object that the request names. An empty one is refused: some storages take it for the current version, which a
    /// client whose variable is empty does not mean.
    pub(crate) fn version_id(&self) -> Result<Option<&str>, S3Error> {
        let found = self
            .query
            .unique("versionId")
            .map_err(|error| S3Error::invalid_argument(error.to_string()))?;
        if found == Some("") {
            return Err(S3Error::invalid_argument(
                "Version id cannot be the empty string",
            ));
        }
        Ok(found)
    }

    /// The bucket's name; empty for ListBuckets, which has none.
    pub(crate) fn bucket(&self) -> &str {
        self.path
            .bucket()
            .map(crate::object_key::BucketName::as_str)
            .unwrap_or_default()
    }

    /// The decoded object key; empty for bucket operations.
    pub(crate) fn key(&self) -> &str {
        self.path.key().map(ObjectKey::as_str).unwrap_or_default()
    }

    /// Where the request's bucket or object is at the upstream.
    pub(crate) fn target(&self) -> upstream::Target {
        let target = match (self.path.bucket(), self.path.key()) {
            (None, _) => upstream::Target::service(),
            (Some(bucket), None) => upstream::Target::bucket(bucket.as_str()),
            (Some(bucket), Some(_)) => {
                upstream::Target::object(bucket.as_str(), self.path.wire_key())
            }
        };
        target.for_requester(headers::requester(&self.headers))
    }

    /// The URL of the object at the gateway.
    pub(crate) fn location(&self) -> String {
        let scheme = self.scheme.as_str();
        format!("{scheme}://{}{}", self.caller.host, self.path.wire_path())
    }

    /// The domain of the request's object.
    pub(crate) fn domain(&self) -> DomainRule {
        self.gateway.config.domain_for(self.bucket(), self.key())
    }

    /// Takes the body as verified plaintext; `limit` is the most that may be declared, `missing_length` what a request without a length means.
    pub(crate) fn plaintext(
        &mut self,
        limit: u64,
        missing_length: MissingLength,
    ) -> Result<PlaintextBody<ClientBody>, S3Error> {
        let body = self.take_body()?;
        let settings = self.body_settings(limit, missing_length);
        let payload = &self.caller.payload;
        Ok(PlaintextBody::new(body, &self.headers, payload, settings)?)
    }

    /// Reads the whole body of an XML request, verified.
    pub(crate) async fn document(&mut self) -> Result<HeldDocument, S3Error> {
        let mut headers = self.headers.clone();
        let is_checksum = |name: &HeaderName| name.as_str().starts_with("x-amz-checksum-");
        if !headers.keys().any(is_checksum) {
            // SDKs name an algorithm also where there is no body to have a checksum; what is missing is for the storage to say.
            headers.remove("x-amz-sdk-checksum-algorithm");
        }
        self.read_document(&headers).await
    }

    /// As [`Self::document`], for a request whose checksum headers are about an object and not about the document (S3 API,
    /// CompleteMultipartUpload).
    pub(crate) async fn document_about_object(&mut self) -> Result<HeldDocument, S3Error> {
        let mut headers = self.headers.clone();
        for algorithm in Algorithm::ALL {
            headers.remove(algorithm.header_name());
        }
        headers.remove("x-amz-sdk-checksum-algorithm");
        self.read_document(&headers).await
    }

    /// Reads a document whose checksum may be in these headers.
    async fn read_document(&mut self, headers: &HeaderMap) -> Result<HeldDocument, S3Error> {
        let body = self.take_body()?;
        if !body.is_end_stream() {
            // To read it is to tell a client to send it (`Expect: 100-continue`).
            self.trail.durable().await?;
        }
        let payload = &self.caller.payload;
        if payload.is_streaming() {
            // S3 takes chunks for the bytes of objects only.
            return Err(S3Error::invalid_request(
                "The value of x-amz-content-sha256 header is invalid.",
            ));
        }
        let settings = BodySettings {
            minimum_progress: MIN_DOCUMENT_PROGRESS,
            ..self.body_settings(MAX_REQUEST_DOCUMENT as u64, MissingLength::Empty)
        };
        let mut body = PlaintextBody::new(body, headers, payload, settings)?;
        let mut share = self.gateway.document_memory.share();
        // All of it at once: the length is declared, and that much is set aside.
        share
            .grow_to(usize::try_from(body.length()).unwrap_or(usize::MAX))
            .await
            .map_err(S3Error::slow_down)?;
        let bytes = body.collect(MAX_REQUEST_DOCUMENT).await?;
        Ok(HeldDocument::new(bytes, share))
    }

    /// Sends the request with this query, a GET for an XML document, and returns the head of the answer for our client and the document to rewrite.
    pub(crate) async fn upstream_document(
        &self,
        query: String,
        headers: HeaderMap,
    ) -> Result<(HeaderMap, HeldDocument), S3Error> {
        let request = UpstreamRequest::new(Method::GET, self.target())
            .query(query)
            .headers(headers);
        let answer = self.gateway.upstream.call(request).await?;
        let mut answer_headers = headers::answer(answer.headers());
        answer_headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/xml"),
        );
        let document = answer.document(MAX_DOCUMENT_LENGTH).await?;
        Ok((answer_headers, document))
    }

    fn take_body(&mut self) -> Result<ClientBody, S3Error> {
        self.body
            .take()
            .ok_or_else(|| S3Error::internal("the request's body was taken twice"))
    }

    fn body_settings(&self, maximum_length: u64, missing_length: MissingLength) -> BodySettings {
        BodySettings {
            maximum_length,
            idle_timeout: self.gateway.config.limits.idle_timeout,
            minimum_progress: MIN_BODY_PROGRESS,
            missing_length,
        }
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode, headers: HeaderMap) -> Response<ResponseBody> {
    let mut response = Response::new(
        Empty::new()
            .map_err(|never: Infallible| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer whose body is in memory.
pub(crate) fn whole(
    status: StatusCode,
    headers: HeaderMap,
    body: impl Into<Bytes>,
) -> Response<ResponseBody> {
    let mut response = Response::new(
        Full::new(body.into())
            .map_err(|never: Infallible| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer that is an XML document.
pub(crate) fn document(
    status: StatusCode,
    mut headers: HeaderMap,
    document: xml::Document,
) -> Response<ResponseBody> {
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    whole(status, headers, document.into_bytes())
}

/// What is escaped in a query: everything that a signature does not leave as it is (Signature Version 4, "URI encode").
const ESCAPED_IN_QUERIES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Appends `name=value` to a raw query, both percent-encoded.
pub(crate) fn append_query(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.extend(utf8_percent_encode(name, ESCAPED_IN_QUERIES));
    query.push('=');
    query.extend(utf8_percent_encode(value, ESCAPED_IN_QUERIES));
}

/// The header that a static name stands for.
pub(crate) const fn named(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Declares the length of a body that is streamed, where it is known.
pub(crate) fn insert_length(headers: &mut HeaderMap, length: Option<u64>) {
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}

/// The value of a Content-MD5 header (RFC 1864), which several requests with XML bodies must carry.
pub(crate) fn content_md5(body: &[u8]) -> String {
    STANDARD.encode(Md5::digest(body))
}
