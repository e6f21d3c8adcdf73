//! Ciphertext blobs: what Encrypt and GenerateDataKey hand out and Decrypt takes.
//!
//! ```text
//! offset  length  field
//!      0       4  "SGKM"
//!      4       1  version, 1
//!      5       3  zero
//!      8      16  key id
//!     24      32  key material id
//!     56      32  salt
//!     88      12  nonce
//!    100      20  zero
//!    120      16  header tag: HMAC-SHA256 of bytes 0..120 under the server's header key, first 16 bytes
//!    136       n  ciphertext, as long as the plaintext
//!  136+n      16  AES-256-GCM tag
//! ```
//!
//! The message key is HKDF-Expand-SHA256 (RFC 5869) of the key material with a label and the salt, so the number of
//! messages under one key is not bounded by the length of the nonce. Additional data are the 136 bytes of the header and
//! the canonical encryption context. The zero bytes bring a wrapped 32-byte key to the 184 bytes that it has on AWS.

use aws_lc_rs::{aead, hkdf, hmac};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::encryption_context::EncryptionContext;
use crate::error::KmsError;
use crate::material::{Material, MaterialId, fill_random};

const MAGIC: [u8; 4] = *b"SGKM";
const VERSION: u8 = 1;
const MESSAGE_KEY_LABEL: &[u8] = b"sealgate-kms-mock/1 message key";
const HEADER_LENGTH: usize = 136;
const TAG_LENGTH: usize = 16;

/// Length of the server's header key in bytes.
pub(crate) const HEADER_KEY_LENGTH: usize = 32;

/// Bytes that a blob has beyond its plaintext.
pub(crate) const OVERHEAD: usize = HEADER_LENGTH + TAG_LENGTH;

/// Authenticates headers. It tells a blob of this server, whose key may have been deleted, from a damaged one.
pub(crate) struct HeaderKey(Zeroizing<[u8; HEADER_KEY_LENGTH]>);

impl HeaderKey {
    pub(crate) fn new(bytes: Zeroizing<[u8; HEADER_KEY_LENGTH]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn generate() -> Result<Self, KmsError> {
        let mut bytes = Zeroizing::new([0; HEADER_KEY_LENGTH]);
        fill_random(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; HEADER_KEY_LENGTH] {
        &self.0
    }

    fn tag(&self, fields: &[u8; 120]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref()), fields)
    }
}

/// The header of a blob, in its 136 bytes.
struct Header {
    key: [u8; 16],
    material: [u8; 32],
    salt: [u8; 32],
    nonce: [u8; 12],
}

impl Header {
    fn fields(&self) -> [u8; 120] {
        let mut bytes = [0; 120];
        let parts: [&[u8]; 7] = [
            &MAGIC,
            &[VERSION],
            &[0; 3],
            &self.key,
            &self.material,
            &self.salt,
            &self.nonce,
        ];
        bytes
            .iter_mut()
            .zip(parts.into_iter().flatten())
            .for_each(|(to, from)| *to = *from);
        bytes
    }
}

/// A blob whose header is authentic: made by this server, and undamaged up to its ciphertext.
pub(crate) struct Blob<'a> {
    header_bytes: &'a [u8],
    header: Header,
    sealed: &'a [u8],
}

impl<'a> Blob<'a> {
    /// Reads a blob and authenticates its header.
    ///
    /// # Errors
    ///
    /// `InvalidCiphertextException` when it is not a blob of this server or its header was changed.
    pub(crate) fn parse(bytes: &'a [u8], header_key: &HeaderKey) -> Result<Self, KmsError> {
        let too_short = || KmsError::invalid_ciphertext("too short");
        let (fields, rest) = bytes.split_first_chunk::<120>().ok_or_else(too_short)?;
        let (tag, sealed) = rest
            .split_first_chunk::<TAG_LENGTH>()
            .ok_or_else(too_short)?;
        if sealed.len() <= TAG_LENGTH {
            return Err(too_short());
        }
        let expected = header_key.tag(fields);
        let expected = expected.as_ref().first_chunk::<TAG_LENGTH>();
        if !expected.is_some_and(|expected| bool::from(expected.ct_eq(tag))) {
            return Err(KmsError::invalid_ciphertext("header tag"));
        }
        let header = Header {
            key: part(fields, 8),
            material: part(fields, 24),
            salt: part(fields, 56),
            nonce: part(fields, 88),
        };
        // Nothing but this layout has ever been authenticated; the comparison keeps a later version from being misread.
        if header.fields() != *fields {
            return Err(KmsError::invalid_ciphertext("unknown version"));
        }
        let header_bytes = bytes.get(..HEADER_LENGTH).ok_or_else(too_short)?;
        Ok(Self {
            header_bytes,
            header,
            sealed,
        })
    }

    pub(crate) fn key_id(&self) -> Uuid {
        Uuid::from_bytes(self.header.key)
    }

    pub(crate) fn material_id(&self) -> MaterialId {
        MaterialId(self.header.material)
    }

