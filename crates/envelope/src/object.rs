//! What every machine needs to know of one object: its secrets and the kind of its body.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::keys::{AttemptId, DataKey, KEY_LENGTH, ObjectId};
use crate::label::{LABEL_LENGTH, Purpose, expand};
use crate::layout::{MAXIMUM_PARTS, MAXIMUM_PLAINTEXT_LENGTH};
use crate::random::Random;
use crate::suite::{Aead, Backend, Suite, aead};

/// Flag bit 0 of the header.
const FLAG_MULTIPART: u8 = 1;

/// Flag bit 1 of the header.
const FLAG_VERIFIED: u8 = 2;

/// The plaintext length field of a multipart header.
const LENGTH_UNKNOWN: u64 = u64::MAX;

/// Pieces that a derived key depends on beside its label: the body key of a part has the most.
const MAXIMUM_INFO: usize = 3;

/// How the body of an object came to be, which decides how a reader checks that it is complete.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Body {
    /// One part of known length. A reader needs the commit record before the first byte.
    Single {
        /// Bytes of plaintext.
        plaintext_length: u64,
    },
    /// One part of known length, all of it verified before any of it was sent: the segments alone suffice.
    Verified {
        /// Bytes of plaintext.
        plaintext_length: u64,
    },
    /// Parts and lengths stand in the commit record only.
    Multipart,
}

impl Body {
    /// The plaintext length, where the header has it.
    pub fn plaintext_length(self) -> Option<u64> {
        match self {
            Self::Single { plaintext_length } | Self::Verified { plaintext_length } => {
                Some(plaintext_length)
            }
            Self::Multipart => None,
        }
    }

    /// Whether a reader must open the commit record before it releases plaintext.
    pub fn needs_commit_record(self) -> bool {
        !matches!(self, Self::Verified { .. })
    }

    /// The header's flags.
    pub(crate) fn flags(self) -> u8 {
        match self {
            Self::Single { .. } => 0,
            Self::Verified { .. } => FLAG_VERIFIED,
            Self::Multipart => FLAG_MULTIPART,
        }
    }

    /// The header's plaintext length field.
    pub(crate) fn length_field(self) -> u64 {
        self.plaintext_length().unwrap_or(LENGTH_UNKNOWN)
    }

    /// Reads the two fields together.
    pub(crate) fn decode(flags: u8, length: u64) -> Result<Self> {
        let body = match flags {
            0 => Self::Single {
                plaintext_length: length,
            },
            FLAG_VERIFIED => Self::Verified {
                plaintext_length: length,
            },
            FLAG_MULTIPART if length == LENGTH_UNKNOWN => return Ok(Self::Multipart),
            FLAG_MULTIPART => return Err(Error::stored("a multipart header names a length")),
            _ => return Err(Error::stored("the header's flags are not allowed")),
        };
        if length > MAXIMUM_PLAINTEXT_LENGTH {
            return Err(Error::stored(
                "the header's plaintext length is over the limit",
            ));
        }
        Ok(body)
    }

    /// Checks what a caller wants sealed.
    pub(crate) fn check(self) -> Result<()> {
        if self
            .plaintext_length()
            .is_some_and(|length| length > MAXIMUM_PLAINTEXT_LENGTH)
        {
            return Err(Error::misuse(format!(
                "an object can have at most {MAXIMUM_PLAINTEXT_LENGTH} bytes of plaintext"
            )));
        }
        Ok(())
    }
}

/// Which part, and which try at it: the pair that a body key is made for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PartId {
    number: u16,
    attempt: AttemptId,
}

impl PartId {
    /// The only part of an object that was not uploaded in parts: number 0, attempt = object id.
    pub fn single(object_id: ObjectId) -> Self {
        Self {
            number: 0,
            attempt: AttemptId::from_bytes(*object_id.as_bytes()),
        }
    }

    /// A part of a multipart object.
    ///
    /// # Errors
    /// [`Error::Misuse`] unless `number` is 1 to 10,000.
    pub fn multipart(number: u16, attempt: AttemptId) -> Result<Self> {
        if number == 0 || number > MAXIMUM_PARTS {
            return Err(Error::misuse(format!(
                "a part number must be 1 to {MAXIMUM_PARTS}, not {number}"
            )));
        }
        Ok(Self { number, attempt })
    }

    /// The part number: 0 for the only part, else 1 to 10,000.
    pub fn number(self) -> u16 {
        self.number
    }

    /// The attempt.
    pub fn attempt(self) -> AttemptId {
        self.attempt
    }
}

/// The secrets of one object, opened: everything that seals or opens its parts and records starts here.
///
/// Made by [`HeaderBuilder::seal`](crate::header::HeaderBuilder::seal) and
/// [`Header::open`](crate::header::Header::open). Cloning copies the data key; every copy is zeroized when dropped.
#[derive(Clone)]
pub struct ObjectSecrets {
    data_key: DataKey,
    suite: Suite,
    object_id: ObjectId,
    body: Body,
    backend: Backend,
}

impl ObjectSecrets {
    /// Joins what a header holds. Callers that have a header use its methods; this is for tests and tools.
    pub fn new(data_key: DataKey, suite: Suite, object_id: ObjectId, body: Body) -> Self {
        Self {
            data_key,
            suite,
            object_id,
            body,
            backend: Backend::default(),
        }
    }

