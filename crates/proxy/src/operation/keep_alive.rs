//! Answers that may take long: after a while the client gets a 200 and white space until the outcome is known, so that no proxy or client
//! between gives up on the connection (s3-wire-rules, 19; S3 API, CompleteMultipartUpload and CopyObject).

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prometheus::IntCounter;

use super::{Exchange, ResponseBody, document};
use crate::{
    detached::Detached,
    error::S3Error,
    gateway,
    upstream::{BodyFailure, of_one_request},
    xml::{Document, XML_DECLARATION, answers::ErrorAnswer},
};

/// How long the client waits for the head of the answer, and then for each byte of white space.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the operation answers. The headers are lost where the answer had begun before.
pub(super) struct Finished {
    pub(super) headers: HeaderMap,
    pub(super) document: Document,
}

/// What an error document says of the request that it answers.
pub(super) struct Subject {
    resource: String,
    request_id: String,
    host_id: String,
    /// Counts failures of verification that the head of the answer cannot tell any more.
    unverified: IntCounter,
    /// What the caller may know of an error, as where the answer has not begun.
    told: Told,
}

type Told = Box<dyn Fn(S3Error) -> S3Error + Send>;

impl Subject {
    pub(super) fn of(exchange: &Exchange) -> Self {
        Self {
            resource: exchange.path.wire_path().to_owned(),
            request_id: exchange.request_id.clone(),
            host_id: exchange.gateway.host_id.clone(),
            unverified: exchange.gateway.metrics.requests.unverified(),
            told: {
                let (path, operation) = (exchange.path.clone(), exchange.operation.clone());
                let rights = exchange.rights.clone();
                Box::new(move |error| gateway::told(error, &rights, &path, &operation))
            },
        }
    }
}

/// Runs `job`, which goes on even if the client does not wait for it, and answers with its document.
///
/// # Errors
///
/// Those of the job, as long as the answer has not begun.
pub(super) async fn answer(
    subject: Subject,
    job: impl Future<Output = Result<Finished, S3Error>> + Send + 'static,
) -> Result<Response<ResponseBody>, S3Error> {
    let mut job = Detached::begin(&subject.request_id, of_one_request(job));
    match tokio::time::timeout(PATIENCE, &mut job).await {
        Ok(outcome) => {
            let finished = outcome?;
            Ok(document(
                StatusCode::OK,
                finished.headers,
                finished.document,
            ))
        }
        Err(_) => Ok(white_space(subject, job)),
    }
}

