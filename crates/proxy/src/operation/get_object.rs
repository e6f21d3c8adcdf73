//! GetObject and HeadObject: plaintext and its metadata, verified.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sealgate_envelope::commit::CommitRecord;

use super::{
    Exchange, ResponseBody,
    checksums::{self, ObjectChecksum},
    clear, empty, headers, metadata, named,
};
use crate::{
    byte_range::{ByteRange, ByteRangeSpec},
    error::S3Error,
    object::{self, ObjectRequest, SealedHead, SealedObject, Wanted, ambiguous_tag, fetch},
    policy::{self, Intent, Permission},
    upstream::UpstreamRequest,
};

pub(super) async fn get_object(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    if let Some(answer) = clear::serve(&exchange).await? {
        return Ok(answer);
    }
    let wanted = wanted(&exchange)?;
    let mut request_headers = headers::common(&exchange.headers);
    let conditions = headers::read_conditions(&exchange.headers, &mut request_headers)?;
    if matches!(wanted, Wanted::Range(_)) {
        headers::if_range(&exchange.headers, &mut request_headers);
    }
    let version_id = exchange.version_id()?;
    let request = ObjectRequest {
        target: exchange.target(),
        version_id,
        key: exchange.key(),
        rule: exchange.domain(),
        permission: Permission::Intended(intent(&exchange)),
        headers: request_headers,
        conditions,
        wanted,
    };
    let fetched = fetch(&exchange.gateway, &request).await?;
    exchange.opened(&fetched.object);
    let mut answer = object_headers(&exchange, &fetched.object, &fetched.headers);
    if checksums::asked_for(&exchange) && fetched.range.is_none() {
        let gateway = &exchange.gateway;
        let record = if fetched.object.needs_commit_record() {
            Some(
                gateway
                    .commits
                    .record(&gateway.upstream, &request.target, &fetched.object)
                    .await?,
            )
        } else {
            None
        };
        checksum_headers(&fetched.object, record.as_deref(), &mut answer);
    }
    let status = describe_range(
        &mut answer,
        fetched.range,
        fetched.plaintext_length,
        fetched.length,
    );
    if let Some(parts) = fetched.parts_count {
        answer.insert(named("x-amz-mp-parts-count"), HeaderValue::from(parts));
    }
    let mut response = Response::new(fetched.plaintext.into_body(
        exchange.request_id,
        exchange.gateway.metrics.requests.unverified(),
    ));
    *response.status_mut() = status;
    *response.headers_mut() = answer;
    Ok(response)
}

pub(super) async fn head_object(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    if let Some(answer) = clear::serve(&exchange).await? {
        return Ok(answer);
    }
    let wanted = wanted(&exchange)?;
    let mut request_headers = headers::common(&exchange.headers);
    let conditions = headers::read_conditions(&exchange.headers, &mut request_headers)?;
    let mut query = String::new();
    let version_id = exchange.version_id()?;
    if let Some(version_id) = version_id {
        super::append_query(&mut query, "versionId", version_id);
    }
    let gateway = &exchange.gateway;
    let request = UpstreamRequest::new(Method::HEAD, exchange.target())
        .query(query)
        .headers(request_headers);
    let head = gateway.upstream.call(request).await?;
    let sealed = SealedHead::read(&head, version_id)?;
    conditions.hold(head.headers())?;
    let permit = policy::permit_open(&intent(&exchange)).await?;
    let object = sealed
        .open(gateway, &permit, &exchange.domain(), exchange.key())
        .await?;
    let target = exchange.target();
    let bucket = target.bucket.as_deref().unwrap_or_default();
    let is_one = gateway
        .served_tags
        .stands_for(bucket, exchange.key(), &object);
    if !is_one && conditions.want_a_known_object() {
        return Err(ambiguous_tag(&object));
    }
    exchange.opened(&object);
    let mut answer = object_headers(&exchange, &object, head.headers());
    // Sizes are the header's, or what the length at the upstream means; the commit record is asked for only where more is wanted.
    let wants_record = matches!(wanted, Wanted::Part(_))
        || (checksums::asked_for(&exchange) && object.needs_commit_record());
    let record = if wants_record && object.needs_commit_record() {
        Some(
            gateway
                .commits
                .record(&gateway.upstream, &exchange.target(), &object)
                .await?,
        )
    } else {
        None
    };
    let length = object.plaintext_length()?;
    let range = match wanted {
        Wanted::Whole => None,
        Wanted::Range(spec) => spec.resolve_read(length)?,
        Wanted::Part(number) => {
            let layout = object
                .layout(&gateway.commits, &gateway.upstream, &exchange.target())
                .await?;
            if let Some(parts) = object.parts_count(&layout) {
                answer.insert(named("x-amz-mp-parts-count"), HeaderValue::from(parts));
            }
            object::part_range(&layout, number)?
        }
    };
    if checksums::asked_for(&exchange) && range.is_none() {
        checksum_headers(&object, record.as_deref(), &mut answer);
    }
    let empty_part = matches!(wanted, Wanted::Part(_)) && range.is_none();
    let served = if empty_part {
        0
    } else {
        range.map_or(length, |range| range.length())
    };
    let status = describe_range(&mut answer, range, length, served);
    Ok(empty(status, answer))
}

