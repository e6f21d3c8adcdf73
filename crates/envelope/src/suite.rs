//! The AEADs behind one trait, from two backends (FORMAT.md, section 1, "Suites").

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(feature = "rustcrypto")]
mod rust_crypto;

use crate::error::{Error, Result};
use crate::keys::KEY_LENGTH;

#[cfg(not(any(feature = "aws-lc", feature = "rustcrypto")))]
compile_error!(
    "sealgate-envelope needs an AEAD backend: enable the feature `aws-lc` or `rustcrypto`"
);

/// Length in bytes of a nonce, in both suites.
pub const NONCE_LENGTH: usize = 12;

/// Length in bytes of an authentication tag, in both suites.
pub const TAG_LENGTH: usize = 16;

/// The algorithm that seals an object. Its number stands in the header and in every label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Suite {
    /// AES-256-GCM (NIST SP 800-38D): the fastest wherever the processor has AES instructions.
    #[default]
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 8439): fast and constant-time in plain software.
    ChaCha20Poly1305,
}

impl Suite {
    /// Every suite of this version.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// The suite of this number.
    ///
    /// # Errors
    /// [`Error::Stored`] if there is none.
    pub fn from_code(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::Aes256Gcm),
            2 => Ok(Self::ChaCha20Poly1305),
            _ => Err(Error::stored(format!("suite {code} is unknown"))),
        }
    }

    /// The number that is stored.
    pub fn code(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }
}

/// The library that computes a [`Suite`]. Both give the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Backend {
    /// aws-lc-rs: assembly for every usual processor.
    #[cfg(feature = "aws-lc")]
    AwsLc,
    /// RustCrypto: pure Rust.
    #[cfg(feature = "rustcrypto")]
    RustCrypto,
}

impl Backend {
    /// Every backend that is compiled in, the default one first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "aws-lc")]
        Self::AwsLc,
        #[cfg(feature = "rustcrypto")]
        Self::RustCrypto,
    ];
}

impl Default for Backend {
    /// AWS-LC where it is compiled in.
    fn default() -> Self {
        #[cfg(feature = "aws-lc")]
        return Self::AwsLc;
        #[cfg(all(feature = "rustcrypto", not(feature = "aws-lc")))]
        return Self::RustCrypto;
    }
}

/// A key, ready to seal and open in place.
pub trait Aead: Send + Sync {
    /// Turns `buffer`, plaintext ‖ 16 bytes of room, into ciphertext ‖ tag.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the buffer has no room for the tag; [`Error::Machine`] if the module fails.
    fn seal(&self, nonce: &[u8; NONCE_LENGTH], aad: &[u8], buffer: &mut [u8]) -> Result<()>;

    /// Turns `buffer`, ciphertext ‖ tag, into plaintext ‖ 16 bytes without meaning, and returns the plaintext.
    ///
    /// # Errors
    /// [`Error::Stored`] if it is not authentic. The content of `buffer` must not be used then.
    fn open<'b>(
        &self,
        nonce: &[u8; NONCE_LENGTH],
        aad: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8]>;
}

/// Prepares `key` for `suite`, computed by `backend`.
///
/// # Errors
/// [`Error::Machine`] if the cryptographic module refuses.
pub fn aead(suite: Suite, backend: Backend, key: &[u8; KEY_LENGTH]) -> Result<Box<dyn Aead>> {
    match backend {
        #[cfg(feature = "aws-lc")]
        Backend::AwsLc => Ok(Box::new(aws_lc::Key::new(suite, key)?)),
        #[cfg(feature = "rustcrypto")]
        Backend::RustCrypto => Ok(rust_crypto::key(suite, key)),
    }
}

/// `SEAL(key, nonce, aad, plaintext)` into a new vector.
///
/// # Errors
/// As [`Aead::seal`].
pub(crate) fn seal_to_vec(
    key: &dyn Aead,
    nonce: &[u8; NONCE_LENGTH],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    // The room is reserved first: growing would leave a copy of the plaintext in freed memory.
    let mut buffer = Vec::with_capacity(plaintext.len().saturating_add(TAG_LENGTH));
    buffer.extend_from_slice(plaintext);
    buffer.resize(plaintext.len().saturating_add(TAG_LENGTH), 0);
    key.seal(nonce, aad, &mut buffer)?;
    Ok(buffer)
}

