//! How a request says that its body is protected: `x-amz-content-sha256`.

use super::canonical::UNSIGNED_PAYLOAD;
use super::error::AuthError;
use super::keys::{DIGEST_LENGTH, Signature, SigningKey, decode_digest, encode_hex};
use super::timestamp::AmzDate;

const STREAMING_SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const STREAMING_SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const STREAMING_UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const STREAMING_ASYMMETRIC: &str = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD";

/// The SHA-256 of nothing, in hexadecimal; every chunk signature covers it
/// (Amazon S3 API Reference, "Signature Calculations: Transferring Payload in Multiple Chunks").
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// How the body of a verified request is framed, and what it must verify against.
#[derive(Debug, Clone)]
pub enum PayloadMode {
    /// The body as it is, with this SHA-256.
    SignedSha256([u8; DIGEST_LENGTH]),
    /// The body as it is; the signature does not cover it.
    Unsigned,
    /// `aws-chunked`, each chunk signed.
    StreamingSigned {
        /// What chunk signatures are computed with.
        signer: ChunkSigner,
        /// Whether a signed trailer follows the last chunk.
        trailer: bool,
    },
    /// `aws-chunked`, no chunk signatures, a checksum trailer after the last chunk.
    StreamingUnsignedTrailer,
}

impl PayloadMode {
    /// Whether the body is `aws-chunked`, so that its plaintext is shorter than what is on the wire.
    pub fn is_streaming(&self) -> bool {
        matches!(
            self,
            Self::StreamingSigned { .. } | Self::StreamingUnsignedTrailer
        )
    }

    /// Whether trailers may follow the body.
    pub fn has_trailer(&self) -> bool {
        matches!(
            self,
            Self::StreamingSigned { trailer: true, .. } | Self::StreamingUnsignedTrailer
        )
    }
}

/// Computes the signatures of the chunks that follow a verified seed signature.
#[derive(Debug, Clone)]
pub struct ChunkSigner {
    seed: Signature,
    key: SigningKey,
    date: String,
    scope: String,
}

impl ChunkSigner {
    /// A signer that continues `seed`, the signature of a request's head, in the credential `scope` that `key` was
    /// derived for. [`authenticate`](super::authenticate) makes one for each streaming request; clients make their own.
    pub fn new(seed: Signature, key: SigningKey, date: &AmzDate, scope: String) -> Self {
        Self {
            seed,
            key,
            date: date.to_string(),
            scope,
        }
    }

    /// The signature of the request's headers, which the first chunk continues.
    pub fn seed(&self) -> Signature {
        self.seed
    }

    /// The signature of a chunk whose plaintext has the SHA-256 `digest`, after one with signature `previous`.
    pub fn sign_chunk(&self, previous: Signature, digest: &[u8; DIGEST_LENGTH]) -> Signature {
        let hashes = format!("{EMPTY_SHA256}\n{}", encode_hex(digest));
        self.sign("AWS4-HMAC-SHA256-PAYLOAD", previous, &hashes)
    }

    /// The signature of the trailer lines, `name:value\n` each, whose SHA-256 is `digest`.
    pub fn sign_trailer(&self, previous: Signature, digest: &[u8; DIGEST_LENGTH]) -> Signature {
        self.sign("AWS4-HMAC-SHA256-TRAILER", previous, &encode_hex(digest))
    }

    fn sign(&self, algorithm: &str, previous: Signature, hashes: &str) -> Signature {
        let text = format!(
            "{algorithm}\n{}\n{}\n{}\n{hashes}",
            self.date,
            self.scope,
            previous.to_hex()
        );
        self.key.sign(&[text.as_bytes()])
    }
}

/// `x-amz-content-sha256`, read but not yet tied to a verified signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeclaredPayload {
    Sha256([u8; DIGEST_LENGTH]),
    Unsigned,
    StreamingSigned { trailer: bool },
    StreamingUnsignedTrailer,
}

impl DeclaredPayload {
    pub(super) fn parse(text: &str) -> Result<Self, AuthError> {
        match text {
            UNSIGNED_PAYLOAD => Ok(Self::Unsigned),
            STREAMING_SIGNED => Ok(Self::StreamingSigned { trailer: false }),
            STREAMING_SIGNED_TRAILER => Ok(Self::StreamingSigned { trailer: true }),
            STREAMING_UNSIGNED_TRAILER => Ok(Self::StreamingUnsignedTrailer),
            _ if text.starts_with(STREAMING_ASYMMETRIC) => Err(super::authorization::signature_version_4a()),
            _ => decode_digest(text).map(Self::Sha256).ok_or_else(|| {
                AuthError::invalid_argument(
                    "x-amz-content-sha256",
                    text,
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                     STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
                     STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::SecretAccessKey;
    use super::*;

    #[test]
    fn the_mode_says_how_the_body_is_framed() {
        let signed = |trailer| {
            let key = SigningKey::derive(&SecretAccessKey::new("s"), "20130524", "r");
            let date = AmzDate::parse("20130524T000000Z").unwrap();
            let signer = ChunkSigner::new(key.sign(&[b"x"]), key, &date, String::new());
            PayloadMode::StreamingSigned { signer, trailer }
        };
        for (mode, is_streaming, has_trailer) in [
            (PayloadMode::Unsigned, false, false),
            (PayloadMode::SignedSha256([1; DIGEST_LENGTH]), false, false),
            (signed(false), true, false),
            (signed(true), true, true),
            (PayloadMode::StreamingUnsignedTrailer, true, true),
        ] {
            assert_eq!(mode.is_streaming(), is_streaming, "{mode:?}");
            assert_eq!(mode.has_trailer(), has_trailer, "{mode:?}");
        }
    }
}
