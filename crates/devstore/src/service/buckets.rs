//! ListBuckets, CreateBucket, HeadBucket, GetBucketLocation, GetBucketVersioning, DeleteBucket.

use std::ops::Bound;

use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
    DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answer;
use crate::index::View;
use crate::index::records::BucketRecord;
use crate::store::{Demand, Store};

/// The region of buckets that were made without one.
const DEFAULT_REGION: &str = "us-east-1";

pub(super) async fn list(
    store: &Store,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let input = request.input;
    let limit = match input.max_buckets {
        None => usize::MAX,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=10_000).contains(limit))
            .ok_or_else(|| {
                s3_error!(InvalidArgument, "max-buckets must lie between 1 and 10000")
            })?,
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.unwrap_or_default();
    let region = input.bucket_region;
    let mut found = store.run(|shared| Ok(shared.read()?.buckets()?)).await?;
    found.retain(|(name, record)| {
        let wanted = region
            .as_deref()
            .is_none_or(|region| region == record_region(record));
        name.starts_with(&prefix) && *name > after && wanted
    });
    let more = found.len() > limit;
    found.truncate(limit);
    let continuation_token = found.last().filter(|_| more).map(|(name, _)| name.clone());
    let buckets = found.into_iter().map(|(name, record)| Bucket {
        bucket_region: Some(record_region(&record).to_owned()),
        creation_date: answer::timestamp(record.created),
        name: Some(name),
    });
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token,
        owner: Some(answer::owner()),
        prefix: input.prefix,
    }))
}

fn record_region(record: &BucketRecord) -> &str {
    record.location.as_deref().unwrap_or(DEFAULT_REGION)
}

pub(super) async fn create(
    store: &Store,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let input = request.input;
    if input.object_lock_enabled_for_bucket.unwrap_or(false) {
        return Err(s3_error!(NotImplemented, "This store has no Object Lock"));
    }
    let location = input
        .create_bucket_configuration
        .and_then(|configuration| configuration.location_constraint);
    let location = location
        .map(|constraint| constraint.as_str().to_owned())
        .filter(|name| !name.is_empty());
    let output = CreateBucketOutput {
        location: Some(format!("/{}", input.bucket)),
    };
    let record = BucketRecord {
        created: answer::now(),
        location: location.filter(|name| name != DEFAULT_REGION),
    };
    store
        .run(move |shared| {
            shared.change(|change| {
                if change.bucket(&input.bucket)?.is_some() {
                    return Err(s3_error!(
                        BucketAlreadyOwnedByYou,
                        "Your previous request to create the named bucket succeeded and you already own it."
                    ));
                }
                Ok(change.put_bucket(&input.bucket, &record)?)
            })
        })
        .await?;
    Ok(S3Response::new(output))
}

pub(super) async fn head(
    store: &Store,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let record = find(store, request.input.bucket).await?;
    let bucket_region = Some(record_region(&record).to_owned());
    Ok(S3Response::new(HeadBucketOutput {
        bucket_region,
        ..Default::default()
    }))
}

pub(super) async fn location(
    store: &Store,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let record = find(store, request.input.bucket).await?;
    let location_constraint = record.location.map(BucketLocationConstraint::from);
    Ok(S3Response::new(GetBucketLocationOutput {
        location_constraint,
    }))
}

/// Versioning was never turned on here, which S3 says with an empty answer.
pub(super) async fn versioning(
    store: &Store,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    find(store, request.input.bucket).await?;
    Ok(S3Response::new(GetBucketVersioningOutput::default()))
}

async fn find(store: &Store, bucket: String) -> S3Result<BucketRecord> {
    let found = store
        .run(move |shared| Ok(shared.read()?.bucket(&bucket)?))
        .await?;
    found.ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
}

/// Unfinished uploads do not keep a bucket; they go with it.
pub(super) async fn delete(
    store: &Store,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let bucket = request.input.bucket;
    store
        .run(move |shared| {
            shared.change(|change| {
                change.demand_bucket(&bucket)?;
                if !change.is_empty(&bucket)? {
                    return Err(s3_error!(
                        BucketNotEmpty,
                        "The bucket you tried to delete is not empty"
                    ));
                }
                while let Some((key, upload, _)) = change.next_upload(&bucket, Bound::Unbounded)? {
                    change.remove_upload(&bucket, &String::from_utf8_lossy(&key), &upload, &[])?;
                }
                Ok(change.remove_bucket(&bucket)?)
            })
        })
        .await?;
    Ok(S3Response::new(DeleteBucketOutput {}))
}
