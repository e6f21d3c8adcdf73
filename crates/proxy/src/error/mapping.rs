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
    listener::Malformed,
    object_key::{MAX_KEY_BYTES, ObjectPathError},
    upstream::UpstreamError,
    xml::{XmlError, requests::RequestDocumentError},
};

/// In S3's own words, by which clients tell errors apart, with our more precise ones beside them.
fn bad_request(code: &'static str, message: &'static str, reason: &impl ToString) -> S3Error {
    S3Error::new(StatusCode::BAD_REQUEST, code, message).with_element("Reason", reason.to_string())
}

/// What is said where the keys of stored data cannot be had.
const KEYS_AWAY: &str = "The keys of this data are not available now. Please try again.";

impl S3Error {
    /// Whether it says that the keys of stored data cannot be had now, and not that the storage is away.
    pub(crate) fn is_about_keys(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && self.message == KEYS_AWAY
    }
}

const COPY_SOURCE: &str = "x-amz-copy-source";

fn bad_argument(name: &'static str, message: &'static str, reason: &impl ToString) -> S3Error {
    bad_request("InvalidArgument", message, reason).with_element("ArgumentName", name)
}

/// An `<Error>` that the upstream sent behind a status of 200 (S3 API, CompleteMultipartUpload and CopyObject), with the status that its code has
/// elsewhere (S3 API, "Error responses"): SDKs repeat what failed with 500, and need not repeat what can't succeed.
pub(super) fn within_success(code: String, message: String) -> S3Error {
    let status = match code.as_str() {
        "AccessDenied" | "InvalidObjectState" => StatusCode::FORBIDDEN,
        "BadDigest" | "EntityTooLarge" | "EntityTooSmall" | "InvalidArgument" | "InvalidPart"
        | "InvalidPartOrder" | "InvalidRequest" | "MalformedXML" => StatusCode::BAD_REQUEST,
        "ConditionalRequestConflict" | "OperationAborted" => StatusCode::CONFLICT,
        "NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" => StatusCode::NOT_FOUND,
        "PreconditionFailed" => StatusCode::PRECONDITION_FAILED,
        "ServiceUnavailable" | "SlowDown" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    S3Error::new(status, code, message)
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
            AuthError::InvalidAccessKeyId { .. } => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            AuthError::InvalidArgument { .. } => (StatusCode::BAD_REQUEST, "InvalidArgument"),
            AuthError::InvalidRequest { .. } => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            AuthError::ExpiredToken { .. } => (StatusCode::BAD_REQUEST, "ExpiredToken"),
            AuthError::InvalidToken => (StatusCode::BAD_REQUEST, "InvalidToken"),
            AuthError::NotImplemented { .. } => (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
            AuthError::RequestTimeTooSkewed { .. } => {
                (StatusCode::FORBIDDEN, "RequestTimeTooSkewed")
            }
            AuthError::PolicySignature { .. } | AuthError::SignatureDoesNotMatch => {
                (StatusCode::FORBIDDEN, "SignatureDoesNotMatch")
            }
        };
        let mut answer = Self::new(status, code, error.to_string());
        answer.elements = error.elements();
        answer
    }
}

impl From<Malformed> for S3Error {
    fn from(error: Malformed) -> Self {
        let (code, message) = match error {
            Malformed::TooLarge => (
                "RequestHeaderSectionTooLarge",
                "Your request header section exceeds the maximum allowed size.",
            ),
            _ => ("InvalidRequest", "Invalid Request"),
        };
        bad_request(code, message, &error)
    }
}

