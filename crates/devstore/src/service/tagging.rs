//! Tags of objects, and what there is to say about versions: nothing.

use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use s3s::{S3Request, S3Response, S3Result};

use super::answer::check_version;
use super::attributes::tags_of;
use crate::store::{Demand, Store};

pub(super) async fn get(
    store: &Store,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    let record = store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&input.bucket)?;
            snapshot.demand_object(&input.bucket, &input.key)
        })
        .await?;
    let tags = record.attributes.tags.into_iter();
    let tag_set = tags
        .map(|(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        })
        .collect();
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set,
        version_id: None,
    }))
}

pub(super) async fn put(
    store: &Store,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    replace(
        store,
        input.bucket,
        input.key,
        tags_of(input.tagging.tag_set)?,
    )
    .await?;
    Ok(S3Response::new(PutObjectTaggingOutput::default()))
}

pub(super) async fn delete(
    store: &Store,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    replace(store, input.bucket, input.key, Vec::new()).await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput::default()))
}

/// Tags are no part of the object's state: neither ETag nor time change.
async fn replace(
    store: &Store,
    bucket: String,
    key: String,
    tags: Vec<(String, String)>,
) -> S3Result<()> {
    store
        .run(move |shared| {
            shared.change(|change| {
                change.demand_bucket(&bucket)?;
                let mut record = change.demand_object(&bucket, &key)?;
                record.attributes.tags = tags;
                Ok(change.put_object_record(&bucket, &key, &record)?)
            })
        })
        .await
}
