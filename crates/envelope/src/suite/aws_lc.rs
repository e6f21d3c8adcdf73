//! The suites as aws-lc-rs computes them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::{Aead, NONCE_LENGTH, Suite, TAG_LENGTH, forged, no_room};
use crate::error::{Error, Result};
use crate::keys::KEY_LENGTH;

/// A key inside the AWS-LC module, which clears it when it is freed.
pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn new(suite: Suite, key: &[u8; KEY_LENGTH]) -> Result<Self> {
        let algorithm = match suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        UnboundKey::new(algorithm, key)
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| Error::machine("AWS-LC refused a 32-byte key"))
    }
}

impl Aead for Key {
    fn seal(&self, nonce: &[u8; NONCE_LENGTH], aad: &[u8], buffer: &mut [u8]) -> Result<()> {
        let (plaintext, room) = buffer
            .split_last_chunk_mut::<TAG_LENGTH>()
            .ok_or_else(no_room)?;
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(aad),
                plaintext,
            )
            .map_err(|_| Error::machine("AWS-LC failed to seal"))?;
        room.copy_from_slice(tag.as_ref());
        Ok(())
    }

    fn open<'b>(
        &self,
        nonce: &[u8; NONCE_LENGTH],
        aad: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8]> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), buffer)
            .map_err(|_| forged())
    }
}
