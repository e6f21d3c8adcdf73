//! GetObjectAttributes: what is known of an object without its bytes, about the plaintext.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use sealgate_envelope::{
    commit::{CommitPart, CommitRecord},
    object::Body,
};

use super::{
    DEFAULT_STORAGE_CLASS, Exchange, ResponseBody, append_query, checksums, clear, document,
    get_object::{intent, kept_checksum},
    head, headers, multipart, named,
};
use crate::{
    body::{Algorithm, ChecksumType},
    entity_tag::EntityTag,
    error::S3Error,
    object::{ClearHead, SealedHead, SealedObject},
    policy,
    upstream::{Answer, UpstreamRequest},
    xml::{
        attributes_answer::{AttributedPart, AttributesAnswer, PartsPage},
        checksum_value::ChecksumValue,
    },
};

/// Parts in one answer where the client names no other limit, and at most (S3 API, GetObjectAttributes).
const MAXIMUM_PAGE: u32 = 1_000;

/// Requests that began while the object was being replaced are repeated this often.
const ATTEMPTS: u32 = 3;

pub(super) async fn get_object_attributes(
    exchange: Exchange,
) -> Result<Response<ResponseBody>, S3Error> {
    let wanted = match Wanted::read(&exchange) {
        Ok(wanted) => wanted,
        Err(error) => return Err(multipart::missing_bucket(&exchange).await.unwrap_or(error)),
    };
    let limit = number(&exchange, "x-amz-max-parts")?
        .unwrap_or(MAXIMUM_PAGE)
        .min(MAXIMUM_PAGE);
    let marker = number(&exchange, "x-amz-part-number-marker")?.unwrap_or(0);
    if let Some(head) = clear::attributes(&exchange).await? {
        return Ok(describe_clear(&wanted, &head));
    }
    let Found {
        head,
        object,
        record,
    } = find(&exchange, wanted.checksum || wanted.parts).await?;
    let checksum = kept_checksum(&object, record.as_deref())
        .filter(|_| wanted.checksum)
        .and_then(|kept| {
            let value = ChecksumValue::new(kept.checksum.algorithm().name(), &kept.text())?;
            Some((value, kept.checksum_type.name()))
        });
    let uploaded_in_parts = object.opened.body() == Body::Multipart;
    let all = record
        .as_deref()
        .filter(|_| wanted.parts && uploaded_in_parts)
        .map(CommitRecord::parts);
    let listed = all.map(|parts| page(parts, marker, limit));
    let tag = head
        .text(header::ETAG)
        .map(|tag| EntityTag::parse(tag).to_client());
    let answer = AttributesAnswer {
        entity_tag: tag.as_ref().filter(|_| wanted.entity_tag),
        checksum: checksum.as_ref().map(|(value, kind)| (value, *kind)),
        parts: all
            .zip(listed.as_ref())
            .map(|(parts, (listed, is_truncated))| PartsPage {
                total: parts.len(),
                marker,
                limit,
                is_truncated: *is_truncated,
                parts: listed,
            }),
        storage_class: wanted.storage_class.then(|| {
            head.text(named("x-amz-storage-class"))
                .unwrap_or(DEFAULT_STORAGE_CLASS)
        }),
        size: if wanted.size {
            Some(object.plaintext_length()?)
        } else {
            None
        },
    };
    let mut answer_headers = headers::answer(head.headers());
    answer_headers.remove(header::ETAG);
    Ok(document(
        StatusCode::OK,
        answer_headers,
        answer.to_document(),
    ))
}

/// The answer for an object that was never sealed, from its head alone. Its parts, if it has some, the storage alone knows; it is answered
/// like an object without parts, as it will be when it is sealed.
fn describe_clear(wanted: &Wanted, head: &ClearHead) -> Response<ResponseBody> {
    let text = |name: &str| head.headers.get(name)?.to_str().ok();
    let kept = Algorithm::ALL
        .into_iter()
        .find_map(|algorithm| ChecksumValue::new(algorithm.name(), text(algorithm.header_name())?));
    let checksum_type = text("x-amz-checksum-type")
        .and_then(ChecksumType::from_name)
        .unwrap_or(ChecksumType::FullObject)
        .name();
    let tag = head.entity_tag.to_client_in_the_clear();
    let answer = AttributesAnswer {
        entity_tag: wanted.entity_tag.then_some(&tag),
        checksum: kept
            .as_ref()
            .filter(|_| wanted.checksum)
            .map(|value| (value, checksum_type)),
        parts: None,
        storage_class: wanted
            .storage_class
            .then(|| text("x-amz-storage-class").unwrap_or(DEFAULT_STORAGE_CLASS)),
        size: wanted.size.then_some(head.length),
    };
    let mut answer_headers = headers::answer(&head.headers);
    answer_headers.remove(header::ETAG);
    document(StatusCode::OK, answer_headers, answer.to_document())
}

/// What the answer is made of, all of one version.
struct Found {
    head: Answer,
    object: SealedObject,
    /// Where the object has one and it was asked for.
    record: Option<Arc<CommitRecord>>,
}

async fn find(exchange: &Exchange, wants_record: bool) -> Result<Found, S3Error> {
    let mut attempt = 1;
    loop {
        let (head, object) = open(exchange).await?;
        let record = if wants_record && object.needs_commit_record() {
            match commit_record(exchange, &object).await {
                // Not a condition of the client, which the HEAD settled: the object was replaced under our hands.
                Err(error)
                    if error.status == StatusCode::PRECONDITION_FAILED && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                    continue;
                }
                record => Some(record?),
            }
        } else {
            None
        };
        return Ok(Found {
            head,
            object,
            record,
        });
    }
}

