//! Requests about buckets and labels, which hold no object bytes: passed on with a new signature and answered as they come back.

use std::cell::RefCell;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::{Exchange, ResponseBody, content_md5, empty, headers, insert_length, multipart};
use crate::{
    error::S3Error,
    route::Operation,
    upstream::{AnswerBody, BodyFailure, UpstreamRequest},
    xml::requests::{PassedDocument, PassedDocumentError, RequestDocumentError},
};

/// Passes the request on.
///
/// A body is read and verified, once the intent is durable, before anything is sent; it gets a Content-MD5, which several bucket operations demand.
pub(super) async fn pass(mut exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let body = exchange.document().await?;
    refuse_select(&exchange, &body)?;
    let body = match admitted(&exchange, &body) {
        Ok(body) => body,
        // A bucket that is missing is the first fault, as the storage would have it.
        Err(error)
            if error.code == "MalformedXML" && exchange.operation != Operation::CreateBucket =>
        {
            return Err(multipart::missing_bucket(&exchange).await.unwrap_or(error));
        }
        Err(error) => return Err(error),
    };
    let mut request_headers = headers::passed(&exchange.headers);
    // Also of nothing, where the client has sent a digest: without one the storage would name its absence and not the missing document.
    if !body.is_empty() || has_digest(&exchange.headers) {
        headers::insert_text(
            &mut request_headers,
            super::named("content-md5"),
            &content_md5(&body),
        );
    }
    let request = UpstreamRequest::new(exchange.method.clone(), exchange.target())
        .query(exchange.upstream_query.clone())
        .headers(request_headers)
        .bytes(body);
    let answer = exchange
        .gateway
        .upstream
        .call(request)
        .await
        .map_err(|error| of_bucket(&exchange, error))?;
    let status = answer.status();
    let mut answer_headers = headers::answer(answer.headers());
    for name in [header::CONTENT_TYPE, header::ALLOW] {
        if let Some(value) = answer.headers().get(&name) {
            answer_headers.insert(name, value.clone());
        }
    }
    // AWS names the bucket's own host here, outside us-east-1, and that would lead around the gateway.
    if exchange.operation == Operation::CreateBucket {
        let location = format!("/{}", exchange.bucket());
        headers::insert_text(&mut answer_headers, header::LOCATION, &location);
    }
    insert_length(&mut answer_headers, answer.content_length());
    let (_, body) = answer.into_parts();
    if exchange.method == http::Method::HEAD || status == StatusCode::NO_CONTENT {
        return Ok(empty(status, answer_headers));
    }
    let mut response = Response::new(relay(body));
    *response.status_mut() = status;
    *response.headers_mut() = answer_headers;
    Ok(response)
}

/// The answer to a HEAD has no document, and a 404 without one is taken for that of an object. It is read in the log only.
fn of_bucket(exchange: &Exchange, mut error: S3Error) -> S3Error {
    if exchange.operation == Operation::HeadBucket && error.status == StatusCode::NOT_FOUND {
        let missing = S3Error::no_such_bucket();
        error.code.clone_from(&missing.code);
        error.message.clone_from(&missing.message);
    }
    error
}

fn has_digest(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        *name == "content-md5"
            || *name == "x-amz-sdk-checksum-algorithm"
            || name.as_str().starts_with("x-amz-checksum-")
    })
}

/// What of a body goes on: the document of the operation, checked.
fn admitted(exchange: &Exchange, body: &Bytes) -> Result<Bytes, S3Error> {
    let document = PassedDocument::of(exchange.operation.name());
    if document == PassedDocument::None {
        return Ok(Bytes::new());
    }
    let own = &exchange.gateway.config.state.bucket;
    let denied = RefCell::new(None);
    let is_own = |bucket: &str| {
        if bucket != exchange.bucket() {
            let decided = exchange.rights.authorize_named(&exchange.operation, bucket);
            if let Err(refusal) = decided {
                denied.borrow_mut().get_or_insert(refusal);
            }
        }
        bucket == own
    };
    document.check(body, is_own).map_err(|error| match error {
        PassedDocumentError::Malformed(error) => RequestDocumentError::from(error).into(),
        own @ PassedDocumentError::OwnBucket { .. } => S3Error::access_denied(own.to_string()),
    })?;
    match denied.into_inner() {
        Some(refusal) => {
            if !refusal.policies.is_empty() {
                exchange.trail.decided_by(refusal.policies.join(", "));
            }
            exchange.trail.refuse();
            Err(refusal.error)
        }
        None => Ok(Bytes::clone(body)),
    }
}

/// RestoreObject of the type SELECT would write query results, in whatever form, to another place.
fn refuse_select(exchange: &Exchange, body: &[u8]) -> Result<(), S3Error> {
    if exchange.query.contains("restore") && memchr::memmem::find(body, b"SELECT").is_some() {
        return Err(S3Error::not_implemented(
            "RestoreObject of the type SELECT is refused: the storage holds only ciphertext and cannot query it.",
        ));
    }
    Ok(())
}

/// The upstream's body as our own, piece by piece.
pub(super) fn relay(body: AnswerBody) -> ResponseBody {
    let pieces = stream::try_unfold(body, |mut body| async move {
        let piece: Option<Bytes> = body
            .next()
            .await
            .map_err(|error| BodyFailure::from(error.to_string()))?;
        Ok::<_, BodyFailure>(piece.map(|piece| (Frame::data(piece), body)))
    });
    StreamBody::new(pieces).boxed_unsync()
}
