//! Reading an object: whole, by range, or by part; one request to the upstream, or one more where a commit record has to be seen first.

use std::ops::Range;

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use sealgate_envelope::{opener::Opener, parts::ObjectLayout};

use super::{SealedHead, SealedObject, commit::text, guess};
use crate::{
    byte_range::{ByteRange, ByteRangeSpec, Unsatisfiable},
    conditions::Conditions,
    config::DomainRule,
    entity_tag::EntityTag,
    error::S3Error,
    gateway::Gateway,
    policy::{self, Permission},
    transfer::{OpeningStream, RegionCheck},
    upstream::{Answer, Target, UpstreamRequest},
};

/// Reads that began while the object was being replaced are repeated this often.
const ATTEMPTS: u32 = 3;

/// What is wanted of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// A range of its plaintext.
    Range(ByteRangeSpec),
    /// The n-th of its parts, counted from 1.
    Part(u16),
}

/// A read, as an operation asks for it.
#[derive(Debug)]
pub struct ObjectRequest<'a> {
    /// Where the object is.
    pub target: Target,
    /// The version, or the current one.
    pub version_id: Option<&'a str>,
    /// The decoded object key that its header must be bound to.
    pub key: &'a str,
    /// The domain that it must be bound to.
    pub rule: DomainRule,
    /// What opens its keys.
    pub permission: Permission<'a>,
    /// Conditions and ownership headers for the upstream, entity tags already translated.
    pub headers: HeaderMap,
    /// All of the client's conditions, whatever the upstream makes of those that it gets.
    pub conditions: Conditions,
    /// What is wanted.
    pub wanted: Wanted,
}

impl ObjectRequest<'_> {
    /// The query that names the version; empty for the current one.
    fn version_query(&self) -> String {
        let mut query = String::new();
        if let Some(version_id) = self.version_id {
            crate::operation::append_query(&mut query, "versionId", version_id);
        }
        query
    }
}

/// An object about to be read: verified as far as it can be before its segments are.
pub struct Fetched {
    /// The object.
    pub object: SealedObject,
    /// Length of its whole plaintext.
    pub plaintext_length: u64,
    /// The range that is read, where it is not the whole.
    pub range: Option<ByteRange>,
    /// Bytes of plaintext that will be read.
    pub length: u64,
    /// How many parts it has, where that was asked for.
    pub parts_count: Option<usize>,
    /// The plaintext.
    pub plaintext: OpeningStream,
    /// The headers of the upstream's answer.
    pub headers: HeaderMap,
}

/// Begins to read an object.
///
/// # Errors
///
/// The upstream's error, an unsatisfiable range, or anything that does not verify.
pub async fn fetch(gateway: &Gateway, request: &ObjectRequest<'_>) -> Result<Fetched, S3Error> {
    let mut attempt = 1;
    let mut wanted = request.wanted;
    loop {
        match fetch_once(gateway, request, wanted).await {
            Err(Interrupted::RangeIsOfAnother) => wanted = Wanted::Whole,
            Err(Interrupted::Failed(error)) if range_fails_unseen(request, wanted, &error) => {
                let fetched = fetch_whole(gateway, request).await?;
                return if if_range_holds(&request.headers, &fetched.headers) {
                    Err(error)
                } else {
                    Ok(fetched)
                };
            }
            // Not a condition of the client, which the first answer settled: the object changed under our hands.
            Err(Interrupted::Replaced(_)) if attempt < ATTEMPTS => attempt += 1,
            Err(Interrupted::Replaced(error) | Interrupted::Failed(error)) => return Err(error),
            Ok(fetched) => return Ok(fetched),
        }
    }
}

/// Why a read ended before it began.
enum Interrupted {
    /// Two answers were not about the same version.
    Replaced(S3Error),
    /// The upstream served a range although `If-Range` names another version, as MinIO does.
    RangeIsOfAnother,
    Failed(S3Error),
}

impl<E: Into<S3Error>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Whether the upstream refused a range without having looked at `If-Range`: of another version all is wanted, and no range.
fn range_fails_unseen(request: &ObjectRequest<'_>, wanted: Wanted, error: &S3Error) -> bool {
    matches!(wanted, Wanted::Range(_))
        && error.status == StatusCode::RANGE_NOT_SATISFIABLE
        && request.headers.contains_key(header::IF_RANGE)
}

