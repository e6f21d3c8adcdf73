//! Why a request was not authenticated, in S3's own terms.

use std::borrow::Cow;
use std::sync::Arc;

use sealgate_access::token::Claims;
use thiserror::Error;

use super::limits::MAX_CLOCK_SKEW;

/// An element of the error document beside code and message, such as `ArgumentName`, and its text.
pub type ErrorElement = (&'static str, String);

/// A request that is refused before its body is read. Variants bear the names of the S3 error codes they become;
/// the text is what the client may see, and never holds a secret or a signature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// 403. Anonymous, expired, not yet valid, or something security-relevant that the signature does not cover.
    #[error("{reason}")]
    AccessDenied {
        /// What was refused.
        reason: Cow<'static, str>,
        /// What S3 adds.
        elements: Vec<ErrorElement>,
    },
    /// 400. The `Authorization` header cannot be used as it is.
    #[error("The authorization header is malformed; {reason}")]
    AuthorizationHeaderMalformed {
        /// What is wrong with it.
        reason: Cow<'static, str>,
        /// The region to sign for, where another one was signed for.
        region: Option<String>,
    },
    /// 400. The `X-Amz-*` query parameters of a presigned URL cannot be used as they are.
    #[error("{reason}")]
    AuthorizationQueryParametersError {
        /// What is wrong with them.
        reason: Cow<'static, str>,
    },
    /// 403. No such access key.
    #[error("The AWS Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId {
        /// What was signed with.
        access_key_id: String,
    },
    /// 400. A header or parameter has a value that S3 does not know.
    #[error("{reason}")]
    InvalidArgument {
        /// What it may be.
        reason: Cow<'static, str>,
        /// Which one.
        name: &'static str,
        /// What it is.
        value: String,
    },
    /// 400. The request contradicts itself or lacks something it needs.
    #[error("{reason}")]
    InvalidRequest {
        /// What is missing or contradictory.
        reason: Cow<'static, str>,
    },
    /// 400. The session of the token is over. Its secret has signed the request.
    #[error("The provided token has expired.")]
    ExpiredToken {
        /// What the token says.
        claims: Arc<Claims>,
    },
    /// 400. The session token is none of this deployment, belongs to another access key, or stands for rights that were taken back.
    #[error("The provided token is malformed or otherwise invalid.")]
    InvalidToken,
    /// 501. A way of signing that the gateway deliberately does not offer.
    #[error("{reason}")]
    NotImplemented {
        /// What was asked for, and what to use in its place.
        reason: Cow<'static, str>,
    },
    /// 403 `SignatureDoesNotMatch`. The signature of a form's policy is another one. S3 repeats what it verified, all of it the form's own.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    PolicySignature {
        /// What was signed with.
        access_key_id: String,
        /// What is to be signed: the policy as the form has it.
        policy: String,
        /// The signature of the form.
        signature: String,
    },
    /// 403. The request's date is more than 15 minutes from our clock.
    #[error("The difference between the request time and the current time is too large.")]
    RequestTimeTooSkewed {
        /// The date in the request, `YYYYMMDDTHHMMSSZ`.
        request_time: String,
        /// Our clock, `YYYY-MM-DDTHH:MM:SSZ`.
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
            elements: Vec::new(),
        }
    }

    pub(super) fn header_malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::AuthorizationHeaderMalformed {
            reason: reason.into(),
            region: None,
        }
    }

    pub(super) fn query_malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::AuthorizationQueryParametersError {
            reason: reason.into(),
        }
    }

    pub(super) fn invalid_argument(
        name: &'static str,
        value: &str,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::InvalidArgument {
            reason: reason.into(),
            name,
            value: value.to_owned(),
        }
    }

    pub(super) fn invalid_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest {
            reason: reason.into(),
        }
    }

    /// What S3 adds to code and message in the error document (S3 API Reference, "Error responses").
    pub fn elements(&self) -> Vec<ErrorElement> {
        match self {
            Self::AccessDenied { elements, .. } => elements.clone(),
            Self::AuthorizationHeaderMalformed {
                region: Some(region),
                ..
            } => vec![("Region", region.clone())],
            Self::InvalidAccessKeyId { access_key_id } => {
                vec![("AWSAccessKeyId", access_key_id.clone())]
            }
            Self::InvalidArgument { name, value, .. } => vec![
                ("ArgumentName", (*name).to_owned()),
                ("ArgumentValue", value.clone()),
            ],
            Self::PolicySignature {
                access_key_id,
                policy,
                signature,
            } => vec![
                ("AWSAccessKeyId", access_key_id.clone()),
                ("StringToSign", policy.clone()),
                ("SignatureProvided", signature.clone()),
                ("StringToSignBytes", spaced_digits(policy)),
            ],
            Self::RequestTimeTooSkewed {
                request_time,
                server_time,
            } => vec![
                ("RequestTime", request_time.clone()),
                ("ServerTime", server_time.clone()),
                (
                    "MaxAllowedSkewMilliseconds",
                    MAX_CLOCK_SKEW.as_millis().to_string(),
                ),
            ],
            _ => Vec::new(),
        }
    }
}

/// Bytes as S3 shows them beside a text, `61 62`.
fn spaced_digits(text: &str) -> String {
    let digits: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_what_they_are_about() {
        for (error, expected) in [
            (
                AuthError::InvalidAccessKeyId {
                    access_key_id: "AKIA".to_owned(),
                },
                &[("AWSAccessKeyId", "AKIA")][..],
            ),
            (
                AuthError::invalid_argument("x-amz-content-sha256", "none", "It may not."),
                &[
                    ("ArgumentName", "x-amz-content-sha256"),
                    ("ArgumentValue", "none"),
                ],
            ),
            (
                AuthError::RequestTimeTooSkewed {
                    request_time: "20130524T000000Z".to_owned(),
                    server_time: "2013-05-24T00:15:01Z".to_owned(),
                },
                &[
                    ("RequestTime", "20130524T000000Z"),
                    ("ServerTime", "2013-05-24T00:15:01Z"),
                    ("MaxAllowedSkewMilliseconds", "900000"),
                ],
            ),
            (
                AuthError::AuthorizationHeaderMalformed {
                    reason: "another region".into(),
                    region: Some("eu-west-1".to_owned()),
                },
                &[("Region", "eu-west-1")],
            ),
            (AuthError::header_malformed("no region"), &[]),
        ] {
            let elements = error.elements();
            let elements: Vec<_> = elements
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            assert_eq!(elements, expected, "{error:?}");
        }
    }
}
