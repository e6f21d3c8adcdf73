//! A body with a checksum of the ciphertext behind it, so that the storage verifies what arrives (S3 API, "Uploads with an unsigned payload and a
//! trailing checksum").
//!
//! The framing is a function of the length, so the upstream is promised a `Content-Length` as without it: a body that is cut short leaves no
//! object. The last bytes of a sealed body wait for its verification, and the trailer comes behind them.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};

use super::{BodyFailure, RequestBody};
use crate::body::{Algorithm, Checksum, Hasher};

/// Bytes of a chunk: S3 wants 8 KiB at least, and servers may hold a whole one in memory.
const CHUNK_LENGTH: u64 = 256 * 1024;

/// The value of `x-amz-content-sha256` for such a body.
pub(super) const PAYLOAD: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Which checksums an upstream verifies; none as long as nobody has found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verification {
    /// Of objects in one request.
    pub objects: Option<Algorithm>,
    /// Of parts of an upload.
    pub parts: Option<Algorithm>,
}

/// A body in `aws-chunked` framing that ends in a checksum of what it frames.
pub struct TrailerBody {
    inner: RequestBody,
    algorithm: Algorithm,
    /// Taken at the end.
    hasher: Option<Hasher>,
    /// What the trailer says whatever the body is, for probes.
    promised: Option<Checksum>,
    /// Bytes that are still to come from `inner`.
    remaining: u64,
    /// Bytes that are missing in the current chunk.
    chunk: u64,
    begun: bool,
    /// Bytes of the framed body that are still to be handed out.
    framed: u64,
    ready: VecDeque<Bytes>,
}

impl TrailerBody {
    /// Frames a body of exactly `length` bytes.
    pub fn new(inner: RequestBody, length: u64, algorithm: Algorithm) -> Self {
        Self {
            inner,
            algorithm,
            hasher: Some(Hasher::new(algorithm)),
            promised: None,
            remaining: length,
            chunk: 0,
            begun: false,
            framed: framed_length(length, algorithm),
            ready: VecDeque::new(),
        }
    }

    /// Ends in this checksum, be it right or wrong.
    #[must_use]
    pub(super) fn promising(mut self, checksum: Checksum) -> Self {
        self.promised = Some(checksum);
        self
    }

    /// Puts data into chunks.
    fn frame(&mut self, mut data: Bytes) -> Result<(), BodyFailure> {
        if data.len() as u64 > self.remaining {
            return Err(BodyFailure::from("the body is longer than it was to be"));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&data);
        }
        while !data.is_empty() {
            if self.chunk == 0 {
                self.chunk = self.remaining.min(CHUNK_LENGTH);
                let end = if self.begun { "\r\n" } else { "" };
                self.begun = true;
                let line = format!("{end}{:x}\r\n", self.chunk);
                self.ready.push_back(Bytes::from(line));
            }
            let taken = usize::try_from(self.chunk)
                .unwrap_or(usize::MAX)
                .min(data.len());
            self.chunk -= taken as u64;
            self.remaining -= taken as u64;
            self.ready.push_back(data.split_to(taken));
        }
        Ok(())
    }

    /// The last chunk, which is empty, and the trailer.
    fn end(&mut self, hasher: Hasher) -> Result<(), BodyFailure> {
        if self.remaining > 0 {
            return Err(BodyFailure::from("the body is shorter than it was to be"));
        }
        let checksum = self.promised.unwrap_or_else(|| hasher.finish());
        let end = if self.begun { "\r\n" } else { "" };
        let name = self.algorithm.header_name();
        let trailer = format!("{end}0\r\n{name}:{checksum}\r\n\r\n");
        self.ready.push_back(Bytes::from(trailer));
        Ok(())
    }
}

impl Body for TrailerBody {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let this = self.get_mut();
        loop {
            if let Some(piece) = this.ready.pop_front() {
                this.framed = this.framed.saturating_sub(piece.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.hasher.is_none() {
                return Poll::Ready(None);
            }
            let outcome = match std::task::ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.frame(data),
                    // HTTP trailers are none of S3's.
                    Err(_) => Ok(()),
                },
                Some(Err(error)) => Err(error),
                None => match this.hasher.take() {
                    Some(hasher) => this.end(hasher),
                    None => Ok(()),
                },
            };
            if let Err(error) = outcome {
                this.hasher = None;
                this.ready.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.hasher.is_none() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.framed)
    }
}

