//! The frame of a multipart upload: beginning it, listing its parts, aborting it. See `upload_part` and `complete` for what lies between.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use http::{HeaderMap, Method, Response, StatusCode, header};
use sealgate_envelope::{
    checksum::ChecksumKind,
    layout::MAXIMUM_PARTS,
    object::Body,
    records::{EtagHash, PartLocation},
};
use time::OffsetDateTime;

use super::{
    DEFAULT_STORAGE_CLASS, Exchange, ResponseBody, append_query, checksums, complete, document,
    empty, get_object::intent, headers, list_uploads, metadata, named, put_object,
};
use crate::{
    body::{Algorithm, ChecksumType},
    conditions::Conditions,
    entity_tag::EntityTag,
    error::S3Error,
    policy,
    state::{OpenUpload, StoredPart, UploadReference},
    upstream::{MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
    xml::{
        checksum_value::ChecksumValue,
        multipart_answers::{InitiatedAnswer, ListedPart, PartsAnswer},
        upstream_answers::parse_initiated,
        upstream_listings::parse_parts,
    },
};

/// CreateMultipartUpload: the header of the object to be, with the upload's record in the state bucket before its id is told to anyone.
pub(super) async fn create(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let metadata = metadata::of_request(&exchange)?;
    let kind = requested_checksum(&exchange)?;
    let flushes = exchange.gateway.uploads.memory.flushes();
    let sealed = put_object::seal_header(&exchange, metadata, Body::Multipart).await?;
    let request = UpstreamRequest::new(Method::POST, exchange.target())
        .query("uploads=")
        .headers(headers::placement(&exchange.headers));
    let answer = exchange
        .gateway
        .upstream
        .call(put_object::with_header(request, &sealed.header)?)
        .await?;
    let mut answer_headers = headers::answer(answer.headers());
    let upstream_id = parse_initiated(&answer.document(MAX_DOCUMENT_LENGTH).await?)?;
    let recorded = exchange
        .gateway
        .uploads
        .begin(
            flushes,
            exchange.bucket(),
            exchange.key(),
            &upstream_id,
            kind,
            &sealed.header,
            &sealed.secrets,
        )
        .await;
    let id = match recorded {
        Ok(Some(id)) => id,
        // Not aborted: what the storage calls so is the upload of somebody else.
        Ok(None) => {
            return Err(S3Error::internal(
                "the upstream gave an upload id that is already in use",
            ));
        }
        Err(error) => {
            abort_upstream(&exchange, &upstream_id).await.ok();
            return Err(error);
        }
    };
    if let Some(kind) = kind
        && let Some(algorithm) = checksums::from_sealed_algorithm(kind.algorithm)
    {
        headers::insert_text(
            &mut answer_headers,
            named("x-amz-checksum-algorithm"),
            algorithm.name(),
        );
        headers::insert_text(
            &mut answer_headers,
            named("x-amz-checksum-type"),
            checksums::from_sealed_type(kind.r#type).name(),
        );
    }
    let upload_id = id.to_string();
    let result = InitiatedAnswer {
        bucket: exchange.bucket(),
        key: exchange.key(),
        upload_id: &upload_id,
    };
    Ok(document(
        StatusCode::OK,
        answer_headers,
        result.to_document(),
    ))
}

/// The checksum that the client wants for its parts and object (S3 API, CreateMultipartUpload).
fn requested_checksum(exchange: &Exchange) -> Result<Option<ChecksumKind>, S3Error> {
    let requested_type = exchange
        .parameter("x-amz-checksum-type")
        .map(|text| {
            ChecksumType::from_name(&text).ok_or_else(|| {
                S3Error::invalid_request("Value for x-amz-checksum-type header is invalid.")
            })
        })
        .transpose()?;
    let Some(algorithm) = checksums::algorithm_asked_for(exchange)? else {
        return match requested_type {
            Some(_) => Err(S3Error::invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )),
            None => Ok(None),
        };
    };
    let checksum_type = match requested_type {
        None => algorithm.default_multipart_type(),
        Some(checksum_type) => {
            if !algorithm.supports(checksum_type) {
                return Err(S3Error::invalid_request(format!(
                    "The {checksum_type} checksum type cannot be used with the {} checksum algorithm.",
                    algorithm.name().to_ascii_lowercase()
                )));
            }
            checksum_type
        }
    };
    Ok(Some(ChecksumKind {
        algorithm: checksums::to_sealed_algorithm(algorithm),
        r#type: checksums::to_sealed_type(checksum_type),
    }))
}

/// The algorithm that parts are recorded with: the client's, or ours, which every part is checked with anyway.
pub(super) fn part_algorithm(upload: &OpenUpload) -> Algorithm {
    upload
        .checksum_kind()
        .and_then(|kind| checksums::from_sealed_algorithm(kind.algorithm))
        .unwrap_or(Algorithm::Crc64Nvme)
}

/// Opens the upload that the request names.
pub(super) async fn open(
    exchange: &Exchange,
    upload_id: &str,
    fresh: bool,
) -> Result<Arc<OpenUpload>, S3Error> {
    let permit = policy::permit_seal(&intent(exchange)).await?;
    let gateway = &exchange.gateway;
    let reference = UploadReference {
        bucket: exchange.bucket(),
        key: exchange.key(),
        upload_id,
        rule: &exchange.domain(),
        fresh,
    };
    match gateway.uploads.open(gateway, &permit, &reference).await {
        Err(error) if error.code == "NoSuchUpload" => Err(missing_bucket(exchange)
            .await
            .unwrap_or_else(|| error.with_element("UploadId", upload_id))),
        Ok(opened) => {
            exchange
                .trail
                .used_key(opened.record.header.working_key_id());
            Ok(opened)
        }
        Err(error) => Err(error),
    }
}

/// The error to answer with where the request's bucket does not exist, which S3 looks at first.
pub(super) async fn missing_bucket(exchange: &Exchange) -> Option<S3Error> {
    match head_bucket(exchange).await {
        Err(error) if error.status == StatusCode::NOT_FOUND => Some(S3Error::no_such_bucket()),
        _ => None,
    }
}

/// Has the storage look whose bucket it is, for an operation that asks it nothing else about the bucket.
///
/// # Errors
///
/// The storage's, where the client expects another owner.
pub(super) async fn verify_owner(exchange: &Exchange) -> Result<(), S3Error> {
    if headers::expects_owner(&exchange.headers) {
        head_bucket(exchange).await?;
    }
    Ok(())
}

async fn head_bucket(exchange: &Exchange) -> Result<(), S3Error> {
    let target = Target::bucket(exchange.bucket());
    let bucket = target.for_requester(headers::requester(&exchange.headers));
    let request = UpstreamRequest::new(Method::HEAD, bucket);
    exchange.gateway.upstream.call(request).await.map(drop)
}

/// AbortMultipartUpload: at the upstream first, so that no part can come after its state has gone.
///
/// Its answer does not tell what became of the upload. One that it does not know was aborted, or else completed, meanwhile or by a gateway that did
/// not come as far as the state; and MinIO answers as if it had aborted whatever it is told to. So the live object is looked at: what was completed
/// is no upload any more, and nothing is left of it either way.
pub(super) async fn abort(
    exchange: Exchange,
    upload_id: &str,
) -> Result<Response<ResponseBody>, S3Error> {
    let upload = open(&exchange, upload_id, true).await?;
    if let Some(date) = exchange.header("x-amz-if-match-initiated-time")
        && !initiated_at(&upload, date)?
    {
        return Err(S3Error::precondition_failed());
    }
    let answer_headers = match abort_upstream(&exchange, &upload.id.upstream).await {
        Err(error) if error.code == "NoSuchUpload" => HeaderMap::new(),
        outcome => outcome?,
    };
    let was_completed = complete::was_completed(&exchange, &upload.id).await?;
    exchange.gateway.uploads.forget(upload.id.hash()).await?;
    if was_completed {
        return Err(S3Error::no_such_upload());
    }
    Ok(empty(StatusCode::NO_CONTENT, answer_headers))
}

/// Whether an upload began at this time (S3 API, AbortMultipartUpload, `x-amz-if-match-initiated-time`). A time to come is no condition.
fn initiated_at(upload: &OpenUpload, date: &str) -> Result<bool, S3Error> {
    let asked = httpdate::parse_http_date(date).map_err(|_| {
        S3Error::invalid_argument("x-amz-if-match-initiated-time is not an HTTP date.")
    })?;
    if asked > SystemTime::now() {
        return Ok(true);
    }
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |age| age.as_secs())
    };
    Ok(seconds(asked) == upload.record.created / 1_000)
}

