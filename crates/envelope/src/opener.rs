//! Opening segments in the order in which they arrive, in place (FORMAT.md, sections 4 and 11).

use std::fmt;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::object::{ObjectSecrets, PartId};
use crate::parts::{RangePlan, SegmentLayout};
use crate::segment::segment_aad;
use crate::suite::{Aead, NONCE_LENGTH};

/// Opens the stored bytes that a [`RangePlan`] asked for.
///
/// The caller collects [`next_length`](Self::next_length) bytes of ciphertext in a buffer of its own and passes them;
/// the opener says where in that buffer the released plaintext now lies. A segment that does not open is cleared and
/// nothing of it, nor of any later one, is released: one failure is for ever.
///
/// Dropping an opener early is allowed; only [`finish`](Self::finish) tells that the range is complete.
pub struct Opener {
    object: ObjectSecrets,
    plan: RangePlan,
    /// The next segment; none when the range is complete.
    next: Option<SegmentLayout>,
    /// The AEAD of the part that was opened last.
    aead: Option<(PartId, Box<dyn Aead>)>,
    failed: bool,
}

impl Opener {
    /// Prepares to open what `plan` asked for.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the plan was made of a header's layout although the object needs its commit record.
    pub fn new(object: &ObjectSecrets, plan: RangePlan) -> Result<Self> {
        if !plan.layout().is_confirmed() {
            return Err(Error::misuse(
                "the commit record must be opened first, and the plan made of its layout",
            ));
        }
        let range = plan.plaintext();
        let next = if range.is_empty() {
            None
        } else {
            plan.layout().locate(range.start)
        };
        Ok(Self {
            object: object.clone(),
            plan,
            next,
            aead: None,
            failed: false,
        })
    }

    /// Stored bytes of the next segment, 29 to 65,564; `None` when the range is complete.
    pub fn next_length(&self) -> Option<usize> {
        let sealed = &self.next.as_ref()?.sealed;
        usize::try_from(sealed.end.saturating_sub(sealed.start)).ok()
    }

    /// Whether all of the range was released.
    pub fn is_complete(&self) -> bool {
        self.next.is_none() && !self.failed
    }

    /// Opens the next segment in place: `segment` has exactly [`next_length`](Self::next_length) bytes. Returns where
    /// in it the plaintext lies that may be used, trimmed to the range; the other bytes mean nothing.
    ///
    /// # Errors
    /// [`Error::Stored`] if the segment is not authentic; [`Error::Misuse`] if it has another length or there is no
    /// next one. Either is for ever, and `segment` is cleared.
    pub fn open_segment(&mut self, segment: &mut [u8]) -> Result<Range<usize>> {
        let result = self.open_next(segment);
        if result.is_err() {
            self.failed = true;
            segment.fill(0);
        }
        result
    }

    fn open_next(&mut self, segment: &mut [u8]) -> Result<Range<usize>> {
        if self.failed {
            return Err(Error::stored("an earlier segment did not open"));
        }
        let current = self
            .next
            .as_ref()
            .ok_or_else(|| Error::misuse("the range is complete, there is no next segment"))?;
        if Some(segment.len()) != self.next_length() {
            return Err(Error::misuse(
                "the buffer does not have the length of the next segment",
            ));
        }
        let aead = match &mut self.aead {
            Some((part, aead)) if *part == current.part => aead,
            other => {
                let aead = self.object.body_aead(current.part)?;
                &mut other.insert((current.part, aead)).1
            }
        };
        let (nonce, sealed) = segment
            .split_first_chunk_mut::<NONCE_LENGTH>()
            .ok_or_else(|| Error::misuse("a segment is too short"))?;
        aead.open(nonce, &segment_aad(current.index, current.last), sealed)
            .map_err(|_| {
                Error::stored(format!(
                    "segment {} of part {} does not open",
                    current.index,
                    current.part.number()
                ))
            })?;
        let wanted = self.plan.plaintext();
        let released = trim(&current.plaintext, &wanted)?;
        let end = current.plaintext.end;
        self.next = if end < wanted.end {
            self.plan.layout().locate(end)
        } else {
            None
        };
        Ok(released)
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`Error::Stored`] if a segment failed or not all of the range has come: the reader must not take what it has
    /// for the whole.
    pub fn finish(self) -> Result<()> {
        if self.failed {
            return Err(Error::stored("a segment did not open"));
        }
        if self.next.is_some() {
            return Err(Error::stored("the stored body ended too early"));
        }
        Ok(())
    }
}

/// Where in a segment's buffer the wanted plaintext lies, behind the nonce.
fn trim(plaintext: &Range<u64>, wanted: &Range<u64>) -> Result<Range<usize>> {
    let offset = |position: u64| {
        position
            .checked_sub(plaintext.start)
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| offset.checked_add(NONCE_LENGTH))
            .ok_or_else(|| Error::misuse("a segment lies outside the range"))
    };
    let start = offset(plaintext.start.max(wanted.start))?;
    let end = offset(plaintext.end.min(wanted.end))?;
    Ok(start..end)
}

impl fmt::Debug for Opener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Opener")
            .field("range", &self.plan.plaintext())
            .field("next", &self.next)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