async fn open(exchange: &Exchange) -> Result<(Answer, SealedObject), S3Error> {
    let mut request_headers = headers::common(&exchange.headers);
    let conditions = headers::read_conditions(&exchange.headers, &mut request_headers)?;
    let mut query = String::new();
    let version_id = exchange.version_id()?;
    if let Some(version_id) = version_id {
        append_query(&mut query, "versionId", version_id);
    }
    let gateway = &exchange.gateway;
    let head =
        match head::explained(gateway, exchange.target(), query.clone(), request_headers).await {
            Ok(head) => head,
            Err(error) => return Err(of_attributes(exchange, &query, error).await),
        };
    let sealed = SealedHead::read(&head, version_id)?;
    conditions.hold(head.headers())?;
    let permit = policy::permit_open(&intent(exchange)).await?;
    let object = sealed
        .open(gateway, &permit, &exchange.domain(), exchange.key())
        .await?;
    exchange.opened(&object);
    Ok((head, object))
}

/// What the storage says of a delete marker's attributes: of reading its bytes it says that this is not allowed, and of its attributes perhaps
/// that there are none.
async fn of_attributes(exchange: &Exchange, query: &str, error: S3Error) -> S3Error {
    if error.status != StatusCode::METHOD_NOT_ALLOWED {
        return error;
    }
    let mut attributes = "attributes=".to_owned();
    if !query.is_empty() {
        attributes.push('&');
        attributes.push_str(query);
    }
    let request = UpstreamRequest::new(Method::GET, exchange.target())
        .query(attributes)
        .headers(headers::common(&exchange.headers))
        .header(
            named("x-amz-object-attributes"),
            HeaderValue::from_static("ETag"),
        );
    let answer = exchange.gateway.upstream.call(request).await;
    answer.err().unwrap_or(error)
}

async fn commit_record(
    exchange: &Exchange,
    object: &SealedObject,
) -> Result<Arc<CommitRecord>, S3Error> {
    let gateway = &exchange.gateway;
    gateway
        .commits
        .record(&gateway.upstream, &exchange.target(), object)
        .await
}

/// The parts behind the marker, at most `limit`, and whether more follow.
fn page(parts: &[CommitPart], marker: u32, limit: u32) -> (Vec<AttributedPart>, bool) {
    let mut following = parts
        .iter()
        .filter(|part| u32::from(part.id.number()) > marker);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let listed = following
        .by_ref()
        .take(limit)
        .map(|part| AttributedPart {
            number: part.id.number(),
            size: part.plaintext_length,
            checksum: part
                .checksum
                .as_ref()
                .and_then(checksums::from_sealed)
                .and_then(|checksum| {
                    ChecksumValue::new(checksum.algorithm().name(), &checksum.to_base64())
                }),
        })
        .collect();
    (listed, following.next().is_some())
}

/// What a client asked for.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each name of the header"
)]
struct Wanted {
    entity_tag: bool,
    checksum: bool,
    parts: bool,
    storage_class: bool,
    size: bool,
}

impl Wanted {
    fn read(exchange: &Exchange) -> Result<Self, S3Error> {
        let values = exchange.headers.get_all("x-amz-object-attributes");
        let names = values
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(",");
        Self::parse(&names)
    }

    fn parse(names: &str) -> Result<Self, S3Error> {
        if names.trim().is_empty() {
            return Err(S3Error::invalid_request(
                "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
            ));
        }
        let mut wanted = Self::default();
        for name in names.split(',').map(str::trim) {
            match name {
                "ETag" => wanted.entity_tag = true,
                "Checksum" => wanted.checksum = true,
                "ObjectParts" => wanted.parts = true,
                "StorageClass" => wanted.storage_class = true,
                "ObjectSize" => wanted.size = true,
                name => {
                    return Err(
                        S3Error::invalid_argument("Invalid attribute name specified.")
                            .with_element("ArgumentName", "x-amz-object-attributes")
                            .with_element("ArgumentValue", name),
                    );
                }
            }
        }
        Ok(wanted)
    }
}

fn number(exchange: &Exchange, name: &str) -> Result<Option<u32>, S3Error> {
    let Some(value) = exchange.headers.get(name) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .and_then(|text| text.parse::<i32>().ok())
        .and_then(|number| u32::try_from(number).ok())
        .map(Some)
        .ok_or_else(|| {
            S3Error::invalid_argument(format!("{name} must be an integer of 0 or more."))
        })
}

#[cfg(test)]
mod tests {
    use sealgate_envelope::{keys::AttemptId, object::PartId};

    use super::*;

    fn parts(numbers: &[u16]) -> Vec<CommitPart> {
        numbers
            .iter()
            .map(|number| CommitPart {
                id: PartId::multipart(*number, AttemptId::from_bytes([1; 16])).unwrap(),
                plaintext_length: u64::from(*number),
                checksum: None,
            })
            .collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap() {
        let parts = parts(&[1, 2, 5, 9]);
        let numbers = |marker, limit| {
            let (listed, more) = page(&parts, marker, limit);
            let numbers: Vec<u16> = listed.iter().map(|part| part.number).collect();
            (numbers, more)
        };
        assert_eq!(numbers(0, 2), (vec![1, 2], true));
        assert_eq!(numbers(2, 2), (vec![5, 9], false));
        assert_eq!(numbers(5, 1), (vec![9], false));
        assert_eq!(numbers(9, 1), (vec![], false));
        assert_eq!(numbers(0, 0), (vec![], true));
    }

    #[test]
    fn only_attributes_that_exist_can_be_asked_for() {
        let wanted = Wanted::parse("ETag, ObjectSize").unwrap();
        assert!(wanted.entity_tag && wanted.size && !wanted.parts);
        for names in ["", "ETag,", "etag", "Owner"] {
            assert!(Wanted::parse(names).is_err(), "{names:?}");
        }
    }
}
