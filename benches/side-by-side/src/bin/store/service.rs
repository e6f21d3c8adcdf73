//! One request, one answer.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use crate::{
    answer::{Answer, document, empty, error, escaped, missing},
    body::{self, Content},
    listing,
    objects::{Object, Store, Upload, joined, kept_headers, kept_length},
    regenerated::{RegeneratedBody, is_regenerated},
    target::Target,
};

/// Answers a request.
#[expect(
    clippy::print_stderr,
    reason = "--verbose asks for it, and there is no log"
)]
pub(crate) async fn serve(
    store: Arc<Store>,
    request: Request<Incoming>,
) -> anyhow::Result<http::Response<Either<Full<Bytes>, RegeneratedBody>>> {
    let target = Target::of(request.uri());
    let (head, incoming) = request.into_parts();
    let most = if target.parameter("partNumber").is_none() && head.method == Method::POST {
        usize::MAX
    } else {
        kept_length(&target.key)
    };
    let content = body::read(&head.headers, incoming, most).await?;
    let length = content.length;
    let answer = answer(&store, &head.method, &head.headers, &target, content);
    if store.verbose {
        eprintln!(
            "{} {} {length} {:?}",
            head.method,
            head.uri,
            answer.status()
        );
    }
    if is_regenerated(&target.key)
        && head.method == Method::GET
        && target.parameter("uploadId").is_none()
        && answer.status().is_success()
    {
        return regenerated(&store, &head.headers, &target, answer).await;
    }
    Ok(answer.map(Either::Left))
}

/// The answer with content that is made for it.
async fn regenerated(
    store: &Store,
    headers: &HeaderMap,
    target: &Target,
    answer: Answer,
) -> anyhow::Result<http::Response<Either<Full<Bytes>, RegeneratedBody>>> {
    let keys = store
        .keys
        .as_ref()
        .context("content that is made anew needs --key-file")?;
    let object = stored(store, target).context("the object has gone")?;
    let (first, end) = range(headers, object.content.length).unwrap_or((0, object.content.length));
    let opened = keys.open(&target.bucket, &target.key, &object).await?;
    Ok(answer.map(|_| Either::Right(RegeneratedBody::new(opened, first, end))))
}

