//! CompleteMultipartUpload: the client's parts are matched with their records, the commit region goes up as (the end of) one last part, and the
//! upstream puts everything together (format.md section 4).
//!
//! Every step may be repeated, by this replica after a crash or by another one at the same time: the commit record is a function of the data key
//! and the part list, so both write the same bytes.

mod choice;
mod declared;
mod stash;

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode, header};
use sealgate_envelope::{
    checksum::ChecksumKind,
    commit::{self, CommitPart, CommitRecord},
};

pub(super) use self::declared::mismatched_algorithm;
use self::{
    choice::{Chosen, choose, final_number},
    declared::{ComputedObject, DeclaredObject},
};
use super::{
    Exchange, ResponseBody, append_query,
    checksums::{self, ObjectChecksum},
    get_object::intent,
    headers,
    keep_alive::{self, Finished, Subject},
    multipart,
};
use crate::{
    body::{Checksum, ChecksumType},
    entity_tag::EntityTag,
    error::S3Error,
    object::SealedHead,
    policy,
    state::{OpenUpload, StoredPart, UploadId},
    upstream::{MAX_DOCUMENT_LENGTH, UpstreamRequest},
    xml::{
        Document,
        multipart_answers::CompletedAnswer,
        requests::{CompleteMultipartUpload, CompletedPart},
        upstream_answers::{Outcome, parse_completed},
    },
};

/// The most that a composite of parts may hold.
const MAXIMUM_OBJECT_LENGTH: u64 = 50 << 40;

/// What a completion gave.
struct Completed {
    entity_tag: EntityTag,
    headers: HeaderMap,
    record: Arc<CommitRecord>,
}

pub(super) async fn complete(
    mut exchange: Exchange,
    upload_id: &str,
) -> Result<Response<ResponseBody>, S3Error> {
    // Before the body is read, so that a refusal needs none of it.
    let declared = DeclaredObject::read(&exchange.headers)?;
    let body = exchange.document_about_object().await?;
    let request = CompleteMultipartUpload::parse(&body)?;
    let upload_id = upload_id.to_owned();
    keep_alive::answer(Subject::of(&exchange), async move {
        let completed = finish(&exchange, &upload_id, request.parts(), &declared).await?;
        Ok(Finished {
            document: describe(&exchange, &completed),
            headers: completed.headers,
        })
    })
    .await
}

fn describe(exchange: &Exchange, completed: &Completed) -> Document {
    let location = exchange.location();
    // Whoever may not read the object is not told what is computed from its content.
    let checksum = ObjectChecksum::of_record(&completed.record).filter(|_| {
        exchange
            .rights
            .may_decrypt(exchange.bucket(), exchange.key())
    });
    let value = checksum.and_then(ObjectChecksum::to_element);
    CompletedAnswer {
        location: &location,
        bucket: exchange.bucket(),
        key: exchange.key(),
        entity_tag: &completed.entity_tag,
        checksums: value.as_slice(),
        checksum_type: checksum.map(|checksum| checksum.checksum_type.name()),
    }
    .to_document()
}

/// Completes the upload, or finds that it has been completed.
async fn finish(
    exchange: &Exchange,
    upload_id: &str,
    parts: &[CompletedPart],
    declared: &DeclaredObject,
) -> Result<Completed, S3Error> {
    let id = UploadId::parse(upload_id).ok_or_else(S3Error::no_such_upload)?;
    let attempt = async {
        let upload = multipart::open(exchange, upload_id, true).await?;
        let state = exchange.gateway.uploads.whole_state(&upload).await?;
        let completed = join(exchange, &upload, &state.parts, parts, declared).await?;
        exchange.gateway.uploads.forget_all(id.hash(), state).await.unwrap_or_else(|error| {
            tracing::warn!(request_id = exchange.request_id, %error, "the state of a completed upload could not be deleted; `sealgate gc` will");
        });
        Ok(completed)
    };
    match attempt.await {
        Err(error) if may_be_done(&error) => {
            already_completed(exchange, &id, parts).await?.ok_or(error)
        }
        outcome => outcome,
    }
}