/// The whole object, for which `If-Range` means nothing.
async fn fetch_whole(gateway: &Gateway, request: &ObjectRequest<'_>) -> Result<Fetched, S3Error> {
    match fetch_once(gateway, request, Wanted::Whole).await {
        Ok(fetched) => Ok(fetched),
        Err(Interrupted::Replaced(error) | Interrupted::Failed(error)) => Err(error),
        Err(Interrupted::RangeIsOfAnother) => {
            Err(S3Error::internal("a range that nobody asked for"))
        }
    }
}

async fn fetch_once(
    gateway: &Gateway,
    request: &ObjectRequest<'_>,
    wanted: Wanted,
) -> Result<Fetched, Interrupted> {
    let answer = first_answer(gateway, request, wanted).await?;
    let head = SealedHead::read(&answer, request.version_id)?;
    request.conditions.hold(answer.headers())?;
    if matches!(wanted, Wanted::Range(_))
        && answer.status() == StatusCode::PARTIAL_CONTENT
        && !if_range_holds(&request.headers, answer.headers())
    {
        return Err(Interrupted::RangeIsOfAnother);
    }
    let issued;
    let permit = match &request.permission {
        Permission::Issued(permit) => permit,
        Permission::Intended(intent) => {
            issued = policy::permit_open(intent).await?;
            &issued
        }
    };
    let object = head
        .open(gateway, permit, &request.rule, request.key)
        .await?;
    let bucket = request.target.bucket.as_deref().unwrap_or_default();
    if !gateway.served_tags.stands_for(bucket, request.key, &object) {
        if matches!(wanted, Wanted::Range(_)) && request.headers.contains_key(header::IF_RANGE) {
            return Err(Interrupted::RangeIsOfAnother);
        }
        if request.conditions.want_a_known_object() {
            return Err(ambiguous_tag(&object).into());
        }
    }
    let layout = object
        .layout(&gateway.commits, &gateway.upstream, &request.target)
        .await
        .map_err(replaced_if_412)?;
    let plaintext_length = layout.plaintext_length();
    // With If-Range the upstream may have chosen the whole object.
    let whole_anyway =
        answer.status() == StatusCode::OK && request.headers.contains_key(header::IF_RANGE);
    let (range, parts_count) = match wanted {
        Wanted::Whole => (None, None),
        Wanted::Range(_) if whole_anyway => (None, None),
        Wanted::Range(spec) => (spec.resolve_read(plaintext_length)?, None),
        Wanted::Part(number) => (part_range(&layout, number)?, object.parts_count(&layout)),
    };
    let plaintext = match (range, wanted) {
        (Some(range), _) => range.start..range.end_inclusive + 1,
        // An empty part.
        (None, Wanted::Part(_)) => 0..0,
        (None, _) => 0..plaintext_length,
    };
    let length = plaintext.end - plaintext.start;
    let plan = layout.plan(plaintext)?;
    let needed = plan.ciphertext();
    let held = held_range(&answer, object.identity.sealed_length)?;
    let headers = answer.headers().clone();
    let (answer, skip) =
        if needed.is_empty() || (held.start <= needed.start && needed.end <= held.end) {
            (answer, needed.start.saturating_sub(held.start))
        } else {
            (exact_answer(gateway, request, &object, &needed).await?, 0)
        };
    let opener = Opener::new(object.opened.secrets(), plan)?;
    let whole = held == (0..object.identity.sealed_length) && length == plaintext_length;
    let region = whole.then(|| RegionCheck {
        secrets: object.opened.secrets().clone(),
        sealed_length: object.identity.sealed_length,
    });
    let mut plaintext = OpeningStream::new(answer.into_parts().1, opener, skip, region);
    plaintext.open_first().await?;
    Ok(Fetched {
        object,
        plaintext_length,
        range,
        length,
        parts_count,
        plaintext,
        headers,
    })
}

/// What a condition on the tag is answered that has stood for two objects.
pub(crate) fn ambiguous_tag(object: &SealedObject) -> S3Error {
    S3Error::stored_data(format!(
        "the upstream has given two objects of this key the entity tag {}, so a condition on it says nothing",
        object.identity.entity_tag
    ))
}