    /// Opens the blob.
    ///
    /// # Errors
    ///
    /// `InvalidCiphertextException` when the ciphertext was changed or the context is not the one it was made with.
    pub(crate) fn open(
        &self,
        material: &Material,
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let refused = || KmsError::invalid_ciphertext("ciphertext or encryption context");
        let key = message_key(material, &self.header.salt)?;
        let mut buffer = Zeroizing::new(self.sealed.to_vec());
        let length = key
            .open_in_place(
                aead::Nonce::assume_unique_for_key(self.header.nonce),
                aead::Aad::from(additional_data(self.header_bytes, context)),
                &mut buffer,
            )
            .map_err(|_| refused())?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// Seals a plaintext under key material and an encryption context.
///
/// # Errors
///
/// `KMSInternalException` when the random generator or the cipher fails.
pub(crate) fn seal(
    key: Uuid,
    material: &Material,
    header_key: &HeaderKey,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Vec<u8>, KmsError> {
    let mut header = Header {
        key: *key.as_bytes(),
        material: material.id().0,
        salt: [0; 32],
        nonce: [0; 12],
    };
    fill_random(&mut header.salt)?;
    fill_random(&mut header.nonce)?;

    let mut blob = Vec::with_capacity(OVERHEAD + plaintext.len());
    let fields = header.fields();
    blob.extend_from_slice(&fields);
    blob.extend(header_key.tag(&fields).as_ref().iter().take(TAG_LENGTH));
    let aad = additional_data(&blob, context);

    let mut buffer = Zeroizing::new(Vec::with_capacity(plaintext.len()));
    buffer.extend_from_slice(plaintext);
    let tag = message_key(material, &header.salt)?
        .seal_in_place_separate_tag(
            aead::Nonce::assume_unique_for_key(header.nonce),
            aead::Aad::from(aad),
            buffer.as_mut_slice(),
        )
        .map_err(|_| KmsError::internal("AES-256-GCM refused to seal"))?;
    blob.extend_from_slice(&buffer);
    blob.extend_from_slice(tag.as_ref());
    Ok(blob)
}

fn additional_data(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut data = header.to_vec();
    data.extend_from_slice(&context.canonical_bytes());
    data
}

fn message_key(material: &Material, salt: &[u8; 32]) -> Result<aead::LessSafeKey, KmsError> {
    let failed = |_| KmsError::internal("deriving the message key failed");
    let info: [&[u8]; 2] = [MESSAGE_KEY_LABEL, salt];
    let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, material.bytes());
    let key = secret.expand(&info, &aead::AES_256_GCM).map_err(failed)?;
    Ok(aead::LessSafeKey::new(key.into()))
}

/// `LENGTH` bytes of the fields from an offset; offset and length are constants inside the 120 bytes.
fn part<const LENGTH: usize>(fields: &[u8; 120], offset: usize) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes
        .iter_mut()
        .zip(fields.iter().skip(offset))
        .for_each(|(to, from)| *to = *from);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorCode;

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        let pairs: BTreeMap<_, _> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        EncryptionContext::new(Some(pairs), "encryptionContext").unwrap()
    }

    struct Keys {
        id: Uuid,
        material: Material,
        header: HeaderKey,
    }

    fn keys() -> Keys {
        let id = Uuid::from_bytes([9; 16]);
        Keys {
            id,
            material: Material::generate(id).unwrap(),
            header: HeaderKey::generate().unwrap(),
        }
    }

    impl Keys {
        fn seal(&self, pairs: &[(&str, &str)], plaintext: &[u8]) -> Vec<u8> {
            seal(
                self.id,
                &self.material,
                &self.header,
                &context(pairs),
                plaintext,
            )
            .unwrap()
        }

        fn open(&self, pairs: &[(&str, &str)], blob: &[u8]) -> Result<Vec<u8>, ErrorCode> {
            let open = |blob: &[u8]| {
                Blob::parse(blob, &self.header)?.open(&self.material, &context(pairs))
            };
            open(blob)
                .map(|plaintext| plaintext.to_vec())
                .map_err(|error| error.code())
        }
    }

    #[test]
    fn a_wrapped_data_key_is_as_long_as_on_aws() {
        assert_eq!(keys().seal(&[], &[7; 32]).len(), 184);
    }

    #[test]
    fn context_is_exact_and_not_in_the_blob() {
        let keys = keys();
        let blob = keys.seal(&[("Bucket", "secret-bucket"), ("a", "b")], b"data key");
        assert!(!blob.windows(13).any(|window| window == b"secret-bucket"));
        assert_eq!(
            keys.open(&[("a", "b"), ("Bucket", "secret-bucket")], &blob)
                .unwrap(),
            b"data key"
        );
        for wrong in [
            &[("Bucket", "secret-bucket")][..],
            &[("bucket", "secret-bucket"), ("a", "b")],
            &[],
        ] {
            assert_eq!(keys.open(wrong, &blob), Err(ErrorCode::InvalidCiphertext));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let keys = keys();
        let blob = keys.seal(&[("a", "b")], b"data key");
        for position in 0..blob.len() {
            let mut changed = blob.clone();
            changed[position] ^= 1;
            assert_eq!(
                keys.open(&[("a", "b")], &changed),
                Err(ErrorCode::InvalidCiphertext),
                "byte {position}"
            );
        }
        for length in 0..blob.len() {
            assert_eq!(
                keys.open(&[("a", "b")], &blob[..length]),
                Err(ErrorCode::InvalidCiphertext),
                "length {length}"
            );
        }
    }

    #[test]
    fn a_blob_of_another_server_is_refused() {
        let blob = keys().seal(&[], b"data key");
        assert_eq!(keys().open(&[], &blob), Err(ErrorCode::InvalidCiphertext));
    }

    proptest! {
        #[test]
        fn opens_what_was_sealed(plaintext in proptest::collection::vec(any::<u8>(), 1..300)) {
            let keys = keys();
            let blob = keys.seal(&[("n", "v")], &plaintext);
            prop_assert_eq!(blob.len(), plaintext.len() + OVERHEAD);
            prop_assert_eq!(keys.open(&[("n", "v")], &blob).unwrap(), plaintext);
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(keys().open(&[], &bytes), Err(ErrorCode::InvalidCiphertext));
        }
    }
}
