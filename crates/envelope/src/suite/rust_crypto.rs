//! The suites as RustCrypto's crates compute them, in pure Rust.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;

use super::{Aead, NONCE_LENGTH, Suite, TAG_LENGTH, forged, no_room};
use crate::error::{Error, Result};
use crate::keys::KEY_LENGTH;

/// A key of either algorithm; the crates' `zeroize` features clear it when it is dropped.
struct Key<A>(A);

pub(super) fn key(suite: Suite, key: &[u8; KEY_LENGTH]) -> Box<dyn Aead> {
    match suite {
        Suite::Aes256Gcm => Box::new(Key(Aes256Gcm::new(key.into()))),
        Suite::ChaCha20Poly1305 => Box::new(Key(ChaCha20Poly1305::new(key.into()))),
    }
}

macro_rules! in_place {
    ($algorithm:ty) => {
        impl Aead for Key<$algorithm> {
            fn seal(
                &self,
                nonce: &[u8; NONCE_LENGTH],
                aad: &[u8],
                buffer: &mut [u8],
            ) -> Result<()> {
                let (plaintext, room) = buffer
                    .split_last_chunk_mut::<TAG_LENGTH>()
                    .ok_or_else(no_room)?;
                let tag = self
                    .0
                    .encrypt_inout_detached(nonce.into(), aad, plaintext.into())
                    .map_err(|_| {
                        Error::misuse("the plaintext is too long for one AEAD operation")
                    })?;
                room.copy_from_slice(&tag);
                Ok(())
            }

            fn open<'b>(
                &self,
                nonce: &[u8; NONCE_LENGTH],
                aad: &[u8],
                buffer: &'b mut [u8],
            ) -> Result<&'b mut [u8]> {
                let (ciphertext, tag) = buffer
                    .split_last_chunk_mut::<TAG_LENGTH>()
                    .ok_or_else(forged)?;
                self.0
                    .decrypt_inout_detached(
                        nonce.into(),
                        aad,
                        (&mut *ciphertext).into(),
                        (&*tag).into(),
                    )
                    .map_err(|_| forged())?;
                Ok(ciphertext)
            }
        }
    };
}

in_place!(Aes256Gcm);
in_place!(ChaCha20Poly1305);