fn answer(
    store: &Store,
    method: &Method,
    headers: &HeaderMap,
    target: &Target,
    content: Content,
) -> Answer {
    if target.bucket.is_empty() {
        return document(
            StatusCode::OK,
            "<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>".to_owned(),
        );
    }
    if target.key.is_empty() {
        return of_bucket(store, method, target, &content);
    }
    if !store.state().buckets.contains_key(&target.bucket) {
        return missing("NoSuchBucket");
    }
    if let Some(id) = target.parameter("uploadId") {
        return of_upload(store, method, headers, target, id, content);
    }
    match *method {
        Method::POST if target.parameter("uploads").is_some() => create(store, headers, target),
        Method::PUT if headers.contains_key("x-amz-copy-source") => copy(store, headers, target),
        Method::PUT => put(
            store,
            headers,
            target,
            store.object(content, kept_headers(headers), 1),
        ),
        Method::GET | Method::HEAD => read(store, method, headers, target),
        Method::DELETE => {
            if let Some(objects) = store.state().buckets.get_mut(&target.bucket) {
                objects.remove(&target.key);
            }
            empty(StatusCode::NO_CONTENT)
        }
        _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

fn of_bucket(store: &Store, method: &Method, target: &Target, content: &Content) -> Answer {
    let mut state = store.state();
    let Some(objects) = state.buckets.get_mut(&target.bucket) else {
        return if *method == Method::PUT {
            state.buckets.insert(target.bucket.clone(), BTreeMap::new());
            empty(StatusCode::OK)
        } else {
            missing("NoSuchBucket")
        };
    };
    match *method {
        Method::PUT | Method::HEAD => empty(StatusCode::OK),
        Method::GET if target.parameter("uploads").is_some() => document(
            StatusCode::OK,
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>".to_owned(),
        ),
        Method::GET if target.parameter("versioning").is_some() => {
            document(StatusCode::OK, "<VersioningConfiguration/>".to_owned())
        }
        Method::GET if target.parameter("location").is_some() => document(StatusCode::OK, "<LocationConstraint/>".to_owned()),
        Method::GET => listing::list(target, objects),
        Method::POST if target.parameter("delete").is_some() => {
            let document_text = String::from_utf8_lossy(&content.bytes).into_owned();
            for key in between(&document_text, "<Key>", "</Key>") {
                objects.remove(key);
            }
            document(StatusCode::OK, "<DeleteResult/>".to_owned())
        }
        _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

/// Whether what is there meets the conditions of a write.
fn may_write(headers: &HeaderMap, present: Option<&Object>) -> bool {
    let is_new = headers
        .get(header::IF_NONE_MATCH)
        .is_none_or(|_| present.is_none());
    let is_same = headers.get(header::IF_MATCH).is_none_or(|tag| {
        present.is_some_and(|object| tag.as_bytes() == object.entity_tag.as_bytes())
    });
    is_new && is_same
}

fn put(store: &Store, headers: &HeaderMap, target: &Target, object: Object) -> Answer {
    let mut state = store.state();
    let Some(objects) = state.buckets.get_mut(&target.bucket) else {
        return missing("NoSuchBucket");
    };
    if !may_write(headers, objects.get(&target.key)) {
        return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    let mut answer = empty(StatusCode::OK);
    tag(&mut answer, &object.entity_tag);
    objects.insert(target.key.clone(), object);
    answer
}

fn copy(store: &Store, headers: &HeaderMap, target: &Target) -> Answer {
    let source = headers
        .get("x-amz-copy-source")
        .and_then(|source| source.to_str().ok())
        .and_then(|source| format!("/{}", source.trim_start_matches('/')).parse().ok())
        .map(|source| Target::of(&source));
    let found = source.and_then(|source| stored(store, &source));
    let Some(found) = found else {
        return missing("NoSuchKey");
    };
    let is_replaced = headers
        .get("x-amz-metadata-directive")
        .is_some_and(|directive| directive == "REPLACE");
    let kept = if is_replaced {
        kept_headers(headers)
    } else {
        found.headers
    };
    let object = store.object(found.content, kept, 1);
    let text = format!(
        "<CopyObjectResult><ETag>{}</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></CopyObjectResult>",
        escaped(&object.entity_tag)
    );
    let answer = put(store, headers, target, object);
    if answer.status() == StatusCode::OK {
        document(StatusCode::OK, text)
    } else {
        answer
    }
}

fn stored(store: &Store, target: &Target) -> Option<Object> {
    let state = store.state();
    state.buckets.get(&target.bucket)?.get(&target.key).cloned()
}

fn tag(answer: &mut Answer, entity_tag: &str) {
    if let Ok(value) = HeaderValue::from_str(entity_tag) {
        answer.headers_mut().insert(header::ETAG, value);
    }
}

fn read(store: &Store, method: &Method, headers: &HeaderMap, target: &Target) -> Answer {
    let Some(object) = stored(store, target) else {
        return missing("NoSuchKey");
    };
    if !may_write(headers, Some(&object)) && !headers.contains_key(header::IF_NONE_MATCH) {
        return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    let length = object.content.length;
    let range = range(headers, length);
    let (first, end) = range.unwrap_or((0, length));
    let mut answer = empty(if range.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    });
    if *method == Method::GET && !is_regenerated(&target.key) {
        *answer.body_mut() = Full::new(slice(&object.content.bytes, first, end));
    }
    tag(&mut answer, &object.entity_tag);
    let answer_headers = answer.headers_mut();
    answer_headers.insert(header::CONTENT_LENGTH, (end - first).into());
    answer_headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let text = |text: String| HeaderValue::from_str(&text).ok();
    if let Some(modified) = text(httpdate::fmt_http_date(object.modified)) {
        answer_headers.insert(header::LAST_MODIFIED, modified);
    }
    if range.is_some()
        && let Some(range) = text(format!("bytes {first}-{}/{length}", end - 1))
    {
        answer_headers.insert(header::CONTENT_RANGE, range);
    }
    answer_headers.extend(object.headers);
    answer
}

fn slice(bytes: &Bytes, first: u64, end: u64) -> Bytes {
    let place = |offset: u64| {
        usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    bytes.slice(place(first)..place(end))
}

/// What of an object is asked for.
fn range(headers: &HeaderMap, length: u64) -> Option<(u64, u64)> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    bounds(range, length)
}

/// The first byte and the one behind the last; none for what is not understood, which means all.
fn bounds(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let bounds = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) => (first, length),
        (Err(_), Ok(count)) => (length.saturating_sub(count), length),
        (Err(_), Err(_)) => return None,
    };
    (bounds.0 < bounds.1).then_some(bounds)
}

fn create(store: &Store, headers: &HeaderMap, target: &Target) -> Answer {
    let id = store.unique();
    let upload = Upload {
        headers: kept_headers(headers),
        parts: BTreeMap::new(),
    };
    store.state().uploads.insert(id.clone(), upload);
    document(
        StatusCode::OK,
        format!(
            "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            target.bucket,
            escaped(&target.key)
        ),
    )
}

fn of_upload(
    store: &Store,
    method: &Method,
    headers: &HeaderMap,
    target: &Target,
    id: &str,
    content: Content,
) -> Answer {
    let mut state = store.state();
    let Some(upload) = state.uploads.get_mut(id) else {
        return missing("NoSuchUpload");
    };
    match *method {
        Method::PUT => {
            let number = target.parameter("partNumber").unwrap_or_default();
            let Ok(number) = number.parse() else {
                return error(StatusCode::BAD_REQUEST, "InvalidArgument");
            };
            let entity_tag = store.entity_tag(1);
            let mut answer = empty(StatusCode::OK);
            tag(&mut answer, &entity_tag);
            upload.parts.insert(number, (content, entity_tag));
            answer
        }
        Method::GET => {
            let mut parts = String::new();
            for (number, (content, entity_tag)) in &upload.parts {
                let _ = write!(
                    parts,
                    "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag><Size>{}</Size>\
                     <LastModified>2026-01-01T00:00:00Z</LastModified></Part>",
                    escaped(entity_tag),
                    content.length
                );
            }
            document(
                StatusCode::OK,
                format!(
                    "<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>"
                ),
            )
        }
        Method::POST => {
            let text = String::from_utf8_lossy(&content.bytes).into_owned();
            let numbers: Vec<u32> = between(&text, "<PartNumber>", "</PartNumber>")
                .filter_map(|number| number.trim().parse().ok())
                .collect();
            let Some(mut upload) = state.uploads.remove(id) else {
                return missing("NoSuchUpload");
            };
            drop(state);
            let whole = joined(
                numbers
                    .iter()
                    .filter_map(|number| upload.parts.remove(number))
                    .map(|(content, _)| content),
            );
            let object = store.object(whole, upload.headers, numbers.len());
            let entity_tag = escaped(&object.entity_tag);
            let answer = put(store, headers, target, object);
            if answer.status() != StatusCode::OK {
                return answer;
            }
            document(
                StatusCode::OK,
                format!(
                    "<CompleteMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><ETag>{entity_tag}</ETag></CompleteMultipartUploadResult>",
                    target.bucket,
                    escaped(&target.key)
                ),
            )
        }
        Method::DELETE => {
            state.uploads.remove(id);
            empty(StatusCode::NO_CONTENT)
        }
        _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

/// The texts between each opening and closing tag.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| rest.split_once(close).map(|(inner, _)| inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_within_the_object() {
        assert_eq!(bounds("bytes=0-3", 10), Some((0, 4)));
        assert_eq!(bounds("bytes=8-99", 10), Some((8, 10)));
        assert_eq!(bounds("bytes=4-", 10), Some((4, 10)));
        assert_eq!(bounds("bytes=-3", 10), Some((7, 10)));
        assert_eq!(bounds("bytes=10-", 10), None);
        assert_eq!(bounds("lines=1-2", 10), None);
    }
}