/// The first request: the client's conditions, and a guess where the wanted bytes lie.
async fn first_answer(
    gateway: &Gateway,
    request: &ObjectRequest<'_>,
    wanted: Wanted,
) -> Result<Answer, Interrupted> {
    let mut upstream = UpstreamRequest::new(Method::GET, request.target.clone())
        .query(request.version_query())
        .headers(request.headers.clone());
    let range = match wanted {
        Wanted::Whole => None,
        Wanted::Range(spec) => Some(guess::range_header(spec)),
        // Where the part lies is known only with the commit record; one byte brings the head.
        Wanted::Part(_) => Some("bytes=0-0".to_owned()),
    };
    if let Some(range) = &range {
        upstream = upstream.header(header::RANGE, text(range)?);
    }
    let answer = match gateway.upstream.call(upstream).await {
        Err(error)
            if error.status == StatusCode::RANGE_NOT_SATISFIABLE
                && matches!(wanted, Wanted::Range(_)) =>
        {
            return Err(unsatisfiable_in_plaintext(gateway, request, &error)
                .await
                .into());
        }
        answer => answer?,
    };
    let answered_range = answer.status() == StatusCode::PARTIAL_CONTENT;
    if range.is_some() && !answered_range && !request.headers.contains_key(header::IF_RANGE) {
        return Err(S3Error::stored_data("the upstream ignored a range").into());
    }
    if range.is_none() && answered_range {
        return Err(S3Error::stored_data(
            "the upstream answered with a range that nobody asked for",
        )
        .into());
    }
    Ok(answer)
}

/// Whether a range of this answer is one of the version that `If-Range` names (RFC 9110, section 13.1.5). A client puts such a range behind
/// bytes that it has, so what the upstream makes of the header is not enough.
fn if_range_holds(request: &HeaderMap, answer: &HeaderMap) -> bool {
    let text = |headers: &HeaderMap, name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.trim().to_owned())
    };
    let Some(condition) = text(request, header::IF_RANGE) else {
        return true;
    };
    if let Ok(date) = httpdate::parse_http_date(&condition) {
        return text(answer, header::LAST_MODIFIED).is_some_and(|modified| {
            httpdate::parse_http_date(&modified).is_ok_and(|modified| modified == date)
        });
    }
    text(answer, header::ETAG).is_some_and(|found| {
        EntityTag::parse(&condition).strongly_equals(&EntityTag::parse(&found))
    })
}

/// A range beyond the ciphertext is beyond the plaintext too; the client must see the plaintext's length. Where the upstream does not say how
/// long the object is, as MinIO does not, it is asked.
async fn unsatisfiable_in_plaintext(
    gateway: &Gateway,
    request: &ObjectRequest<'_>,
    error: &S3Error,
) -> S3Error {
    let stated = error
        .headers
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok()?.rsplit_once('/')?.1.parse().ok());
    let sealed = match stated {
        Some(length) => Some(length),
        None => sealed_length(gateway, request).await,
    };
    match sealed.and_then(sealgate_envelope::layout::plaintext_length) {
        Some(size) => Unsatisfiable { size }.into(),
        None => S3Error::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The requested range is not satisfiable",
        ),
    }
}

/// The length of the object at the upstream, by a HEAD.
async fn sealed_length(gateway: &Gateway, request: &ObjectRequest<'_>) -> Option<u64> {
    let head = UpstreamRequest::new(Method::HEAD, request.target.clone())
        .query(request.version_query())
        .headers(request.headers.clone());
    gateway.upstream.call(head).await.ok()?.content_length()
}

