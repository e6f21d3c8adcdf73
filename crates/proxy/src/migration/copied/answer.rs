//! What a storage would answer, from a copy: objects, ranges, tags and listings. Anything else it does not know.

use std::{collections::BTreeMap, fmt::Write as _, fs::File};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::bucket::{CopiedBucket, Found};
use crate::{
    byte_range::{ByteRange, ByteRangeSpec},
    entity_tag::EntityTag,
    object_key::percent_decode,
    query_string::QueryString,
    upstream::LocalRequest,
    xml::answers::ErrorAnswer,
};

/// Keys on one page of a listing.
const PAGE_LENGTH: usize = 1_000;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// A document, or nothing.
    Document(Bytes),
    /// Bytes of a file.
    Piece(Piece),
}

/// Bytes of a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) file: File,
    /// The offset of the first one.
    pub(super) start: u64,
    /// Their number.
    pub(super) length: u64,
}

type Answer = Response<Content>;

/// Answers a request. Blocks.
pub(super) fn to(buckets: &BTreeMap<String, CopiedBucket>, request: &LocalRequest) -> Answer {
    let name = request.target.bucket.as_deref().unwrap_or_default();
    let Some(bucket) = buckets.get(name) else {
        return failure(
            StatusCode::NOT_FOUND,
            "NoSuchBucket",
            "this bucket was not copied",
        );
    };
    let Ok(query) = QueryString::parse(Some(&request.query)) else {
        return failure(
            StatusCode::BAD_REQUEST,
            "InvalidURI",
            "the query cannot be read",
        );
    };
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    match &request.target.key {
        Some(wire_key)
            if is_read && (query.parameters().is_empty() || query.contains("tagging")) =>
        {
            match percent_decode(wire_key) {
                Ok(key) if query.contains("tagging") => tags(bucket, &key),
                Ok(key) => object(bucket, &key, request),
                Err(_) => no_such_key(),
            }
        }
        None if is_read && query.contains("list-type") => listing(bucket, &query),
        _ => failure(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "a copy knows neither versions nor settings, and nothing can be written to it",
        ),
    }
}

fn object(bucket: &CopiedBucket, key: &str, request: &LocalRequest) -> Answer {
    let found = match bucket.find(key) {
        Ok(Some(found)) => found,
        Ok(None) => return no_such_key(),
        Err(error) => return damaged(&error),
    };
    let Found {
        file,
        length,
        entity_tag,
        headers,
        modified,
        tags,
    } = found;
    let tag = EntityTag::strong(entity_tag);
    let text = |name| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if text(header::IF_MATCH).is_some_and(|wanted| EntityTag::parse(wanted) != tag) {
        return failure(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "the file is another one than a moment ago",
        );
    }
    let range = text(header::RANGE).and_then(ByteRangeSpec::parse);
    let range = match range.map(|range| range.resolve_read(length)).transpose() {
        Ok(range) => range.flatten(),
        Err(_) => {
            return failure(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                "the file is shorter",
            );
        }
    };
    let (status, start, count) = match &range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range.start, range.length()),
        None => (StatusCode::OK, 0, length),
    };
    let piece = Piece {
        file,
        start,
        length: if request.method == Method::HEAD {
            0
        } else {
            count
        },
    };
    let mut response = Response::new(Content::Piece(piece));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    for (name, value) in [
        (header::CONTENT_LENGTH, Some(count.to_string())),
        (
            header::CONTENT_RANGE,
            range
                .as_ref()
                .map(|range: &ByteRange| range.content_range(length)),
        ),
        (header::ETAG, Some(tag.to_string())),
        (
            header::LAST_MODIFIED,
            Some(httpdate::fmt_http_date(modified)),
        ),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
        .headers_mut()
        .insert("x-amz-tagging-count", tags.len().into());
    response
}

fn tags(bucket: &CopiedBucket, key: &str) -> Answer {
    let tags = match bucket.find(key) {
        Ok(Some(found)) => found.tags,
        Ok(None) => return no_such_key(),
        Err(error) => return damaged(&error),
    };
    let mut text = String::from("<Tagging><TagSet>");
    for tag in &tags {
        let [key, value] =
            [&tag.key, &tag.value].map(|text| quick_xml::escape::escape(text.as_str()));
        // Writing to a string never fails.
        let _ = write!(text, "<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    }
    text.push_str("</TagSet></Tagging>");
    document(StatusCode::OK, text)
}

fn listing(bucket: &CopiedBucket, query: &QueryString) -> Answer {
    let of = |name| query.unique(name).ok().flatten().unwrap_or_default();
    let token = percent_decode(of("continuation-token")).unwrap_or_default();
    let after = if token.is_empty() {
        of("start-after")
    } else {
        &token
    };
    let mut keys = bucket
        .keys(of("prefix"), (!after.is_empty()).then_some(after))
        .peekable();
    let encoded = |key: &str| utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
    let mut text = String::from("<ListBucketResult><EncodingType>url</EncodingType>");
    let mut last = None;
    for key in keys.by_ref().take(PAGE_LENGTH) {
        // A file that is missing is named when the object is asked for.
        let found = bucket.find(key).ok().flatten();
        let (length, tag, modified) = found.map_or_else(
            || (0, String::new(), OffsetDateTime::UNIX_EPOCH),
            |found| (found.length, found.entity_tag, found.modified.into()),
        );
        let modified = modified.format(&Rfc3339).unwrap_or_default();
        let _ = write!(
            text,
            "<Contents><Key>{}</Key><LastModified>{modified}</LastModified><ETag>&quot;{tag}&quot;</ETag><Size>{length}</Size></Contents>",
            encoded(key)
        );
        last = Some(key);
    }
    let more = keys.peek().and(last);
    let _ = write!(text, "<IsTruncated>{}</IsTruncated>", more.is_some());
    if let Some(last) = more {
        let _ = write!(
            text,
            "<NextContinuationToken>{}</NextContinuationToken>",
            encoded(last)
        );
    }
    text.push_str("</ListBucketResult>");
    document(StatusCode::OK, text)
}

fn no_such_key() -> Answer {
    failure(
        StatusCode::NOT_FOUND,
        "NoSuchKey",
        "the copy has no such object",
    )
}

/// Not "not found", which would say that somebody deleted the object.
fn damaged(error: &std::io::Error) -> Answer {
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        &format!("the copy is not whole: {error}"),
    )
}

/// An error document.
pub(super) fn failure(status: StatusCode, code: &str, message: &str) -> Answer {
    let document = ErrorAnswer {
        code,
        message,
        resource: None,
        request_id: "-",
        host_id: "-",
        details: &[],
    }
    .to_document();
    let mut response = Response::new(Content::Document(document.into_bytes()));
    *response.status_mut() = status;
    response
}

fn document(status: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Content::Document(text.into()));
    *response.status_mut() = status;
    response
}
