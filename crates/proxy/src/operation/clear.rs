//! Objects that were never sealed, in places that are marked migrating: served, listed and copied as they are.
//!
//! The head is asked for first, without the client's conditions: only what kind of object it is tells which entity tag the client knows it by.
//! The conditions are then decided here, and what follows is pinned to exactly the version that they were decided for.

use std::{sync::Arc, time::SystemTime};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sealgate_envelope::layout;

use super::{
    Exchange, ResponseBody, append_query, checksums, empty, get_object, headers, insert_length,
    metadata, multipart, named, pass, whole,
};
use crate::{
    byte_range::{ByteRange, ByteRangeSpec},
    conditions::{ConditionHeaders, Conditions, Decision},
    copy_source::CopySource,
    entity_tag::EntityTag,
    error::S3Error,
    gateway::Gateway,
    object::ClearHead,
    object_key::ObjectKey,
    policy::{self, Intent},
    query_string::QueryString,
    route::Operation,
    transfer::Plaintext,
    upstream::Target,
    xml::{
        listing::{ClearEntry, rewrite_mixed_objects},
        upstream_listings::parse_objects,
        upstream_versions::parse_versions,
    },
};

/// Reads that began while the object was being replaced are repeated this often.
const ATTEMPTS: u32 = 3;

/// HEAD requests of one listing that are under way at once.
const CONCURRENT_HEADS: usize = 16;

/// Keys in one page for somebody who has signed nothing: each costs a request to the storage.
const ANONYMOUS_PAGE: u32 = 100;

/// Headers of the upstream's answer that are true only of an object that is served as it is.
const AS_THEY_ARE: [&str; 3] = [
    "content-range",
    "x-amz-missing-meta",
    "x-amz-mp-parts-count",
];

/// Answers GetObject or HeadObject where the object is not sealed. None where the place is not migrating, or the object is sealed.
pub(super) async fn serve(exchange: &Exchange) -> Result<Option<Response<ResponseBody>>, S3Error> {
    let gateway = &exchange.gateway;
    for _ in 0..ATTEMPTS {
        let mut request_headers = headers::common(&exchange.headers);
        if checksums::asked_for(exchange) {
            headers::insert_text(
                &mut request_headers,
                named("x-amz-checksum-mode"),
                "ENABLED",
            );
        }
        let Some(head) = head(exchange, request_headers.clone()).await? else {
            return Ok(None);
        };
        let range = wanted_range(exchange, &head);
        let part = exchange.query.unique("partNumber").ok().flatten();
        if range.is_some() && part.is_some() {
            return Err(S3Error::invalid_request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        if exchange.method == Method::HEAD && range.is_none() && part.is_none() {
            let mut answer = describe(exchange, &head.headers, StatusCode::OK);
            insert_length(&mut answer, Some(head.length));
            return Ok(Some(empty(StatusCode::OK, answer)));
        }
        if let Some(range) = range {
            headers::insert_text(&mut request_headers, header::RANGE, range);
        }
        let mut query = String::new();
        if let Some(part) = part {
            append_query(&mut query, "partNumber", part);
        }
        let answer = head
            .read_back(
                &gateway.upstream,
                exchange.method.clone(),
                exchange.target(),
                &query,
                request_headers,
            )
            .await?;
        if let Some(answer) = answer {
            let status = answer.status();
            let mut described = describe(exchange, answer.headers(), status);
            insert_length(&mut described, answer.content_length());
            if exchange.method == Method::HEAD {
                return Ok(Some(empty(status, described)));
            }
            let mut response = Response::new(pass::relay(answer.into_parts().1));
            *response.status_mut() = status;
            *response.headers_mut() = described;
            return Ok(Some(response));
        }
    }
    Err(S3Error::slow_down(
        "the object was replaced again and again while it was being read",
    ))
}

/// The head of an object that is not sealed, under the client's conditions. None where the place is not migrating, or the object is sealed.
async fn head(
    exchange: &Exchange,
    request_headers: HeaderMap,
) -> Result<Option<ClearHead>, S3Error> {
    let gateway = &exchange.gateway;
    if !gateway
        .config
        .is_migrating(exchange.bucket(), exchange.key())
    {
        return Ok(None);
    }
    let version_id = exchange.version_id()?;
    let head = ClearHead::fetch(
        &gateway.upstream,
        exchange.target(),
        version_id,
        request_headers,
    )
    .await?;
    if let Some(head) = &head {
        // Whoever may not read what is sealed may not read what is about to be.
        policy::permit_open(&get_object::intent(exchange)).await?;
        decide(&exchange.headers, head)?;
    }
    Ok(head)
}

/// As [`head`], with the checksum that the storage keeps: what GetObjectAttributes is answered from.
pub(super) async fn attributes(exchange: &Exchange) -> Result<Option<ClearHead>, S3Error> {
    let mut request_headers = headers::common(&exchange.headers);
    headers::insert_text(
        &mut request_headers,
        named("x-amz-checksum-mode"),
        "ENABLED",
    );
    head(exchange, request_headers).await
}

/// Decides the client's conditions for the entity tag that the client sees.
fn decide(client: &HeaderMap, head: &ClearHead) -> Result<(), S3Error> {
    let text = |name| client.get(name).and_then(|value| value.to_str().ok());
    let conditions = Conditions::parse(ConditionHeaders {
        if_match: text(header::IF_MATCH),
        if_none_match: text(header::IF_NONE_MATCH),
        if_modified_since: text(header::IF_MODIFIED_SINCE),
        if_unmodified_since: text(header::IF_UNMODIFIED_SINCE),
    })?;
    let tag = head.entity_tag.to_client_in_the_clear();
    match conditions.evaluate(&tag, head.last_modified) {
        Decision::Proceed => Ok(()),
        Decision::PreconditionFailed => Err(S3Error::precondition_failed()),
        Decision::NotModified => {
            let mut error = S3Error::new(StatusCode::NOT_MODIFIED, "NotModified", "Not Modified");
            headers::insert_text(&mut error.headers, header::ETAG, &tag.to_string());
            if let Some(date) = head.headers.get(header::LAST_MODIFIED) {
                error.headers.insert(header::LAST_MODIFIED, date.clone());
            }
            Err(error)
        }
    }
}

/// The range to ask for: the client's, if it can be read and `If-Range` does not speak against it.
fn wanted_range<'a>(exchange: &'a Exchange, head: &ClearHead) -> Option<&'a str> {
    let range = exchange.header("range")?;
    ByteRangeSpec::parse(range)?;
    let Some(condition) = exchange.header("if-range") else {
        return Some(range);
    };
    let holds = match httpdate::parse_http_date(condition.trim()) {
        Ok(date) => same_second(date, head.last_modified),
        Err(_) => {
            EntityTag::parse(condition).strongly_equals(&head.entity_tag.to_client_in_the_clear())
        }
    };
    holds.then_some(range)
}

