//! The plaintext of a request's body, verified while it streams.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::{BASE64, HEXLOWER};
use http::HeaderMap;
use http_body::Body;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::algorithm::Algorithm;
use super::aws_chunked::{Decoder, Trailer};
use super::checksum::Checksum;
use super::declared::{Declared, DeclaredChecksum, MD5_LENGTH, MissingLength};
use super::error::{BodyError, CONTENT_MD5};
use super::hasher::Hasher;
use crate::auth::PayloadMode;
use crate::patience::{Patience, RunOut};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What an operation allows of a body.
#[derive(Debug, Clone, Copy)]
pub struct BodySettings {
    /// The most bytes of plaintext; a request that declares more is refused at once.
    pub maximum_length: u64,
    /// The longest silence between two frames, and the time for `minimum_progress`.
    pub idle_timeout: Duration,
    /// Bytes that have to arrive within `idle_timeout`, again and again, unless the body ends before.
    pub minimum_progress: usize,
    /// What a request without a length means.
    pub missing_length: MissingLength,
}

/// A body without its framing, whose every promise is checked: length, payload hash, chunk and trailer signatures,
/// `Content-MD5` and flexible checksum.
///
/// Data is handed out before the promises can be checked. Only `Ok(None)` from [`next`](Self::next) means that they
/// were kept: a consumer must withhold what makes its effect permanent until then.
#[derive(Debug)]
pub struct PlaintextBody<B> {
    body: B,
    patience: Patience,
    declared: Declared,
    decoder: Option<Decoder>,
    /// What has arrived but was not looked at yet.
    pending: Bytes,
    digests: Digests,
    received: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    Verified(Verified),
    Failed(BodyError),
}

/// What is known of a body once all of it was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Bytes of plaintext.
    pub length: u64,
    /// The checksum that the client sent, and that was right.
    pub client_checksum: Option<Checksum>,
    /// The CRC-64/NVMe of the plaintext, always computed.
    pub crc64nvme: u64,
}

