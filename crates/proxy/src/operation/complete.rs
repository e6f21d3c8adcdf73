//! CompleteMultipartUpload: the client's parts are matched with their records, the commit region goes up as (the end of) one last part, and the
//! upstream puts everything together (format.md section 4).
//!
//! Every step may be repeated, by this replica after a crash or by another one at the same time: the commit record is a function of the data key
//! and the part list, so both write the same bytes.
//!
//! # Parts that arrive late
//!
//! A client that gave up waiting sends a part again, and its first try may land at any time: at the storage, where it takes the place of the second,
//! and then in the records. S3 would not mind, because equal bytes have an equal tag; here each try has its own. The try that the client names was
//! recorded before it asked, so that one without a record does not exist. The storage is listed first and the records after it. A late try may be
//!
//! - recorded before the records are listed: it is taken in the place of the one that is named (`attempts`);
//! - stored before the storage is listed, and recorded after the records are: the storage has a tag that no record is of;
//! - stored after the storage is listed and before it completes: the storage refuses a tag that it has listed;
//! - stored, before the storage completes, under a number that the client does not name and that the commit region has taken: as above. When it is
//!   recorded, the region takes the next number; until then the region is sent again, and takes the place of that part;
//! - stored after the storage has completed: the storage refuses it. Its record, if it was on its way, is left for `gc`.
//!
//! In the second case and the next two everything is listed again. So it is where the storage lacks a part that is recorded: a storage that replaces
//! parts in two steps has none in between, and while another replica completes the upload they go. If the bytes under a tag without a record are
//! still there at the end, the client is told to ask again (503), not that its part is invalid. Whatever else does not fit together cannot change by
//! itself, and is refused at the first look: tries that nobody recorded, and parts that were replaced by other bytes.

mod attempts;
mod choice;
mod declared;
mod live;
mod stash;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Response, StatusCode, header};
use sealgate_envelope::{
    checksum::ChecksumKind,
    commit::{self, CommitPart, CommitRecord},
};

