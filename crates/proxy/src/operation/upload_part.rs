//! UploadPart and UploadPartCopy: one part, sealed under a key of its own attempt, and its record.
//!
//! The part exists for clients when its record is durable. From the release of the last segment until then the operation does not depend on the
//! client's connection (see `Gateway::handle`).

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use sealgate_envelope::{
    AttemptId,
    checksum::ChecksumType,
    layout::{self, MAXIMUM_PARTS, MINIMUM_PART_LENGTH},
    object::PartId,
    random::OsRandom,
    records::{EtagHash, PartLocation, PartRecord},
    sealer::Sealer,
};
use time::OffsetDateTime;

use super::{
    Exchange, ResponseBody, append_query, checksums, clear, complete::mismatched_algorithm,
    copy_object::target_of, document, empty, get_object::intent, headers, multipart, named,
    put_object::MAXIMUM_SINGLE_LENGTH,
};
use crate::{
    body::{Algorithm, Checksum, MissingLength},
    byte_range::{ByteRange, CopySourceRangeError},
    copy_source::CopySource,
    entity_tag::EntityTag,
    error::S3Error,
    object::{self, ObjectRequest, Wanted},
    policy::{self, Intent, Permission},
    state::OpenUpload,
    transfer::{Plaintext, SealingStream},
    upstream::UpstreamRequest,
    xml::{answers::CopyAnswer, checksum_value::ChecksumValue},
};

pub(super) async fn upload_part(
    mut exchange: Exchange,
    upload_id: &str,
    number: u16,
) -> Result<Response<ResponseBody>, S3Error> {
    let upload = multipart::open(&exchange, upload_id, false).await?;
    let algorithm = multipart::part_algorithm(&upload);
    let body = exchange.plaintext(MAXIMUM_SINGLE_LENGTH, MissingLength::Refuse)?;
    let sent_algorithm = body.checksum_algorithm();
    if let Some(kind) = upload.checksum_kind()
        && sent_algorithm != Some(algorithm)
        // A CRC of the whole object follows from ours of each part; a checksum of checksums is a promise about each of them.
        && (sent_algorithm.is_some() || kind.r#type == ChecksumType::Composite)
    {
        return Err(mismatched_algorithm(algorithm, sent_algorithm));
    }
    let part = send_part(
        &exchange,
        &upload,
        number,
        Plaintext::of_client(body).want(algorithm),
        algorithm,
    )
    .await?;
    let mut answer = part.headers;
    headers::insert_text(&mut answer, header::ETAG, &part.entity_tag.to_string());
    // The client gets back the checksum that it sent, or else the one that the upload is kept with.
    let shown = part
        .client_checksum
        .filter(|_| sent_algorithm.is_some())
        .unwrap_or(part.checksum);
    headers::insert_text(
        &mut answer,
        named(shown.algorithm().header_name()),
        &shown.to_base64(),
    );
    Ok(empty(StatusCode::OK, answer))
}

pub(super) async fn upload_part_copy(
    exchange: Exchange,
    upload_id: &str,
    number: u16,
) -> Result<Response<ResponseBody>, S3Error> {
    let source = exchange
        .header("x-amz-copy-source")
        .ok_or_else(|| S3Error::invalid_argument("x-amz-copy-source is not text."))?;
    let source = match CopySource::parse(source) {
        Ok(source) => source,
        Err(error) => {
            let missing = multipart::missing_bucket(&exchange).await;
            return Err(missing.unwrap_or_else(|| error.into()));
        }
    };
    policy::guard_bucket(source.bucket.as_str(), exchange.gateway.state.name())?;
    let upload = multipart::open(&exchange, upload_id, false).await?;
    let range = exchange
        .header("x-amz-copy-source-range")
        .map(parse_range)
        .transpose()?;
    if let Some(clear) = clear::source(&exchange, &source).await? {
        let plaintext = clear.plaintext(&exchange, range).await?;
        return copy_part(
            &exchange,
            &upload,
            number,
            plaintext,
            clear.head.version_id.as_deref(),
        )
        .await;
    }
    let (headers, conditions) = multipart::copy_conditions(&exchange)?;
    let request = ObjectRequest {
        target: target_of(&exchange, &source),
        version_id: source.version_id.as_deref(),
        key: source.key.as_str(),
        rule: exchange
            .gateway
            .config
            .domain_for(source.bucket.as_str(), source.key.as_str()),
        permission: Permission::Issued(
            policy::permit_open(&Intent {
                bucket: source.bucket.as_str(),
                key: source.key.as_str(),
                ..intent(&exchange)
            })
            .await?,
        ),
        headers,
        conditions,
        wanted: range.map_or(Wanted::Whole, |range| {
            Wanted::Range(crate::byte_range::ByteRangeSpec::Bounded {
                first: range.start,
                last: range.end_inclusive,
            })
        }),
    };
    let fetched = object::fetch(&exchange.gateway, &request)
        .await
        .map_err(multipart::copy_failure)
        .map_err(|error| beyond_source(error, range))?;
    if let (Some(wanted), Some(found)) = (range, fetched.range)
        && wanted != found
    {
        return Err(CopySourceRangeError::BeyondSource {
            last: wanted.end_inclusive,
            size: fetched.plaintext_length,
        }
        .into());
    }
    let version_id = fetched.object.identity.version_id.clone();
    let plaintext = Plaintext::of_object(fetched.plaintext, fetched.length);
    copy_part(&exchange, &upload, number, plaintext, version_id.as_deref()).await
}

/// Sends a part whose bytes are those of another object, and answers as for a copy.
async fn copy_part(
    exchange: &Exchange,
    upload: &Arc<OpenUpload>,
    number: u16,
    plaintext: Plaintext,
    version_id: Option<&str>,
) -> Result<Response<ResponseBody>, S3Error> {
    if plaintext.length() > MAXIMUM_SINGLE_LENGTH {
        return Err(S3Error::invalid_request(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
        ));
    }
    let algorithm = multipart::part_algorithm(upload);
    let part = send_part(
        exchange,
        upload,
        number,
        plaintext.want(algorithm),
        algorithm,
    )
    .await?;
    let mut answer = part.headers;
    if let Some(version_id) = version_id {
        headers::insert_text(
            &mut answer,
            named("x-amz-copy-source-version-id"),
            version_id,
        );
    }
    let shown = upload.checksum_kind().and_then(|_| {
        ChecksumValue::new(part.checksum.algorithm().name(), &part.checksum.to_base64())
    });
    let result = CopyAnswer {
        entity_tag: &part.entity_tag,
        last_modified: OffsetDateTime::now_utc(),
        checksums: shown.as_slice(),
        checksum_type: None,
    };
    Ok(document(StatusCode::OK, answer, result.to_part_document()))
}

/// A range that a read would not satisfy is an argument that a copy does not take.
fn beyond_source(error: S3Error, range: Option<ByteRange>) -> S3Error {
    let size = error
        .headers
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok()?.rsplit_once('/')?.1.parse().ok());
    match (range, size) {
        (Some(range), Some(size)) if error.status == StatusCode::RANGE_NOT_SATISFIABLE => {
            CopySourceRangeError::BeyondSource {
                last: range.end_inclusive,
                size,
            }
            .into()
        }
        _ => error,
    }
}

