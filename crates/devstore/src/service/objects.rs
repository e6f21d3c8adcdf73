//! PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects.

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answer::{self, check_version};
use super::attributes::{DEFAULT_CONTENT_TYPE, attributes_of, refuse_protection};
use super::conditions::{ReadConditions, WriteConditions, range_applies};
use super::ranges::{Selection, select};
use super::upload::{Expectation, Received, drain, receive};
use crate::bodies::BodyReader;
use crate::checksum::{ChecksumKind, Checksums, checksums_of, set_checksums};
use crate::index::View;
use crate::index::records::{Attributes, ObjectRecord, Segment};
use crate::limits::MAX_DELETE_KEYS;
use crate::store::{Demand, Store};

/// What a PutObject needs beside its body.
struct PutPlan {
    expectation: Expectation,
    conditions: WriteConditions,
    attributes: Attributes,
}

pub(super) async fn put(
    store: &Store,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let S3Request {
        mut input,
        headers,
        trailing_headers,
        ..
    } = request;
    let body = input.body.take();
    let plan = match plan_put(store, &input, &headers).await {
        Ok(plan) => plan,
        Err(error) => {
            drain(body, &headers).await;
            return Err(error);
        }
    };
    let algorithm = plan.expectation.algorithm().unwrap_or_default();
    let Received { staged, digests } = receive(
        store,
        body,
        &plan.expectation,
        [algorithm],
        trailing_headers.as_ref(),
    )
    .await?;
    let record = ObjectRecord {
        body: None,
        size: staged.length(),
        etag: digests.etag(),
        modified: answer::now(),
        parts: None,
        checksums: digests.checksums,
        checksum_kind: ChecksumKind::FullObject,
        attributes: plan.attributes,
    };
    let mut output = PutObjectOutput {
        e_tag: Some(answer::etag(&record)),
        checksum_type: Some(record.checksum_kind.to_dto()),
        ..Default::default()
    };
    set_checksums!(output, record.checksums);
    let (bucket, key, conditions) = (input.bucket, input.key, plan.conditions);
    store
        .run(move |shared| {
            let file = staged.persist().map_err(s3s::S3Error::internal_error)?;
            shared.change(|change| {
                change.demand_bucket(&bucket)?;
                conditions.check(change.object(&bucket, &key)?.as_ref())?;
                let segments: Vec<Segment> = file
                    .iter()
                    .map(|file| Segment {
                        file: file.id(),
                        length: record.size,
                    })
                    .collect();
                if let Some(file) = file {
                    change.adopt(file);
                }
                Ok(change.put_object(&bucket, &key, record, &segments)?)
            })
        })
        .await?;
    Ok(S3Response::new(output))
}

/// Everything that can be refused before the body is read.
async fn plan_put(
    store: &Store,
    input: &PutObjectInput,
    headers: &http::HeaderMap,
) -> S3Result<PutPlan> {
    if input.write_offset_bytes.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "This store does not append to objects"
        ));
    }
    refuse_protection!(input);
    let attributes = attributes_of!(input)?;
    let conditions = WriteConditions::new(input.if_match.clone(), input.if_none_match.as_ref())?;
    let checksums = checksums_of!(input);
    let expectation = Expectation::new(
        headers,
        input.content_length,
        input.content_md5.as_deref(),
        &checksums,
    )?;
    let (bucket, key, early) = (input.bucket.clone(), input.key.clone(), conditions.clone());
    store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&bucket)?;
            early.check(snapshot.object(&bucket, &key)?.as_ref())
        })
        .await?;
    Ok(PutPlan {
        expectation,
        conditions,
        attributes,
    })
}

/// Fills the fields that GetObjectOutput and HeadObjectOutput share, from an input of either.
macro_rules! describe {
    ($output:ident, $input:expr, $record:expr, $selection:expr) => {{
        let (record, selection): (&ObjectRecord, &Selection) = ($record, $selection);
        let attributes = record.attributes.clone();
        let checksums = if $input.checksum_mode.is_some() && !selection.partial {
            record.checksums.clone()
        } else {
            Checksums::default()
        };
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: answer::signed(selection.length()),
            content_range: selection.content_range(),
            e_tag: Some(answer::etag(record)),
            last_modified: answer::timestamp(record.modified),
            parts_count: $input
                .part_number
                .and(record.parts)
                .and_then(|parts| i32::try_from(parts).ok()),
            metadata: Some(attributes.metadata.into_iter().collect()),
            content_type: $input
                .response_content_type
                .or(attributes.content_type)
                .or_else(|| Some(DEFAULT_CONTENT_TYPE.to_owned())),
            content_encoding: $input
                .response_content_encoding
                .or(attributes.content_encoding),
            content_disposition: $input
                .response_content_disposition
                .or(attributes.content_disposition),
            content_language: $input
                .response_content_language
                .or(attributes.content_language),
            cache_control: $input.response_cache_control.or(attributes.cache_control),
            expires: $input.response_expires.or_else(|| {
                attributes
                    .expires
                    .and_then(|seconds| answer::timestamp(seconds.saturating_mul(1000)))
            }),
            storage_class: attributes.storage_class.map(s3s::dto::StorageClass::from),
            website_redirect_location: attributes.website_redirect,
            checksum_type: (checksums != Checksums::default())
                .then(|| record.checksum_kind.to_dto()),
            ..Default::default()
        };
        set_checksums!(output, checksums);
        output
    }};
}

