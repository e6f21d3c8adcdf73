//! ListBuckets, without the bucket that holds our own records.

use http::{Response, StatusCode};

use super::{Exchange, ResponseBody, headers, whole};
use crate::{error::S3Error, xml::listing};

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let request_headers = headers::common(&exchange.headers);
    let (answer_headers, document) = exchange.upstream_document(request_headers).await?;
    let hidden = &exchange.gateway.config.state.bucket;
    let shown = listing::hide_buckets(&document, |name| name == hidden)?;
    Ok(whole(StatusCode::OK, answer_headers, shown))
}