use self::{
    attempts::{Attempts, Chosen, Refusal},
    choice::{choose, final_number},
    declared::{ComputedObject, DeclaredObject},
    live::already_completed,
};
pub(super) use self::{declared::mismatched_algorithm, live::was_completed};
use super::{
    Exchange, ResponseBody, append_query,
    checksums::{self, ObjectChecksum},
    headers,
    keep_alive::{self, Finished, Subject},
    multipart,
};
use crate::{
    body::{Checksum, ChecksumType},
    entity_tag::EntityTag,
    error::S3Error,
    state::{OpenUpload, StoredPart, UploadId, UploadState},
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

/// How long is waited before each further look at what may pass by itself, one and a half seconds together: more than it takes to record a part,
/// and less than clients wait for an answer. Each look costs the listings of an upload's parts and records.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

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

/// Completes the upload, or finds that it has been completed. What may pass by itself is looked at again, a few times.
async fn finish(
    exchange: &Exchange,
    upload_id: &str,
    parts: &[CompletedPart],
    declared: &DeclaredObject,
) -> Result<Completed, S3Error> {
    let id = UploadId::parse(upload_id).ok_or_else(S3Error::no_such_upload)?;
    let mut pauses = PAUSES.into_iter();
    loop {
        let refusal = match look(exchange, upload_id, &id, parts, declared).await {
            Ok(completed) => return Ok(completed),
            Err(refusal) => refusal,
        };
        match pauses.next().filter(|_| refusal.may_pass) {
            // Nothing of the last look is in memory meanwhile.
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(refusal.error),
        }
    }
}

/// One look at the storage and the records, and what follows from it.
async fn look(
    exchange: &Exchange,
    upload_id: &str,
    id: &UploadId,
    parts: &[CompletedPart],
    declared: &DeclaredObject,
) -> Result<Completed, Refusal> {
    let upload = match multipart::open(exchange, upload_id, true).await {
        Ok(upload) => upload,
        Err(error) => {
            let none = Attempts::default();
            return unless_done(exchange, id, parts, &none, error.into()).await;
        }
    };
    // The storage first: whatever it has then, and was recorded before this request came, is among the records.
    let upstream = multipart::upstream_parts(exchange, &upload).await;
    let state = exchange.gateway.uploads.whole_state(&upload).await?;
    let attempts = Attempts::new(&state.parts, upload.checksum_kind());
    let outcome = match upstream {
        Ok(upstream) => {
            let stored = (&*state.parts, &attempts);
            join(exchange, &upload, stored, &upstream.parts, parts, declared).await
        }
        Err(error) => Err(error.into()),
    };
    let completed = match outcome {
        Ok(completed) => completed,
        Err(refusal) => unless_done(exchange, id, parts, &attempts, refusal).await?,
    };
    forget(exchange, id, state).await;
    Ok(completed)
}

/// What was completed before, or else the refusal.
async fn unless_done(
    exchange: &Exchange,
    id: &UploadId,
    parts: &[CompletedPart],
    attempts: &Attempts<'_>,
    refusal: Refusal,
) -> Result<Completed, Refusal> {
    if !may_be_done(&refusal) {
        return Err(refusal);
    }
    already_completed(exchange, id, parts, attempts)
        .await?
        .ok_or(refusal)
}

async fn forget(exchange: &Exchange, id: &UploadId, state: UploadState) {
    let forgotten = exchange.gateway.uploads.forget_all(id.hash(), state).await;
    if let Err(error) = forgotten {
        tracing::warn!(request_id = exchange.request_id, %error, "the state of a completed upload could not be deleted; `sealgate gc` will");
    }
}

/// Refusals of an upload that another attempt of ours, or another replica, may have completed.
fn may_be_done(refusal: &Refusal) -> bool {
    refusal.may_pass
        || matches!(
            &*refusal.error.code,
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
    (stored, attempts): (&[StoredPart], &Attempts<'_>),
    upstream: &BTreeMap<u16, EntityTag>,
    parts: &[CompletedPart],
    declared: &DeclaredObject,
) -> Result<Completed, Refusal> {
    let kind = upload.checksum_kind();
    declared.agrees_with_upload(kind)?;
    let chosen = choose(parts, attempts, upstream)?;
    let (record, computed) = commit_record(upload, kind, &chosen)?;
    let record = Arc::new(record);
    if record.plaintext_length() > MAXIMUM_OBJECT_LENGTH {
        return Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
        )
        .into());
    }
    declared.agrees_with_object(&computed)?;
    let number = final_number(&chosen, stored)?;
    let last = send_final_part(exchange, upload, &chosen, number, &record).await?;
    let (entity_tag, headers) = put_together(exchange, upload, &chosen, last)
        .await
        .map_err(|error| Refusal {
            // A part has been replaced since its tag was listed.
            may_pass: error.code == "InvalidPart",
            error,
        })?;
    Ok(Completed {
        entity_tag,
        headers,
        record,
    })
}

/// Has the upstream make the object of its parts; the tag that clients see, and the headers of the answer.
async fn put_together(
    exchange: &Exchange,
    upload: &OpenUpload,
    chosen: &[Chosen<'_>],
    last: CompletedPart,
) -> Result<(EntityTag, HeaderMap), S3Error> {
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
    list.push(last);
    let mut request_headers = headers::common(&exchange.headers);
    headers::conditions(&exchange.headers, &mut request_headers)?;
    let mut query = String::new();
    append_query(&mut query, "uploadId", &upload.id.upstream);
    let request = UpstreamRequest::new(Method::POST, exchange.target())
        .query(query)
        .headers(request_headers)
        .bytes(CompleteMultipartUpload::to_document(&list).into_bytes());
    let answer = exchange.gateway.upstream.call(request).await?;
    let answer_headers = headers::answer(answer.headers());
    match parse_completed(&answer.document(MAX_DOCUMENT_LENGTH).await?)? {
        Outcome::Failed(error) => Err(S3Error::within_success(error.code, error.message)),
        Outcome::Done(tag) => Ok((tag.to_client(), answer_headers)),
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
) -> Result<CompletedPart, S3Error> {
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
    Ok(CompletedPart {
        number,
        entity_tag: EntityTag::parse(tag),
        checksums: Vec::new(),
    })
}