/// Errors that an upload answers which another attempt of ours, or another replica, has completed.
fn may_be_done(error: &S3Error) -> bool {
    matches!(
        &*error.code,
        "NoSuchUpload"
            | "InvalidPart"
            | "PreconditionFailed"
            | "NoSuchKey"
            | "ConditionalRequestConflict"
    )
}

async fn join(
    exchange: &Exchange,
    upload: &OpenUpload,
    stored: &[StoredPart],
    parts: &[CompletedPart],
    declared: &DeclaredObject,
) -> Result<Completed, S3Error> {
    let gateway = &exchange.gateway;
    let kind = upload.checksum_kind();
    declared.agrees_with_upload(kind)?;
    let upstream = multipart::upstream_parts(exchange, upload).await?;
    let chosen = choose(parts, stored, &upstream.parts, kind)?;
    let (record, computed) = commit_record(upload, kind, &chosen)?;
    let record = Arc::new(record);
    if record.plaintext_length() > MAXIMUM_OBJECT_LENGTH {
        return Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
        ));
    }
    declared.agrees_with_object(&computed)?;
    let (number, tag) = send_final_part(
        exchange,
        upload,
        &chosen,
        final_number(&chosen, stored)?,
        &record,
    )
    .await?;
    let mut list: Vec<CompletedPart> = chosen
        .iter()
        .filter_map(|chosen| {
            let entity_tag = chosen.upstream_tag.clone()?;
            Some(CompletedPart {
                number: chosen.record.id.number(),
                entity_tag,
                checksums: Vec::new(),
            })
        })
        .collect();
    list.push(CompletedPart {
        number,
        entity_tag: tag,
        checksums: Vec::new(),
    });
    let mut request_headers = headers::common(&exchange.headers);
    headers::conditions(&exchange.headers, &mut request_headers)?;
    let mut query = String::new();
    append_query(&mut query, "uploadId", &upload.id.upstream);
    let request = UpstreamRequest::new(Method::POST, exchange.target())
        .query(query)
        .headers(request_headers)
        .bytes(CompleteMultipartUpload::to_document(&list).into_bytes());
    let answer = gateway.upstream.call(request).await?;
    let answer_headers = headers::answer(answer.headers());
    match parse_completed(&answer.document(MAX_DOCUMENT_LENGTH).await?)? {
        Outcome::Failed(error) => Err(S3Error::within_success(error.code, error.message)),
        Outcome::Done(tag) => Ok(Completed {
            entity_tag: tag.to_client(),
            headers: answer_headers,
            record,
        }),
    }
}

