//! Sealing a part from plaintext that arrives in pieces of any size.

use crate::error::{Error, Result};
use crate::layout::{SEGMENT_LENGTH, SEGMENT_OVERHEAD};
use crate::object::{ObjectSecrets, PartId};
use crate::random::{NonceSupply, Random};
use crate::segment::{PartSealer, SealedPart};
use crate::suite::{NONCE_LENGTH, TAG_LENGTH};

/// A growing buffer that the caller owns: `Vec<u8>`, or with the feature `stream` also `bytes::BytesMut`.
pub trait Buffer: AsMut<[u8]> {
    /// Appends `bytes` at the end.
    fn append_slice(&mut self, bytes: &[u8]);
}

impl Buffer for Vec<u8> {
    fn append_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(feature = "stream")]
impl Buffer for bytes::BytesMut {
    fn append_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Cuts plaintext into segments and seals them in place at the end of the caller's buffer. Plaintext is copied once.
///
/// The last [`withheld`](Self::withheld) bytes of the buffer belong to the sealer: the segment that is still growing,
/// **in plaintext**. Whether a segment is the last one is known only when more plaintext comes or
/// [`finish`](Self::finish) is called, so one segment is always held back; that is also what lets a gateway send the
/// last segment only after it has verified the whole body. Everything before those bytes is sealed, and the caller may
/// take it from the front at any time.
///
/// ```
/// # use sealgate_envelope::{AttemptId, DataKey, ObjectId, Suite};
/// # use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
/// use sealgate_envelope::sealer::Sealer;
/// # fn main() -> sealgate_envelope::Result<()> {
/// # let object = ObjectSecrets::new(DataKey::from_bytes([1; 32]), Suite::Aes256Gcm, ObjectId::from_bytes([2; 16]), Body::Multipart);
/// # let part = PartId::multipart(1, AttemptId::from_bytes([3; 16]))?;
/// let mut buffer = Vec::new();
/// let mut sealer = Sealer::new(&object, part)?;
/// sealer.push(&[7; 100_000], &mut buffer)?;
/// let ready = buffer.len() - sealer.withheld(); // 65,564 bytes, one segment
/// buffer.drain(..ready);
/// let part = sealer.finish(&mut buffer)?; // the rest of the buffer is sealed now
/// # assert_eq!((ready, buffer.len(), part.plaintext_length), (65_564, 34_492, 100_000));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sealer<R: Random = NonceSupply> {
    part: PartSealer<R>,
    /// Bytes at the end of the caller's buffer that are not sealed yet: room for a nonce, and plaintext.
    withheld: usize,
    failed: bool,
}

/// Length of a full segment that still lacks its tag.
const FULL: usize = NONCE_LENGTH + SEGMENT_LENGTH;

impl Sealer {
    /// Starts the part `id` of an object.
    ///
    /// # Errors
    /// As [`PartSealer::new`].
    pub fn new(object: &ObjectSecrets, id: PartId) -> Result<Self> {
        Self::with_random(object, id, NonceSupply::default())
    }
}

impl<R: Random> Sealer<R> {
    /// As [`new`](Sealer::new), with nonces of `random`: for test vectors.
    ///
    /// # Errors
    /// As [`PartSealer::new`].
    pub fn with_random(object: &ObjectSecrets, id: PartId, random: R) -> Result<Self> {
        Ok(Self {
            part: PartSealer::with_random(object, id, random)?,
            withheld: 0,
            failed: false,
        })
    }

    /// Appends `plaintext`, and seals every segment that is known not to be the last.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the buffer has lost bytes that belong to the sealer, or there is more plaintext than the
    /// header promised; [`Error::Machine`] without entropy. After a failure every later call fails.
    pub fn push(&mut self, mut plaintext: &[u8], buffer: &mut impl Buffer) -> Result<()> {
        while !plaintext.is_empty() {
            if self.withheld == FULL {
                self.seal_withheld(buffer, false)?;
            }
            if self.withheld == 0 {
                buffer.append_slice(&[0; NONCE_LENGTH]);
                self.withheld = NONCE_LENGTH;
            }
            let room = FULL.saturating_sub(self.withheld);
            let (now, later) = plaintext.split_at_checked(room).unwrap_or((plaintext, &[]));
            buffer.append_slice(now);
            self.withheld = self.withheld.saturating_add(now.len());
            plaintext = later;
        }
        Ok(())
    }