impl<B> PlaintextBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Checks what the headers declare. The body is not polled, so a refusal here comes before `100 Continue`.
    ///
    /// # Errors
    /// No length, too much of it, or headers that are wrong or contradict each other.
    pub fn new(
        body: B,
        headers: &HeaderMap,
        payload: &PayloadMode,
        settings: BodySettings,
    ) -> Result<Self, BodyError> {
        let declared = Declared::read(headers, payload, settings.missing_length)?;
        if declared.length > settings.maximum_length {
            return Err(BodyError::EntityTooLarge {
                proposed: declared.length,
                maximum: settings.maximum_length,
            });
        }
        let decoder = match payload {
            PayloadMode::SignedSha256(_) | PayloadMode::Unsigned => None,
            PayloadMode::StreamingSigned { signer, trailer } => {
                Some(Decoder::signed(signer.clone(), *trailer))
            }
            PayloadMode::StreamingUnsignedTrailer => Some(Decoder::unsigned_trailer()),
        };
        Ok(Self {
            body,
            patience: Patience::new(settings.idle_timeout, settings.minimum_progress),
            digests: Digests::new(&declared, payload),
            declared,
            decoder,
            pending: Bytes::new(),
            received: 0,
            state: State::Reading,
        })
    }

    /// Bytes of plaintext, as declared; the body is refused if it turns out otherwise.
    pub fn length(&self) -> u64 {
        self.declared.length
    }

    /// The algorithm of the checksum that the client sends, known before the body is read.
    pub fn checksum_algorithm(&self) -> Option<Algorithm> {
        self.declared.checksum.algorithm()
    }

    /// The next bytes of plaintext, never empty; `None` once everything was verified.
    ///
    /// Cancel safe: a call that is dropped loses no data.
    ///
    /// # Errors
    /// The first promise that was broken, a silence longer than the idle timeout or too little within it, or a failed connection; and the same
    /// again in every later call.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        match &self.state {
            State::Reading => {}
            State::Verified(_) => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
        }
        let data = self.read().await;
        if let Err(error) = &data {
            self.state = State::Failed(error.clone());
        }
        data
    }

    /// All of a small body at once, verified.
    ///
    /// Not cancel safe: what a dropped call had read is lost.
    ///
    /// # Errors
    /// More than `limit` bytes declared, or as [`next`](Self::next).
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        let maximum = limit as u64;
        let capacity = match usize::try_from(self.length()) {
            Ok(length) if length <= limit => length,
            _ => {
                return Err(BodyError::EntityTooLarge {
                    proposed: self.length(),
                    maximum,
                });
            }
        };
        let mut whole = BytesMut::with_capacity(capacity);
        while let Some(data) = self.next().await? {
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    /// What was verified.
    ///
    /// # Errors
    /// [`next`](Self::next) has not returned `None` yet, or has failed.
    pub fn verified(&self) -> Result<Verified, BodyError> {
        match &self.state {
            State::Verified(verified) => Ok(*verified),
            State::Failed(error) => Err(error.clone()),
            State::Reading => Err(BodyError::IncompleteBody {
                reason: "it was not read to its end",
            }),
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(data) = self.take_pending()? {
                self.received = self.received.saturating_add(data.len() as u64);
                if self.received > self.declared.length {
                    // What has arrived may show that the framing is broken, which says more.
                    if let Some(decoder) = &mut self.decoder {
                        while decoder.decode(&mut self.pending)?.is_some() {}
                    }
                    return Err(BodyError::OtherLength {
                        reason: "it is longer than declared",
                    });
                }
                self.digests.update(&data);
                return Ok(Some(data));
            }
            // The only point of suspension: nothing has been taken out of the body that is not in `self`.
            let Some(data) = self.next_frame().await? else {
                let verified = self.verify()?;
                self.state = State::Verified(verified);
                return Ok(None);
            };
            self.pending = data;
        }
    }

    fn take_pending(&mut self) -> Result<Option<Bytes>, BodyError> {
        match &mut self.decoder {
            Some(decoder) => decoder.decode(&mut self.pending),
            None if self.pending.is_empty() => Ok(None),
            None => Ok(Some(std::mem::take(&mut self.pending))),
        }
    }

    /// The next data frame. HTTP trailers, which S3 does not use, are skipped.
    async fn next_frame(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let body = &mut self.body;
            let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            let frame = self.patience.wait(frame).await;
            let frame = frame.map_err(|RunOut| BodyError::RequestTimeout {
                idle: self.patience.limit(),
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(BodyError::Transport(Arc::from(error.into()))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.patience.count(data.len());
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The end was reached: is everything as promised?
    fn verify(&mut self) -> Result<Verified, BodyError> {
        let trailers = match &self.decoder {
            Some(decoder) => decoder.finish()?,
            None => &[],
        };
        if self.received != self.declared.length {
            return Err(BodyError::OtherLength {
                reason: "it is shorter than declared",
            });
        }
        let promised = promised_checksum(self.declared.checksum, trailers)?;
        let crc64nvme = self.digests.verify(self.declared.md5, promised)?;
        Ok(Verified {
            length: self.received,
            client_checksum: promised,
            crc64nvme,
        })
    }
}

/// The checksum that the plaintext must have, from the header or from the trailer, which must be the announced one.
fn promised_checksum(
    declared: DeclaredChecksum,
    trailers: &[Trailer],
) -> Result<Option<Checksum>, BodyError> {
    let malformed = |reason| BodyError::MalformedTrailerError { reason };
    match (declared, trailers) {
        (DeclaredChecksum::None, []) => Ok(None),
        (DeclaredChecksum::Header(checksum), []) => Ok(Some(checksum)),
        (DeclaredChecksum::Trailer(_), []) => Err(malformed("the announced trailer is missing")),
        (DeclaredChecksum::Trailer(algorithm), [trailer])
            if trailer.name == algorithm.header_name() =>
        {
            let checksum = Checksum::from_base64(algorithm, &trailer.value).ok_or_else(|| {
                BodyError::invalid_request(format!(
                    "Value for {} trailing header is invalid.",
                    trailer.name
                ))
            })?;
            Ok(Some(checksum))
        }
        _ => Err(malformed(
            "the trailer is not the one that x-amz-trailer announced",
        )),
    }
}

/// The algorithms that more than the client's flexible checksum may need.
const COMPUTED_APART: [Algorithm; 3] = [Algorithm::Crc64Nvme, Algorithm::Sha256, Algorithm::Md5];

/// Exactly the digests that are needed; each is computed once, whoever asks for it.
#[derive(Debug)]
struct Digests {
    crc64nvme: crc_fast::Digest,
    sha256: Option<Sha256>,
    /// The SHA-256 that the signature covers.
    signed: Option<[u8; 32]>,
    md5: Option<Md5>,
    /// The client's checksum, unless it is one of the above.
    other: Option<Hasher>,
}

impl Digests {
    fn new(declared: &Declared, payload: &PayloadMode) -> Self {
        let signed = match payload {
            PayloadMode::SignedSha256(digest) => Some(*digest),
            _ => None,
        };
        let algorithm = declared.checksum.algorithm();
        let needs_sha256 = signed.is_some() || algorithm == Some(Algorithm::Sha256);
        let needs_md5 = declared.md5.is_some() || algorithm == Some(Algorithm::Md5);
        Self {
            crc64nvme: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme),
            sha256: needs_sha256.then(Sha256::new),
            signed,
            md5: needs_md5.then(Md5::new),
            other: algorithm
                .filter(|algorithm| !COMPUTED_APART.contains(algorithm))
                .map(Hasher::new),
        }
    }

    fn update(&mut self, data: &[u8]) {
        self.crc64nvme.update(data);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(data);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(data);
        }
        if let Some(other) = &mut self.other {
            other.update(data);
        }
    }

    /// Compares with what was promised, and returns the CRC-64/NVMe.
    fn verify(
        &mut self,
        md5: Option<[u8; MD5_LENGTH]>,
        promised: Option<Checksum>,
    ) -> Result<u64, BodyError> {
        let crc64nvme = self.crc64nvme.finalize();
        let sha256: Option<[u8; 32]> = self.sha256.take().map(|hash| hash.finalize().into());
        if let (Some(signed), Some(computed)) = (self.signed, sha256)
            && signed != computed
        {
            return Err(BodyError::XAmzContentSHA256Mismatch {
                signed: HEXLOWER.encode(&signed),
                computed: HEXLOWER.encode(&computed),
            });
        }
        let computed_md5: Option<[u8; MD5_LENGTH]> =
            self.md5.take().map(|hash| hash.finalize().into());
        if let (Some(declared), Some(computed)) = (md5, computed_md5)
            && declared != computed
        {
            return Err(BodyError::BadDigest {
                what: CONTENT_MD5,
                digests: Some((HEXLOWER.encode(&declared), BASE64.encode(&computed))),
            });
        }
        if let Some(promised) = promised {
            let computed = match promised.algorithm() {
                Algorithm::Crc64Nvme => Some(Checksum::from_crc64nvme(crc64nvme)),
                Algorithm::Sha256 => {
                    sha256.and_then(|hash| Checksum::from_bytes(Algorithm::Sha256, &hash))
                }
                Algorithm::Md5 => {
                    computed_md5.and_then(|hash| Checksum::from_bytes(Algorithm::Md5, &hash))
                }
                _ => self.other.take().map(Hasher::finish),
            };
            if computed != Some(promised) {
                return Err(BodyError::checksum_mismatch(promised.algorithm()));
            }
        }
        Ok(crc64nvme)
    }
}