/// A further request for exactly these bytes of exactly this version.
async fn exact_answer(
    gateway: &Gateway,
    request: &ObjectRequest<'_>,
    object: &SealedObject,
    needed: &Range<u64>,
) -> Result<Answer, Interrupted> {
    let identity = &object.identity;
    let mut headers = request.headers.clone();
    for condition in [
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
    ] {
        headers.remove(condition);
    }
    let upstream = UpstreamRequest::new(Method::GET, request.target.clone())
        .query(identity.version_query())
        .headers(headers)
        .header(header::IF_MATCH, text(&identity.entity_tag)?)
        .header(
            header::RANGE,
            text(&format!(
                "bytes={}-{}",
                needed.start,
                needed.end.saturating_sub(1)
            ))?,
        );
    let answer = gateway
        .upstream
        .call(upstream)
        .await
        .map_err(replaced_if_412)?;
    if SealedHead::read(&answer, identity.version_id.as_deref())?.identity != *identity {
        return Err(Interrupted::Replaced(
            S3Error::precondition_failed()
                .with_detail("the object was replaced between two requests"),
        ));
    }
    if held_range(&answer, identity.sealed_length)? != *needed {
        return Err(
            S3Error::stored_data("the upstream sent another range than was asked for").into(),
        );
    }
    Ok(answer)
}

/// A 412 to a request that only we made conditional means that the object was replaced.
fn replaced_if_412(error: S3Error) -> Interrupted {
    if error.status == StatusCode::PRECONDITION_FAILED {
        let busy =
            S3Error::slow_down("the object was replaced again and again while it was being read");
        Interrupted::Replaced(busy)
    } else {
        Interrupted::Failed(error)
    }
}

/// The bytes of the sealed object that an answer holds.
pub(super) fn held_range(answer: &Answer, sealed_length: u64) -> Result<Range<u64>, S3Error> {
    let malformed = || S3Error::stored_data("the upstream's Content-Range cannot be read");
    let held = match answer.text(HeaderName::from_static("content-range")) {
        None => 0..sealed_length,
        Some(value) => {
            let (range, _) = value
                .strip_prefix("bytes ")
                .and_then(|rest| rest.split_once('/'))
                .ok_or_else(malformed)?;
            let (first, last) = range.split_once('-').ok_or_else(malformed)?;
            let (first, last): (u64, u64) = (
                first.parse().map_err(|_| malformed())?,
                last.parse().map_err(|_| malformed())?,
            );
            first..last.checked_add(1).ok_or_else(malformed)?
        }
    };
    if held.start > held.end
        || held.end > sealed_length
        || answer.content_length() != Some(held.end - held.start)
    {
        return Err(S3Error::stored_data(
            "the upstream's Content-Range and Content-Length contradict each other",
        ));
    }
    Ok(held)
}

/// The plaintext of the n-th part, counted from 1 in the order of the object (s3-wire-rules, 21). None for an empty part.
///
/// # Errors
///
/// `InvalidPartNumber` when the object has fewer parts.
pub fn part_range(layout: &ObjectLayout, number: u16) -> Result<Option<ByteRange>, S3Error> {
    let part = usize::from(number)
        .checked_sub(1)
        .and_then(|index| layout.parts().get(index))
        .ok_or_else(|| {
            S3Error::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidPartNumber",
                "The requested partnumber is not satisfiable.",
            )
            .with_element("ActualPartCount", layout.parts().len().to_string())
            .with_element("PartNumberRequested", number.to_string())
        })?;
    let plaintext = part.plaintext();
    Ok((!plaintext.is_empty()).then(|| ByteRange {
        start: plaintext.start,
        end_inclusive: plaintext.end - 1,
    }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_range_of_another_version_is_not_taken_for_the_one_that_was_meant() {
        let holds = |condition: Option<&'static str>, tag: &'static str, modified: &'static str| {
            let mut request = HeaderMap::new();
            if let Some(condition) = condition {
                request.insert(header::IF_RANGE, HeaderValue::from_static(condition));
            }
            let answer = HeaderMap::from_iter([
                (header::ETAG, HeaderValue::from_static(tag)),
                (header::LAST_MODIFIED, HeaderValue::from_static(modified)),
            ]);
            if_range_holds(&request, &answer)
        };
        let (then, later) = (
            "Mon, 23 Nov 2026 13:46:20 GMT",
            "Mon, 23 Nov 2026 13:46:21 GMT",
        );
        assert!(holds(None, "\"a\"", then));
        assert!(holds(Some("\"a\""), "\"a\"", then));
        assert!(!holds(Some("\"a\""), "\"b\"", then));
        assert!(!holds(Some("W/\"a\""), "W/\"a\"", then));
        assert!(holds(Some(then), "\"a\"", then));
        assert!(!holds(Some(then), "\"a\"", later));
    }
}
