//! CompleteMultipartUpload: the client's parts are matched with their records, the commit region goes up as (the end of) one last part, and the
//! upstream puts everything together (format.md section 4).
//!
//! Every step may be repeated, by this replica after a crash or by another one at the same time: the commit record is a function of the data key
//! and the part list, so both write the same bytes.

mod choice;
mod stash;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sealgate_envelope::{
    checksum::{self as sealed, ChecksumKind},
    commit::{CommitPart, CommitRecord, ObjectChecksum},
};
use tokio::task::JoinHandle;

use self::choice::{Chosen, choose, final_number};
use super::{
    Exchange, ResponseBody, append_query, checksums, document, get_object::intent, headers,
    multipart,
};
use crate::{
    body::{Checksum, ChecksumType},
    entity_tag::EntityTag,
    error::S3Error,
    object::SealedHead,
    policy,
    state::{OpenUpload, UploadId},
    upstream::{BodyFailure, MAX_DOCUMENT_LENGTH, UpstreamRequest},
    xml::{
        Document, XML_DECLARATION,
        answers::ErrorAnswer,
        checksum_value::ChecksumValue,
        multipart_answers::CompletedAnswer,
        requests::{CompleteMultipartUpload, CompletedPart},
        upstream_answers::{Outcome, parse_completed},
    },
};

/// How long the client waits for the head of the answer. After that it gets a 200 and white space until the outcome is known, so that no proxy
/// or client between gives up on the connection (s3-wire-rules, 19).
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that a composite of parts may hold.
const MAXIMUM_OBJECT_LENGTH: u64 = 50 << 40;

/// What a completion gave.
struct Completed {
    entity_tag: EntityTag,
    headers: HeaderMap,
    record: Arc<CommitRecord>,
    asked_for_checksum: bool,
}

pub(super) async fn complete(
    mut exchange: Exchange,
    upload_id: &str,
) -> Result<Response<ResponseBody>, S3Error> {
    let body = exchange.document_about_object().await?;
    let request = CompleteMultipartUpload::parse(&body)?;
    let upload_id = upload_id.to_owned();
    let exchange = Arc::new(exchange);
    let mut job = {
        let exchange = Arc::clone(&exchange);
        tokio::spawn(async move { finish(&exchange, &upload_id, request.parts()).await })
    };
    match tokio::time::timeout(PATIENCE, &mut job).await {
        Ok(joined) => {
            let completed = joined.map_err(S3Error::internal)??;
            Ok(document(
                StatusCode::OK,
                completed.headers.clone(),
                describe(&exchange, &completed),
            ))
        }
        Err(_) => Ok(keep_alive(exchange, job)),
    }
}

/// A 200 whose body is white space until the outcome is known.
fn keep_alive(
    exchange: Arc<Exchange>,
    job: JoinHandle<Result<Completed, S3Error>>,
) -> Response<ResponseBody> {
    enum Next {
        Declaration,
        Wait,
        End,
    }
    let pieces = stream::unfold(
        (exchange, job, Next::Declaration),
        |(exchange, mut job, next)| async move {
            let (piece, next) = match next {
                Next::Declaration => (Bytes::from_static(XML_DECLARATION.as_bytes()), Next::Wait),
                Next::Wait => match tokio::time::timeout(PATIENCE, &mut job).await {
                    Err(_) => (Bytes::from_static(b" "), Next::Wait),
                    Ok(joined) => {
                        let outcome = joined
                            .map_err(S3Error::internal)
                            .and_then(|outcome| outcome);
                        (
                            late_document(&exchange, outcome).into_root_bytes(),
                            Next::End,
                        )
                    }
                },
                Next::End => return None,
            };
            Some((
                Ok::<_, BodyFailure>(Frame::data(piece)),
                (exchange, job, next),
            ))
        },
    );
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    response
}

