//! Segments become plaintext on their way to the client, each verified before a byte of it is released.

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prometheus::IntCounter;
use sealgate_envelope::{
    commit::{CommitRecord, CommitSearch},
    layout::SEALED_SEGMENT_LENGTH,
    object::ObjectSecrets,
    opener::Opener,
};

use crate::{
    error::S3Error,
    operation::ResponseBody,
    upstream::{AnswerBody, BodyFailure},
};

/// The most that a commit region holds (FORMAT.md section 5).
const MAXIMUM_REGION_LENGTH: usize = 256 + 128 * 10_000;

/// What a whole read checks behind the last segment, before the client has its last byte.
#[derive(Debug)]
pub struct RegionCheck {
    /// The object.
    pub secrets: ObjectSecrets,
    /// Length of the whole sealed object.
    pub sealed_length: u64,
}

/// Segments in one buffer: as many as the connection to the client writes at once.
const SEGMENTS_PER_BUFFER: usize = 2;

/// Verified plaintext of one range of one object.
pub struct OpeningStream {
    source: AnswerBody,
    opener: Opener,
    buffer: BytesMut,
    /// What has arrived and was not copied into the buffer yet.
    pending: Bytes,
    /// Bytes of the source in front of the first segment that is wanted.
    skip: u64,
    /// Plaintext that was opened before it was asked for.
    ahead: Option<Bytes>,
    /// Taken when it is done; none for a range.
    region: Option<RegionCheck>,
    /// After one failure nothing more is released.
    failed: bool,
}

impl OpeningStream {
    /// Opens what `opener` is planned for, after `skip` bytes of the source. With `region`, the source goes on to the end of the object, and
    /// what follows the segments is checked too.
    pub fn new(source: AnswerBody, opener: Opener, skip: u64, region: Option<RegionCheck>) -> Self {
        Self {
            source,
            opener,
            buffer: BytesMut::new(),
            pending: Bytes::new(),
            skip,
            ahead: None,
            region,
            failed: false,
        }
    }

    /// Opens the first segment already, so that a failure there is an error answer and not a broken connection.
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub async fn open_first(&mut self) -> Result<(), S3Error> {
        self.ahead = self.next().await?;
        Ok(())
    }

    /// The next piece of plaintext; `None` when the whole range was released.
    ///
    /// # Errors
    ///
    /// When a segment does not verify, or the source ends early or breaks; and again in every later call.
    pub async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        if self.failed {
            return Err(S3Error::stored_data("an earlier segment failed"));
        }
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        let piece = self.advance().await;
        self.failed = piece.is_err();
        piece
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, S3Error> {
        let Some(needed) = self.opener.next_length() else {
            self.check_region().await?;
            return Ok(None);
        };
        self.fill(needed).await?;
        let mut segment = self.buffer.split_to(needed);
        let released = self.opener.open_segment(&mut segment)?;
        let plaintext = segment.freeze().slice(released);
        if self.opener.next_length().is_none() {
            // Before the client has its last byte: afterwards nobody polls any more.
            self.check_region().await?;
        }
        Ok(Some(plaintext))
    }

    /// Copies as much as is needed into the buffer, and no more: what one read brought stays where it is, so that a stream holds one buffer of
    /// ours beside one of the connection's, whatever their lengths are.
    async fn fill(&mut self, needed: usize) -> Result<(), S3Error> {
        if self.buffer.is_empty() && self.buffer.capacity() < needed {
            // Takes the same memory again where the client already has what was in it.
            let is_full = needed == SEALED_SEGMENT_LENGTH;
            let segments = if is_full { SEGMENTS_PER_BUFFER } else { 1 };
            self.buffer.reserve(segments * needed);
        }
        while let Some(missing) = needed
            .checked_sub(self.buffer.len())
            .filter(|missing| *missing > 0)
        {
            if self.pending.is_empty() {
                let piece = self.source.next().await?.ok_or_else(|| {
                    S3Error::stored_data("the upstream's answer ends in the middle of a segment")
                })?;
                self.pending = self.skip_in(piece);
            }
            let taken = self.pending.split_to(self.pending.len().min(missing));
            self.buffer.extend_from_slice(&taken);
        }
        Ok(())
    }

    fn skip_in(&mut self, mut piece: Bytes) -> Bytes {
        let skipped = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        self.skip -= skipped as u64;
        piece.split_off(skipped)
    }

    /// Reads and checks what follows the segments of a whole read; that also leaves a connection that can be used again.
    async fn check_region(&mut self) -> Result<(), S3Error> {
        let Some(check) = self.region.take() else {
            return Ok(());
        };
        let mut piece = std::mem::take(&mut self.pending);
        loop {
            if self.buffer.len() + piece.len() > MAXIMUM_REGION_LENGTH {
                return Err(S3Error::stored_data(
                    "more follows the segments than a commit region holds",
                ));
            }
            self.buffer.extend_from_slice(&piece);
            match self.source.next().await? {
                Some(next) => piece = next,
                None => break,
            }
        }
        match CommitRecord::open_suffix(&check.secrets, &self.buffer, check.sealed_length)? {
            CommitSearch::Found(_) => Ok(()),
            CommitSearch::NeedMore { .. } => Err(S3Error::stored_data(
                "the upstream's answer ends in the middle of the commit region",
            )),
        }
    }

    /// As the body of an answer. When it fails, the connection is reset, and `unverified` counts it if it is because something did not verify.
    pub fn into_body(self, request_id: String, unverified: IntCounter) -> ResponseBody {
        let pieces = stream::try_unfold(
            (self, request_id, unverified),
            |(mut opening, request_id, unverified)| async move {
                match opening.next().await {
                    Ok(piece) => {
                        Ok(piece
                            .map(|piece| (Frame::data(piece), (opening, request_id, unverified))))
                    }
                    Err(error) => {
                        if error.is_about_stored_data {
                            unverified.inc();
                        }
                        tracing::error!(request_id, %error, "a download was cut off: what follows could not be verified");
                        Err(BodyFailure::from("the object could not be verified"))
                    }
                }
            },
        );
        StreamBody::new(pieces).boxed_unsync()
    }
}
