//! Every error of the gateway, in the one form that clients see: an S3 code, a status and a message.
//!
//! The parts below (signatures, bodies, XML, the envelope, key services, the upstream) have error types of their own that say what happened.
//! The conversions in `mapping` are the only place where those become S3 errors. What a client may not learn, above all why a decryption
//! failed, goes into [`ErrorDetails::detail`], which is logged under the request's id and never sent.

mod mapping;

use std::{
    borrow::Cow,
    ops::{Deref, DerefMut},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// An answer of the S3 error form (S3 API Reference, "Error responses"). One pointer wide, because every operation returns it.
#[derive(Debug, Clone)]
pub struct S3Error(Box<ErrorDetails>);

/// What an [`S3Error`] says.
#[derive(Debug, Clone)]
pub struct ErrorDetails {
    /// The HTTP status.
    pub status: StatusCode,
    /// S3's code, such as `NoSuchKey`.
    pub code: Cow<'static, str>,
    /// The message for the client: the cause and what to do.
    pub message: Cow<'static, str>,
    /// Further elements of the error document, such as `ActualObjectSize`.
    pub elements: Vec<(&'static str, String)>,
    /// Further headers, such as `Retry-After`.
    pub headers: HeaderMap,
    /// For the log only: the cause that a client may not learn.
    pub detail: Option<String>,
    /// For reports of commands only: no key that is configured has wrapped the data's key. Clients cannot tell that from damage.
    pub lacks_key: bool,
    /// For reports of commands only: the key service refuses the wrap in this place. Clients cannot tell that from damage either.
    pub is_refused_wrap: bool,
    /// Whether what the storage has or sent is not what it should be, which is counted apart.
    pub is_about_stored_data: bool,
}

impl Deref for S3Error {
    type Target = ErrorDetails;

    fn deref(&self) -> &ErrorDetails {
        &self.0
    }
}

impl DerefMut for S3Error {
    fn deref_mut(&mut self) -> &mut ErrorDetails {
        &mut self.0
    }
}

impl S3Error {
    /// An error with a status, a code and a message.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(ErrorDetails {
            status,
            code: code.into(),
            message: message.into(),
            elements: Vec::new(),
            headers: HeaderMap::new(),
            detail: None,
            lacks_key: false,
            is_refused_wrap: false,
            is_about_stored_data: false,
        }))
    }

    /// An error that the upstream named in the body of a 200.
    pub(crate) fn within_success(code: String, message: String) -> Self {
        mapping::within_success(code, message)
    }

    /// Adds what only the log may hold.
    #[must_use]
    pub fn with_detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds an element to the error document.
    #[must_use]
    pub fn with_element(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.elements.push((name, value.into()));
        self
    }

    /// 403: the caller may not do this.
    pub fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    /// 400: an argument of the request is not what S3 allows.
    pub fn invalid_argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidArgument", message)
    }

    /// 400: the request as a whole makes no sense.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    /// 501: refused by design; the message says why.
    pub fn not_implemented(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// 404: the upload is unknown, completed or aborted.
    pub fn no_such_upload() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchUpload",
            "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
        )
    }

    /// 404: there is no such bucket.
    pub fn no_such_bucket() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchBucket",
            "The specified bucket does not exist.",
        )
    }

    /// 404: there is no such object.
    pub fn no_such_key() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchKey",
            "The specified key does not exist.",
        )
    }

    /// 404: there is no such version of the object.
    pub fn no_such_version() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchVersion",
            "The specified version does not exist.",
        )
    }

    /// 412: a condition of the request does not hold.
    pub fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold.",
        )
    }

    /// 500 for anything that is wrong with stored data. Clients cannot tell the causes apart (adversary.md, "Keys"); `detail` tells operators.
    pub fn stored_data(detail: impl std::fmt::Display) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "The stored object failed verification and was not released. Quote the request id to the operator of the gateway.",
        )
        .with_detail(detail);
        error.is_about_stored_data = true;
        error
    }

    /// As [`stored_data`](Self::stored_data), of data whose key no configured key has wrapped.
    pub(crate) fn key_not_configured(detail: impl std::fmt::Display) -> Self {
        let mut error = Self::stored_data(detail);
        error.lacks_key = true;
        error
    }

    /// As [`stored_data`](Self::stored_data), of data whose key the key service refuses to open.
    pub(crate) fn refused_wrap(detail: impl std::fmt::Display) -> Self {
        let mut error = Self::stored_data(detail);
        error.is_refused_wrap = true;
        error
    }

    /// 500 for a fault of the gateway itself.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "We encountered an internal error, please try again.",
        )
        .with_detail(detail)
    }

    /// 503 with `Retry-After`: something that the gateway needs is away for now.
    pub fn unavailable(
        message: impl Into<Cow<'static, str>>,
        detail: impl std::fmt::Display,
    ) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            message,
        )
        .with_header(http::header::RETRY_AFTER, HeaderValue::from_static("5"))
        .with_detail(detail)
    }

    /// 503 `SlowDown` with `Retry-After`: the gateway is at one of its own bounds.
    pub fn slow_down(detail: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDown",
            "Please reduce your request rate.",
        )
        .with_header(http::header::RETRY_AFTER, HeaderValue::from_static("1"))
        .with_detail(detail)
    }
}

impl std::fmt::Display for S3Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.status.as_u16(),
            self.code,
            self.message
        )?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for S3Error {}
