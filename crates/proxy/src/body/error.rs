//! Why a body was not accepted, in S3's own terms.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::algorithm::Algorithm;
use super::limits::MIN_CHUNK_LENGTH;

/// The header, as [`BodyError::BadDigest`] names it.
pub(super) const CONTENT_MD5: &str = "Content-MD5";

/// A body that is refused. Variants bear the names of the S3 error codes they become; the text may go to the client.
/// Cloning is cheap, so that a failed body can give the same answer for ever.
#[derive(Debug, Clone, Error)]
pub enum BodyError {
    /// 400. A checksum or `Content-MD5` is not the one of the plaintext that arrived.
    #[error("The {what} you specified did not match {}.", if *what == CONTENT_MD5 { "what we received" } else { "the calculated checksum" })]
    BadDigest {
        /// `Content-MD5` or the name of the algorithm.
        what: &'static str,
        /// What was declared, in hexadecimal digits, and what was computed, in base64: where S3 tells both, it does it so.
        digests: Option<(String, String)>,
    },
    /// 400. The declared length is more than the operation allows.
    #[error("Your proposed upload exceeds the maximum allowed object size.")]
    EntityTooLarge {
        /// The declared length.
        proposed: u64,
        /// The most bytes of plaintext that are allowed.
        maximum: u64,
    },
    /// 400. The chunk framing is broken.
    #[error("The request body terminated unexpectedly")]
    IncompleteBody {
        /// What was expected.
        reason: &'static str,
    },
    /// 400 `IncompleteBody`. Shorter or longer than declared.
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header")]
    OtherLength {
        /// Which of both.
        reason: &'static str,
    },
    /// 400. A chunk before the last one is shorter than S3 allows.
    #[error(
        "Only the last chunk is allowed to have a size less than {} bytes",
        MIN_CHUNK_LENGTH
    )]
    InvalidChunkSizeError {
        /// The number of the chunk, from 1.
        chunk: u64,
        /// Its bytes.
        size: u64,
    },
    /// 400. `Content-MD5` is not the base64 of 16 bytes.
    #[error("The Content-Md5 you specified is not valid.")]
    InvalidDigest {
        /// What it is.
        value: String,
    },
    /// 400. The headers that describe the body are wrong or contradict each other.
    #[error("{reason}")]
    InvalidRequest {
        /// Which header, and why.
        reason: Cow<'static, str>,
    },
    /// 400. The trailer is not well-formed or not the announced one.
    #[error(
        "The request contained trailing data that was not well-formed or did not conform to our published schema."
    )]
    MalformedTrailerError {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// 411. The length of the plaintext is not known beforehand.
    #[error("You must provide the Content-Length HTTP header.")]
    MissingContentLength,
    /// 400. No data arrived for too long, or too little of it.
    #[error("Your socket connection to the server was not read from or written to within the timeout period of {} seconds.", idle.as_secs())]
    RequestTimeout {
        /// How long that was.
        idle: Duration,
    },
    /// 403. The signature of a chunk or of the trailer is wrong.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    SignatureDoesNotMatch,
    /// No answer reaches the client: its connection failed.
    #[error("the client's connection failed: {0}")]
    Transport(Arc<dyn StdError + Send + Sync>),
    /// 400. The signed SHA-256 is not the one of the body that arrived.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    XAmzContentSHA256Mismatch {
        /// What was signed, in hexadecimal digits.
        signed: String,
        /// What arrived.
        computed: String,
    },
}

impl BodyError {
    /// What S3's own text does not say: which of the several faults of this code it is.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::IncompleteBody { reason }
            | Self::OtherLength { reason }
            | Self::MalformedTrailerError { reason } => Some(reason),
            _ => None,
        }
    }

    pub(super) fn invalid_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest {
            reason: reason.into(),
        }
    }

    pub(super) fn checksum_mismatch(algorithm: Algorithm) -> Self {
        Self::BadDigest {
            what: algorithm.name(),
            digests: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_text_leaves_open_is_known() {
        let reason = "this one";
        for error in [
            BodyError::IncompleteBody { reason },
            BodyError::OtherLength { reason },
            BodyError::MalformedTrailerError { reason },
        ] {
            assert_eq!(error.reason(), Some(reason), "{error:?}");
        }
        assert_eq!(BodyError::MissingContentLength.reason(), None);
    }
}
