//! ListBuckets, without the bucket that holds our own records.

use http::{Response, StatusCode};

use super::{Exchange, ResponseBody, headers, whole};
use crate::{
    error::S3Error,
    upstream::{MAX_DOCUMENT_LENGTH, UpstreamRequest},
    xml::listing,
};

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let request = UpstreamRequest::new(http::Method::GET, exchange.target())
        .query(exchange.wire_query.clone())
        .headers(headers::common(&exchange.headers));
    let answer = exchange.gateway.upstream.call(request).await?;
    let mut answer_headers = headers::answer(answer.headers());
    answer_headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/xml"),
    );
    let document = answer.document(MAX_DOCUMENT_LENGTH).await?;
    let hidden = &exchange.gateway.config.state.bucket;
    let shown = listing::hide_buckets(&document, |name| name == hidden)?;
    Ok(whole(StatusCode::OK, answer_headers, shown))
}
