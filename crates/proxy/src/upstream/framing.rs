//! How a body stands on the wire: as it is, or with a checksum that the storage verifies.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::BodyExt;

use super::{RequestBody, TrailerBody, UpstreamError, full_body, repeat::Framed, trailer};
use crate::body::{Algorithm, Checksum, Hasher};

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

/// The body for the wire, and what the signature says of it. What has to be said of it in headers is added to them.
///
/// # Errors
/// [`UpstreamError::Request`] for a checksum that no header can carry.
pub(super) fn frame(
    body: OutgoingBody,
    algorithm: Option<Algorithm>,
    headers: &mut HeaderMap,
) -> Result<(Framed, &'static str), UpstreamError> {
    match (body, algorithm) {
        (OutgoingBody::Stream(body, length), None) => {
            headers.insert(header::CONTENT_LENGTH, length.into());
            Ok((Framed::Stream(body, length), UNSIGNED))
        }
        (OutgoingBody::Stream(body, length), Some(algorithm)) => {
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
        (OutgoingBody::Replayable(bytes), algorithm) => {
            if let Some(algorithm) = algorithm {
                insert_checksum(headers, algorithm, &bytes)?;
            }
            Ok((Framed::Bytes(bytes), UNSIGNED))
        }
    }
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
