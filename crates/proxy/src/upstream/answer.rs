//! What the upstream answered, and how much of it is read.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;

use super::{
    DocumentMemory, HeldDocument, LocalBody, UpstreamError, cause_chain, expectation::Expectation,
    limits::MAX_ERROR_LENGTH, waiting::Waiting,
};
use crate::{entity_tag::EntityTag, error::S3Error, operation, xml};

/// A body off the wire, or one of a storage inside of this process.
type Source = Either<Incoming, LocalBody>;

/// An answer of the upstream: its head, and a body that has not been read yet.
#[derive(Debug)]
pub struct Answer {
    response: Response<Source>,
    waiting: Waiting,
    memory: DocumentMemory,
    repeated: bool,
    /// Keeps the connection until the answer was read, where it came instead of `100 Continue`.
    expectation: Option<Expectation>,
}

impl Answer {
    pub(super) fn new(
        response: Response<Source>,
        waiting: Waiting,
        memory: DocumentMemory,
        expectation: Option<Expectation>,
    ) -> Self {
        Self {
            response,
            waiting,
            memory,
            repeated: false,
            expectation,
        }
    }

    pub(super) fn after_attempts(mut self, attempts: u32) -> Self {
        self.repeated = attempts > 1;
        self
    }

    /// Whether an earlier attempt at this request was sent too, and its answer got lost.
    pub fn was_repeated(&self) -> bool {
        self.repeated
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header that occurs once and is text.
    pub fn text(&self, name: impl Into<HeaderName>) -> Option<&str> {
        let mut values = self.headers().get_all(name.into()).iter();
        let first = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(first)
    }

    /// The length that the head declares.
    pub fn content_length(&self) -> Option<u64> {
        self.text(header::CONTENT_LENGTH)?.parse().ok()
    }

    /// Head and body apart.
    pub fn into_parts(self) -> (http::response::Parts, AnswerBody) {
        let (parts, source) = self.response.into_parts();
        (
            parts,
            AnswerBody {
                source,
                waiting: self.waiting,
                _expectation: self.expectation,
            },
        )
    }

    /// The whole body, at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::TooLong`] past the limit, [`UpstreamError::Busy`] where all documents together would hold too much, and whatever breaks
    /// the connection.
    pub async fn document(self, limit: usize) -> Result<HeldDocument, UpstreamError> {
        let mut share = self.memory.share();
        let (_, mut body) = self.into_parts();
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await? {
            let length = whole.len() + piece.len();
            if length > limit {
                return Err(UpstreamError::TooLong(limit));
            }
            share.grow_to(length).await?;
            whole.extend_from_slice(&piece);
        }
        Ok(HeldDocument::new(whole.freeze(), share))
    }

    /// Turns an answer that is not a success into an error for our client: the upstream's code, status and message, nothing else of it.
    pub async fn into_error(self) -> S3Error {
        let status = self.status();
        // Without these a page cannot see which error it was.
        let mut kept = operation::cors_headers(self.headers());
        for name in [
            header::ALLOW,
            header::RETRY_AFTER,
            header::LAST_MODIFIED,
            // Of the ciphertext; whoever shows it to a client translates it first.
            header::CONTENT_RANGE,
        ] {
            if let Some(value) = self.headers().get(&name) {
                kept.insert(name, value.clone());
            }
        }
        for name in [
            "x-amz-delete-marker",
            "x-amz-version-id",
            "x-amz-bucket-region",
        ] {
            if let Some(value) = self.headers().get(name) {
                kept.insert(HeaderName::from_static(name), value.clone());
            }
        }
        if status == StatusCode::METHOD_NOT_ALLOWED && kept.contains_key("x-amz-delete-marker") {
            // S3 API, "Working with delete markers"; not every storage says it.
            kept.entry(header::ALLOW)
                .or_insert(HeaderValue::from_static("DELETE"));
        }
        if let Some(tag) = self.text(header::ETAG).map(EntityTag::parse)
            && let Ok(value) = HeaderValue::from_str(&tag.to_client().to_string())
        {
            kept.insert(header::ETAG, value);
        }
        let body = self
            .document(MAX_ERROR_LENGTH)
            .await
            .map(HeldDocument::into_bytes)
            .unwrap_or_default();
        let mut error = match xml::upstream_answers::parse_error(&body) {
            Ok(document) if OUR_OWN_FAULTS.contains(&document.code.as_str()) => {
                S3Error::internal(format!(
                    "the storage refuses the gateway's own request: {} {}; check the credentials, region and clock of the gateway",
                    document.code, document.message
                ))
            }
            Ok(document) => of_upstream(status, document),
            Err(_) => without_document(status),
        };
        error.headers = kept;
        error
    }
}

/// What the storage says when it does not accept our signature. Passed on, it would tell clients that theirs is wrong.
const OUR_OWN_FAULTS: [&str; 8] = [
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "XAmzContentSHA256Mismatch",
];

/// The upstream's code and message, unless the message tells a client about hosts and accounts that are none of its business.
fn of_upstream(status: StatusCode, document: xml::upstream_answers::UpstreamError) -> S3Error {
    let tells = ["arn:", ".amazonaws.com"];
    let message = &document.message;
    if !tells.iter().any(|mark| message.contains(mark)) && !names_a_url(message) {
        let mut error = S3Error::new(status, document.code, document.message);
        // Other arguments are ours, or were translated on the way, and their values mean nothing to a client.
        if let Some((name, value)) = document.argument
            && operation::crosses_unchanged(&name)
        {
            error = error
                .with_element("ArgumentName", name)
                .with_element("ArgumentValue", value);
        }
        return error;
    }
    let message = format!(
        "The storage behind the gateway answered {}. Its message names accounts or hosts of its own and is in the gateway's log.",
        document.code
    );
    S3Error::new(status, document.code, message).with_detail(document.message)
}

/// Whether a text holds a URL, and not only the beginning of one, as in "must have a prefix of 'http://'".
fn names_a_url(text: &str) -> bool {
    text.split("://")
        .skip(1)
        .any(|rest| rest.starts_with(|next: char| next.is_alphanumeric() || next == '['))
}

/// HEAD answers and some proxies send no error document: the status has to do.
fn without_document(status: StatusCode) -> S3Error {
    match status {
        StatusCode::NOT_FOUND => S3Error::no_such_key(),
        StatusCode::PRECONDITION_FAILED => S3Error::precondition_failed(),
        StatusCode::FORBIDDEN => S3Error::access_denied("Access Denied."),
        StatusCode::METHOD_NOT_ALLOWED => S3Error::new(
            status,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        ),
        StatusCode::NOT_MODIFIED => S3Error::new(status, "NotModified", "Not Modified"),
        StatusCode::RANGE_NOT_SATISFIABLE => S3Error::new(
            status,
            "InvalidRange",
            "The requested range is not satisfiable",
        ),
        _ => S3Error::new(
            status,
            "UpstreamError",
            format!("The storage answered {status}."),
        ),
    }
}

/// The body of an answer, read piece by piece, of which enough has to come in the time that it is waited for.
#[derive(Debug)]
pub struct AnswerBody {
    source: Source,
    waiting: Waiting,
    _expectation: Option<Expectation>,
}

impl AnswerBody {
    /// The next piece, or none at the end.
    ///
    /// Cancel safe: a dropped call loses nothing.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Stalled`], [`UpstreamError::Unfinished`] or [`UpstreamError::Connection`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            match self.waiting.wait(self.source.frame()).await? {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(UpstreamError::Connection(cause_chain(error.as_ref())));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        self.waiting.count(&data);
                        return Ok(Some(data));
                    }
                    // Trailers mean nothing here.
                    Err(_) => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_of_the_client_is_named_and_one_of_ours_is_not() {
        let elements = |name: &str| {
            let document = xml::upstream_answers::UpstreamError {
                code: "InvalidArgument".to_owned(),
                message: "no".to_owned(),
                argument: Some((name.to_owned(), "v".to_owned())),
            };
            of_upstream(StatusCode::BAD_REQUEST, document)
                .elements
                .clone()
        };
        let name = "x-amz-object-lock-mode";
        assert_eq!(
            elements(name),
            [
                ("ArgumentName", name.to_owned()),
                ("ArgumentValue", "v".to_owned())
            ]
        );
        for ours in ["x-amz-meta-sealgate", "uploadId", "x-amz-copy-source"] {
            assert_eq!(elements(ours), [], "{ours}");
        }
    }

    #[test]
    fn a_message_with_a_url_is_withheld_and_one_about_urls_is_not() {
        for tells in [
            "see https://storage.example/help",
            "http://[::1]/",
            "a://b and 'http://'",
        ] {
            assert!(names_a_url(tells), "{tells}");
        }
        for harmless in [
            "must have a prefix of 'http://' or 'https://' or '/'.",
            "no URL",
            "http://",
        ] {
            assert!(!names_a_url(harmless), "{harmless}");
        }
    }
}