/// The error of an AEAD that found forged data.
pub(crate) fn forged() -> Error {
    Error::stored("an AEAD tag does not verify")
}

/// The error of a buffer without room for a tag.
fn no_room() -> Error {
    Error::misuse("a buffer to be sealed needs 16 bytes of room for the tag")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> impl Iterator<Item = (Suite, Backend)> {
        Suite::ALL
            .into_iter()
            .flat_map(|suite| Backend::ALL.iter().map(move |backend| (suite, *backend)))
    }

    #[test]
    fn codes_round_trip() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_code(suite.code()).unwrap(), suite);
        }
        assert!(Suite::from_code(0).is_err());
        assert!(Suite::from_code(3).is_err());
    }

    #[test]
    fn a_buffer_without_room_is_refused() {
        for (suite, backend) in all() {
            let key = aead(suite, backend, &[1; 32]).unwrap();
            assert!(key.seal(&[0; 12], b"", &mut [0; 15]).is_err());
            assert!(key.open(&[0; 12], b"", &mut [0; 15]).is_err());
        }
    }

    proptest! {
        /// What one backend seals is what every other one seals, and every one opens it; no changed byte opens.
        #[test]
        fn backends_agree(
            key: [u8; 32],
            nonce: [u8; 12],
            aad in proptest::collection::vec(any::<u8>(), 0..40),
            plaintext in proptest::collection::vec(any::<u8>(), 0..300),
            position: prop::sample::Index,
            bit in 0u8..8,
        ) {
            for suite in Suite::ALL {
                let reference = aead(suite, Backend::default(), &key).unwrap();
                let sealed = seal_to_vec(reference.as_ref(), &nonce, &aad, &plaintext).unwrap();
                for backend in Backend::ALL {
                    let other = aead(suite, *backend, &key).unwrap();
                    prop_assert_eq!(&seal_to_vec(other.as_ref(), &nonce, &aad, &plaintext).unwrap(), &sealed);
                    let mut opened = sealed.clone();
                    prop_assert_eq!(&*other.open(&nonce, &aad, &mut opened).unwrap(), &plaintext[..]);
                    let mut forged = sealed.clone();
                    forged[position.index(sealed.len())] ^= 1 << bit;
                    prop_assert!(other.open(&nonce, &aad, &mut forged).is_err());
                }
            }
        }
    }

    /// RFC 8439, section 2.8.2, and test case 16 of the GCM specification (NIST SP 800-38D's test vectors): the
    /// backends agree with the world, not only with each other.
    #[test]
    fn known_answers() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        for backend in Backend::ALL {
            let key: [u8; 32] =
                hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
                    .try_into()
                    .unwrap();
            let nonce: [u8; 12] = hex("070000004041424344454647").try_into().unwrap();
            let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
            let key = aead(Suite::ChaCha20Poly1305, *backend, &key).unwrap();
            let sealed = seal_to_vec(
                key.as_ref(),
                &nonce,
                &hex("50515253c0c1c2c3c4c5c6c7"),
                plaintext,
            )
            .unwrap();
            assert_eq!(
                &sealed[sealed.len() - 16..],
                hex("1ae10b594f09e26a7e902ecbd0600691")
            );

            let key: [u8; 32] =
                hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
                    .try_into()
                    .unwrap();
            let nonce: [u8; 12] = hex("cafebabefacedbaddecaf888").try_into().unwrap();
            let plaintext = hex(
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            );
            let key = aead(Suite::Aes256Gcm, *backend, &key).unwrap();
            let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
            let sealed = seal_to_vec(key.as_ref(), &nonce, &aad, &plaintext).unwrap();
            assert_eq!(
                &sealed[sealed.len() - 16..],
                hex("76fc6ece0f4e1768cddf8853bb2d551b")
            );
        }
    }
}
