//! A HEAD on behalf of a request whose answer has a document.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::{
    error::S3Error,
    gateway::Gateway,
    upstream::{Answer, Target, UpstreamRequest},
};

/// Asks for the head of an object.
///
/// # Errors
///
/// What the upstream says. The answer to a HEAD has no document that tells a missing object from a missing bucket or version, so a GET of one
/// byte is asked for it.
pub(super) async fn explained(
    gateway: &Gateway,
    target: Target,
    query: String,
    headers: HeaderMap,
) -> Result<Answer, S3Error> {
    let head = UpstreamRequest::new(Method::HEAD, target.clone())
        .query(query.clone())
        .headers(headers.clone());
    let error = match gateway.upstream.call(head).await {
        Ok(head) => return Ok(head),
        Err(error) => error,
    };
    let get = UpstreamRequest::new(Method::GET, target)
        .query(query)
        .headers(headers)
        .header(header::RANGE, HeaderValue::from_static("bytes=0-0"));
    Err(gateway.upstream.call(get).await.err().unwrap_or(error))
}
