//! CreateMultipartUpload, UploadPart, AbortMultipartUpload.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::answer;
use super::attributes::{attributes_of, refuse_protection};
use super::upload::{Expectation, Received, drain, receive};
use crate::bodies::StagedFile;
use crate::checksum::{Algorithm, ChecksumKind, Digests, checksums_of, set_checksums};
use crate::id::Id;
use crate::index::records::{PartRecord, UploadRecord};
use crate::limits::MAX_PART_NUMBER;
use crate::store::{Demand, Shared, Store};

pub(super) async fn create(
    store: &Store,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let input = request.input;
    refuse_protection!(input);
    let algorithm = input
        .checksum_algorithm
        .as_ref()
        .map(known_algorithm)
        .transpose()?;
    let checksum_kind = checksum_kind(
        algorithm,
        input
            .checksum_type
            .as_ref()
            .map(s3s::dto::ChecksumType::as_str),
    )?;
    let record = UploadRecord {
        initiated: answer::now(),
        algorithm,
        checksum_kind,
        attributes: attributes_of!(input)?,
    };
    // The time first, so that ids sort as S3 lists uploads.
    let id = format!("{:016x}{}", record.initiated, Id::random());
    let output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(id.clone()),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: algorithm.map(|_| checksum_kind.to_dto()),
        ..Default::default()
    };
    store
        .run(move |shared| {
            shared.change(|change| {
                change.demand_bucket(&input.bucket)?;
                Ok(change.put_upload(&input.bucket, &input.key, &id, &record)?)
            })
        })
        .await?;
    Ok(S3Response::new(output))
}

pub(super) fn known_algorithm(name: &ChecksumAlgorithm) -> S3Result<Algorithm> {
    Algorithm::from_name(name.as_str()).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
        )
    })
}

fn checksum_kind(algorithm: Option<Algorithm>, asked: Option<&str>) -> S3Result<ChecksumKind> {
    let default = algorithm.unwrap_or_default().default_kind();
    let Some(asked) = asked else {
        return Ok(default);
    };
    let Some(algorithm) = algorithm else {
        return Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        ));
    };
    let kind = [ChecksumKind::Composite, ChecksumKind::FullObject]
        .into_iter()
        .find(|kind| kind.name() == asked);
    let kind = kind.ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "Value for x-amz-checksum-type header is invalid."
        )
    })?;
    if !algorithm.allows(kind) {
        return Err(s3_error!(
            InvalidRequest,
            "The {asked} checksum type cannot be used with the {} checksum algorithm.",
            algorithm.name()
        ));
    }
    Ok(kind)
}

pub(super) fn check_part_number(number: i32) -> S3Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=MAX_PART_NUMBER).contains(number))
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and {MAX_PART_NUMBER}, inclusive"
            )
        })
}

pub(super) async fn upload_part(
    store: &Store,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let S3Request {
        mut input,
        headers,
        trailing_headers,
        ..
    } = request;
    let body = input.body.take();
    let (expectation, number, algorithms) = match plan_part(store, &input, &headers).await {
        Ok(plan) => plan,
        Err(error) => {
            drain(body, &headers).await;
            return Err(error);
        }
    };
    let answered = expectation.algorithm().unwrap_or(algorithms);
    let Received { staged, digests } = receive(
        store,
        body,
        &expectation,
        [algorithms],
        trailing_headers.as_ref(),
    )
    .await?;
    let slot = Slot {
        bucket: input.bucket,
        key: input.key,
        upload: input.upload_id,
        number,
    };
    let part = store
        .run(move |shared| slot.store(shared, staged, digests))
        .await?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag)),
        ..Default::default()
    };
    set_checksums!(output, part.checksums.only(answered));
    Ok(S3Response::new(output))
}

/// Everything that can be refused before the body is read, and the upload's own algorithm.
async fn plan_part(
    store: &Store,
    input: &UploadPartInput,
    headers: &http::HeaderMap,
) -> S3Result<(Expectation, u16, Algorithm)> {
    if input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "This store has no server-side encryption"
        ));
    }
    let number = check_part_number(input.part_number)?;
    let checksums = checksums_of!(input);
    let expectation = Expectation::new(
        headers,
        input.content_length,
        input.content_md5.as_deref(),
        &checksums,
    )?;
    let (bucket, key, upload) = (
        input.bucket.clone(),
        input.key.clone(),
        input.upload_id.clone(),
    );
    let record = store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&bucket)?;
            snapshot.demand_upload(&bucket, &key, &upload)
        })
        .await?;
    if let (Some(expected), Some(actual)) = (record.algorithm, expectation.algorithm())
        && expected != actual
    {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            expected.name().to_lowercase(),
            actual.name().to_lowercase()
        ));
    }
    Ok((expectation, number, record.algorithm()))
}

/// Where a part goes.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) upload: String,
    pub(super) number: u16,
}

impl Slot {
    /// Makes a part durable, in place of the one with its number. Blocks.
    pub(super) fn store(
        &self,
        shared: &Shared,
        staged: StagedFile,
        digests: Digests,
    ) -> S3Result<PartRecord> {
        let size = staged.length();
        let file = staged.persist().map_err(S3Error::internal_error)?;
        let part = PartRecord {
            file: file.as_ref().map(crate::bodies::PendingFile::id),
            size,
            etag: digests.etag(),
            modified: answer::now(),
            checksums: digests.checksums,
        };
        shared.change(|change| {
            // The upload may have been completed or aborted while the part was on its way.
            change.demand_upload(&self.bucket, &self.key, &self.upload)?;
            if let Some(file) = file {
                change.adopt(file);
            }
            Ok(change.put_part(&self.upload, self.number, &part)?)
        })?;
        Ok(part)
    }
}

pub(super) async fn abort(
    store: &Store,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    store
        .run(move |shared| {
            shared.change(|change| {
                change.demand_bucket(&input.bucket)?;
                change.demand_upload(&input.bucket, &input.key, &input.upload_id)?;
                Ok(change.remove_upload(&input.bucket, &input.key, &input.upload_id, &[])?)
            })
        })
        .await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_numbers_are_bounded() {
        assert_eq!(
            (
                check_part_number(1).unwrap(),
                check_part_number(10_000).unwrap()
            ),
            (1, 10_000)
        );
        for number in [i32::MIN, -1, 0, 10_001, 65_537, i32::MAX] {
            assert!(check_part_number(number).is_err(), "{number}");
        }
    }

    #[test]
    fn checksum_kinds_follow_the_algorithm() {
        let kind = |algorithm, asked| checksum_kind(algorithm, asked).ok();
        assert_eq!(kind(None, None), Some(ChecksumKind::FullObject));
        assert_eq!(
            kind(Some(Algorithm::Sha256), None),
            Some(ChecksumKind::Composite)
        );
        assert_eq!(
            kind(Some(Algorithm::Crc32), Some("FULL_OBJECT")),
            Some(ChecksumKind::FullObject)
        );
        assert_eq!(kind(Some(Algorithm::Sha1), Some("FULL_OBJECT")), None);
        assert_eq!(kind(Some(Algorithm::Crc64Nvme), Some("COMPOSITE")), None);
        assert_eq!(kind(Some(Algorithm::Crc32), Some("HALF")), None);
        assert_eq!(kind(None, Some("COMPOSITE")), None);
    }
}