/// The range must have both ends; whether it lies in the source is seen when the source is read.
fn parse_range(header: &str) -> Result<ByteRange, S3Error> {
    Ok(ByteRange::parse_copy_source(header, u64::MAX)?)
}

/// A part that was sent and recorded.
struct SentPart {
    entity_tag: EntityTag,
    checksum: Checksum,
    client_checksum: Option<Checksum>,
    /// What the upstream says beside; nothing of a part that waits in the state bucket.
    headers: HeaderMap,
}

/// Seals a part, sends it to where it belongs, and records it.
async fn send_part(
    exchange: &Exchange,
    upload: &Arc<OpenUpload>,
    number: u16,
    source: Plaintext,
    algorithm: Algorithm,
) -> Result<SentPart, S3Error> {
    let gateway = &exchange.gateway;
    let attempt = AttemptId::generate(&mut OsRandom)?;
    let id = PartId::multipart(number, attempt)?;
    let length = source.length();
    let sealed_length = layout::part_sealed_length(length)
        .ok_or_else(|| S3Error::invalid_argument("The part is too large."))?;
    // Such a part can only be the last; it waits here for the commit region that will follow it in one upstream part.
    let stashed = length < MINIMUM_PART_LENGTH || number == MAXIMUM_PARTS;
    let (body, outcome) =
        SealingStream::new(source, Sealer::new(&upload.secrets, id)?, None).into_body();
    let body = if sealed_length == 0 {
        // No connection asks for the bytes of an empty body, and so nothing would verify what the client says of it.
        match body.collect().await {
            Ok(empty) => empty.map_err(|never| match never {}).boxed_unsync(),
            Err(error) => {
                return Err(outcome
                    .failure()
                    .unwrap_or_else(|| S3Error::internal(error)));
            }
        }
    } else {
        body
    };
    let sent = if stashed {
        // The upstream, which would know, is not asked for this part: the record may be gone meanwhile, and the bucket be somebody else's.
        multipart::open(exchange, &upload.id.to_string(), true).await?;
        multipart::verify_owner(exchange).await?;
        let name = gateway.uploads.stash_name(upload, id);
        gateway
            .state
            .put_stream(&name, body, sealed_length)
            .await
            .map(|()| (PartLocation::Stash, HeaderMap::new()))
    } else {
        let mut query = format!("partNumber={number}");
        append_query(&mut query, "uploadId", &upload.id.upstream);
        let request = UpstreamRequest::new(Method::PUT, exchange.target())
            .query(query)
            .headers(headers::common(&exchange.headers))
            .stream(body, sealed_length);
        gateway.upstream.call(request).await.and_then(|answer| {
            let tag = answer
                .text(header::ETAG)
                .ok_or_else(|| S3Error::internal("the upstream gave a part no entity tag"))?;
            let location = PartLocation::Upstream(EtagHash::of(tag));
            let mut answer_headers = headers::answer(answer.headers());
            answer_headers.remove(header::ETAG);
            Ok((location, answer_headers))
        })
    };
    if let Some(failure) = outcome.failure() {
        return Err(failure);
    }
    let (location, answer_headers) = sent?;
    let verified = outcome.verified()?;
    let checksum = verified
        .checksum(algorithm)
        .ok_or_else(|| S3Error::internal("the part's checksum was not computed"))?;
    // Where the upload has no algorithm of its own, what the client sent is kept, so that it can be repeated when the upload is completed.
    let kept = match upload.checksum_kind() {
        None => verified.client_checksum.unwrap_or(checksum),
        Some(_) => checksum,
    };
    let record = PartRecord {
        id,
        plaintext_length: length,
        crc64nvme: crc_of(&verified.crc64nvme)?,
        location,
        checksum: Some(checksums::to_sealed(&kept)?),
    };
    gateway.uploads.record_part(upload, &record).await?;
    Ok(SentPart {
        entity_tag: EntityTag::of_attempt(attempt.as_bytes()),
        checksum,
        client_checksum: verified.client_checksum,
        headers: answer_headers,
    })
}

fn crc_of(checksum: &Checksum) -> Result<u64, S3Error> {
    let bytes = checksum.value().try_into().map_err(S3Error::internal)?;
    Ok(u64::from_be_bytes(bytes))
}