/// After a 200 has been sent an error can only be a document.
fn late_document(exchange: &Exchange, outcome: Result<Completed, S3Error>) -> Document {
    match outcome {
        Ok(completed) => describe(exchange, &completed),
        Err(error) => {
            tracing::error!(request_id = exchange.request_id, %error, "completing an upload failed after the answer had begun");
            ErrorAnswer {
                code: &error.code,
                message: &error.message,
                resource: Some(exchange.path.wire_path()),
                request_id: &exchange.request_id,
                host_id: &exchange.gateway.host_id,
                details: &[],
            }
            .to_document()
        }
    }
}

fn describe(exchange: &Exchange, completed: &Completed) -> Document {
    let location = exchange.location();
    let parts = completed.record.parts().len();
    let shown = completed
        .record
        .checksum()
        .filter(|_| completed.asked_for_checksum);
    let value = shown.and_then(|shown| {
        let checksum = checksums::from_sealed(&shown.checksum)?;
        let suffix = if shown.r#type == sealed::ChecksumType::Composite {
            format!("-{parts}")
        } else {
            String::new()
        };
        ChecksumValue::new(
            checksum.algorithm().name(),
            &format!("{}{suffix}", checksum.to_base64()),
        )
    });
    CompletedAnswer {
        location: &location,
        bucket: exchange.bucket(),
        key: exchange.key(),
        entity_tag: &completed.entity_tag,
        checksums: value.as_slice(),
        checksum_type: shown.map(|shown| checksums::from_sealed_type(shown.r#type).name()),
    }
    .to_document()
}

/// Completes the upload, or finds that it has been completed.
async fn finish(
    exchange: &Exchange,
    upload_id: &str,
    parts: &[CompletedPart],
) -> Result<Completed, S3Error> {
    let id = UploadId::parse(upload_id).ok_or_else(S3Error::no_such_upload)?;
    let attempt = async {
        let upload = multipart::open(exchange, upload_id, true).await?;
        let completed = join(exchange, &upload, parts).await?;
        exchange.gateway.uploads.forget(id.hash()).await.unwrap_or_else(|error| {
            tracing::warn!(request_id = exchange.request_id, %error, "the state of a completed upload could not be deleted; `sealgate gc` will");
        });
        Ok(completed)
    };
    match attempt.await {
        Err(error) if may_be_done(&error) => match already_completed(exchange, &id, parts).await {
            Some(completed) => Ok(completed),
            None => Err(error),
        },
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
    parts: &[CompletedPart],
) -> Result<Completed, S3Error> {
    let gateway = &exchange.gateway;
    let stored = gateway.uploads.parts(upload).await?;
    let upstream = multipart::upstream_parts(exchange, upload).await?;
    let chosen = choose(parts, &stored, &upstream)?;
    let kind = upload.checksum_kind();
    let record = Arc::new(commit_record(upload, kind, &chosen)?);
    if record.plaintext_length() > MAXIMUM_OBJECT_LENGTH {
        return Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
        ));
    }
    check_declared(exchange, &record)?;
    let (number, tag) = send_final_part(
        exchange,
        upload,
        &chosen,
        final_number(&chosen, &stored)?,
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
        Outcome::Failed(error) => {
            let status = if error.code == "PreconditionFailed" {
                StatusCode::PRECONDITION_FAILED
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            Err(S3Error::new(status, error.code, error.message))
        }
        Outcome::Done(tag) => Ok(Completed {
            entity_tag: tag.to_client(),
            headers: answer_headers,
            record,
            asked_for_checksum: kind.is_some(),
        }),
    }
}

/// What is said about the object, for ever. Without a wish of the client its checksum is the CRC-64/NVMe that every part has.
fn commit_record(
    upload: &OpenUpload,
    kind: Option<ChecksumKind>,
    chosen: &[Chosen<'_>],
) -> Result<CommitRecord, S3Error> {
    let checksum_type = kind.map_or(ChecksumType::FullObject, |kind| {
        checksums::from_sealed_type(kind.r#type)
    });
    let of_parts: Vec<(Checksum, u64)> = chosen
        .iter()
        .map(|chosen| {
            Some((
                checksums::from_sealed(chosen.record.checksum.as_ref()?)?,
                chosen.record.plaintext_length,
            ))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| S3Error::internal("a part record has no checksum"))?;
    let whole = match checksum_type {
        ChecksumType::FullObject => Checksum::combine(of_parts).map_err(S3Error::internal)?,
        ChecksumType::Composite => {
            Checksum::composite(of_parts.into_iter().map(|(checksum, _)| checksum))
                .map_err(S3Error::internal)?
                .checksum
        }
    };
    let checksum = ObjectChecksum {
        checksum: checksums::to_sealed(&whole)?,
        r#type: checksums::to_sealed_type(checksum_type),
    };
    let parts = chosen
        .iter()
        .map(|chosen| CommitPart {
            id: chosen.record.id,
            plaintext_length: chosen.record.plaintext_length,
            checksum: chosen.record.checksum.clone(),
        })
        .collect();
    Ok(CommitRecord::new(
        &upload.secrets,
        parts,
        Some(upload.id.hash()),
        Some(checksum),
    )?)
}

/// The client may say what the whole object's checksum and size should be (S3 API, CompleteMultipartUpload).
fn check_declared(exchange: &Exchange, record: &CommitRecord) -> Result<(), S3Error> {
    if let Some(size) = exchange.header("x-amz-mp-object-size")
        && size.parse() != Ok(record.plaintext_length())
    {
        match size.parse::<i64>() {
            Ok(..0) => {
                return Err(S3Error::invalid_request(format!(
                    "Value for x-amz-mp-object-size header is less than zero: '{size}'"
                )));
            }
            Err(_) => {
                return Err(S3Error::invalid_request(format!(
                    "Value for x-amz-mp-object-size header is invalid: '{size}'"
                )));
            }
            Ok(_) => {}
        }
        return Err(S3Error::invalid_request(format!(
            "The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {}",
            record.plaintext_length()
        )));
    }
    let Some(known) = record.checksum() else {
        return Ok(());
    };
    let Some(computed) = checksums::from_sealed(&known.checksum) else {
        return Ok(());
    };
    let Some(declared) = exchange.header(computed.algorithm().header_name()) else {
        return Ok(());
    };
    let value = declared
        .split_once('-')
        .map_or(declared, |(value, _)| value);
    if value == computed.to_base64() {
        return Ok(());
    }
    Err(S3Error::new(
        StatusCode::BAD_REQUEST,
        "BadDigest",
        format!(
            "The {} you specified did not match the calculated checksum.",
            computed.algorithm().name()
        ),
    ))
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
async fn already_completed(
    exchange: &Exchange,
    id: &UploadId,
    parts: &[CompletedPart],
) -> Option<Completed> {
    let gateway = &exchange.gateway;
    let head = gateway
        .upstream
        .call(
            UpstreamRequest::new(Method::HEAD, exchange.target())
                .headers(headers::common(&exchange.headers)),
        )
        .await
        .ok()?;
    let answer_headers = headers::answer(head.headers());
    let permit = policy::permit_open(&intent(exchange));
    let object = SealedHead::read(&head, None)
        .ok()?
        .open(gateway, &permit, &exchange.domain(), exchange.key())
        .await
        .ok()?;
    let record = gateway
        .commits
        .record(&gateway.upstream, &exchange.target(), &object)
        .await
        .ok()?;
    let same_upload = record.upload() == Some(id.hash()) && record.object_id() == id.object_id;
    // The attempts too: parts of the same numbers may hold other bytes, and those would be lost without a word.
    let same_parts = record
        .parts()
        .iter()
        .map(|part| (part.id.number(), Some(*part.id.attempt().as_bytes())))
        .eq(parts
            .iter()
            .map(|part| (part.number, part.entity_tag.attempt())));
    (same_upload && same_parts).then(|| Completed {
        entity_tag: EntityTag::parse(&object.identity.entity_tag).to_client(),
        headers: answer_headers,
        record,
        asked_for_checksum: true,
    })
}