/// Aborts an upload at the upstream, and returns the headers of its answer.
pub(super) async fn abort_upstream(
    exchange: &Exchange,
    upstream_id: &str,
) -> Result<HeaderMap, S3Error> {
    let request = abort_request(exchange, upstream_id);
    let answer = exchange.gateway.upstream.call(request).await?;
    Ok(headers::answer(answer.headers()))
}

/// What aborts an upload at the upstream.
pub(super) fn abort_request(exchange: &Exchange, upstream_id: &str) -> UpstreamRequest {
    let mut query = String::new();
    append_query(&mut query, "uploadId", upstream_id);
    UpstreamRequest::new(Method::DELETE, exchange.target())
        .query(query)
        .headers(headers::common(&exchange.headers))
}

/// ListParts: the records joined with what the upstream has, so that only parts are shown that a Complete would find.
pub(super) async fn list_parts(
    exchange: Exchange,
    upload_id: &str,
) -> Result<Response<ResponseBody>, S3Error> {
    let number = |name: &'static str| -> Result<Option<u32>, S3Error> {
        match exchange.query.unique(name) {
            Ok(Some(text)) if !text.is_empty() => list_uploads::limit_of(name, text).map(Some),
            _ => Ok(None),
        }
    };
    let max_parts = number("max-parts")?.unwrap_or(1_000).min(1_000);
    let marker = number("part-number-marker")?.unwrap_or(0);
    let upload = open(&exchange, upload_id, true).await?;
    let upstream = upstream_parts(&exchange, &upload).await?;
    let records = exchange.gateway.uploads.parts(&upload).await?;
    let current = current_parts(&records.parts, &upstream.parts);
    // Whoever may not read the object is not told what is computed from its content.
    let tells = upload.checksum_kind().is_some()
        && exchange
            .rights
            .may_decrypt(exchange.bucket(), exchange.key());
    let mut listed: Vec<ListedPart> = current
        .values()
        .filter(|part| u32::from(part.record.id.number()) > marker)
        .map(|part| shown(part, tells))
        .collect();
    let max = usize::try_from(max_parts).unwrap_or(usize::MAX);
    let is_truncated = listed.len() > max;
    listed.truncate(max);
    let kind = upload.checksum_kind();
    let algorithm = kind.and_then(|kind| checksums::from_sealed_algorithm(kind.algorithm));
    let result = PartsAnswer {
        bucket: exchange.bucket(),
        key: exchange.key(),
        upload_id,
        owner: None,
        storage_class: Some(&upstream.storage_class),
        part_number_marker: marker,
        next_part_number_marker: listed.last().map(|part| u32::from(part.number)),
        max_parts,
        is_truncated,
        checksum_algorithm: algorithm.map(Algorithm::name),
        checksum_type: kind.map(|kind| checksums::from_sealed_type(kind.r#type).name()),
        parts: &listed,
    };
    Ok(document(
        StatusCode::OK,
        upstream.headers,
        result.to_document(),
    ))
}

fn shown(part: &StoredPart, tells_checksum: bool) -> ListedPart {
    let checksum = part
        .record
        .checksum
        .as_ref()
        .filter(|_| tells_checksum)
        .and_then(checksums::from_sealed);
    ListedPart {
        number: part.record.id.number(),
        last_modified: OffsetDateTime::from(part.modified),
        entity_tag: EntityTag::of_attempt(part.record.id.attempt().as_bytes()),
        size: part.record.plaintext_length,
        checksums: checksum
            .and_then(|checksum| {
                ChecksumValue::new(checksum.algorithm().name(), &checksum.to_base64())
            })
            .into_iter()
            .collect(),
    }
}

/// Of all the attempts at each part the one that counts: the latest of those that the upstream holds, or that are stashed.
fn current_parts<'a>(
    stored: &'a [StoredPart],
    upstream: &BTreeMap<u16, EntityTag>,
) -> BTreeMap<u16, &'a StoredPart> {
    let mut current: BTreeMap<u16, &StoredPart> = BTreeMap::new();
    for part in stored {
        let number = part.record.id.number();
        let exists = match part.record.location {
            PartLocation::Stash => true,
            PartLocation::Upstream(hash) => upstream
                .get(&number)
                .is_some_and(|tag| EtagHash::of(tag.opaque()) == hash),
        };
        let newer = current
            .get(&number)
            .is_none_or(|known| known.modified <= part.modified);
        if exists && newer {
            current.insert(number, part);
        }
    }
    current
}

