//! One HTTP exchange: reads a request within limits, has it answered, writes the response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use zeroize::Zeroizing;

use crate::error::{ErrorCode, KmsError, Wire};
use crate::request_log::Record;
use crate::service::{CONTENT_TYPE_JSON, Service};

/// Longest request body, in bytes: above the longest request of KMS (an attestation document of 262,144 bytes).
pub(crate) const MAX_BODY: usize = 1 << 20;
/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a refused request's body that are read and thrown away. A connection that closes with bytes unread is
/// reset, and the client would lose the answer.
const MAX_DRAIN: usize = 4 << 20;
/// How long a refused request's body may take to arrive.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The body of an answer that is none of KMS.
const BARE_BODY: &str = "<html><body>a fault on request</body></html>";

/// There is to be no answer: the connection, or the stream, ends.
#[derive(Debug, thiserror::Error)]
#[error("a fault on request ends the connection")]
pub(crate) struct NoAnswer;

/// Answers one request. When the connection breaks, a request whose body has arrived still runs to its end and is logged.
///
/// # Errors
///
/// [`NoAnswer`] where a fault demands it.
pub(crate) async fn respond(
    service: Arc<Service>,
    request: Request<Incoming>,
    remote: SocketAddr,
) -> Result<Response<Full<Bytes>>, NoAnswer> {
    let mut record = Record::new(remote);
    let request_id = record.request_id.to_string();
    let version = request.version();
    let (head, mut body) = request.into_parts();
    let announced = announced_length(&head.headers);
    let received = match service.check_head(head, &mut record) {
        Ok(claim) => receive(announced, &mut body)
            .await
            .map(|body| (claim, body)),
        Err(error) => Err(error),
    };
    let mut unread = false;
    let result = match received {
        Ok((claim, body)) => {
            let work = tokio::spawn(Arc::clone(&service).answer(claim, body, record));
            work.await.map_or_else(
                |_| Err(KmsError::internal("the request ended unexpectedly")),
                |(_, result)| result,
            )
        }
        Err(error) => {
            unread = !drain(&mut body).await;
            service.log(&mut record, Err(error))
        }
    };

    let mut response = match result {
        Ok(body) => Response::new(Full::new(Bytes::from_owner(body))),
        Err(error) => match error.wire() {
            Wire::Reset => return Err(NoAnswer),
            Wire::Bare(status) => {
                let mut response =
                    Response::new(Full::new(Bytes::from_static(BARE_BODY.as_bytes())));
                *response.status_mut() = status;
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
                return Ok(response);
            }
            Wire::Document => {
                let mut response = Response::new(Full::new(Bytes::from(error.to_json())));
                *response.status_mut() = error.code().status();
                response
            }
        },
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_JSON));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate, private"),
    );
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if unread && version < Version::HTTP_2 {
        // The rest of the body is not read: the connection cannot be used again.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body into one buffer that is erased when dropped.
async fn receive<B: Body<Data = Bytes> + Unpin>(
    announced: Option<usize>,
    body: &mut B,
) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let too_long = || {
        KmsError::new(
            ErrorCode::RequestEntityTooLarge,
            format!("the body has more than {MAX_BODY} bytes"),
        )
    };
    if announced.is_some_and(|length| length > MAX_BODY) {
        return Err(too_long());
    }
    let read = async {
        let mut buffer = Zeroizing::new(Vec::with_capacity(announced.unwrap_or_default()));
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|_| KmsError::new(ErrorCode::Serialization, "the body ended early"))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.len() > MAX_BODY - buffer.len() {
                return Err(too_long());
            }
            if buffer.capacity() - buffer.len() < data.len() {
                // A vector that grows by itself would leave its old bytes behind.
                let mut larger = Zeroizing::new(Vec::with_capacity(
                    (2 * buffer.len()).max(buffer.len() + data.len()),
                ));
                larger.extend_from_slice(&buffer);
                buffer = larger;
            }
            buffer.extend_from_slice(&data);
        }
        Ok(buffer)
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(result) => result,
        Err(_) => Err(KmsError::new(
            ErrorCode::RequestTimeout,
            format!(
                "the body did not arrive within {} seconds",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// Throws away what is left of a body, within limits, and tells whether that was all of it.
async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> bool {
    let read = async {
        let mut length = 0;
        while let Some(Ok(frame)) = body.frame().await {
            length += frame.data_ref().map_or(0, Bytes::len);
            if length > MAX_DRAIN {
                return false;
            }
        }
        body.is_end_stream()
    };
    tokio::time::timeout(DRAIN_TIMEOUT, read)
        .await
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn received(announced: Option<usize>, length: usize) -> Result<usize, ErrorCode> {
        let mut body = Full::new(Bytes::from(vec![7; length]));
        receive(announced, &mut body)
            .await
            .map(|body| body.len())
            .map_err(|error| error.code())
    }

    #[tokio::test]
    async fn length_is_limited() {
        assert_eq!(received(None, MAX_BODY).await, Ok(MAX_BODY));
        assert_eq!(
            received(None, MAX_BODY + 1).await,
            Err(ErrorCode::RequestEntityTooLarge)
        );
        assert_eq!(
            received(Some(MAX_BODY + 1), 0).await,
            Err(ErrorCode::RequestEntityTooLarge)
        );
    }
}
