//! Sealing the segments of one part, in place (FORMAT.md, section 4).

use std::fmt;

use crate::error::{Error, Result};
use crate::layout::{MAXIMUM_PLAINTEXT_LENGTH, SEGMENT_LENGTH, SEGMENT_OVERHEAD};
use crate::object::{ObjectSecrets, PartId};
use crate::random::{NonceSupply, Random};
use crate::suite::{Aead, NONCE_LENGTH};

/// The associated data of a segment: `u64` index ‖ `u8` final.
pub(crate) fn segment_aad(index: u64, last: bool) -> [u8; 9] {
    let mut aad = [u8::from(last); 9];
    if let Some(first) = aad.first_chunk_mut::<8>() {
        *first = index.to_be_bytes();
    }
    aad
}

/// A part whose last segment was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedPart {
    /// Number and attempt.
    pub id: PartId,
    /// Bytes of plaintext.
    pub plaintext_length: u64,
}

/// Seals one part, segment by segment, in buffers that the caller lays out as 12 bytes of room ‖ plaintext ‖ 16 bytes
/// of room.
///
/// A part that is not [finished](Self::finish) has no final segment, so what was sealed of it never opens. After one
/// failure every later call fails. [`Sealer`](crate::sealer::Sealer) does the laying out.
pub struct PartSealer<R: Random = NonceSupply> {
    id: PartId,
    aead: Box<dyn Aead>,
    random: R,
    next_index: u64,
    plaintext_length: u64,
    /// What the header promised, for an object that is one part.
    demanded_length: Option<u64>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    Failed,
}

impl PartSealer {
    /// Starts the part `id` of an object, with nonces of the operating system.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the object's kind has no such part: number 0 belongs to objects of one part, 1 to 10,000
    /// to multipart objects.
    pub fn new(object: &ObjectSecrets, id: PartId) -> Result<Self> {
        Self::with_random(object, id, NonceSupply::default())
    }
}

impl<R: Random> PartSealer<R> {
    /// As [`new`](PartSealer::new), with nonces of `random`: for test vectors.
    ///
    /// # Errors
    /// As [`new`](PartSealer::new).
    pub fn with_random(object: &ObjectSecrets, id: PartId, random: R) -> Result<Self> {
        let demanded_length = object.body().plaintext_length();
        let allowed = match demanded_length {
            Some(_) => id == PartId::single(object.object_id()),
            None => id.number() != 0,
        };
        if !allowed {
            return Err(Error::misuse("this kind of object has no such part"));
        }
        Ok(Self {
            id,
            aead: object.body_aead(id)?,
            random,
            next_index: 0,
            plaintext_length: 0,
            demanded_length,
            state: State::Open,
        })
    }

    /// Seals the next segment in place: `segment` is 12 bytes of room ‖ plaintext ‖ 16 bytes of room, and becomes
    /// nonce ‖ ciphertext ‖ tag. The plaintext has 65,536 bytes, or if it is the `last` of the part, 1 to 65,536.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a wrong length, after the last segment, or after a failure; [`Error::Machine`] without
    /// entropy.
    pub fn seal_segment(&mut self, segment: &mut [u8], last: bool) -> Result<()> {
        if self.state != State::Open {
            return Err(Error::misuse(
                "the part is complete or has failed, nothing more can be sealed",
            ));
        }
        self.state = State::Failed;
        let length = segment
            .len()
            .checked_sub(SEGMENT_OVERHEAD)
            .filter(|length| {
                *length == SEGMENT_LENGTH || (last && (1..SEGMENT_LENGTH).contains(length))
            })
            .ok_or_else(|| {
                Error::misuse(
                    "a segment must be full, and only the last one may be shorter, never empty",
                )
            })?;
        let total = self
            .plaintext_length
            .checked_add(length as u64)
            .filter(|total| *total <= self.demanded_length.unwrap_or(MAXIMUM_PLAINTEXT_LENGTH))
            .ok_or_else(|| {
                Error::misuse(
                    "there is more plaintext than the header promised or than the limit allows",
                )
            })?;
        let (nonce, rest) = segment
            .split_first_chunk_mut::<NONCE_LENGTH>()
            .ok_or_else(|| Error::misuse("a segment needs room for its nonce"))?;
        self.random.fill(nonce)?;
        self.aead
            .seal(nonce, &segment_aad(self.next_index, last), rest)?;
        self.next_index = self
            .next_index
            .checked_add(1)
            .ok_or_else(|| Error::misuse("a part has too many segments"))?;
        self.plaintext_length = total;
        self.state = if last { State::Complete } else { State::Open };
        Ok(())
    }

