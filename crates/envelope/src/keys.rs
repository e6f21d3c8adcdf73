//! Keys and identifiers as types of their own, so that one can never stand for another (FORMAT.md, section 2).

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{Error, Result};
use crate::random::{Random, random_array};
use crate::wrap::Provider;

/// Length in bytes of every key.
pub const KEY_LENGTH: usize = 32;

/// Length in bytes of an object's identifier.
pub(crate) const OBJECT_ID_LENGTH: usize = 16;

macro_rules! secret_key {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone)]
        // In a box, so that a move copies a pointer and leaves no key on the stack.
        pub struct $name(Box<[u8; KEY_LENGTH]>);

        impl $name {
            /// Takes 32 uniformly random bytes as the key.
            pub fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Self {
                let bytes = Zeroizing::new(bytes);
                let mut key = Self::empty();
                key.0.copy_from_slice(bytes.as_slice());
                key
            }

            fn empty() -> Self {
                Self(Box::new([0; KEY_LENGTH]))
            }

            /// Takes what a key service or an AEAD returned.
            ///
            /// # Errors
            /// [`Error::Stored`] unless `bytes` has exactly 32 bytes.
            pub fn from_slice(bytes: &[u8]) -> Result<Self> {
                if bytes.len() != KEY_LENGTH {
                    return Err(Error::stored(concat!("a ", stringify!($name), " must have 32 bytes")));
                }
                let mut key = Self::empty();
                key.0.copy_from_slice(bytes);
                Ok(key)
            }

            /// A fresh key.
            ///
            /// # Errors
            /// [`Error::Machine`] if there is no entropy.
            pub fn generate(random: &mut dyn Random) -> Result<Self> {
                // Filled where it stays, so that no copy is left behind.
                let mut key = Self::empty();
                random.fill(key.0.as_mut_slice())?;
                Ok(key)
            }

            /// The secret itself. Do not copy it into anything that is not zeroized.
            pub fn expose(&self) -> &[u8; KEY_LENGTH] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(secret)"))
            }
        }

        impl Zeroize for $name {
            fn zeroize(&mut self) {
                self.0.as_mut_slice().zeroize();
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.zeroize();
            }
        }

        impl ZeroizeOnDrop for $name {}

        impl ConstantTimeEq for $name {
            fn ct_eq(&self, other: &Self) -> Choice {
                self.0.as_slice().ct_eq(other.0.as_slice())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.ct_eq(other).into()
            }
        }

        impl Eq for $name {}
    };
}

secret_key! {
    /// A working key (WK): made by a key service, seals the data keys of one domain. Zeroized when dropped.
    WorkingKey
}

secret_key! {
    /// A data key (DEK): random, of one object or one multipart upload. Zeroized when dropped.
    DataKey
}

macro_rules! identifier {
    ($(#[$documentation:meta])* $name:ident, $length:expr) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Takes the bytes as they are stored.
            pub fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes as they are stored.
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// Reads lower-case hexadecimal digits, exactly as many as `Display` writes.
            fn from_str(text: &str) -> Result<Self> {
                HEXLOWER
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| {
                        Error::stored(concat!(stringify!($name), " is not the right number of lower-case hexadecimal digits"))
                    })
            }
        }
    };
}

identifier! {
    /// The random identifier of a working key (`wk_id`). Written in 32 lower-case hexadecimal digits.
    WorkingKeyId, 16
}

identifier! {
    /// The random identifier of an object, the same for every copy that shares its data key.
    ObjectId, OBJECT_ID_LENGTH
}

identifier! {
    /// One try at uploading one part: 16 random bytes, so that two tries never share a body key.
    AttemptId, 16
}

identifier! {
    /// A short name of a key in a key service, as it stands in a wrap.
    KeyReference, 8
}

identifier! {
    /// SHA-256 of the upload id that the storage gave a multipart upload. Written in 64 lower-case hexadecimal digits.
    UploadHash, 32
}

impl UploadHash {
    /// The hash of an upload id's text.
    pub fn of(upload_id: &str) -> Self {
        Self(Sha256::digest(upload_id.as_bytes()).into())
    }
}

impl WorkingKeyId {
    /// A fresh random identifier.
    ///
    /// # Errors
    /// [`Error::Machine`] if there is no entropy.
    pub fn generate(random: &mut dyn Random) -> Result<Self> {
        random_array(random).map(Self)
    }
}

impl ObjectId {
    /// A fresh random identifier.
    ///
    /// # Errors
    /// [`Error::Machine`] if there is no entropy.
    pub fn generate(random: &mut dyn Random) -> Result<Self> {
        random_array(random).map(Self)
    }
}

impl AttemptId {
    /// A fresh random identifier.
    ///
    /// # Errors
    /// [`Error::Machine`] if there is no entropy.
    pub fn generate(random: &mut dyn Random) -> Result<Self> {
        random_array(random).map(Self)
    }
}

impl KeyReference {
    /// The reference of the key `key_name` of `provider`: the first 8 bytes of
    /// SHA-256(lp(provider name) ‖ lp(key name)).
    ///
    /// `key_name` is the ARN of an AWS KMS key (never an alias), or the key id of a local key file.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an unknown provider, which has no name, or a key name over 4 GiB.
    pub fn of(provider: Provider, key_name: &str) -> Result<Self> {
        let provider_name = provider
            .name()
            .ok_or_else(|| Error::misuse("an unknown key provider has no name to refer to"))?;
        let mut hash = Sha256::new();
        for text in [provider_name, key_name] {
            let length = u32::try_from(text.len())
                .map_err(|_| Error::misuse("the name of a key is too long"))?;
            hash.update(length.to_be_bytes());
            hash.update(text.as_bytes());
        }
        let mut reference = [0; 8];
        for (to, from) in reference.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Ok(Self(reference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    #[test]
    fn secrets_do_not_show_in_debug() {
        let key = WorkingKey::from_bytes([0xab; 32]);
        let shown = format!("{key:?}").to_lowercase();
        assert!(!shown.contains("ab") && !shown.contains("171"), "{shown}");
    }

    #[test]
    fn keys_must_have_32_bytes() {
        assert!(DataKey::from_slice(&[1; 31]).is_err());
        assert!(DataKey::from_slice(&[1; 33]).is_err());
        assert_eq!(
            DataKey::from_slice(&[1; 32]).unwrap(),
            DataKey::from_bytes([1; 32])
        );
    }

    #[test]
    fn identifiers_round_trip_through_text_and_only_canonical_text() {
        let id = ObjectId::generate(&mut OsRandom).unwrap();
        assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        assert!("AB".repeat(16).parse::<ObjectId>().is_err());
        assert!("ab".repeat(15).parse::<ObjectId>().is_err());
    }

    #[test]
    fn references_depend_on_provider_and_name() {
        let first = KeyReference::of(Provider::AwsKms, "key").unwrap();
        assert_ne!(first, KeyReference::of(Provider::Local, "key").unwrap());
        assert_ne!(first, KeyReference::of(Provider::AwsKms, "kez").unwrap());
    }
}
