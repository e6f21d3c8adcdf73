//! CompleteMultipartUpload: the object is the list of its parts' files, so nothing is copied.

use std::collections::BTreeMap;

use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answer;
use super::conditions::WriteConditions;
use crate::checksum::{
    Algorithm, ChecksumKind, Checksums, checksums_of, multipart_checksum, multipart_etag,
    set_checksums,
};
use crate::index::View;
use crate::index::records::{ObjectRecord, PartRecord, Segment};
use crate::limits::{MAX_OBJECT, MIN_PART};
use crate::store::{Demand, Store};

/// The object that a list of parts makes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Assembly {
    segments: Vec<Segment>,
    size: u64,
    etag: String,
    checksums: Checksums,
}

/// Puts an object together from the parts that the client lists. Gaps in the numbers and parts that are
/// not listed are fine.
fn assemble(
    listed: &[CompletedPart],
    stored: &BTreeMap<u16, PartRecord>,
    algorithm: Algorithm,
    kind: ChecksumKind,
) -> S3Result<Assembly> {
    let mut parts: Vec<&PartRecord> = Vec::with_capacity(listed.len());
    let mut before = None;
    for listed in listed {
        let number = listed.part_number.ok_or_else(malformed)?;
        if before.is_some_and(|before| before >= number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number."
            ));
        }
        before = Some(number);
        let part = u16::try_from(number)
            .ok()
            .and_then(|number| stored.get(&number))
            .ok_or_else(invalid_part)?;
        if listed
            .e_tag
            .as_ref()
            .is_none_or(|etag| etag.value() != part.etag)
        {
            return Err(invalid_part());
        }
        let sent = checksums_of!(listed);
        if sent.iter().any(|(algorithm, value)| {
            part.checksums
                .get(algorithm)
                .is_some_and(|known| known != value)
        }) {
            return Err(invalid_part());
        }
        parts.push(part);
    }
    let (last, others) = parts.split_last().ok_or_else(malformed)?;
    if let Some(small) = others.iter().find(|part| part.size < MIN_PART) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size: a part has {} bytes, all but the last need {MIN_PART}",
            small.size
        ));
    }
    let size = others.iter().map(|part| part.size).sum::<u64>() + last.size;
    if size > MAX_OBJECT {
        return Err(s3_error!(
            EntityTooLarge,
            "Your proposed upload exceeds the maximum allowed size of {MAX_OBJECT} bytes"
        ));
    }
    let etag = multipart_etag(parts.iter().map(|part| part.etag.as_str()));
    let etag = etag.ok_or_else(|| s3_error!(InternalError, "The ETag of a part is malformed"))?;
    let checksum = multipart_checksum(
        algorithm,
        kind,
        parts.iter().map(|part| (&part.checksums, part.size)),
    );
    let checksums = checksum
        .map(|value| Checksums::single(algorithm, value))
        .unwrap_or_default();
    Ok(Assembly {
        segments: parts.iter().map(|part| part.segment()).collect(),
        size,
        etag,
        checksums,
    })
}

fn malformed() -> s3s::S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}

fn invalid_part() -> s3s::S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    )
}

/// Compares what the client says about the whole object with what its parts make.
fn check_whole(
    input: &CompleteMultipartUploadInput,
    kind: ChecksumKind,
    assembly: &Assembly,
) -> S3Result<()> {
    if let Some(size) = input.mpu_object_size
        && answer::signed(assembly.size) != Some(size)
    {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {}",
            assembly.size
        ));
    }
    if input
        .checksum_type
        .as_ref()
        .is_some_and(|asked| asked.as_str() != kind.name())
    {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            kind.name()
        ));
    }
    for (algorithm, sent) in checksums_of!(input).iter() {
        let known = assembly.checksums.get(algorithm);
        // Clients send a composite value with or without the number of parts.
        let same = known.is_some_and(|known| {
            known == sent
                || known
                    .split_once('-')
                    .is_some_and(|(value, _)| value == sent)
        });
        if !same {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ));
        }
    }
    Ok(())
}