    /// How many bytes at the end of the buffer are not sealed yet and must stay: at most 65,548.
    pub fn withheld(&self) -> usize {
        self.withheld
    }

    /// Bytes of plaintext pushed so far.
    pub fn plaintext_length(&self) -> u64 {
        let open = self.withheld.saturating_sub(NONCE_LENGTH) as u64;
        self.part.plaintext_length().saturating_add(open)
    }

    /// Seals what was withheld as the last segment of the part: now all of the buffer is sealed.
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`Error::Misuse`] if there was less plaintext than the header promised.
    pub fn finish(mut self, buffer: &mut impl Buffer) -> Result<SealedPart> {
        if self.withheld > 0 {
            self.seal_withheld(buffer, true)?;
        }
        if self.failed {
            return Err(failed());
        }
        self.part.finish()
    }

    fn seal_withheld(&mut self, buffer: &mut impl Buffer, last: bool) -> Result<()> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(failed());
        }
        buffer.append_slice(&[0; TAG_LENGTH]);
        let bytes = buffer.as_mut();
        let start = bytes
            .len()
            .checked_sub(self.withheld.saturating_add(TAG_LENGTH))
            .ok_or_else(|| {
                Error::misuse("the buffer has lost bytes that the sealer had withheld")
            })?;
        let segment = bytes.get_mut(start..).unwrap_or_default();
        self.part.seal_segment(segment, last)?;
        self.withheld = 0;
        self.failed = false;
        Ok(())
    }

    /// Stored bytes that `plaintext` bytes of one part take at most in the buffer, for reserving.
    pub fn buffer_length(plaintext: usize) -> usize {
        let segments = plaintext.div_ceil(SEGMENT_LENGTH).saturating_add(1);
        plaintext.saturating_add(segments.saturating_mul(SEGMENT_OVERHEAD))
    }
}

fn failed() -> Error {
    Error::misuse("the sealer has failed before, nothing more can be sealed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{DataKey, ObjectId};
    use crate::object::Body;
    use crate::suite::Suite;

    /// Nonces that are the same each time.
    struct Counted(u8);

    impl Random for Counted {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
            self.0 += 1;
            bytes.fill(self.0);
            Ok(())
        }
    }

    fn sealed(plaintext: &[u8], buffer: &mut impl Buffer) {
        let object = ObjectSecrets::new(
            DataKey::from_bytes([1; 32]),
            Suite::Aes256Gcm,
            ObjectId::from_bytes([2; 16]),
            Body::Single {
                plaintext_length: plaintext.len() as u64,
            },
        );
        let id = PartId::single(object.object_id());
        let mut sealer = Sealer::with_random(&object, id, Counted(0)).unwrap();
        sealer.push(plaintext, buffer).unwrap();
        sealer.finish(buffer).unwrap();
    }

    #[test]
    fn the_length_to_reserve_is_enough_and_little_more() {
        for length in [
            0,
            1,
            SEGMENT_LENGTH - 1,
            SEGMENT_LENGTH,
            SEGMENT_LENGTH + 1,
            200_000,
        ] {
            let mut buffer = Vec::new();
            sealed(&vec![3; length], &mut buffer);
            let reserved = Sealer::<Counted>::buffer_length(length);
            assert!(buffer.len() <= reserved, "{length}");
            assert!(reserved <= buffer.len() + 2 * SEGMENT_OVERHEAD, "{length}");
        }
    }

    #[cfg(feature = "stream")]
    #[test]
    fn every_buffer_holds_the_same() {
        let plaintext = vec![3; 100_000];
        let (mut vector, mut bytes) = (Vec::new(), bytes::BytesMut::new());
        sealed(&plaintext, &mut vector);
        sealed(&plaintext, &mut bytes);
        assert_eq!(vector, bytes);
    }
}
