//! Request bodies: kept in one piece, or counted.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// A body that was read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// Empty if it was only counted.
    pub(crate) bytes: Bytes,
    /// Without the framing of aws-chunked.
    pub(crate) length: u64,
}

/// Reads a body; keeps it if `keep` says so.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    keep: bool,
) -> Result<Content, hyper::Error> {
    let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
    let announced: u64 = number(header::CONTENT_LENGTH.as_str()).unwrap_or_default();
    let decoded: Option<u64> = number("x-amz-decoded-content-length");
    let mut kept = BytesMut::new();
    if keep {
        kept.reserve(usize::try_from(announced).unwrap_or_default());
    }
    let mut counted = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            counted += data.len() as u64;
            if keep {
                kept.extend_from_slice(&data);
            }
        }
    }
    let bytes = match decoded {
        Some(_) => without_chunks(kept.freeze()),
        None => kept.freeze(),
    };
    Ok(Content {
        bytes,
        length: decoded.unwrap_or(counted),
    })
}

/// Takes the framing of aws-chunked away. What does not look like it ends the content.
fn without_chunks(mut framed: Bytes) -> Bytes {
    let mut content = BytesMut::with_capacity(framed.len());
    while let Some(end) = framed.windows(2).position(|pair| pair == b"\r\n") {
        let line = String::from_utf8_lossy(&framed.split_to(end)).into_owned();
        framed.advance(2);
        let length = line.split(';').next().unwrap_or_default();
        match usize::from_str_radix(length, 16) {
            Ok(length) if length > 0 && framed.len() >= length + 2 => {
                content.extend_from_slice(&framed.split_to(length));
                framed.advance(2);
            }
            _ => break,
        }
    }
    content.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_their_trailer_are_taken_away() {
        let framed =
            "3\r\nabc\r\n2;chunk-signature=00\r\nde\r\n0\r\nx-amz-checksum-crc32c:AAAA\r\n\r\n";
        assert_eq!(without_chunks(framed.into()), "abcde");
    }
}