/// What the upstream holds of an upload.
pub(super) struct UpstreamParts {
    /// The tags of its own parts by number.
    pub(super) parts: BTreeMap<u16, EntityTag>,
    /// The storage class of the object to be.
    storage_class: String,
    /// The headers of its last answer.
    headers: HeaderMap,
}

/// The upstream's own parts, all pages.
pub(super) async fn upstream_parts(
    exchange: &Exchange,
    upload: &OpenUpload,
) -> Result<UpstreamParts, S3Error> {
    let mut parts = BTreeMap::new();
    let mut marker = 0_u32;
    loop {
        let mut query = String::new();
        append_query(&mut query, "uploadId", &upload.id.upstream);
        append_query(&mut query, "part-number-marker", &marker.to_string());
        append_query(&mut query, "max-parts", "1000");
        let request = UpstreamRequest::new(Method::GET, exchange.target())
            .query(query)
            .headers(headers::common(&exchange.headers));
        let answer = exchange.gateway.upstream.call(request).await?;
        let answer_headers = headers::answer(answer.headers());
        let page = parse_parts(&answer.document(MAX_DOCUMENT_LENGTH).await?)?;
        let last = page.parts.last().map(|part| u32::from(part.number));
        parts.extend(
            page.parts
                .into_iter()
                .map(|part| (part.number, part.entity_tag)),
        );
        match page.next_part_number_marker.or(last) {
            // A marker that does not grow, or grows past every part, would make this loop endless.
            Some(next) if page.is_truncated && next > marker && next < u32::from(MAXIMUM_PARTS) => {
                marker = next;
            }
            _ => {
                return Ok(UpstreamParts {
                    parts,
                    storage_class: page
                        .storage_class
                        .unwrap_or_else(|| DEFAULT_STORAGE_CLASS.to_owned()),
                    headers: answer_headers,
                });
            }
        }
    }
}

