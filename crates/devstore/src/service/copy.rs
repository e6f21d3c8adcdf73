//! CopyObject and UploadPartCopy.
//!
//! CopyObject gives the source's files second names instead of copying their bytes.

use std::sync::Arc;

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, ETag,
    MetadataDirective, TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::answer::{self, check_version};
use super::attributes::{attributes_of, refuse_protection};
use super::conditions::{ReadConditions, WriteConditions};
use super::multipart::{Slot, check_part_number, known_algorithm};
use super::ranges::copy_source_range;
use crate::bodies::{BodyReader, BodyWriter};
use crate::checksum::{Algorithm, ChecksumKind, Checksums, Digester, set_checksums};
use crate::index::View;
use crate::index::records::{Attributes, ObjectRecord, Segment};
use crate::limits::{COPY_ATTEMPTS, MAX_SINGLE_UPLOAD};
use crate::store::{Demand, LeasedObject, Shared, Store};

/// The conditions on the source of a copy.
macro_rules! source_conditions {
    ($input:expr) => {
        ReadConditions {
            matches: $input.copy_source_if_match.clone(),
            none_matches: $input.copy_source_if_none_match.clone(),
            modified_since: $input.copy_source_if_modified_since.clone(),
            unmodified_since: $input.copy_source_if_unmodified_since.clone(),
        }
    };
}

/// A copy, ready to be tried.
struct Plan {
    source: (String, String),
    target: (String, String),
    source_conditions: ReadConditions,
    target_conditions: WriteConditions,
    /// What replaces the source's attributes; none keeps them.
    attributes: Option<Attributes>,
    /// What replaces the source's tags; none keeps them.
    tags: Option<Vec<(String, String)>>,
    storage_class: Option<String>,
    algorithm: Option<Algorithm>,
}

pub(super) async fn copy_object(
    store: &Store,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let S3Request { input, headers, .. } = request;
    refuse_protection!(input);
    let source = locate(&input.copy_source)?;
    let target = (input.bucket.clone(), input.key.clone());
    let replaces = |directive: Option<&str>| match directive {
        None | Some(MetadataDirective::COPY) => Ok(false),
        Some(MetadataDirective::REPLACE) => Ok(true),
        Some(_) => Err(s3_error!(
            InvalidArgument,
            "Unknown metadata or tagging directive."
        )),
    };
    let replaces_attributes = replaces(
        input
            .metadata_directive
            .as_ref()
            .map(MetadataDirective::as_str),
    )?;
    let replaces_tags = replaces(
        input
            .tagging_directive
            .as_ref()
            .map(TaggingDirective::as_str),
    )?;
    let changes_nothing = !replaces_attributes
        && input.storage_class.is_none()
        && input.website_redirect_location.is_none();
    if source == target && changes_nothing {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let attributes = attributes_of!(input)?;
    let plan = Plan {
        source,
        target,
        source_conditions: source_conditions!(input),
        target_conditions: WriteConditions::from_headers(&headers)?,
        tags: replaces_tags.then(|| attributes.tags.clone()),
        storage_class: attributes.storage_class.clone(),
        algorithm: input
            .checksum_algorithm
            .as_ref()
            .map(known_algorithm)
            .transpose()?,
        attributes: replaces_attributes.then_some(attributes),
    };
    let record = store.run(move |shared| plan.execute(shared)).await?;
    let mut result = CopyObjectResult {
        checksum_type: Some(record.checksum_kind.to_dto()),
        e_tag: Some(answer::etag(&record)),
        last_modified: answer::timestamp(record.modified),
        ..Default::default()
    };
    set_checksums!(result, record.checksums);
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        ..Default::default()
    }))
}

/// Bucket and key of a source.
fn locate(source: &CopySource) -> S3Result<(String, String)> {
    match source {
        CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => {
            check_version(version_id.as_deref())?;
            Ok((bucket.to_string(), key.to_string()))
        }
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => Err(s3_error!(
            NotImplemented,
            "The source of a copy must be named by bucket and key"
        )),
    }
}

impl Plan {
    /// Copies; starts again if the source is replaced meanwhile. Blocks.
    fn execute(&self, shared: &Shared) -> S3Result<ObjectRecord> {
        for _ in 0..COPY_ATTEMPTS {
            if let Some(record) = self.attempt(shared)? {
                return Ok(record);
            }
        }
        Err(s3_error!(
            OperationAborted,
            "The source of the copy is being replaced again and again. Try again."
        ))
    }