impl From<BodyError> for S3Error {
    fn from(error: BodyError) -> Self {
        let (status, code) = match &error {
            BodyError::BadDigest { .. } => (StatusCode::BAD_REQUEST, "BadDigest"),
            BodyError::EntityTooLarge { .. } => (StatusCode::BAD_REQUEST, "EntityTooLarge"),
            BodyError::IncompleteBody { .. }
            | BodyError::OtherLength { .. }
            | BodyError::Transport(_) => (StatusCode::BAD_REQUEST, "IncompleteBody"),
            BodyError::InvalidChunkSizeError { .. } => {
                (StatusCode::BAD_REQUEST, "InvalidChunkSizeError")
            }
            BodyError::InvalidDigest { .. } => (StatusCode::BAD_REQUEST, "InvalidDigest"),
            BodyError::InvalidRequest { .. } => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            BodyError::MalformedTrailerError { .. } => {
                (StatusCode::BAD_REQUEST, "MalformedTrailerError")
            }
            BodyError::MissingContentLength => {
                (StatusCode::LENGTH_REQUIRED, "MissingContentLength")
            }
            BodyError::RequestTimeout { .. } => (StatusCode::BAD_REQUEST, "RequestTimeout"),
            BodyError::SignatureDoesNotMatch => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
            BodyError::XAmzContentSHA256Mismatch { .. } => {
                (StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch")
            }
        };
        let mut answer = Self::new(status, code, error.to_string());
        if let Some(reason) = error.reason() {
            answer = answer.with_element("Reason", reason);
        }
        match &error {
            BodyError::EntityTooLarge { proposed, maximum } => answer
                .with_element("ProposedSize", proposed.to_string())
                .with_element("MaxSizeAllowed", maximum.to_string()),
            BodyError::BadDigest {
                digests: Some((expected, calculated)),
                ..
            } => answer
                .with_element("ExpectedDigest", expected.clone())
                .with_element("CalculatedDigest", calculated.clone()),
            BodyError::InvalidDigest { value } => answer.with_element("Content-MD5", value.clone()),
            BodyError::XAmzContentSHA256Mismatch { signed, computed } => answer
                .with_element("ClientComputedContentSHA256", signed.clone())
                .with_element("S3ComputedContentSHA256", computed.clone()),
            BodyError::InvalidChunkSizeError { chunk, size } => answer
                .with_element("Chunk", chunk.to_string())
                .with_element("BadChunkSize", size.to_string()),
            _ => answer,
        }
    }
}

impl From<ObjectPathError> for S3Error {
    fn from(error: ObjectPathError) -> Self {
        match &error {
            ObjectPathError::InvalidBucketName { .. } => bad_request(
                "InvalidBucketName",
                "The specified bucket is not valid.",
                &error,
            ),
            ObjectPathError::KeyTooLong { length } => {
                bad_request("KeyTooLongError", "Your key is too long.", &error)
                    .with_element("Size", length.to_string())
                    .with_element("MaxSizeAllowed", MAX_KEY_BYTES.to_string())
            }
            ObjectPathError::EmptyKey => Self::invalid_argument(error.to_string()),
            ObjectPathError::OfStorage => Self::access_denied(error.to_string()),
            ObjectPathError::InvalidUri { .. } | ObjectPathError::LeavesBucket => bad_request(
                "InvalidURI",
                "The specified URI couldn't be parsed.",
                &error,
            ),
        }
    }
}

impl From<CopySourceError> for S3Error {
    fn from(error: CopySourceError) -> Self {
        match error {
            CopySourceError::Arn => Self::not_implemented(error.to_string()),
            CopySourceError::Path(ObjectPathError::InvalidBucketName { .. }) => {
                bad_argument(COPY_SOURCE, "Invalid copy source bucket name", &error)
            }
            CopySourceError::Path(ObjectPathError::InvalidUri { .. }) => {
                bad_argument(COPY_SOURCE, "Invalid copy source encoding", &error)
            }
            CopySourceError::Path(ObjectPathError::EmptyKey | ObjectPathError::LeavesBucket)
            | CopySourceError::NotBucketAndKey => {
                bad_argument(COPY_SOURCE, "Invalid copy source object key", &error)
            }
            CopySourceError::Path(error) => error.into(),
            CopySourceError::InvalidVersion => {
                bad_argument("versionId", "Invalid version id specified", &error)
            }
            error => Self::invalid_argument(error.to_string()),
        }
    }
}

impl From<CopySourceRangeError> for S3Error {
    fn from(error: CopySourceRangeError) -> Self {
        const NAME: &str = "x-amz-copy-source-range";
        match error {
            CopySourceRangeError::BeyondSource { size, .. } => Self::invalid_argument(format!(
                "Range specified is not valid for source object of size: {size}"
            ))
            .with_element("ArgumentName", NAME),
            CopySourceRangeError::Malformed => bad_argument(
                NAME,
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the \
                 first and last bytes to copy",
                &error,
            ),
        }
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
                "The XML you provided was not well-formed or did not validate against our published schema.",
                &error,
            ),
            RequestDocumentError::PartOrder { .. } => bad_request(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
                &error,
            ),
            RequestDocumentError::PartNumber { number: ..1 } => {
                bad_argument("PartNumber", "PartNumber must be >= 1", &error)
            }
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
            UpstreamError::Busy(_) => Self::slow_down(error),
            UpstreamError::Connection(_)
            | UpstreamError::Timeout(_)
            | UpstreamError::Stalled(_)
            | UpstreamError::Unfinished(_)
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
                "Your metadata headers exceed the maximum allowed metadata size",
            )
            .with_element(
                "Reason",
                format!(
                    "Sealed, they take {length} bytes and there is room for {limit}. Use shorter names and values."
                ),
            )
            .with_element("Size", length.to_string())
            .with_element("MaxSizeAllowed", limit.to_string()),
            // A wrap that the key service refuses was altered, or is not of this place: the stored data's fault.
            EnvelopeError::KeyService { failure: KeyServiceFailure::Refused, .. } => {
                Self::refused_wrap(error.detail())
            }
            EnvelopeError::Stored(_) => Self::stored_data(error.detail()),
            EnvelopeError::KeyService { failure: KeyServiceFailure::NotConfigured, .. } => {
                Self::key_not_configured(error.detail())
            }
            EnvelopeError::KeyService { failure: KeyServiceFailure::WriteOnly, .. } => Self::new(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "This gateway is write-only: it cannot open what was sealed before it started, or by another gateway. Ask a gateway that may decrypt.",
            )
            .with_detail(error.detail()),
            EnvelopeError::KeyService { .. } => {
                Self::unavailable(KEYS_AWAY, error.detail())
            }
            // Misuse of the library by us, a machine without entropy, and what later versions may add.
            _ => Self::internal(error.detail()),
        }
    }
}
