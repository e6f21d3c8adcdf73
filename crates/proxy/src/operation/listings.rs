//! ListObjects, ListObjectsV2 and ListObjectVersions: the upstream's document with plaintext sizes and the entity tags that clients know.

use http::{Response, StatusCode};
use sealgate_envelope::layout;

use super::{Exchange, ResponseBody, clear, headers, whole};
use crate::{error::S3Error, xml::listing};

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    if exchange
        .gateway
        .config
        .has_migrating_keys(exchange.bucket())
    {
        return clear::list(&exchange).await;
    }
    let request_headers = headers::passed(&exchange.headers);
    let (answer_headers, document) = exchange
        .upstream_document(exchange.wire_query.clone(), request_headers)
        .await?;
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
