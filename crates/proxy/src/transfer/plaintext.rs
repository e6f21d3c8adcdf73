//! Where plaintext comes from: a client's verified body, or an object that is being copied, sealed or, in a migration, in the clear.

use bytes::Bytes;

use super::OpeningStream;
use crate::{
    body::{Algorithm, Checksum, ClientBody, Hasher, PlaintextBody},
    error::S3Error,
    upstream::AnswerBody,
};

/// A source of plaintext whose end means that all of it was verified.
pub struct Plaintext {
    source: Source,
    length: u64,
    /// Checksums that the source does not compute by itself.
    wanted: Vec<Wanted>,
}

/// Checksums of one plaintext that can be asked for.
const MAXIMUM_WANTED: usize = 2;

/// A checksum that was asked for.
struct Wanted {
    algorithm: Algorithm,
    /// Taken when it is finished.
    hasher: Option<Hasher>,
    finished: Option<Checksum>,
}

enum Source {
    Client(Box<PlaintextBody<ClientBody>>),
    Object(Box<ObjectSource>),
    Clear(Box<ClearSource>),
}

/// An object that was never sealed, and the checksum of what has been read. Nothing vouches for it but the storage.
struct ClearSource {
    body: AnswerBody,
    /// Bytes that are still to come.
    missing: u64,
    crc64nvme: Option<Hasher>,
    verified: Option<Checksum>,
}

impl ClearSource {
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        let piece = self.body.next().await?;
        let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        self.missing = self
            .missing
            .checked_sub(length)
            .ok_or_else(|| S3Error::stored_data("the upstream sent more than it announced"))?;
        if piece.is_none() && self.missing > 0 {
            return Err(S3Error::stored_data(
                "the upstream's answer ends before the object does",
            ));
        }
        digest(&mut self.crc64nvme, &mut self.verified, piece.as_ref());
        Ok(piece)
    }
}

/// An object that is being read, and the checksum of what has been read.
struct ObjectSource {
    opening: OpeningStream,
    crc64nvme: Option<Hasher>,
    verified: Option<Checksum>,
}

/// What is known of the plaintext once all of it was verified.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedPlaintext {
    /// The checksum that the client sent, and that was right.
    pub client_checksum: Option<Checksum>,
    /// The CRC-64/NVMe of the plaintext.
    pub crc64nvme: Checksum,
    /// The checksums that [`Plaintext::want`] asked for.
    wanted: [Option<Checksum>; MAXIMUM_WANTED],
}

impl VerifiedPlaintext {
    /// The checksum that is kept with an object: the client's, or the one that was asked for, or else our own.
    pub fn kept(&self) -> Checksum {
        self.client_checksum
            .or_else(|| self.wanted.into_iter().flatten().next())
            .unwrap_or(self.crc64nvme)
    }

    /// The checksum of this algorithm, if it was sent, asked for, or is always computed.
    pub fn checksum(&self, algorithm: Algorithm) -> Option<Checksum> {
        [self.client_checksum, Some(self.crc64nvme)]
            .into_iter()
            .chain(self.wanted)
            .flatten()
            .find(|checksum| checksum.algorithm() == algorithm)
    }
}

impl Plaintext {
    /// A client's body.
    pub fn of_client(body: PlaintextBody<ClientBody>) -> Self {
        Self {
            length: body.length(),
            source: Source::Client(Box::new(body)),
            wanted: Vec::new(),
        }
    }

    /// `length` bytes of an object.
    pub fn of_object(opening: OpeningStream, length: u64) -> Self {
        let source = Source::Object(Box::new(ObjectSource {
            opening,
            crc64nvme: Some(Hasher::new(Algorithm::Crc64Nvme)),
            verified: None,
        }));
        Self {
            source,
            length,
            wanted: Vec::new(),
        }
    }

    /// `length` bytes of an object that was never sealed.
    pub fn of_clear(body: AnswerBody, length: u64) -> Self {
        let source = Source::Clear(Box::new(ClearSource {
            body,
            missing: length,
            crc64nvme: Some(Hasher::new(Algorithm::Crc64Nvme)),
            verified: None,
        }));
        Self {
            source,
            length,
            wanted: Vec::new(),
        }
    }

    /// Asks for a checksum of this algorithm, one of two at most; costs nothing where the source computes it anyway.
    #[must_use]
    pub fn want(mut self, algorithm: Algorithm) -> Self {
        let sent = match &self.source {
            Source::Client(body) => body.checksum_algorithm(),
            Source::Object(_) | Source::Clear(_) => None,
        };
        let is_computed = sent == Some(algorithm)
            || algorithm == Algorithm::Crc64Nvme
            || self
                .wanted
                .iter()
                .any(|wanted| wanted.algorithm == algorithm);
        if !is_computed && self.wanted.len() < MAXIMUM_WANTED {
            self.wanted.push(Wanted {
                algorithm,
                hasher: Some(Hasher::new(algorithm)),
                finished: None,
            });
        }
        self
    }

    /// The length that was declared, which is the length that arrives.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next piece; `None` once everything was verified.
    ///
    /// # Errors
    ///
    /// The first promise that was broken, or what ended the connection.
    pub async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        let piece = match &mut self.source {
            Source::Client(body) => body.next().await?,
            Source::Object(object) => {
                let piece = object.opening.next().await?;
                digest(&mut object.crc64nvme, &mut object.verified, piece.as_ref());
                piece
            }
            Source::Clear(clear) => clear.next().await?,
        };
        for wanted in &mut self.wanted {
            digest(&mut wanted.hasher, &mut wanted.finished, piece.as_ref());
        }
        Ok(piece)
    }

    /// What was verified.
    ///
    /// # Errors
    ///
    /// When the end was not reached.
    pub fn verified(&self) -> Result<VerifiedPlaintext, S3Error> {
        let (client_checksum, crc64nvme) = match &self.source {
            Source::Client(body) => {
                let verified = body.verified()?;
                (
                    verified.client_checksum,
                    Checksum::from_crc64nvme(verified.crc64nvme),
                )
            }
            Source::Object(object) => (
                None,
                object.verified.ok_or_else(|| {
                    S3Error::internal("a copy was finished before its source was read to the end")
                })?,
            ),
            Source::Clear(clear) => (
                None,
                clear.verified.ok_or_else(|| {
                    S3Error::internal("a copy was finished before its source was read to the end")
                })?,
            ),
        };
        Ok(VerifiedPlaintext {
            client_checksum,
            crc64nvme,
            wanted: std::array::from_fn(|index| self.wanted.get(index)?.finished),
        })
    }
}

/// Takes a piece into a checksum, or finishes it at the end.
fn digest(hasher: &mut Option<Hasher>, finished: &mut Option<Checksum>, piece: Option<&Bytes>) {
    match (piece, hasher.as_mut()) {
        (Some(piece), Some(hasher)) => hasher.update(piece),
        (None, Some(_)) => *finished = hasher.take().map(Hasher::finish),
        (_, None) => {}
    }
}
