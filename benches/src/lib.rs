//! What the benchmarks share: a sample object.

use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::{AttemptId, Backend, DataKey, ObjectId, Result, Suite};

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