/// What is said about the object, for ever. Without a wish of the client its checksum is the CRC-64/NVMe that every part has.
fn commit_record(
    upload: &OpenUpload,
    kind: Option<ChecksumKind>,
    chosen: &[Chosen<'_>],
) -> Result<(CommitRecord, ComputedObject), S3Error> {
    let crc64nvme = Checksum::combine(chosen.iter().map(|chosen| {
        (
            Checksum::from_crc64nvme(chosen.record.crc64nvme),
            chosen.record.plaintext_length,
        )
    }))
    .map_err(S3Error::internal)?;
    let checksum_type = kind.map_or(ChecksumType::FullObject, |kind| {
        checksums::from_sealed_type(kind.r#type)
    });
    let of_parts: Vec<(Checksum, u64)> = chosen
        .iter()
        .map(|chosen| {
            let checksum = match kind {
                // What a client sent with a part, in whatever algorithm, is not the upload's.
                None => Checksum::from_crc64nvme(chosen.record.crc64nvme),
                Some(_) => checksums::from_sealed(chosen.record.checksum.as_ref()?)?,
            };
            Some((checksum, chosen.record.plaintext_length))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| S3Error::internal("a part record has no checksum"))?;
    let parts = chosen
        .iter()
        .zip(&of_parts)
        .map(|(chosen, (checksum, length))| {
            Ok(CommitPart {
                id: chosen.record.id,
                plaintext_length: *length,
                checksum: Some(checksums::to_sealed(checksum)?),
            })
        })
        .collect::<Result<Vec<_>, S3Error>>()?;
    let whole = match checksum_type {
        ChecksumType::FullObject => Checksum::combine(of_parts).map_err(S3Error::internal)?,
        ChecksumType::Composite => {
            Checksum::composite(of_parts.into_iter().map(|(checksum, _)| checksum))
                .map_err(S3Error::internal)?
                .checksum
        }
    };
    let checksum = commit::ObjectChecksum {
        checksum: checksums::to_sealed(&whole)?,
        r#type: checksums::to_sealed_type(checksum_type),
    };
    let record = CommitRecord::new(
        &upload.secrets,
        parts,
        Some(upload.id.hash()),
        Some(checksum),
    )?;
    let computed = ComputedObject {
        length: record.plaintext_length(),
        parts: chosen.len(),
        checksum: whole,
        checksum_type,
        crc64nvme,
    };
    Ok((record, computed))
}

/// The upstream's last part: what was held back of the client's last part, if anything was, and the commit region.
async fn send_final_part(
    exchange: &Exchange,
    upload: &OpenUpload,
    chosen: &[Chosen<'_>],
    number: u16,
    record: &CommitRecord,
) -> Result<(u16, EntityTag), S3Error> {
    let region = record.seal_region(&upload.secrets)?;
    let mut query = format!("partNumber={number}");
    append_query(&mut query, "uploadId", &upload.id.upstream);
    let request = UpstreamRequest::new(Method::PUT, exchange.target())
        .query(query)
        .headers(headers::common(&exchange.headers));
    let stashed = chosen.last().filter(|last| last.upstream_tag.is_none());
    let answer = match stashed {
        None => {
            exchange
                .gateway
                .upstream
                .call(request.bytes(region))
                .await?
        }
        Some(last) => {
            let (body, length, failure) =
                stash::open(exchange, upload, last.record, record, region).await?;
            let answer = exchange
                .gateway
                .upstream
                .call(request.stream(body, length))
                .await;
            failure.take().map_or(answer, Err)?
        }
    };
    let tag = answer
        .text(header::ETAG)
        .ok_or_else(|| S3Error::internal("the upstream gave a part no entity tag"))?;
    Ok((number, EntityTag::parse(tag)))
}

/// Whether the live object is the one that this upload makes of these parts: then a Complete has succeeded before, and its answer got lost.
///
/// # Errors
///
/// When nobody can tell now. A client that was told instead that there is no such upload would not ask again.
async fn already_completed(
    exchange: &Exchange,
    id: &UploadId,
    parts: &[CompletedPart],
) -> Result<Option<Completed>, S3Error> {
    match completed_object(exchange, id, parts).await {
        Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => Err(error),
        outcome => Ok(outcome.ok().flatten()),
    }
}

async fn completed_object(
    exchange: &Exchange,
    id: &UploadId,
    parts: &[CompletedPart],
) -> Result<Option<Completed>, S3Error> {
    let gateway = &exchange.gateway;
    let head = gateway
        .upstream
        .call(
            UpstreamRequest::new(Method::HEAD, exchange.target())
                .headers(headers::common(&exchange.headers)),
        )
        .await?;
    let answer_headers = headers::answer(head.headers());
    let permit = policy::permit_open(&intent(exchange)).await?;
    let object = SealedHead::read(&head, None)?
        .open(gateway, &permit, &exchange.domain(), exchange.key())
        .await?;
    let record = gateway
        .commits
        .record(&gateway.upstream, &exchange.target(), &object)
        .await?;
    let same_upload = record.upload() == Some(id.hash()) && record.object_id() == id.object_id;
    // The attempts too: parts of the same numbers may hold other bytes, and those would be lost without a word.
    let same_parts = record
        .parts()
        .iter()
        .map(|part| (part.id.number(), Some(*part.id.attempt().as_bytes())))
        .eq(parts
            .iter()
            .map(|part| (part.number, part.entity_tag.attempt())));
    Ok((same_upload && same_parts).then(|| Completed {
        entity_tag: EntityTag::parse(&object.identity.entity_tag).to_client(),
        headers: answer_headers,
        record,
    }))
}
