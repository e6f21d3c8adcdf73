//! Plaintext becomes segments on its way to the upstream.
//!
//! One copy moves the plaintext into a buffer that already has room for nonces and tags; sealing happens there in place, and the buffer itself
//! is what the connection sends. The last segment, and whatever follows it, leaves only after the whole plaintext has been verified: the
//! upstream was promised a length that is never reached otherwise, so no object appears (FORMAT.md section 6, adversary.md "Uploads that
//! never were").

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sealgate_envelope::{
    layout::{SEALED_SEGMENT_LENGTH, SEGMENT_LENGTH},
    sealer::Sealer,
    suite::NONCE_LENGTH,
};

use super::{Plaintext, VerifiedPlaintext};
use crate::{
    error::S3Error,
    upstream::{BodyFailure, RequestBody},
};

/// What a buffer holds: one segment, and what stands behind it when it leaves, the room for a nonce and the byte that showed that there is more.
/// Segments leave one by one, and the connection gathers them: so no more than one is held here.
const BUFFER_LENGTH: usize = SEALED_SEGMENT_LENGTH + NONCE_LENGTH + 1;

/// Makes what follows the last segment, the commit region of a single PUT, from what was verified. None for a part.
pub type Trailing = Box<dyn FnOnce(&VerifiedPlaintext) -> Result<Vec<u8>, S3Error> + Send>;

/// How a sealed body ended, for the operation that sent it.
#[derive(Clone, Default)]
pub struct SealedBody(Arc<Mutex<Ending>>);

#[derive(Default)]
struct Ending {
    verified: Option<VerifiedPlaintext>,
    failure: Option<S3Error>,
}

impl SealedBody {
    /// What was wrong with the plaintext, if that is why the upstream request failed.
    pub fn failure(&self) -> Option<S3Error> {
        self.ending().failure.clone()
    }

    /// What was verified.
    ///
    /// # Errors
    ///
    /// When the body was not sent to its end.
    pub fn verified(&self) -> Result<VerifiedPlaintext, S3Error> {
        let ending = self.ending();
        if let Some(failure) = &ending.failure {
            return Err(failure.clone());
        }
        ending
            .verified
            .ok_or_else(|| S3Error::internal("the upstream answered before it had the whole body"))
    }

    fn ending(&self) -> std::sync::MutexGuard<'_, Ending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sealed part in the making.
pub struct SealingStream {
    source: Plaintext,
    /// Taken when the part is finished.
    sealer: Option<Sealer>,
    trailing: Option<Trailing>,
    /// A sealed segment, then what the sealer withholds.
    buffer: BytesMut,
    /// Plaintext that has arrived and was not looked at yet.
    pending: Bytes,
    outcome: SealedBody,
}

impl SealingStream {
    /// Seals `source` with `sealer`, and ends with `trailing` if there is any.
    pub fn new(source: Plaintext, sealer: Sealer, trailing: Option<Trailing>) -> Self {
        Self {
            source,
            sealer: Some(sealer),
            trailing,
            buffer: BytesMut::new(),
            pending: Bytes::new(),
            outcome: SealedBody::default(),
        }
    }

    /// As a body for the upstream, and the place where its ending can be read.
    pub fn into_body(self) -> (RequestBody, SealedBody) {
        let outcome = self.outcome.clone();
        let pieces = stream::try_unfold(self, |mut sealing| async move {
            let piece = sealing
                .next()
                .await
                .map_err(|failure| BodyFailure::from(failure.to_string()))?;
            Ok::<_, BodyFailure>(piece.map(|piece| (Frame::data(piece), sealing)))
        });
        (StreamBody::new(pieces).boxed_unsync(), outcome)
    }

    /// The next run of sealed bytes.
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        let piece = self.advance().await;
        if let Err(failure) = &piece {
            self.outcome.ending().failure = Some(failure.clone());
        }
        piece
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, S3Error> {
        loop {
            let Some(sealer) = &mut self.sealer else {
                return Ok(None);
            };
            if self.pending.is_empty() {
                match self.source.next().await? {
                    Some(piece) => self.pending = piece,
                    None => return self.finish().map(Some),
                }
            }
            if self.buffer.capacity() < BUFFER_LENGTH {
                // Not before there is plaintext for it: then the segment before has often left, and its memory serves again.
                self.buffer.reserve(BUFFER_LENGTH - self.buffer.len());
            }
            let taken = self
                .pending
                .split_to(self.pending.len().min(room(sealer.withheld())));
            sealer.push(&taken, &mut self.buffer)?;
            let ready = self.buffer.len().saturating_sub(sealer.withheld());
            if ready > 0 {
                return Ok(Some(self.buffer.split_to(ready).freeze()));
            }
        }
    }

    /// The source has verified everything: the withheld segment and what follows it may leave.
    fn finish(&mut self) -> Result<Bytes, S3Error> {
        let verified = self.source.verified()?;
        if let Some(sealer) = self.sealer.take() {
            sealer.finish(&mut self.buffer)?;
        }
        if let Some(trailing) = self.trailing.take() {
            self.buffer.extend_from_slice(&trailing(&verified)?);
        }
        self.outcome.ending().verified = Some(verified);
        Ok(self.buffer.split().freeze())
    }
}

/// How much plaintext to push at once: up to the end of the open segment, or a single byte, which makes the sealer seal a full one. So the
/// buffer is handed over when next to nothing is withheld in it, and nothing has to be moved.
fn room(withheld: usize) -> usize {
    (NONCE_LENGTH + SEGMENT_LENGTH)
        .saturating_sub(withheld.max(NONCE_LENGTH))
        .max(1)
}
