//! ListObjects, ListObjectsV2 and ListObjectVersions: the upstream's document with plaintext sizes and the entity tags that clients know.

use http::{Response, StatusCode};
use sealgate_envelope::layout;

use super::{Exchange, ResponseBody, headers, whole};
use crate::{
    error::S3Error,
    upstream::{MAX_DOCUMENT_LENGTH, UpstreamRequest},
    xml::listing,
};

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let request = UpstreamRequest::new(http::Method::GET, exchange.target())
        .query(exchange.wire_query.clone())
        .headers(headers::passed(&exchange.headers));
    let answer = exchange.gateway.upstream.call(request).await?;
    let mut answer_headers = headers::answer(answer.headers());
    answer_headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/xml"),
    );
    let document = answer.document(MAX_DOCUMENT_LENGTH).await?;
    let mut foreign = 0_u64;
    let rewritten = listing::rewrite_objects(&document, |sealed| {
        layout::plaintext_length(sealed).unwrap_or_else(|| {
            foreign += 1;
            sealed
        })
    })?;
    if foreign > 0 {
        tracing::warn!(
            bucket = exchange.bucket(),
            objects = foreign,
            "a listing holds objects whose length is that of no sealed object; they are listed as they are and cannot be read through the gateway"
        );
    }
    Ok(whole(StatusCode::OK, answer_headers, rewritten))
}