/// The headers that announce such a body of `length` bytes.
pub(super) fn announce(headers: &mut HeaderMap, length: u64, algorithm: Algorithm) {
    headers.insert(
        header::CONTENT_LENGTH,
        framed_length(length, algorithm).into(),
    );
    headers.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static("aws-chunked"),
    );
    headers.insert(
        HeaderName::from_static("x-amz-decoded-content-length"),
        length.into(),
    );
    headers.insert(
        HeaderName::from_static("x-amz-trailer"),
        HeaderValue::from_static(algorithm.header_name()),
    );
}

/// The length of a body of `length` bytes with its framing.
fn framed_length(length: u64, algorithm: Algorithm) -> u64 {
    let chunk = |length: u64| {
        let digits = u64::from(length.checked_ilog2().unwrap_or_default() / 4 + 1);
        digits + 2 + length + 2
    };
    let (full, rest) = (length / CHUNK_LENGTH, length % CHUNK_LENGTH);
    let last = if rest == 0 { 0 } else { chunk(rest) };
    let base64 = algorithm.width().div_ceil(3) * 4;
    let trailer = "0\r\n".len() + algorithm.header_name().len() + ":\r\n\r\n".len() + base64;
    full * chunk(CHUNK_LENGTH) + last + trailer as u64
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;

    use super::*;
    use crate::body::aws_chunked::Decoder;

    fn body(pieces: Vec<Result<Bytes, BodyFailure>>) -> RequestBody {
        let frames = pieces.into_iter().map(|piece| piece.map(Frame::data));
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    /// All frames up to the end, or the failure.
    fn collect(mut framed: TrailerBody) -> Result<Vec<u8>, String> {
        let mut found = Vec::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            match Pin::new(&mut framed).poll_frame(&mut context) {
                Poll::Ready(None) => return Ok(found),
                Poll::Ready(Some(Ok(frame))) => {
                    found.extend_from_slice(&frame.into_data().unwrap());
                }
                Poll::Ready(Some(Err(error))) => return Err(error.to_string()),
                Poll::Pending => panic!("nothing here waits"),
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_published_example_form() {
        let framed = TrailerBody::new(
            body(vec![Ok(Bytes::from_static(b"123456789"))]),
            9,
            Algorithm::Crc32c,
        );
        assert_eq!(
            String::from_utf8(collect(framed).unwrap()).unwrap(),
            "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n"
        );
        let empty = TrailerBody::new(body(Vec::new()), 0, Algorithm::Crc64Nvme);
        assert_eq!(
            String::from_utf8(collect(empty).unwrap()).unwrap(),
            "0\r\nx-amz-checksum-crc64nvme:AAAAAAAAAAA=\r\n\r\n"
        );
    }

    #[test]
    fn a_body_that_is_cut_short_or_fails_never_gets_its_trailer() {
        let part = || Ok(Bytes::from_static(b"1234"));
        let short = TrailerBody::new(body(vec![part()]), 9, Algorithm::Crc32c);
        assert!(collect(short).unwrap_err().contains("shorter"));
        let long = TrailerBody::new(body(vec![part(), part()]), 7, Algorithm::Crc32c);
        assert!(collect(long).unwrap_err().contains("longer"));
        let failing = vec![part(), Err(BodyFailure::from("rejected"))];
        let failing = TrailerBody::new(body(failing), 4, Algorithm::Crc32c);
        assert_eq!(collect(failing).unwrap_err(), "rejected");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_is_framed_is_decoded_again_and_as_long_as_promised(
            lengths in proptest::collection::vec(prop_oneof![0_usize..100, 200_000_usize..600_000], 0..5),
            algorithm in proptest::sample::select(&Algorithm::ALL[..]),
        ) {
            let pieces: Vec<Bytes> = (0_u8..).zip(&lengths).map(|(byte, length)| Bytes::from(vec![byte; *length])).collect();
            let plain = pieces.concat();
            let length = plain.len() as u64;
            let framed = TrailerBody::new(
                body(pieces.into_iter().map(Ok).collect()),
                length,
                algorithm,
            );
            let promised = framed.size_hint().exact().unwrap();
            let wire = collect(framed).unwrap();
            prop_assert_eq!(wire.len() as u64, promised);
            let mut decoder = Decoder::unsigned_trailer();
            let mut rest = Bytes::from(wire);
            let mut decoded = Vec::new();
            while let Some(data) = decoder.decode(&mut rest).unwrap() {
                decoded.extend_from_slice(&data);
            }
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&plain);
            let trailers = decoder.finish().unwrap();
            prop_assert_eq!(trailers.len(), 1);
            prop_assert_eq!(&trailers[0].name, algorithm.header_name());
            prop_assert_eq!(&trailers[0].value, &hasher.finish().to_base64());
            prop_assert!(decoded == plain);
        }
    }
}
