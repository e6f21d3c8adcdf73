//! From the errors of every part to the one that a client sees. Whatever a client may not tell apart becomes equal here.

use http::{StatusCode, header};
use sealgate_envelope::{Error as EnvelopeError, KeyServiceFailure};

use super::S3Error;
use crate::{
    auth::AuthError,
    body::BodyError,
    byte_range::{CopySourceRangeError, Unsatisfiable},
    copy_source::CopySourceError,
    entity_tag::EntityTagError,
    object_key::ObjectPathError,
    upstream::UpstreamError,
    xml::{XmlError, requests::RequestDocumentError},
};

fn bad_request(code: &'static str, error: &impl ToString) -> S3Error {
    S3Error::new(StatusCode::BAD_REQUEST, code, error.to_string())
}

impl From<AuthError> for S3Error {
    fn from(error: AuthError) -> Self {
        let (status, code) = match &error {
            AuthError::AccessDenied { .. } => (StatusCode::FORBIDDEN, "AccessDenied"),
            AuthError::AuthorizationHeaderMalformed { .. } => {
                (StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed")
            }
            AuthError::AuthorizationQueryParametersError { .. } => {
                (StatusCode::BAD_REQUEST, "AuthorizationQueryParametersError")
            }
            AuthError::InvalidAccessKeyId => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            AuthError::InvalidArgument { .. } => (StatusCode::BAD_REQUEST, "InvalidArgument"),
            AuthError::InvalidRequest { .. } => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            AuthError::InvalidToken => (StatusCode::BAD_REQUEST, "InvalidToken"),
            AuthError::NotImplemented { .. } => (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
            AuthError::RequestTimeTooSkewed { .. } => {
                (StatusCode::FORBIDDEN, "RequestTimeTooSkewed")
            }
            AuthError::SignatureDoesNotMatch => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<BodyError> for S3Error {
    fn from(error: BodyError) -> Self {
        let (status, code) = match &error {
            BodyError::BadDigest { .. } => (StatusCode::BAD_REQUEST, "BadDigest"),
            BodyError::EntityTooLarge { .. } => (StatusCode::BAD_REQUEST, "EntityTooLarge"),
            BodyError::IncompleteBody { .. } | BodyError::Transport(_) => {
                (StatusCode::BAD_REQUEST, "IncompleteBody")
            }
            BodyError::InvalidDigest => (StatusCode::BAD_REQUEST, "InvalidDigest"),
            BodyError::InvalidRequest { .. } => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            BodyError::MalformedTrailerError { .. } => {
                (StatusCode::BAD_REQUEST, "MalformedTrailerError")
            }
            BodyError::MissingContentLength => {
                (StatusCode::LENGTH_REQUIRED, "MissingContentLength")
            }
            BodyError::RequestTimeout { .. } => (StatusCode::BAD_REQUEST, "RequestTimeout"),
            BodyError::SignatureDoesNotMatch => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
            BodyError::XAmzContentSHA256Mismatch => {
                (StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch")
            }
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<ObjectPathError> for S3Error {
    fn from(error: ObjectPathError) -> Self {
        let code = match &error {
            ObjectPathError::InvalidBucketName { .. } => "InvalidBucketName",
            ObjectPathError::KeyTooLong { .. } => "KeyTooLongError",
            ObjectPathError::EmptyKey => "InvalidArgument",
            ObjectPathError::InvalidUri { .. } => "InvalidURI",
        };
        bad_request(code, &error)
    }
}

impl From<CopySourceError> for S3Error {
    fn from(error: CopySourceError) -> Self {
        match error {
            CopySourceError::Arn => Self::not_implemented(error.to_string()),
            CopySourceError::Path(error) => error.into(),
            error => Self::invalid_argument(error.to_string()),
        }
    }
}

impl From<CopySourceRangeError> for S3Error {
    fn from(error: CopySourceRangeError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

impl From<EntityTagError> for S3Error {
    fn from(error: EntityTagError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

impl From<Unsatisfiable> for S3Error {
    fn from(error: Unsatisfiable) -> Self {
        let answer = Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The requested range is not satisfiable",
        );
        match http::HeaderValue::from_str(&error.content_range()) {
            Ok(value) => answer.with_header(header::CONTENT_RANGE, value),
            Err(_) => answer,
        }
    }
}

impl From<RequestDocumentError> for S3Error {
    fn from(error: RequestDocumentError) -> Self {
        match error {
            RequestDocumentError::Malformed(_) => bad_request(
                "MalformedXML",
                &format!("The XML you provided was not well-formed: {error}"),
            ),
            RequestDocumentError::PartOrder { .. } => bad_request("InvalidPartOrder", &error),
            error => Self::invalid_argument(error.to_string()),
        }
    }
}

/// Only documents of the upstream are converted by this; those of clients come as [`RequestDocumentError`].
impl From<XmlError> for S3Error {
    fn from(error: XmlError) -> Self {
        Self::internal(format!(
            "the upstream sent a document that cannot be read: {error}"
        ))
    }
}

impl From<UpstreamError> for S3Error {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Connection(_)
            | UpstreamError::Timeout(_)
            | UpstreamError::Credentials(_) => Self::unavailable(
                "The storage behind the gateway cannot be reached. Please try again.",
                error,
            ),
            UpstreamError::Redirect {
                is_temporary: true, ..
            } => Self::unavailable(
                "The storage is moving this bucket to another endpoint. Please try again.",
                error,
            ),
            // Not a redirect to the client, who would go around the gateway, and nothing that clients repeat.
            UpstreamError::Redirect { .. } => Self::invalid_request(
                "The bucket is at another endpoint or in another region of the storage than this gateway is configured for. Use a gateway whose upstream is that one.",
            )
            .with_detail(error),
            UpstreamError::Request(_) | UpstreamError::TooLong(_) | UpstreamError::Malformed(_) => {
                Self::internal(error)
            }
        }
    }
}

impl From<EnvelopeError> for S3Error {
    fn from(error: EnvelopeError) -> Self {
        match &error {
            EnvelopeError::MetadataTooLarge { length, limit } => Self::new(
                StatusCode::BAD_REQUEST,
                "MetadataTooLarge",
                format!(
                    "Your metadata headers exceed the maximum allowed metadata size: sealed, they take {length} bytes and there is room for {limit}. \
                     Use shorter names and values."
                ),
            )
            .with_element("Size", length.to_string())
            .with_element("MaxSizeAllowed", limit.to_string()),
            // A wrap that the key service refuses was altered, or is not of this place: the stored data's fault.
            EnvelopeError::KeyService { failure: KeyServiceFailure::Refused | KeyServiceFailure::NotConfigured, .. } | EnvelopeError::Stored(_) => {
                Self::stored_data(error.detail())
            }
            EnvelopeError::KeyService { .. } => {
                Self::unavailable("The keys of this data are not available now. Please try again.", error.detail())
            }
            // Misuse of the library by us, a machine without entropy, and what later versions may add.
            _ => Self::internal(error.detail()),
        }
    }
}
