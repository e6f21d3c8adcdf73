//! CORS preflight: a browser asks whether a page of another origin may send a request. The storage knows, because the bucket's CORS
//! configuration is with it.
//!
//! The question has no signature, so it is sent on without one: it can be answered, and can do nothing else. Of the client's request three
//! headers and the path go along, of the answer only what CORS and caches need.

use http::{HeaderMap, Method, Response, StatusCode, header};

use super::{Exchange, ResponseBody, empty, headers};
use crate::{error::S3Error, upstream::UpstreamRequest};

pub(super) async fn options_object(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let mut request_headers = HeaderMap::new();
    for (name, is_required) in [
        (header::ORIGIN, true),
        (header::ACCESS_CONTROL_REQUEST_METHOD, true),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, false),
    ] {
        match exchange.headers.get(&name) {
            Some(value) => {
                request_headers.insert(name, value.clone());
            }
            None if is_required => {
                return Err(S3Error::new(
                    StatusCode::BAD_REQUEST,
                    "BadRequest",
                    format!("Insufficient information. {name} request header needed."),
                ));
            }
            None => {}
        }
    }
    let request = UpstreamRequest::new(Method::OPTIONS, exchange.target())
        .headers(request_headers)
        .unsigned();
    let answer = exchange.gateway.upstream.call(request).await?;
    Ok(empty(answer.status(), headers::cors(answer.headers())))
}