/// The read conditions of a GetObject or HeadObject.
macro_rules! conditions {
    ($input:expr) => {
        ReadConditions {
            matches: $input.if_match.clone(),
            none_matches: $input.if_none_match.clone(),
            modified_since: $input.if_modified_since.clone(),
            unmodified_since: $input.if_unmodified_since.clone(),
        }
    };
}

pub(super) async fn get(
    store: &Store,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let S3Request { input, headers, .. } = request;
    check_version(input.version_id.as_deref())?;
    store
        .run(move |shared| {
            let object = shared.lease(&input.bucket, &input.key)?;
            let record = object.record;
            conditions!(input).check_read(&record)?;
            let range = input.range.filter(|_| range_applies(&headers, &record));
            let selection = select(&record, &object.segments, range, input.part_number)?;
            let reader = BodyReader::open(
                std::sync::Arc::clone(&shared.bodies),
                &object.segments,
                selection.bytes.clone(),
                object.lease,
            );
            let mut output = describe!(GetObjectOutput, input, &record, &selection);
            output.tag_count = Some(record.attributes.tags.len())
                .filter(|count| *count > 0)
                .and_then(answer::count);
            let reader = reader.map_err(s3s::S3Error::internal_error)?;
            output.body = Some(StreamingBlob::wrap(reader.into_stream()));
            Ok(S3Response::new(output))
        })
        .await
}

pub(super) async fn head(
    store: &Store,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let S3Request { input, headers, .. } = request;
    check_version(input.version_id.as_deref())?;
    store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&input.bucket)?;
            let record = snapshot.demand_object(&input.bucket, &input.key)?;
            conditions!(input).check_read(&record)?;
            let segments = match input.part_number {
                Some(_) => snapshot.segments(record.body)?,
                None => Vec::new(),
            };
            let range = input.range.filter(|_| range_applies(&headers, &record));
            let selection = select(&record, &segments, range, input.part_number)?;
            Ok(S3Response::new(describe!(
                HeadObjectOutput,
                input,
                &record,
                &selection
            )))
        })
        .await
}

pub(super) async fn delete(
    store: &Store,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    if input.if_match_last_modified_time.is_some() || input.if_match_size.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Only directory buckets know these conditions of a deletion"
        ));
    }
    let conditions = WriteConditions::new(input.if_match, None)?;
    store
        .run(move |shared| {
            shared.change(|change| {
                change.demand_bucket(&input.bucket)?;
                // A deletion of what does not exist succeeds whatever its condition says.
                if let Some(record) = change.object(&input.bucket, &input.key)? {
                    conditions.check(Some(&record))?;
                    change.remove_object(&input.bucket, &input.key)?;
                }
                Ok(())
            })
        })
        .await?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}

pub(super) async fn delete_many(
    store: &Store,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let input = request.input;
    let quiet = input.delete.quiet.unwrap_or(false);
    let keys = input.delete.objects;
    if keys.is_empty() || keys.len() > MAX_DELETE_KEYS {
        return Err(s3_error!(
            MalformedXML,
            "A deletion names between 1 and {MAX_DELETE_KEYS} keys"
        ));
    }
    let (deleted, errors) = store
        .run(move |shared| {
            shared.change(|change| {
                change.demand_bucket(&input.bucket)?;
                let (mut deleted, mut errors) = (Vec::new(), Vec::new());
                for object in keys {
                    let outcome = check_version(object.version_id.as_deref()).and_then(|()| {
                        let condition = object.e_tag.map(s3s::dto::ETagCondition::ETag);
                        match change.object(&input.bucket, &object.key)? {
                            Some(record) => {
                                WriteConditions::new(condition, None)?.check(Some(&record))
                            }
                            None => Ok(()),
                        }
                    });
                    match outcome {
                        Ok(()) => {
                            change.remove_object(&input.bucket, &object.key)?;
                            deleted.push(DeletedObject {
                                key: Some(object.key),
                                ..Default::default()
                            });
                        }
                        Err(error) => errors.push(s3s::dto::Error {
                            code: Some(error.code().as_str().to_owned()),
                            key: Some(object.key),
                            message: error.message().map(str::to_owned),
                            version_id: object.version_id,
                        }),
                    }
                }
                Ok((deleted, errors))
            })
        })
        .await?;
    let deleted = Some(deleted).filter(|_| !quiet);
    let errors = Some(errors).filter(|errors| !errors.is_empty());
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted,
        errors,
        request_charged: None,
    }))
}