    /// A fresh data key and object id, for an object whose body is sealed before its header is made
    /// ([`HeaderBuilder::seal_for`](crate::header::HeaderBuilder::seal_for)).
    ///
    /// # Errors
    /// [`Error::Misuse`] for a body over the limit; [`Error::Machine`] without entropy.
    pub fn generate(suite: Suite, body: Body, random: &mut dyn Random) -> Result<Self> {
        body.check()?;
        let data_key = DataKey::generate(random)?;
        let object_id = ObjectId::generate(random)?;
        Ok(Self::new(data_key, suite, object_id, body))
    }

    /// The same secrets, computed by `backend`.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// The object's identifier.
    pub fn object_id(&self) -> ObjectId {
        self.object_id
    }

    /// The object's suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The kind of the object's body.
    pub fn body(&self) -> Body {
        self.body
    }

    /// The library that computes.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    pub(crate) fn data_key(&self) -> &DataKey {
        &self.data_key
    }

    /// `L(purpose)` of this object.
    pub(crate) fn label(&self, purpose: Purpose) -> [u8; LABEL_LENGTH] {
        purpose.label(Some(self.suite))
    }

    /// `EXPAND(DEK, L(purpose) ‖ info)`.
    pub(crate) fn derive<const N: usize>(
        &self,
        purpose: Purpose,
        info: [&[u8]; N],
    ) -> Result<Zeroizing<[u8; KEY_LENGTH]>> {
        const { assert!(N <= MAXIMUM_INFO) };
        let label = self.label(purpose);
        // What stays empty adds nothing to the concatenation.
        let mut pieces: [&[u8]; 1 + MAXIMUM_INFO] = [&[]; 1 + MAXIMUM_INFO];
        for (to, from) in pieces.iter_mut().zip([&label[..]].into_iter().chain(info)) {
            *to = from;
        }
        expand(self.data_key.expose(), &pieces)
    }

    /// The AEAD under [`derive`](Self::derive)'s key.
    pub(crate) fn aead<const N: usize>(
        &self,
        purpose: Purpose,
        info: [&[u8]; N],
    ) -> Result<Box<dyn Aead>> {
        aead(self.suite, self.backend, &*self.derive(purpose, info)?)
    }

    /// The AEAD under the body key of a part.
    pub(crate) fn body_aead(&self, part: PartId) -> Result<Box<dyn Aead>> {
        self.aead(
            Purpose::Body,
            [
                self.object_id.as_bytes(),
                &part.number.to_be_bytes(),
                part.attempt.as_bytes(),
            ],
        )
    }
}

impl fmt::Debug for ObjectSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ObjectSecrets")
            .field("object_id", &self.object_id)
            .field("suite", &self.suite)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    #[test]
    fn flags_and_length_must_agree() {
        for (flags, length, allowed) in [
            (0, 0, true),
            (0, MAXIMUM_PLAINTEXT_LENGTH, true),
            (0, MAXIMUM_PLAINTEXT_LENGTH + 1, false),
            (0, u64::MAX, false),
            (1, u64::MAX, true),
            (1, 7, false),
            (2, 7, true),
            (2, u64::MAX, false),
            (3, u64::MAX, false),
            (4, 7, false),
            (128, 7, false),
        ] {
            let body = Body::decode(flags, length);
            assert_eq!(body.is_ok(), allowed, "{flags} {length}");
            if let Ok(body) = body {
                assert_eq!((body.flags(), body.length_field()), (flags, length));
            }
        }
    }

    #[test]
    fn a_multipart_header_with_a_length_is_called_that() {
        let error = Body::decode(FLAG_MULTIPART, 7).unwrap_err();
        assert_eq!(error.detail(), "a multipart header names a length");
    }

    #[test]
    fn whoever_chose_a_backend_is_told_it() {
        let secrets = ObjectSecrets::new(
            DataKey::from_bytes([2; 32]),
            Suite::Aes256Gcm,
            ObjectId::from_bytes([1; 16]),
            Body::Multipart,
        );
        for backend in Backend::ALL {
            let chosen = secrets.clone().with_backend(*backend);
            assert_eq!(chosen.backend(), *backend);
        }
    }

    #[test]
    fn secrets_are_made_for_no_body_over_the_limit() {
        for (plaintext_length, allowed) in [
            (MAXIMUM_PLAINTEXT_LENGTH, true),
            (MAXIMUM_PLAINTEXT_LENGTH + 1, false),
        ] {
            for body in [
                Body::Single { plaintext_length },
                Body::Verified { plaintext_length },
            ] {
                let made = ObjectSecrets::generate(Suite::Aes256Gcm, body, &mut OsRandom);
                assert_eq!(made.is_ok(), allowed, "{body:?}");
            }
        }
    }

    #[test]
    fn body_keys_differ_by_part_and_attempt() {
        let object_id = ObjectId::from_bytes([1; 16]);
        let secrets = ObjectSecrets::new(
            DataKey::from_bytes([2; 32]),
            Suite::Aes256Gcm,
            object_id,
            Body::Multipart,
        );
        let sealed = |part: PartId| {
            let mut buffer = [0; 16];
            secrets
                .body_aead(part)
                .unwrap()
                .seal(&[0; 12], b"", &mut buffer)
                .unwrap();
            buffer
        };
        let part = PartId::multipart(1, AttemptId::from_bytes([3; 16])).unwrap();
        assert_ne!(
            sealed(part),
            sealed(PartId::multipart(2, part.attempt()).unwrap())
        );
        assert_ne!(
            sealed(part),
            sealed(PartId::multipart(1, AttemptId::from_bytes([4; 16])).unwrap())
        );
        assert_ne!(sealed(part), sealed(PartId::single(object_id)));
        assert!(PartId::multipart(0, part.attempt()).is_err());
        assert!(PartId::multipart(10_001, part.attempt()).is_err());
    }
}