/// A 200 whose body is white space until the outcome is known.
fn white_space(subject: Subject, job: Detached<Finished>) -> Response<ResponseBody> {
    enum Next {
        Declaration,
        Wait,
        End,
    }
    let pieces = stream::unfold(
        (subject, job, Next::Declaration),
        |(subject, mut job, next)| async move {
            let (piece, next) = match next {
                Next::Declaration => (Bytes::from_static(XML_DECLARATION.as_bytes()), Next::Wait),
                Next::Wait => match tokio::time::timeout(PATIENCE, &mut job).await {
                    Err(_) => (Bytes::from_static(b" "), Next::Wait),
                    Ok(outcome) => {
                        let document = late_document(&subject, outcome);
                        (document.into_root_bytes(), Next::End)
                    }
                },
                Next::End => return None,
            };
            Some((
                Ok::<_, BodyFailure>(Frame::data(piece)),
                (subject, job, next),
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
fn late_document(subject: &Subject, outcome: Result<Finished, S3Error>) -> Document {
    match outcome {
        Ok(finished) => finished.document,
        Err(error) => {
            tracing::error!(request_id = subject.request_id, %error, "an operation failed after its answer had begun");
            if error.is_about_stored_data {
                subject.unverified.inc();
            }
            let error = (subject.told)(error);
            ErrorAnswer {
                code: &error.code,
                message: &error.message,
                resource: Some(&subject.resource),
                request_id: &subject.request_id,
                host_id: &subject.host_id,
                details: &[],
            }
            .to_document()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::oneshot, time::Instant};

    use super::*;

    fn subject() -> Subject {
        Subject {
            resource: "/bucket/key".to_owned(),
            request_id: "REQUEST".to_owned(),
            host_id: "HOST".to_owned(),
            unverified: IntCounter::new("unverified", "unverified").unwrap(),
            told: Box::new(|error| match &*error.code {
                "NoSuchKey" => S3Error::access_denied("concealed"),
                _ => error,
            }),
        }
    }

    fn finished() -> Finished {
        let result = crate::xml::multipart_answers::InitiatedAnswer {
            bucket: "bucket",
            key: "key",
            upload_id: "done",
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-version-id", HeaderValue::from_static("v"));
        Finished {
            headers,
            document: result.to_document(),
        }
    }

    async fn after(seconds: u64, outcome: Result<Finished, S3Error>) -> Result<Finished, S3Error> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        outcome
    }

    /// The pieces of a body, each with the second in which it came.
    async fn pieces(start: Instant, mut body: ResponseBody) -> Vec<(u64, String)> {
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            let text = String::from_utf8(piece.to_vec()).unwrap();
            pieces.push((start.elapsed().as_secs(), text));
        }
        pieces
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_error_tells_no_more_than_an_early_one() {
        let start = Instant::now();
        let job = after(25, Err(S3Error::no_such_key()));
        let response = answer(subject(), job).await.unwrap();
        let pieces = pieces(start, response.into_body()).await;
        let (_, last) = pieces.last().unwrap();
        assert!(
            last.contains("AccessDenied") && !last.contains("NoSuchKey"),
            "{last}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn rule_19_an_outcome_in_time_is_answered_with_its_own_status_and_headers() {
        let start = Instant::now();
        let response = answer(subject(), after(9, Ok(finished()))).await.unwrap();
        assert_eq!(response.headers()["x-amz-version-id"], "v");
        assert_eq!(pieces(start, response.into_body()).await.len(), 1);
        let failure = after(9, Err(S3Error::precondition_failed()));
        let error = answer(subject(), failure).await.err().unwrap();
        assert_eq!(error.status, StatusCode::PRECONDITION_FAILED);
    }

    #[tokio::test(start_paused = true)]
    async fn rule_19_white_space_comes_every_ten_seconds_until_the_outcome_is_known() {
        for (outcome, root) in [
            (Ok(finished()), "<InitiateMultipartUploadResult"),
            (Err(S3Error::precondition_failed()), "<Error>"),
        ] {
            let start = Instant::now();
            let response = answer(subject(), after(35, outcome)).await.unwrap();
            assert_eq!(start.elapsed().as_secs(), 10);
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/xml");
            let pieces = pieces(start, response.into_body()).await;
            let [declaration, first, second, (second_of_end, end)] = &*pieces else {
                panic!("{pieces:?}");
            };
            assert_eq!(*declaration, (10, XML_DECLARATION.to_owned()));
            assert_eq!(*first, (20, " ".to_owned()));
            assert_eq!(*second, (30, " ".to_owned()));
            assert_eq!(*second_of_end, 35);
            // Nothing but white space may stand between the declaration and the root.
            assert!(end.starts_with(root), "{end}");
            if root == "<Error>" {
                for told in ["PreconditionFailed", "/bucket/key", "REQUEST", "HOST"] {
                    assert!(end.contains(&format!(">{told}</")), "{end}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_away_does_not_end_the_operation() {
        for leaves_after in [5, 15] {
            let (done, seen) = oneshot::channel();
            let job = async move {
                let outcome = after(35, Ok(finished())).await;
                done.send(()).unwrap();
                outcome
            };
            let client = async {
                let response = answer(subject(), job).await.unwrap();
                pieces(Instant::now(), response.into_body()).await
            };
            let leaves = Duration::from_secs(leaves_after);
            assert!(tokio::time::timeout(leaves, client).await.is_err());
            seen.await.unwrap();
        }
    }
}