/// HTTP dates have whole seconds, and so has what was read from one.
fn same_second(date: SystemTime, other: SystemTime) -> bool {
    date == other
}

/// The headers of an object that is served as it is.
fn describe(exchange: &Exchange, upstream: &HeaderMap, status: StatusCode) -> HeaderMap {
    let mut answer = headers::answer(upstream);
    if let Some(tag) = upstream
        .get(header::ETAG)
        .and_then(|value| value.to_str().ok())
    {
        let tag = EntityTag::parse(tag).to_client_in_the_clear();
        headers::insert_text(&mut answer, header::ETAG, &tag.to_string());
    }
    let whole_with_checksums = status == StatusCode::OK && checksums::asked_for(exchange);
    for (name, value) in upstream {
        let text = name.as_str();
        let kept = headers::SEALED.contains(name)
            || AS_THEY_ARE.contains(&text)
            || text.starts_with(headers::USER_METADATA)
            || (whole_with_checksums && text.starts_with("x-amz-checksum-"));
        if kept {
            answer.append(name.clone(), value.clone());
        }
    }
    metadata::override_answer(exchange, &mut answer);
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer
}

/// The source of a copy that was never sealed.
pub(super) struct ClearSource {
    /// Where it is at the upstream.
    pub(super) target: Target,
    /// Its head.
    pub(super) head: ClearHead,
}

/// The source of a copy, under the conditions of the copy, where it is not sealed. None where its place is not migrating, or it is sealed.
pub(super) async fn source(
    exchange: &Exchange,
    source: &CopySource,
) -> Result<Option<ClearSource>, S3Error> {
    let gateway = &exchange.gateway;
    let (bucket, key) = (source.bucket.as_str(), source.key.as_str());
    if !gateway.config.is_migrating(bucket, key) {
        return Ok(None);
    }
    let target = Target::object(bucket, source.key.to_wire());
    let mut request_headers = headers::of_source(&exchange.headers);
    // Its checksum, if it has one, is kept with the copy.
    headers::insert_text(
        &mut request_headers,
        named("x-amz-checksum-mode"),
        "ENABLED",
    );
    let head = ClearHead::fetch(
        &gateway.upstream,
        target.clone(),
        source.version_id.as_deref(),
        request_headers,
    )
    .await?;
    let Some(head) = head else {
        return Ok(None);
    };
    policy::permit_open(&Intent {
        bucket,
        key,
        ..get_object::intent(exchange)
    })
    .await?;
    decide(&multipart::plain_copy_conditions(&exchange.headers), &head)
        .map_err(multipart::copy_failure)?;
    Ok(Some(ClearSource { target, head }))
}

