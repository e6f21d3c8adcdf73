//! How a body stands on the wire: as it is, or with a checksum that the storage verifies.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::BodyExt;

use super::{RequestBody, TrailerBody, UpstreamError, full_body, repeat::Framed, trailer};
use crate::{
    body::{Algorithm, Checksum, Hasher},
    operation::content_md5,
};

/// What is said of a body instead of its hash.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// A body as an operation gives it.
pub(super) enum OutgoingBody {
    /// Can be sent again when the connection breaks.
    Replayable(Bytes),
    /// With its length; can be sent again as long as little of it was taken.
    Stream(RequestBody, u64),
    /// A body in memory behind which stands this checksum, be it right or wrong.
    Trailed(Bytes, Checksum),
}

/// How the storage is to tell whether a body arrived as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// Not at all: it is neither an object nor a part.
    None,
    /// By its MD5 in front of it, where it is in memory: nothing behind a body would be verified. Every S3 server knows this header, and those
    /// with Object Lock demand it, or a checksum, of what is to be locked.
    Digest,
    /// By a checksum, in front of what is in memory and behind what is streamed.
    Checksum(Algorithm),
}

/// The body for the wire, and what the signature says of it. What has to be said of it in headers is added to them.
///
/// # Errors
/// [`UpstreamError::Request`] for a checksum that no header can carry.
pub(super) fn frame(
    body: OutgoingBody,
    protection: Protection,
    headers: &mut HeaderMap,
) -> Result<(Framed, &'static str), UpstreamError> {
    match (body, protection) {
        (OutgoingBody::Stream(body, length), Protection::None | Protection::Digest) => {
            headers.insert(header::CONTENT_LENGTH, length.into());
            Ok((Framed::Stream(body, length), UNSIGNED))
        }
        (OutgoingBody::Stream(body, length), Protection::Checksum(algorithm)) => {
            trailer::announce(headers, length, algorithm);
            let body = TrailerBody::new(body, length, algorithm).boxed_unsync();
            Ok((Framed::Stream(body, length), trailer::PAYLOAD))
        }
        (OutgoingBody::Trailed(bytes, checksum), _) => {
            let length = bytes.len() as u64;
            trailer::announce(headers, length, checksum.algorithm());
            let body = TrailerBody::new(full_body(bytes), length, checksum.algorithm())
                .promising(checksum)
                .boxed_unsync();
            Ok((Framed::Stream(body, length), trailer::PAYLOAD))
        }
        (OutgoingBody::Replayable(bytes), protection) => {
            match protection {
                Protection::None => {}
                Protection::Digest => insert_digest(headers, &bytes)?,
                Protection::Checksum(algorithm) => insert_checksum(headers, algorithm, &bytes)?,
            }
            Ok((Framed::Bytes(bytes), UNSIGNED))
        }
    }
}

/// Adds the MD5 of a body that is in memory (RFC 1864).
fn insert_digest(headers: &mut HeaderMap, bytes: &[u8]) -> Result<(), UpstreamError> {
    let value = HeaderValue::from_str(&content_md5(bytes))
        .map_err(|error| UpstreamError::Request(error.to_string()))?;
    headers.insert(HeaderName::from_static("content-md5"), value);
    Ok(())
}

/// Adds the checksum of a body that is in memory, which costs less than a trailer.
fn insert_checksum(
    headers: &mut HeaderMap,
    algorithm: Algorithm,
    bytes: &[u8],
) -> Result<(), UpstreamError> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    let value = HeaderValue::from_str(&hasher.finish().to_base64())
        .map_err(|error| UpstreamError::Request(error.to_string()))?;
    headers.insert(HeaderName::from_static(algorithm.header_name()), value);
    Ok(())
}