pub(super) async fn complete(
    store: &Store,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let input = request.input;
    let conditions = WriteConditions::new(input.if_match.clone(), input.if_none_match.as_ref())?;
    store
        .run(move |shared| {
            let record = shared.change(|change| {
                let (bucket, key, id) = (
                    input.bucket.as_str(),
                    input.key.as_str(),
                    input.upload_id.as_str(),
                );
                change.demand_bucket(bucket)?;
                let upload = change.demand_upload(bucket, key, id)?;
                let listed = input
                    .multipart_upload
                    .as_ref()
                    .and_then(|list| list.parts.as_deref());
                let assembly = assemble(
                    listed.unwrap_or_default(),
                    &change.parts(id)?,
                    upload.algorithm(),
                    upload.checksum_kind,
                )?;
                check_whole(&input, upload.checksum_kind, &assembly)?;
                conditions.check(change.object(bucket, key)?.as_ref())?;
                let record = ObjectRecord {
                    body: None,
                    size: assembly.size,
                    etag: assembly.etag,
                    modified: answer::now(),
                    parts: u32::try_from(assembly.segments.len()).ok(),
                    checksums: assembly.checksums,
                    checksum_kind: upload.checksum_kind,
                    attributes: upload.attributes,
                };
                change.put_object(bucket, key, record.clone(), &assembly.segments)?;
                change.remove_upload(bucket, key, id, &assembly.segments)?;
                Ok(record)
            })?;
            let mut output = CompleteMultipartUploadOutput {
                location: Some(format!("/{}/{}", input.bucket, input.key)),
                bucket: Some(input.bucket),
                key: Some(input.key),
                e_tag: Some(answer::etag(&record)),
                checksum_type: Some(record.checksum_kind.to_dto()),
                ..Default::default()
            };
            set_checksums!(output, record.checksums);
            Ok(S3Response::new(output))
        })
        .await
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;
    use s3s::dto::ETag;

    use super::*;
    use crate::checksum::Digester;
    use crate::id::Id;

    fn part(content: u8, size: u64) -> PartRecord {
        let mut digester = Digester::new([Algorithm::Crc64Nvme]);
        digester.update(&[content]);
        let digests = digester.finish();
        PartRecord {
            file: Some(Id::random()),
            size,
            etag: digests.etag(),
            modified: 0,
            checksums: digests.checksums,
        }
    }

    fn stored(parts: &[(u16, u64)]) -> BTreeMap<u16, PartRecord> {
        parts
            .iter()
            .map(|(number, size)| (*number, part(number.to_be_bytes()[1], *size)))
            .collect()
    }

    fn list(stored: &BTreeMap<u16, PartRecord>, numbers: &[u16]) -> Vec<CompletedPart> {
        let etag = |number: &u16| {
            stored
                .get(number)
                .map(|part| ETag::Strong(part.etag.clone()))
        };
        let part = |number: &u16| CompletedPart {
            part_number: Some(i32::from(*number)),
            e_tag: etag(number),
            ..Default::default()
        };
        numbers.iter().map(part).collect()
    }

    fn attempt(
        stored: &BTreeMap<u16, PartRecord>,
        listed: &[CompletedPart],
    ) -> Result<Assembly, S3ErrorCode> {
        assemble(
            listed,
            stored,
            Algorithm::Crc64Nvme,
            ChecksumKind::FullObject,
        )
        .map_err(|error| error.code().clone())
    }

    #[test]
    fn gaps_and_unlisted_parts_are_fine() {
        let stored = stored(&[(2, MIN_PART), (5, MIN_PART), (6, 1), (9, 3)]);
        let assembly = attempt(&stored, &list(&stored, &[2, 5, 9])).unwrap();
        assert_eq!(assembly.size, 2 * MIN_PART + 3);
        assert_eq!(
            assembly.segments,
            [2, 5, 9].map(|number| stored[&number].segment())
        );
        assert!(assembly.etag.ends_with("-3"));
        assert!(assembly.checksums.get(Algorithm::Crc64Nvme).is_some());
    }

    #[test]
    fn what_s3_refuses() {
        let stored = stored(&[(1, MIN_PART), (2, MIN_PART - 1), (3, 0)]);
        let refused = |numbers: &[u16]| attempt(&stored, &list(&stored, numbers)).unwrap_err();
        assert_eq!(refused(&[]), S3ErrorCode::MalformedXML);
        assert_eq!(refused(&[1, 4]), S3ErrorCode::InvalidPart);
        assert_eq!(refused(&[2, 1]), S3ErrorCode::InvalidPartOrder);
        assert_eq!(refused(&[1, 1]), S3ErrorCode::InvalidPartOrder);
        assert_eq!(refused(&[1, 2, 3]), S3ErrorCode::EntityTooSmall);
        assert!(attempt(&stored, &list(&stored, &[1, 3])).is_ok());
        let mut wrong = list(&stored, &[1]);
        wrong[0].e_tag = Some(ETag::Strong("0".repeat(32)));
        assert_eq!(
            attempt(&stored, &wrong).unwrap_err(),
            S3ErrorCode::InvalidPart
        );
        let mut wrong = list(&stored, &[1]);
        wrong[0].checksum_crc64nvme = Some("AAAAAAAAAAA=".to_owned());
        assert_eq!(
            attempt(&stored, &wrong).unwrap_err(),
            S3ErrorCode::InvalidPart
        );
    }
}
