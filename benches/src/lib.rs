//! What the benchmarks share: sample objects.

use sealgate_envelope::header::{Header, HeaderBuilder, HeaderKey};
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::{
    AttemptId, Backend, DataKey, Domain, KeyReference, ObjectId, OsRandom, Place, Provider, Result,
    Suite, WorkingKey, WorkingKeyId, Wrap,
};

/// The secrets of a multipart object, and the identifier of a part of it.
///
/// # Errors
/// None in practice: the part's number is allowed.
pub fn part(suite: Suite, backend: Backend) -> Result<(ObjectSecrets, PartId)> {
    let object = ObjectSecrets::new(
        DataKey::from_bytes([1; 32]),
        suite,
        ObjectId::from_bytes([2; 16]),
        Body::Multipart,
    );
    let id = PartId::multipart(1, AttemptId::from_bytes([3; 16]))?;
    Ok((object.with_backend(backend), id))
}

/// A header as the gateway writes it, with its working key and domain; its object key is `key`.
///
/// # Errors
/// [`sealgate_envelope::Error::Machine`] without entropy.
pub fn header() -> Result<(Header, WorkingKey, Domain)> {
    let key = WorkingKey::generate(&mut OsRandom)?;
    let domain = Domain::new("deployment/bucket")?;
    let wraps = [Wrap::new(
        Provider::AwsKms,
        KeyReference::from_bytes([1; 8]),
        vec![2; 184],
    )?];
    let header_key = HeaderKey {
        id: WorkingKeyId::generate(&mut OsRandom)?,
        key: &key,
        wraps: &wraps,
    };
    let mut metadata = Metadata::new();
    metadata.insert("content-type", "application/json")?;
    metadata.insert("checksum-crc64nvme", [7; 8])?;
    metadata.insert_user("owner", "somebody")?;
    let body = Body::Single {
        plaintext_length: 1 << 20,
    };
    let sealed = HeaderBuilder::new(Place::new(&domain, "key")?, header_key, 0)
        .metadata(metadata)
        .seal(body, &mut OsRandom)?;
    Ok((sealed.header, key, domain))
}
