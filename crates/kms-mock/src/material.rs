//! Key material: 256 random bits, and its public identifier.

use std::fmt;

use aws_lc_rs::{hmac, rand};
use data_encoding::HEXLOWER;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::KmsError;

/// Length of key material in bytes: AES-256.
pub(crate) const MATERIAL_LENGTH: usize = 32;

/// Separates the identifier from every other use of the material.
const IDENTIFIER_LABEL: &[u8] = b"sealgate-kms-mock/1 key material id";

/// Public identifier of key material: 32 bytes, written as 64 hexadecimal digits in `KeyMaterialId`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MaterialId(pub(crate) [u8; 32]);

impl fmt::Display for MaterialId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Secret key material, erased from memory when dropped.
pub(crate) struct Material {
    id: MaterialId,
    bytes: Zeroizing<[u8; MATERIAL_LENGTH]>,
}

impl Material {
    /// Fresh random material for a key.
    ///
    /// # Errors
    ///
    /// `KMSInternalException` when the random generator fails.
    pub(crate) fn generate(key: Uuid) -> Result<Self, KmsError> {
        let mut bytes = Zeroizing::new([0; MATERIAL_LENGTH]);
        fill_random(bytes.as_mut())?;
        Ok(Self::new(key, bytes))
    }

    /// Known material of a key, as it comes from the state file.
    pub(crate) fn new(key: Uuid, bytes: Zeroizing<[u8; MATERIAL_LENGTH]>) -> Self {
        // A keyed hash of public data: it identifies the material and the key it belongs to, and tells nothing of it.
        let mut context =
            hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref()));
        context.update(IDENTIFIER_LABEL);
        context.update(key.as_bytes());
        let mut id = [0; 32];
        id.iter_mut()
            .zip(context.sign().as_ref())
            .for_each(|(to, from)| *to = *from);
        Self {
            id: MaterialId(id),
            bytes,
        }
    }

    pub(crate) fn id(&self) -> MaterialId {
        self.id
    }

    pub(crate) fn bytes(&self) -> &[u8; MATERIAL_LENGTH] {
        &self.bytes
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Material")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Fills a buffer with random bytes.
///
/// # Errors
///
/// `KMSInternalException` when the random generator fails.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), KmsError> {
    rand::fill(bytes).map_err(|_| KmsError::internal("the random generator failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_depends_on_material_and_key() {
        let key = Uuid::from_bytes([1; 16]);
        let id = |key, byte| Material::new(key, Zeroizing::new([byte; 32])).id();
        assert_eq!(id(key, 7), id(key, 7));
        assert_ne!(id(key, 7), id(key, 8));
        assert_ne!(id(key, 7), id(Uuid::from_bytes([2; 16]), 7));
        assert_eq!(id(key, 7).to_string().len(), 64);
    }

    #[test]
    fn debug_does_not_tell_the_material() {
        let text = format!(
            "{:?}",
            Material::new(Uuid::nil(), Zeroizing::new([0xab; 32]))
        );
        assert!(!text.contains("171, 171"), "{text}");
    }
}
