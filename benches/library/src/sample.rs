//! A header as the gateway writes it, and what it takes to make more of them.

use sealgate_envelope::header::{HeaderBuilder, HeaderKey, SealedHeader};
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::object::Body;
use sealgate_envelope::{
    Backend, Domain, KeyReference, OsRandom, Place, Provider, Result, Suite, WorkingKey,
    WorkingKeyId, Wrap,
};

/// A working key in memory, as it is for all but the first object.
pub struct Keys {
    id: WorkingKeyId,
    key: WorkingKey,
    wraps: [Wrap; 1],
    domain: Domain,
}

impl Keys {
    /// A fresh one, wrapped as by AWS KMS.
    ///
    /// # Errors
    /// Without entropy.
    pub fn new() -> Result<Self> {
        Ok(Self {
            id: WorkingKeyId::generate(&mut OsRandom)?,
            key: WorkingKey::generate(&mut OsRandom)?,
            wraps: [Wrap::new(
                Provider::AwsKms,
                KeyReference::from_bytes([1; 8]),
                vec![2; 184],
            )?],
            domain: Domain::new("deployment/bucket")?,
        })
    }

    /// The working key.
    pub fn key(&self) -> &WorkingKey {
        &self.key
    }

    /// Where the object lies.
    ///
    /// # Errors
    /// None in practice: the key is allowed.
    pub fn place(&self) -> Result<Place<'_>> {
        Place::new(&self.domain, "photographs/2026/one.jpeg")
    }

    /// Seals a header with some metadata: 66 bytes more than without.
    ///
    /// # Errors
    /// Without entropy.
    pub fn seal(&self, suite: Suite, backend: Backend, body: Body) -> Result<SealedHeader> {
        let mut metadata = Metadata::new();
        metadata.insert("content-type", "application/json")?;
        metadata.insert("checksum-crc64nvme", [7; 8])?;
        metadata.insert_user("owner", "somebody")?;
        let key = HeaderKey {
            id: self.id,
            key: &self.key,
            wraps: &self.wraps,
        };
        HeaderBuilder::new(self.place()?, key, 1_764_000_000_000)
            .metadata(metadata)
            .suite(suite)
            .backend(backend)
            .seal(body, &mut OsRandom)
    }
}