    /// Bytes of plaintext sealed so far.
    pub fn plaintext_length(&self) -> u64 {
        self.plaintext_length
    }

    /// Ends the part. An empty part ends without any segment.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the last segment is missing, a call has failed, or the plaintext does not have the length
    /// that the object's header names.
    pub fn finish(self) -> Result<SealedPart> {
        let empty = self.state == State::Open && self.next_index == 0;
        if self.state != State::Complete && !empty {
            return Err(Error::misuse(
                "the part has failed or lacks its last segment",
            ));
        }
        if self
            .demanded_length
            .is_some_and(|demanded| demanded != self.plaintext_length)
        {
            return Err(Error::misuse(
                "there is less plaintext than the header promised",
            ));
        }
        Ok(SealedPart {
            id: self.id,
            plaintext_length: self.plaintext_length,
        })
    }
}

impl<R: Random> fmt::Debug for PartSealer<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PartSealer")
            .field("id", &self.id)
            .field("plaintext_length", &self.plaintext_length)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{AttemptId, DataKey, ObjectId};
    use crate::object::Body;
    use crate::suite::Suite;

    fn object(body: Body) -> ObjectSecrets {
        ObjectSecrets::new(
            DataKey::from_bytes([1; 32]),
            Suite::Aes256Gcm,
            ObjectId::from_bytes([2; 16]),
            body,
        )
    }

    fn multipart() -> PartSealer {
        let id = PartId::multipart(1, AttemptId::from_bytes([3; 16])).unwrap();
        PartSealer::new(&object(Body::Multipart), id).unwrap()
    }

    #[test]
    fn parts_must_fit_the_kind_of_object() {
        let id = PartId::multipart(1, AttemptId::from_bytes([3; 16])).unwrap();
        let single = object(Body::Single {
            plaintext_length: 1,
        });
        assert!(PartSealer::new(&single, id).is_err());
        assert!(PartSealer::new(&single, PartId::single(single.object_id())).is_ok());
        assert!(PartSealer::new(&single, PartId::single(ObjectId::from_bytes([9; 16]))).is_err());
        assert!(
            PartSealer::new(&object(Body::Multipart), PartId::single(single.object_id())).is_err()
        );
    }

    #[test]
    fn wrong_lengths_fail_for_ever() {
        for (plaintext, last) in [(0, true), (65_535, false), (65_537, false), (65_537, true)] {
            let mut sealer = multipart();
            assert!(
                sealer
                    .seal_segment(&mut vec![0; plaintext + 28], last)
                    .is_err()
            );
            assert!(sealer.seal_segment(&mut [0; 29], true).is_err());
            assert!(sealer.finish().is_err());
        }
        assert!(multipart().seal_segment(&mut [0; 27], true).is_err());
    }

    #[test]
    fn only_a_complete_part_finishes() {
        let mut sealer = multipart();
        sealer
            .seal_segment(&mut vec![0; SEGMENT_LENGTH + 28], false)
            .unwrap();
        assert!(sealer.finish().is_err());
        let mut sealer = multipart();
        sealer.seal_segment(&mut [0; 29], true).unwrap();
        assert!(sealer.seal_segment(&mut [0; 29], true).is_err());
        let mut sealer = multipart();
        sealer.seal_segment(&mut [0; 29], true).unwrap();
        assert_eq!(sealer.finish().unwrap().plaintext_length, 1);
        assert_eq!(multipart().finish().unwrap().plaintext_length, 0);
    }

    #[test]
    fn the_header_s_length_is_kept() {
        let secrets = object(Body::Single {
            plaintext_length: 5,
        });
        let id = PartId::single(secrets.object_id());
        assert!(PartSealer::new(&secrets, id).unwrap().finish().is_err());
        for (length, allowed) in [(4, false), (5, true), (6, false)] {
            let mut sealer = PartSealer::new(&secrets, id).unwrap();
            let sealed = sealer.seal_segment(&mut vec![0; length + 28], true);
            assert_eq!(
                sealed.and_then(|()| sealer.finish()).is_ok(),
                allowed,
                "{length}"
            );
        }
    }
}
