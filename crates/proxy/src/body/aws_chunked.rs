//! The `aws-chunked` framing of signed and unsigned streaming uploads, taken off without copying data.
//!
//! ```text
//! 10000;chunk-signature=<64 hex digits>\r\n   size in hexadecimal; the signature only in signed modes
//! <size bytes>\r\n
//! 0;chunk-signature=<64 hex digits>\r\n       a chunk of size zero is the last
//! x-amz-checksum-crc32c:sOO8/Q==\r\n          only in trailer modes
//! x-amz-trailer-signature:<64 hex digits>\r\n only in the signed trailer mode
//! \r\n
//! ```
//! Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in
//! Multiple Chunks" and "… Including Trailing Headers".

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::error::BodyError;
use super::limits::{
    MAX_CHUNK_HEADER_LENGTH, MAX_CHUNK_SIZE_DIGITS, MAX_TRAILER_LINE_LENGTH, MAX_TRAILERS,
    MIN_CHUNK_LENGTH,
};
use crate::auth::{ChunkSigner, Signature};

/// The trailer that carries the signature of the others.
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// A trailer as sent: lower-case name and value without outer blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A sans-IO decoder of one `aws-chunked` body.
///
/// Data comes out before the signature of its chunk can be checked: nothing is buffered. Whoever uses it must not act
/// on the data for good before [`finish`](Self::finish) has succeeded. After an error every call gives that error.
///
/// ```
/// use bytes::Bytes;
/// use sealgate::body::aws_chunked::Decoder;
///
/// let mut decoder = Decoder::unsigned_trailer();
/// let mut input = Bytes::from_static(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n");
/// let mut plaintext = Vec::new();
/// while let Some(data) = decoder.decode(&mut input)? {
///     plaintext.extend_from_slice(&data);
/// }
/// assert_eq!(plaintext, b"hello");
/// assert_eq!(decoder.finish()?[0].value, "NhCmhg==");
/// # Ok::<(), sealgate::body::BodyError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    signatures: Option<Signatures>,
    has_trailer: bool,
    state: State,
    /// Chunks that have begun, and the size of the last of them.
    chunks: (u64, u64),
    /// The line being read, without its end.
    line: Vec<u8>,
    trailers: Vec<Trailer>,
    failure: Option<BodyError>,
}

/// The chain of signatures, of which each covers the one before.
#[derive(Debug)]
struct Signatures {
    signer: ChunkSigner,
    previous: Signature,
    /// What the chunk being read claims.
    claimed: Signature,
    chunk: Sha256,
    trailer: Sha256,
    trailer_verified: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ChunkHeader,
    Data {
        remaining: u64,
    },
    DataEnd,
    /// The empty line after the last chunk of a body without trailer.
    LastLine,
    Trailers {
        blank_seen: bool,
    },
    /// The end of an unsigned trailer, after which one more empty line is tolerated, since minio-go sends it.
    OptionalBlank,
    End,
}

impl Decoder {
    /// A decoder for `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, or with `has_trailer` for `…-PAYLOAD-TRAILER`.
    pub fn signed(signer: ChunkSigner, has_trailer: bool) -> Self {
        let seed = signer.seed();
        let signatures = Signatures {
            signer,
            previous: seed,
            claimed: seed,
            chunk: Sha256::new(),
            trailer: Sha256::new(),
            trailer_verified: false,
        };
        Self::new(Some(signatures), has_trailer)
    }

    /// A decoder for `STREAMING-UNSIGNED-PAYLOAD-TRAILER`.
    pub fn unsigned_trailer() -> Self {
        Self::new(None, true)
    }

    fn new(signatures: Option<Signatures>, has_trailer: bool) -> Self {
        Self {
            signatures,
            has_trailer,
            state: State::ChunkHeader,
            chunks: (0, MIN_CHUNK_LENGTH),
            line: Vec::new(),
            trailers: Vec::new(),
            failure: None,
        }
    }