impl ClearSource {
    /// The bytes of the source, or a range of them.
    pub(super) async fn plaintext(
        &self,
        exchange: &Exchange,
        range: Option<ByteRange>,
    ) -> Result<Plaintext, S3Error> {
        let mut request_headers = headers::of_source(&exchange.headers);
        let length = match range {
            None => self.head.length,
            Some(range) if range.end_inclusive >= self.head.length => {
                return Err(S3Error::invalid_argument(format!(
                    "Range specified is not valid for source object of size: {}",
                    self.head.length
                )));
            }
            Some(range) => {
                let text = format!("bytes={}-{}", range.start, range.end_inclusive);
                headers::insert_text(&mut request_headers, header::RANGE, &text);
                range.length()
            }
        };
        let answer = self
            .head
            .read_back(
                &exchange.gateway.upstream,
                Method::GET,
                self.target.clone(),
                "",
                request_headers,
            )
            .await?
            .ok_or_else(|| {
                S3Error::precondition_failed()
                    .with_detail("the source of a copy was replaced while it was being copied")
            })?;
        if answer.content_length() != Some(length) {
            return Err(S3Error::stored_data(
                "the upstream sent another range of a copy's source than was asked for",
            ));
        }
        Ok(Plaintext::of_clear(answer.into_parts().1, length))
    }
}

/// A listing of a bucket that may hold both kinds. A length alone tells nothing, because nearly every length is that of some sealed object; so
/// each key that is covered by a `[[migrating]]` is asked for.
pub(super) async fn list(exchange: &Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let request_headers = headers::passed(&exchange.headers);
    let query = if exchange.caller.is_anonymous {
        short_page(&exchange.query, &exchange.upstream_query)?
    } else {
        exchange.upstream_query.clone()
    };
    let (answer_headers, document) = exchange.upstream_document(query, request_headers).await?;
    let listed: Vec<(String, Option<String>)> =
        if exchange.operation == Operation::ListObjectVersions {
            let versions = parse_versions(&document)?.versions.into_iter();
            versions
                .map(|version| (version.key, version.version_id))
                .collect()
        } else {
            let objects = parse_objects(&document)?.objects.into_iter();
            objects.map(|object| (object.key, None)).collect()
        };
    let request_headers = headers::common(&exchange.headers);
    let heads: Vec<_> = listed
        .into_iter()
        .map(|(key, version_id)| {
            let gateway = Arc::clone(&exchange.gateway);
            let bucket = exchange.bucket().to_owned();
            entry(gateway, bucket, key, version_id, request_headers.clone()).boxed()
        })
        .collect();
    let clear: Vec<_> = stream::iter(heads)
        .buffered(CONCURRENT_HEADS)
        .try_collect()
        .await?;
    let rewritten = rewrite_mixed_objects(&document, clear, |sealed| {
        layout::plaintext_length(sealed).unwrap_or(sealed)
    })?;
    Ok(whole(StatusCode::OK, answer_headers, rewritten))
}

/// The query with a limit on the page. A page may always be shorter than asked for (S3 API, `MaxKeys`).
fn short_page(asked: &QueryString, query: &str) -> Result<String, S3Error> {
    let limit = match asked.unique("max-keys").ok().flatten().unwrap_or_default() {
        "" => ANONYMOUS_PAGE,
        text => text.parse().map_err(|_| {
            S3Error::invalid_argument("Provided max-keys not an integer or within integer range")
        })?,
    };
    let mut short = String::new();
    for pair in query
        .split('&')
        .filter(|pair| !pair.starts_with("max-keys="))
    {
        if !short.is_empty() {
            short.push('&');
        }
        short.push_str(pair);
    }
    append_query(
        &mut short,
        "max-keys",
        &limit.min(ANONYMOUS_PAGE).to_string(),
    );
    Ok(short)
}

async fn entry(
    gateway: Arc<Gateway>,
    bucket: String,
    key: String,
    version_id: Option<String>,
    request_headers: HeaderMap,
) -> Result<Option<ClearEntry>, S3Error> {
    if !gateway.config.is_migrating(&bucket, &key) {
        return Ok(None);
    }
    let target = Target::object(bucket, ObjectKey::new(key)?.to_wire());
    let upstream = &gateway.upstream;
    match ClearHead::fetch(upstream, target, version_id.as_deref(), request_headers).await {
        Ok(head) => Ok(head.map(|head| ClearEntry {
            size: Some(head.length),
            entity_tag: Some(head.entity_tag),
        })),
        // Deleted since it was listed.
        Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
        // It cannot be read as it is, encrypted with a client's own key perhaps; what is sealed can always be asked for.
        Err(error) if error.status.is_client_error() => Ok(Some(ClearEntry::default())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_nobody_in_particular_is_short() {
        let short = |query: &str| {
            let asked = QueryString::parse(Some(query)).unwrap();
            short_page(&asked, query).ok()
        };
        assert_eq!(short("").as_deref(), Some("max-keys=100"));
        assert_eq!(
            short("max-keys=7&prefix=a").as_deref(),
            Some("prefix=a&max-keys=7")
        );
        assert_eq!(short("max-keys=1000").as_deref(), Some("max-keys=100"));
        assert_eq!(short("max-keys=-1"), None);
    }
}