/// What the request wants: a part, a range, or all of it. A range that cannot be read is ignored, as S3 does.
fn wanted(exchange: &Exchange) -> Result<Wanted, S3Error> {
    let range = exchange.header("range").and_then(ByteRangeSpec::parse);
    let Some(part) = exchange.query.unique("partNumber").ok().flatten() else {
        return Ok(range.map_or(Wanted::Whole, Wanted::Range));
    };
    if range.is_some() {
        return Err(S3Error::invalid_request(
            "Cannot specify both Range header and partNumber query parameter",
        ));
    }
    match part.parse() {
        Ok(number @ 1..=10_000) => Ok(Wanted::Part(number)),
        _ => Err(S3Error::invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive.",
        )),
    }
}

pub(super) fn intent(exchange: &Exchange) -> Intent<'_> {
    Intent {
        caller: &exchange.caller,
        operation: exchange.operation.name(),
        bucket: exchange.bucket(),
        key: exchange.key(),
        request_id: &exchange.request_id,
        trail: &exchange.trail,
    }
}

/// The headers that belong to the object: the sealed ones, and those of the upstream that are true of it.
fn object_headers(exchange: &Exchange, object: &SealedObject, upstream: &HeaderMap) -> HeaderMap {
    let mut answer = headers::answer(upstream);
    metadata::to_answer(object.opened.metadata(), &mut answer);
    metadata::override_answer(exchange, &mut answer);
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer
}

/// The object's checksum: known up front and sealed in the header, or in the commit record.
pub(super) fn kept_checksum(
    object: &SealedObject,
    record: Option<&CommitRecord>,
) -> Option<ObjectChecksum> {
    match record {
        None => ObjectChecksum::of_metadata(object.opened.metadata()),
        Some(record) => ObjectChecksum::of_record(record),
    }
}

fn checksum_headers(object: &SealedObject, record: Option<&CommitRecord>, answer: &mut HeaderMap) {
    if let Some(checksum) = kept_checksum(object, record) {
        checksums::to_answer(checksum, answer);
    }
}

/// Length, `Content-Range` and status.
fn describe_range(
    answer: &mut HeaderMap,
    range: Option<ByteRange>,
    plaintext_length: u64,
    served: u64,
) -> StatusCode {
    answer.insert(header::CONTENT_LENGTH, served.into());
    match range {
        None => StatusCode::OK,
        Some(range) => {
            headers::insert_text(
                answer,
                header::CONTENT_RANGE,
                &range.content_range(plaintext_length),
            );
            StatusCode::PARTIAL_CONTENT
        }
    }
}