/// The conditions on a copy's source, as conditions of the request that reads it: what goes upstream, and all of them, to be judged by the answer.
pub(super) fn copy_conditions(exchange: &Exchange) -> Result<(HeaderMap, Conditions), S3Error> {
    let mut request = headers::of_source(&exchange.headers);
    let plain = plain_copy_conditions(&exchange.headers);
    let conditions = headers::read_conditions(&plain, &mut request)?;
    Ok((request, conditions))
}

/// The conditions on a copy's source under the names that they have for a read, entity tags as the client knows them.
pub(super) fn plain_copy_conditions(client: &HeaderMap) -> HeaderMap {
    let mut plain = HeaderMap::new();
    for (copy, read) in [
        ("x-amz-copy-source-if-match", header::IF_MATCH),
        ("x-amz-copy-source-if-none-match", header::IF_NONE_MATCH),
        (
            "x-amz-copy-source-if-modified-since",
            header::IF_MODIFIED_SINCE,
        ),
        (
            "x-amz-copy-source-if-unmodified-since",
            header::IF_UNMODIFIED_SINCE,
        ),
    ] {
        if let Some(value) = client.get(copy) {
            plain.insert(read, value.clone());
        }
    }
    plain
}

/// What a failure to read a copy's source means for the copy: whatever condition does not hold, the answer is 412, and a delete marker cannot
/// be named as a source (S3 API, CopyObject).
pub(super) fn copy_failure(error: S3Error) -> S3Error {
    match error.status {
        StatusCode::NOT_MODIFIED => S3Error::precondition_failed(),
        StatusCode::METHOD_NOT_ALLOWED => S3Error::invalid_request(
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        ),
        _ => error,
    }
}
