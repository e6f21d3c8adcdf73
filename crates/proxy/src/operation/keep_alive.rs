//! Answers that may take long: after a while the client gets a 200 and white space until the outcome is known, so that no proxy or client
//! between gives up on the connection (s3-wire-rules, 19; S3 API, CompleteMultipartUpload and CopyObject).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::task::JoinHandle;

use super::{Exchange, ResponseBody, document};
use crate::{
    error::S3Error,
    upstream::BodyFailure,
    xml::{Document, XML_DECLARATION, answers::ErrorAnswer},
};

/// How long the client waits for the head of the answer, and then for each byte of white space.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the operation answers. The headers are lost where the answer had begun before.
pub(super) struct Finished {
    pub(super) headers: HeaderMap,
    pub(super) document: Document,
}

/// Runs `job`, which goes on to its end even if the client does not wait for it, and answers with its document.
///
/// # Errors
///
/// Those of the job, as long as the answer has not begun.
pub(super) async fn answer(
    exchange: Arc<Exchange>,
    job: impl Future<Output = Result<Finished, S3Error>> + Send + 'static,
) -> Result<Response<ResponseBody>, S3Error> {
    let mut job = tokio::spawn(job);
    match tokio::time::timeout(PATIENCE, &mut job).await {
        Ok(joined) => {
            let finished = joined.map_err(S3Error::internal)??;
            Ok(document(
                StatusCode::OK,
                finished.headers,
                finished.document,
            ))
        }
        Err(_) => Ok(white_space(exchange, job)),
    }
}

/// A 200 whose body is white space until the outcome is known.
fn white_space(
    exchange: Arc<Exchange>,
    job: JoinHandle<Result<Finished, S3Error>>,
) -> Response<ResponseBody> {
    enum Next {
        Declaration,
        Wait,
        End,
    }
    let pieces = stream::unfold(
        (exchange, job, Next::Declaration),
        |(exchange, mut job, next)| async move {
            let (piece, next) = match next {
                Next::Declaration => (Bytes::from_static(XML_DECLARATION.as_bytes()), Next::Wait),
                Next::Wait => match tokio::time::timeout(PATIENCE, &mut job).await {
                    Err(_) => (Bytes::from_static(b" "), Next::Wait),
                    Ok(joined) => {
                        let outcome = joined
                            .map_err(S3Error::internal)
                            .and_then(|outcome| outcome);
                        let document = late_document(&exchange, outcome);
                        (document.into_root_bytes(), Next::End)
                    }
                },
                Next::End => return None,
            };
            Some((
                Ok::<_, BodyFailure>(Frame::data(piece)),
                (exchange, job, next),
            ))
        },
    );
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    response
}

/// After a 200 has been sent an error can only be a document.
fn late_document(exchange: &Exchange, outcome: Result<Finished, S3Error>) -> Document {
    match outcome {
        Ok(finished) => finished.document,
        Err(error) => {
            tracing::error!(request_id = exchange.request_id, %error, "an operation failed after its answer had begun");
            ErrorAnswer {
                code: &error.code,
                message: &error.message,
                resource: Some(exchange.path.wire_path()),
                request_id: &exchange.request_id,
                host_id: &exchange.gateway.host_id,
                details: &[],
            }
            .to_document()
        }
    }
}
