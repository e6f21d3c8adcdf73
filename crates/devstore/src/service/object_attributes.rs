//! GetObjectAttributes.

use s3s::dto::{
    GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result};

use super::answer::{self, check_version};
use crate::store::{Demand, Store};

/// Parts are only counted: their sizes and checksums are listed by S3 for some algorithms alone, and
/// `partNumber` reads tell the sizes.
pub(super) async fn get(
    store: &Store,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    let (bucket, key) = (input.bucket, input.key);
    let record = store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&bucket)?;
            snapshot.demand_object(&bucket, &key)
        })
        .await?;
    let asked = |name: &str| {
        // s3s leaves a header with several names in one piece.
        let headers = input.object_attributes.iter();
        let mut names = headers.flat_map(|header| header.as_str().split(','));
        names.any(|found| found.trim() == name).then_some(())
    };
    let count = record.parts.and_then(|parts| i32::try_from(parts).ok());
    let class = record.attributes.storage_class.clone();
    let mut checksum = record.checksums.to_dto();
    checksum.checksum_type = Some(record.checksum_kind.to_dto());
    Ok(S3Response::new(GetObjectAttributesOutput {
        checksum: asked(ObjectAttributes::CHECKSUM).map(|()| checksum),
        e_tag: asked(ObjectAttributes::ETAG).map(|()| answer::etag(&record)),
        last_modified: answer::timestamp(record.modified),
        object_parts: asked(ObjectAttributes::OBJECT_PARTS)
            .and(count)
            .map(|total| GetObjectAttributesParts {
                total_parts_count: Some(total),
                ..Default::default()
            }),
        object_size: asked(ObjectAttributes::OBJECT_SIZE).and(answer::signed(record.size)),
        storage_class: asked(ObjectAttributes::STORAGE_CLASS).map(|()| {
            class.map_or(
                StorageClass::from_static(StorageClass::STANDARD),
                StorageClass::from,
            )
        }),
        ..Default::default()
    }))
}
