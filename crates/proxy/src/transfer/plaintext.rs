//! Where plaintext comes from: a client's verified body, or an object that is being copied.

use bytes::Bytes;

use super::OpeningStream;
use crate::{
    body::{Algorithm, Checksum, ClientBody, Hasher, PlaintextBody},
    error::S3Error,
};

/// A source of plaintext whose end means that all of it was verified.
pub struct Plaintext {
    source: Source,
    length: u64,
    /// A checksum that the source does not compute by itself; `None` when none is needed, or it is finished.
    wanted: Option<Hasher>,
    finished: Option<Checksum>,
}

enum Source {
    Client(Box<PlaintextBody<ClientBody>>),
    Object(Box<ObjectSource>),
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
    /// The checksum that [`Plaintext::want`] asked for.
    wanted: Option<Checksum>,
}

impl VerifiedPlaintext {
    /// The checksum of this algorithm, if it was sent, asked for, or is always computed.
    pub fn checksum(&self, algorithm: Algorithm) -> Option<Checksum> {
        [self.client_checksum, self.wanted, Some(self.crc64nvme)]
            .into_iter()
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
            wanted: None,
            finished: None,
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
            wanted: None,
            finished: None,
        }
    }

    /// Asks for a checksum of this algorithm; costs nothing where the source computes it anyway.
    #[must_use]
    pub fn want(mut self, algorithm: Algorithm) -> Self {
        let sent = match &self.source {
            Source::Client(body) => body.checksum_algorithm(),
            Source::Object(_) => None,
        };
        if sent != Some(algorithm) && algorithm != Algorithm::Crc64Nvme {
            self.wanted = Some(Hasher::new(algorithm));
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
        };
        digest(&mut self.wanted, &mut self.finished, piece.as_ref());
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
        };
        Ok(VerifiedPlaintext {
            client_checksum,
            crc64nvme,
            wanted: self.finished,
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