    /// Reads on in `input`, and returns the next piece of data, a slice of it. `None` once `input` is used up.
    ///
    /// # Errors
    /// Broken framing or a wrong signature.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let decoded = self.advance(input);
        if let Err(failure) = &decoded {
            self.failure = Some(failure.clone());
        }
        decoded
    }

    /// The trailers, once all input has been given to [`decode`](Self::decode). Without the trailer's own signature.
    ///
    /// # Errors
    /// The body ended early, or it had failed before.
    pub fn finish(&self) -> Result<&[Trailer], BodyError> {
        match (&self.failure, self.state) {
            (Some(failure), _) => Err(failure.clone()),
            (None, State::OptionalBlank | State::End) if self.line.is_empty() => Ok(&self.trailers),
            _ => Err(incomplete("the chunks have no proper end")),
        }
    }

    fn advance(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        while !input.is_empty() {
            match self.state {
                State::ChunkHeader => {
                    if self.read_line(
                        input,
                        MAX_CHUNK_HEADER_LENGTH,
                        incomplete("a chunk header is too long"),
                    )? {
                        self.begin_chunk()?;
                    }
                }
                State::Data { remaining } => {
                    let length = usize::try_from(remaining)
                        .unwrap_or(usize::MAX)
                        .min(input.len());
                    let data = input.split_to(length);
                    if let Some(signatures) = &mut self.signatures {
                        signatures.chunk.update(&data);
                    }
                    self.state = match remaining.saturating_sub(data.len() as u64) {
                        0 => State::DataEnd,
                        remaining => State::Data { remaining },
                    };
                    return Ok(Some(data));
                }
                State::DataEnd => {
                    if self.read_empty_line(input)? {
                        self.verify_chunk()?;
                        self.state = State::ChunkHeader;
                    }
                }
                State::LastLine | State::OptionalBlank => {
                    if self.read_empty_line(input)? {
                        self.state = State::End;
                    }
                }
                State::Trailers { blank_seen } => {
                    let too_long = BodyError::MalformedTrailerError {
                        reason: "a line is too long",
                    };
                    if self.read_line(input, MAX_TRAILER_LINE_LENGTH, too_long)? {
                        self.end_trailer_line(blank_seen)?;
                    }
                }
                State::End => {
                    return Err(incomplete("there is data after the last chunk"));
                }
            }
        }
        Ok(None)
    }

    /// Reads up to and over the next line feed. `true` once [`Self::line`] holds the whole line, its end included.
    fn read_line(
        &mut self,
        input: &mut Bytes,
        limit: usize,
        too_long: BodyError,
    ) -> Result<bool, BodyError> {
        let end = memchr::memchr(b'\n', input);
        let piece = input.split_to(end.map_or(input.len(), |position| position + 1));
        if self.line.len() + piece.len() > limit {
            return Err(too_long);
        }
        self.line.extend_from_slice(&piece);
        Ok(end.is_some())
    }

    /// Reads `\r\n`, and refuses everything else at the first byte that differs.
    fn read_empty_line(&mut self, input: &mut Bytes) -> Result<bool, BodyError> {
        let seen = self.line.len();
        let expected = b"\r\n".get(seen..).unwrap_or_default();
        let piece = input.split_to(expected.len().min(input.len()));
        if !expected.starts_with(&piece) {
            return Err(incomplete("a chunk does not end in CR LF"));
        }
        self.line.extend_from_slice(&piece);
        let complete = piece.len() == expected.len();
        if complete {
            self.line.clear();
        }
        Ok(complete)
    }

    fn begin_chunk(&mut self) -> Result<(), BodyError> {
        let header = parse_chunk_header(&self.line);
        self.line.clear();
        let ChunkHeader { size, signature } =
            header.ok_or(incomplete("a chunk header is malformed"))?;
        match (&mut self.signatures, signature) {
            (Some(signatures), Some(claimed)) => signatures.claimed = claimed,
            (None, None) => {}
            (Some(_), None) => return Err(incomplete("a chunk has no signature")),
            (None, Some(_)) => {
                return Err(incomplete("a chunk has a signature in an unsigned body"));
            }
        }
        self.state = if size > 0 {
            let (chunk, before) = self.chunks;
            if before < MIN_CHUNK_LENGTH {
                return Err(BodyError::InvalidChunkSizeError {
                    chunk,
                    size: before,
                });
            }
            self.chunks = (chunk.saturating_add(1), size);
            State::Data { remaining: size }
        } else {
            self.verify_chunk()?;
            if self.has_trailer {
                State::Trailers { blank_seen: false }
            } else {
                State::LastLine
            }
        };
        Ok(())
    }

    fn verify_chunk(&mut self) -> Result<(), BodyError> {
        let Some(signatures) = &mut self.signatures else {
            return Ok(());
        };
        let digest = signatures.chunk.finalize_reset().into();
        let expected = signatures.signer.sign_chunk(signatures.previous, &digest);
        if expected != signatures.claimed {
            return Err(BodyError::SignatureDoesNotMatch);
        }
        signatures.previous = expected;
        Ok(())
    }

    fn end_trailer_line(&mut self, blank_seen: bool) -> Result<(), BodyError> {
        let malformed = |reason| BodyError::MalformedTrailerError { reason };
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let verified = self
            .signatures
            .as_ref()
            .is_none_or(|signatures| signatures.trailer_verified);
        if line.is_empty() {
            self.state = if verified {
                match self.signatures {
                    Some(_) => State::End,
                    None => State::OptionalBlank,
                }
            } else if blank_seen {
                return Err(malformed("the trailer has no signature"));
            } else {
                // minio-go puts an empty line before the trailer's signature.
                State::Trailers { blank_seen: true }
            };
            return Ok(());
        }
        let (name, value) = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split_once(':'))
            .ok_or(malformed("a line is not in the form name:value"))?;
        let name = name.trim_matches([' ', '\t']).to_ascii_lowercase();
        if name.is_empty() {
            return Err(malformed("a line has no name"));
        }
        let value = value.trim_matches([' ', '\t']);
        if let Some(signatures) = &mut self.signatures {
            if signatures.trailer_verified {
                return Err(malformed("there is a line after the trailer's signature"));
            }
            if name == TRAILER_SIGNATURE {
                return signatures.verify_trailer(value, self.trailers.is_empty());
            }
            signatures.trailer.update(line);
            signatures.trailer.update(b"\n");
        }
        if blank_seen {
            return Err(malformed("there is a line after the trailer's end"));
        }
        if self.trailers.len() >= MAX_TRAILERS {
            return Err(malformed("there are too many lines"));
        }
        if self.trailers.iter().any(|trailer| trailer.name == name) {
            return Err(malformed("a name occurs twice"));
        }
        self.trailers.push(Trailer {
            name,
            value: value.to_owned(),
        });
        Ok(())
    }
}

