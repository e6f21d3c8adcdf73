//! The `aws-chunked` targets' signer, and decoding a body cut into pieces.

use bytes::Bytes;
use sealgate::auth::{AmzDate, ChunkSigner, SecretAccessKey, Signature, SigningKey};
use sealgate::body::BodyError;
use sealgate::body::aws_chunked::{Decoder, Trailer};

/// The plaintext that was signed with [`signer`], once as it is and once so many times over that it takes two chunks, and nothing else ever was.
pub const SIGNED_PLAINTEXT: &[u8] = b"the quick brown fox jumps over the lazy dog";

/// How often it stands in the longer body, of which the first chunk has the 8 KiB that all but the last must have.
pub const REPETITIONS: usize = 200;

/// Whether data is what was signed.
pub fn is_signed(data: &[u8]) -> bool {
    data == SIGNED_PLAINTEXT || data == SIGNED_PLAINTEXT.repeat(REPETITIONS)
}

/// What continues the seed signature of one request.
///
/// # Panics
/// Never: date and signature are well-formed.
pub fn signer() -> ChunkSigner {
    let key = SigningKey::derive(
        &SecretAccessKey::new("fuzz-secret"),
        "20260101",
        "us-east-1",
    );
    let seed = Signature::from_hex(&"5".repeat(64)).expect("64 hexadecimal digits");
    let date = AmzDate::parse("20260101T000000Z").expect("a date");
    ChunkSigner::new(
        seed,
        key,
        &date,
        "20260101/us-east-1/s3/aws4_request".to_owned(),
    )
}

/// What came of a body: the data that was released, and then the trailers or why it was refused.
#[derive(Debug)]
pub struct Decoded {
    /// All data, also that before a failure.
    pub data: Vec<u8>,
    /// The end.
    pub end: Result<Vec<Trailer>, BodyError>,
}

impl PartialEq for Decoded {
    /// Errors are equal if their texts are.
    fn eq(&self, other: &Self) -> bool {
        let end = |decoded: &Self| decoded.end.clone().map_err(|error| error.to_string());
        self.data == other.data && end(self) == end(other)
    }
}

/// Decodes `body` in pieces of `length` bytes.
pub fn decode(mut decoder: Decoder, body: &[u8], length: usize) -> Decoded {
    let mut data = Vec::new();
    for piece in body.chunks(length.max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(released)) => data.extend_from_slice(&released),
                Ok(None) => break,
                Err(error) => {
                    assert!(decoder.finish().is_err(), "a failed body has no end");
                    return Decoded {
                        data,
                        end: Err(error),
                    };
                }
            }
        }
    }
    let end = decoder.finish().map(<[Trailer]>::to_vec);
    Decoded { data, end }
}