    /// None if the source was replaced between reading and linking it.
    fn attempt(&self, shared: &Shared) -> S3Result<Option<ObjectRecord>> {
        let source = shared.lease(&self.source.0, &self.source.1)?;
        self.source_conditions.check_source(&source.record)?;
        if source.record.size > MAX_SINGLE_UPLOAD {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_SINGLE_UPLOAD}"
            ));
        }
        let stored = source
            .record
            .checksums
            .iter()
            .next()
            .map(|(algorithm, _)| algorithm);
        let algorithm = self.algorithm.or(stored).unwrap_or_default();
        let (etag, checksums) = identify(shared, &source, algorithm)?;
        shared.change(|change| {
            change.demand_bucket(&self.target.0)?;
            let current = change.demand_object(&self.source.0, &self.source.1)?;
            let unchanged =
                |record: &ObjectRecord| (record.body, record.etag.clone(), record.modified);
            if unchanged(&current) != unchanged(&source.record) {
                return Ok(None);
            }
            self.target_conditions
                .check(change.object(&self.target.0, &self.target.1)?.as_ref())?;
            let mut segments = Vec::with_capacity(source.segments.len());
            for segment in source.segments.iter().filter(|segment| segment.length > 0) {
                let file = shared
                    .bodies
                    .link(segment.file)
                    .map_err(S3Error::internal_error)?;
                segments.push(Segment {
                    file: file.id(),
                    length: segment.length,
                });
                change.adopt(file);
            }
            shared.bodies.sync().map_err(S3Error::internal_error)?;
            let record = ObjectRecord {
                body: None,
                size: current.size,
                etag,
                modified: answer::now(),
                parts: None,
                checksums,
                checksum_kind: ChecksumKind::FullObject,
                attributes: self.attributes(current.attributes),
            };
            change.put_object(&self.target.0, &self.target.1, record.clone(), &segments)?;
            Ok(Some(record))
        })
    }

    fn attributes(&self, source: Attributes) -> Attributes {
        let tags = self.tags.clone().unwrap_or_else(|| source.tags.clone());
        let attributes = self.attributes.clone().unwrap_or(source);
        // A copy does not inherit the storage class.
        Attributes {
            tags,
            storage_class: self.storage_class.clone(),
            ..attributes
        }
    }
}

/// ETag and checksum of the copy. Those of an object in one piece stay; the copy of a multipart object is
/// one piece, so its bytes must be read.
fn identify(
    shared: &Shared,
    source: &LeasedObject,
    algorithm: Algorithm,
) -> S3Result<(String, Checksums)> {
    let known = source.record.checksums.only(algorithm);
    if source.record.parts.is_none() && known != Checksums::default() {
        return Ok((source.record.etag.clone(), known));
    }
    let mut digester = Digester::new([algorithm]);
    let bytes = 0..source.record.size;
    let reader = BodyReader::open(Arc::clone(&shared.bodies), &source.segments, bytes, None);
    let read_all = |mut reader: BodyReader| {
        loop {
            let chunk = reader.read()?;
            if chunk.is_empty() {
                return Ok(());
            }
            digester.update(&chunk);
        }
    };
    reader.and_then(read_all).map_err(S3Error::internal_error)?;
    let digests = digester.finish();
    Ok((digests.etag(), digests.checksums))
}

pub(super) async fn upload_part_copy(
    store: &Store,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let input = request.input;
    if input.sse_customer_algorithm.is_some() || input.copy_source_sse_customer_algorithm.is_some()
    {
        return Err(s3_error!(
            NotImplemented,
            "This store has no server-side encryption"
        ));
    }
    let source = locate(&input.copy_source)?;
    let conditions = source_conditions!(input);
    let number = check_part_number(input.part_number)?;
    let slot = Slot {
        bucket: input.bucket,
        key: input.key,
        upload: input.upload_id,
        number,
    };
    let range = input.copy_source_range;
    store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&slot.bucket)?;
            let upload = snapshot.demand_upload(&slot.bucket, &slot.key, &slot.upload)?;
            drop(snapshot);
            let source = shared.lease(&source.0, &source.1)?;
            conditions.check_source(&source.record)?;
            let size = source.record.size;
            let bytes = range.map_or(Ok(0..size), |range| copy_source_range(&range, size))?;
            if bytes.end - bytes.start > MAX_SINGLE_UPLOAD {
                return Err(s3_error!(
                    InvalidRequest,
                    "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_SINGLE_UPLOAD}"
                ));
            }
            let reader = BodyReader::open(Arc::clone(&shared.bodies), &source.segments, bytes, source.lease);
            let writer = shared.bodies.create(Digester::new([upload.algorithm()]));
            let writer = reader.and_then(|reader| transfer(reader, writer)).map_err(S3Error::internal_error)?;
            let (staged, digests) = writer.finish();
            let part = slot.store(shared, staged, digests)?;
            let mut result = CopyPartResult {
                e_tag: Some(ETag::Strong(part.etag)),
                last_modified: answer::timestamp(part.modified),
                ..Default::default()
            };
            if let Some(algorithm) = upload.algorithm {
                set_checksums!(result, part.checksums.only(algorithm));
            }
            Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() }))
        })
        .await
}

fn transfer(mut reader: BodyReader, mut writer: BodyWriter) -> std::io::Result<BodyWriter> {
    loop {
        let chunk = reader.read()?;
        if chunk.is_empty() {
            return Ok(writer);
        }
        writer.write(&chunk)?;
    }
}
