//! Errors: what an operation answers on the wire, and why a server does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::StatusCode;
use serde::Serialize;

/// The error codes of the AWS KMS API that this server answers with.
///
/// KMS sends every client error with HTTP status 400, whatever the status its API reference prints beside the code,
/// so clients match the code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The principal is known and may not do this.
    AccessDenied,
    /// The alias is already taken.
    AlreadyExists,
    /// The request names a custom key store; this server has none.
    CustomKeyStoreNotFound,
    /// A service behind KMS did not answer in time; only fault injection answers this.
    DependencyTimeout,
    /// The key is disabled.
    Disabled,
    /// The request was a dry run and would have succeeded.
    DryRunOperation,
    /// The `Authorization` header or the date header is missing a part.
    IncompleteSignature,
    /// The ciphertext was made by another key than the one the request names.
    IncorrectKey,
    /// The alias name breaks a rule that is specific to alias names.
    InvalidAliasName,
    /// The resource name is not one of KMS.
    InvalidArn,
    /// The ciphertext is damaged, is not ours, or belongs to another encryption context.
    InvalidCiphertext,
    /// The request carries a grant token; this server issues none.
    InvalidGrantToken,
    /// The key is of another usage than the operation needs.
    InvalidKeyUsage,
    /// The pagination marker was not made by this server.
    InvalidMarker,
    /// The signature, its scope or its date does not match.
    InvalidSignature,
    /// The server failed; the request may be repeated.
    KmsInternal,
    /// The key is in a state that does not allow the operation.
    KmsInvalidState,
    /// The key cannot be used at present; only fault injection answers this.
    KeyUnavailable,
    /// A quota of the server is reached.
    LimitExceeded,
    /// The request is not signed.
    MissingAuthenticationToken,
    /// The alias lies in the name space that belongs to AWS.
    NotAuthorized,
    /// No such key or alias.
    NotFound,
    /// The body is longer than the server reads.
    RequestEntityTooLarge,
    /// The body of the request did not arrive in time.
    RequestTimeout,
    /// The body is not the JSON document that the operation takes.
    Serialization,
    /// Too many requests; only fault injection answers this.
    Throttling,
    /// A tag of the request is not acceptable.
    Tag,
    /// The access key id is not known.
    UnrecognizedClient,
    /// The request names no operation of this server.
    UnknownOperation,
    /// AWS KMS has the feature, this server does not.
    UnsupportedOperation,
    /// A member of the request breaks a constraint.
    Validation,
}

impl ErrorCode {
    /// The code as it stands in `__type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::AlreadyExists => "AlreadyExistsException",
            Self::CustomKeyStoreNotFound => "CustomKeyStoreNotFoundException",
            Self::DependencyTimeout => "DependencyTimeoutException",
            Self::Disabled => "DisabledException",
            Self::DryRunOperation => "DryRunOperationException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::InvalidAliasName => "InvalidAliasNameException",
            Self::InvalidArn => "InvalidArnException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidGrantToken => "InvalidGrantTokenException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::KmsInternal => "KMSInternalException",
            Self::KmsInvalidState => "KMSInvalidStateException",
            Self::KeyUnavailable => "KeyUnavailableException",
            Self::LimitExceeded => "LimitExceededException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::NotAuthorized => "NotAuthorizedException",
            Self::NotFound => "NotFoundException",
            Self::RequestEntityTooLarge => "RequestEntityTooLargeException",
            Self::RequestTimeout => "RequestTimeoutException",
            Self::Serialization => "SerializationException",
            Self::Throttling => "ThrottlingException",
            Self::Tag => "TagException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::Validation => "ValidationException",
        }
    }

    /// The HTTP status that goes with the code.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::KmsInternal | Self::KeyUnavailable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DependencyTimeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestEntityTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The error answer to one request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {}", code.as_str(), message.as_deref().unwrap_or("(no message)"))]
pub struct KmsError {
    code: ErrorCode,
    message: Option<String>,
    reason: Option<&'static str>,
    wire: Wire,
}

/// In which form an error reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As KMS answers: status, code and message.
    Document,
    /// A status, and a body that is no KMS answer.
    Bare(StatusCode),
    /// No answer: the connection is reset.
    Reset,
}

impl KmsError {
    /// An error with the message that the client reads.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            reason: None,
            wire: Wire::Document,
        }
    }

    /// An answer that KMS itself never gives, like one of a load balancer before it: a status, and a body that is no
    /// KMS document.
    pub fn bare_status(status: StatusCode) -> Self {
        Self {
            code: ErrorCode::KmsInternal,
            message: None,
            reason: Some("fault: bare status"),
            wire: Wire::Bare(status),
        }
    }

    /// No answer: the connection is reset, over HTTP/2 the stream.
    pub fn reset() -> Self {
        Self {
            code: ErrorCode::KmsInternal,
            message: None,
            reason: Some("fault: reset"),
            wire: Wire::Reset,
        }
    }

    /// `InvalidCiphertextException`: KMS sends it without a message, so that it tells nobody which check failed. The
    /// reason goes to the request log of the server alone.
    pub fn invalid_ciphertext(reason: &'static str) -> Self {
        Self {
            code: ErrorCode::InvalidCiphertext,
            message: None,
            reason: Some(reason),
            wire: Wire::Document,
        }
    }

    /// A `ValidationException`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Validation, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::KmsInternal, message)
    }

    /// The error code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The message, where there is one.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    /// The HTTP status of the answer; 0 where there is none.
    pub(crate) fn status(&self) -> u16 {
        match self.wire {
            Wire::Document => self.code.status().as_u16(),
            Wire::Bare(status) => status.as_u16(),
            Wire::Reset => 0,
        }
    }

    /// What only the request log tells: which check refused the ciphertext, or which fault struck.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The JSON body of the answer: `{"__type":"…","message":"…"}`.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            __type: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let body = Body {
            __type: self.code.as_str(),
            message: self.message(),
        };
        // A struct of two strings always serializes; the fallback keeps the answer an error in any case.
        serde_json::to_vec(&body)
            .unwrap_or_else(|_| br#"{"__type":"KMSInternalException"}"#.to_vec())
    }
}

/// Why a server did not start. Each message names the cause and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be bound.
    #[error(
        "cannot listen on {address}: {source}; choose another address or port 0 for a free port"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// Another process has the state directory.
    #[error("the state directory {} is in use by another process; stop that one or choose another directory", path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
    },
    /// A file of the server cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What the server tried to do.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// The state file does not hold a state of this server.
    #[error("the state file {} cannot be used: {reason}; restore it from a copy, or move the directory away to start with no keys", path.display())]
    State {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate or the private key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// A setting does not make sense.
    #[error("{0}")]
    Setting(String),
    /// The alias that was to be created cannot be.
    #[error("cannot create the alias {alias}: {source}")]
    Alias {
        /// The alias name.
        alias: String,
        /// Why not.
        source: KmsError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_has_type_and_message() {
        let error = KmsError::new(ErrorCode::NotFound, "Key 'a\"b' does not exist");
        let body: serde_json::Value = serde_json::from_slice(&error.to_json()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"__type": "NotFoundException", "message": "Key 'a\"b' does not exist"})
        );
    }

    #[test]
    fn refused_ciphertext_tells_the_reason_to_the_log_alone() {
        let error = KmsError::invalid_ciphertext("header tag");
        assert_eq!(
            error.to_json(),
            br#"{"__type":"InvalidCiphertextException"}"#
        );
        assert_eq!(error.reason(), Some("header tag"));
    }
}