impl Signatures {
    fn verify_trailer(&mut self, claimed: &str, is_empty: bool) -> Result<(), BodyError> {
        let digest = self.trailer.finalize_reset().into();
        let expected = self.signer.sign_trailer(self.previous, &digest);
        let claimed = Signature::from_hex(claimed)
            .ok_or(incomplete("the trailer's signature is malformed"))?;
        if claimed != expected {
            return Err(if is_empty {
                BodyError::MalformedTrailerError {
                    reason: "nothing stands before its signature",
                }
            } else {
                BodyError::SignatureDoesNotMatch
            });
        }
        self.trailer_verified = true;
        Ok(())
    }
}

struct ChunkHeader {
    size: u64,
    signature: Option<Signature>,
}

/// Reads `SIZE[;chunk-signature=SIGNATURE]\r\n`; no blanks, no sign, no other extension.
fn parse_chunk_header(line: &[u8]) -> Option<ChunkHeader> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let (size, signature) = match line.split_once(';') {
        Some((size, extension)) => {
            let signature = Signature::from_hex(extension.strip_prefix("chunk-signature=")?)?;
            (size, Some(signature))
        }
        None => (line, None),
    };
    let hexadecimal = size.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || size.is_empty() || size.len() > MAX_CHUNK_SIZE_DIGITS {
        return None;
    }
    let size = u64::from_str_radix(size, 16).ok()?;
    Some(ChunkHeader { size, signature })
}

/// The token of this framing in `Content-Encoding`. It describes the request, not what is stored.
const CONTENT_ENCODING: &str = "aws-chunked";

/// A `Content-Encoding` without the token of this framing; `None` if nothing else is left. One without the token stays as it is.
pub fn strip_content_encoding(value: &str) -> Option<String> {
    let is_framing = |token: &str| token.trim().eq_ignore_ascii_case(CONTENT_ENCODING);
    if !value.split(',').any(is_framing) {
        return (!value.is_empty()).then(|| value.to_owned());
    }
    let kept: Vec<&str> = value
        .split(',')
        .filter(|token| !is_framing(token))
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

fn incomplete(reason: &'static str) -> BodyError {
    BodyError::IncompleteBody { reason }
}
