//! Answers and error answers.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;

/// What the storage answers.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A status alone.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

/// A document.
pub(crate) fn document(status: StatusCode, text: String) -> Answer {
    let mut answer = Answer::new(Full::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/xml"),
    );
    answer
}

/// An S3 error.
pub(crate) fn error(status: StatusCode, code: &str) -> Answer {
    document(
        status,
        format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"),
    )
}

/// Nothing has this name.
pub(crate) fn missing(code: &str) -> Answer {
    error(StatusCode::NOT_FOUND, code)
}

/// Text between tags.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
