//! What the fuzz targets share: secrets, plaintext and signatures that are fixed, so that an input means the same in every run.

#![forbid(unsafe_code)]

use sealgate_envelope::object::{Body, ObjectSecrets};
use sealgate_envelope::{
    DataKey, Domain, ObjectId, Random, Result, Suite, UploadHash, WorkingKey, WorkingKeyId,
};

#[cfg(feature = "gateway")]
pub mod chunks;
#[cfg(feature = "gateway")]
pub mod documents;
#[cfg(feature = "gateway")]
pub mod key_server;

/// Nonces that count up from one: for sealing the same bytes in every run, never for anything secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingRandom(u8);

impl Random for CountingRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.0 = self.0.wrapping_add(1);
        bytes.fill(self.0);
        Ok(())
    }
}

/// The secrets of the one object that seeds were sealed for.
pub fn object(body: Body) -> ObjectSecrets {
    object_with_id(ObjectId::from_bytes([0x22; 16]), body)
}

/// As [`object`], for a header with an identifier of its own.
pub fn object_with_id(id: ObjectId, body: Body) -> ObjectSecrets {
    ObjectSecrets::new(DataKey::from_bytes([0x11; 32]), Suite::Aes256Gcm, id, body)
}

/// The working key that seeds were sealed under, and its identifier.
pub fn working_key() -> (WorkingKeyId, WorkingKey) {
    (
        WorkingKeyId::from_bytes([0x33; 16]),
        WorkingKey::from_bytes([0x44; 32]),
    )
}

/// The domain of the seeds.
///
/// # Panics
/// Never: the name is allowed.
pub fn domain() -> Domain {
    Domain::new("fuzz/bucket").expect("an allowed domain")
}

/// The upload id of the seeds.
pub const UPLOAD_ID: &str = "upload-1";

/// Its hash.
pub fn upload() -> UploadHash {
    UploadHash::of(UPLOAD_ID)
}
