//! Why a request was not authenticated, in S3's own terms.

use std::borrow::Cow;

use thiserror::Error;

/// A request that is refused before its body is read. Variants bear the names of the S3 error codes they become;
/// the text is what the client may see, and never holds a secret or a signature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// 403. Anonymous, expired, not yet valid, or something security-relevant that the signature does not cover.
    #[error("{reason}")]
    AccessDenied {
        /// What was refused.
        reason: Cow<'static, str>,
    },
    /// 400. The `Authorization` header cannot be used as it is.
    #[error("The authorization header is malformed; {reason}")]
    AuthorizationHeaderMalformed {
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// 400. The `X-Amz-*` query parameters of a presigned URL cannot be used as they are.
    #[error("{reason}")]
    AuthorizationQueryParametersError {
        /// What is wrong with them.
        reason: Cow<'static, str>,
    },
    /// 403. No such access key.
    #[error("The AWS Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId,
    /// 400. A header or parameter has a value that S3 does not know.
    #[error("{reason}")]
    InvalidArgument {
        /// Which one, and what it may be.
        reason: Cow<'static, str>,
    },
    /// 400. The request contradicts itself or lacks something it needs.
    #[error("{reason}")]
    InvalidRequest {
        /// What is missing or contradictory.
        reason: Cow<'static, str>,
    },
    /// 400. A session token came along, and the gateway issues none.
    #[error(
        "The provided token is malformed or otherwise invalid. This gateway issues no session tokens: sign with a long-lived access key."
    )]
    InvalidToken,
    /// 501. A way of signing that the gateway deliberately does not offer.
    #[error("{reason}")]
    NotImplemented {
        /// What was asked for, and what to use in its place.
        reason: Cow<'static, str>,
    },
    /// 403. The request's date is more than 15 minutes from our clock.
    #[error(
        "The difference between the request time and the current time is too large. The request says {request_time}, the server {server_time}, the limit is 15 minutes."
    )]
    RequestTimeTooSkewed {
        /// The date in the request, `YYYYMMDDTHHMMSSZ`.
        request_time: String,
        /// Our clock, in the same form.
        server_time: String,
    },
    /// 403. The signature is not the one that this secret gives for this request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    SignatureDoesNotMatch,
}

impl AuthError {
    pub(super) fn access_denied(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::AccessDenied {
            reason: reason.into(),
        }
    }

    pub(super) fn header_malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::AuthorizationHeaderMalformed {
            reason: reason.into(),
        }
    }

    pub(super) fn query_malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::AuthorizationQueryParametersError {
            reason: reason.into(),
        }
    }

    pub(super) fn invalid_argument(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidArgument {
            reason: reason.into(),
        }
    }

    pub(super) fn invalid_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest {
            reason: reason.into(),
        }
    }
}
