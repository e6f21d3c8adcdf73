//! ListMultipartUploads, answered from the records of open uploads: no upstream call returns what is needed, and MinIO lists uploads of a whole
//! bucket as none by design.
//!
//! Each replica reads what a record says that it is about once, and remembers it. The uploads of a page are opened, and the storage is asked about
//! each of them; about others it is not. Two listings at most do so at the same time.

mod page;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Method, Response, StatusCode};
use sealgate_envelope::key_service::UnwrapPermit;
use time::OffsetDateTime;

use self::page::Page;
use super::{
    DEFAULT_STORAGE_CLASS, Exchange, ResponseBody, append_query, checksums, document,
    get_object::intent, headers,
};
use crate::{
    error::S3Error,
    object_key::ObjectKey,
    policy,
    state::{Claim, OpenUpload, UploadId},
    upstream::{MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
    xml::{
        multipart_answers::{ListedUpload, UploadsAnswer},
        upstream_listings::parse_parts,
    },
};

/// Open uploads of all buckets, whose names are looked at for one answer. More are an operator's case for `sealgate gc`.
const MAXIMUM_OPEN_UPLOADS: usize = 100_000;

/// Uploads that one answer may be made of. With more, the next page begins behind them.
const MAXIMUM_CANDIDATES: usize = 10_000;

/// Records that are read, or uploads that the storage is asked about, at the same time.
const CONCURRENT_READS: usize = 16;

/// Uploads that are opened before the page is looked at again.
const BATCH: usize = 64;

/// What the request asks for.
struct Asked {
    prefix: String,
    delimiter: Option<String>,
    key_marker: String,
    upload_id_marker: String,
    max_uploads: u32,
}

/// Uploads by key and id, the order of the answer, as their records claim.
type Candidates = BTreeMap<(String, String), Arc<Claim>>;

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let asked = asked(&exchange)?;
    let gateway = &exchange.gateway;
    // A bucket that does not exist has no uploads, and says so.
    let bucket = gateway
        .upstream
        .call(UpstreamRequest::new(Method::HEAD, exchange.target()))
        .await
        .map_err(|error| {
            if error.status == StatusCode::NOT_FOUND {
                S3Error::no_such_bucket()
            } else {
                error
            }
        })?;
    let _place = gateway.uploads.listing_place().await;
    let page = fill(&exchange, &asked, candidates(&exchange, &asked).await?).await?;
    let next = page.next();
    let encoded = exchange.query.unique("encoding-type").ok().flatten() == Some("url");
    let result = UploadsAnswer {
        bucket: exchange.bucket(),
        prefix: &asked.prefix,
        delimiter: asked.delimiter.as_deref(),
        key_marker: &asked.key_marker,
        upload_id_marker: &asked.upload_id_marker,
        next_key_marker: next.map(|(key, _)| key.as_str()),
        next_upload_id_marker: next.map(|(_, id)| id.as_str()),
        max_uploads: asked.max_uploads,
        is_truncated: next.is_some(),
        url_encoded: encoded,
        uploads: page.uploads(),
        common_prefixes: page.common_prefixes(),
    };
    Ok(document(
        StatusCode::OK,
        headers::charged(bucket.headers()),
        result.to_document(),
    ))
}

/// The first of the uploads that may be on the page, and one more than [`MAXIMUM_CANDIDATES`] where there are more.
async fn candidates(exchange: &Exchange, asked: &Asked) -> Result<Candidates, S3Error> {
    if is_foreign_marker(asked) {
        return Err(invalid_marker(asked));
    }
    let uploads = &exchange.gateway.uploads;
    let names = uploads.open_names(MAXIMUM_OPEN_UPLOADS).await?;
    let mut claims = stream::iter(names)
        .map(|name| async move { uploads.claim(&name).await })
        .buffer_unordered(CONCURRENT_READS);
    let empty = Page::new(asked);
    let mut candidates = Candidates::new();
    while let Some(claim) = claims.try_next().await? {
        let Some(claim) = claim.filter(|claim| {
            claim.bucket == exchange.bucket() && claim.key.starts_with(&asked.prefix)
        }) else {
            continue;
        };
        let id = claim.id.to_string();
        if is_marker_of_another_key(asked, &claim.key, &id) {
            return Err(invalid_marker(asked));
        }
        if empty.wants(&claim.key, &id) {
            candidates.insert((claim.key.clone(), id), claim);
        }
        if candidates.len() > MAXIMUM_CANDIDATES + 1 {
            candidates.pop_last();
        }
    }
    Ok(candidates)
}

/// The page: of the candidates those that are open, as many as it has room for.
async fn fill<'a>(
    exchange: &Exchange,
    asked: &'a Asked,
    candidates: Candidates,
) -> Result<Page<'a>, S3Error> {
    let mut page = Page::new(asked);
    let mut rest = candidates.iter().take(MAXIMUM_CANDIDATES);
    let batch = page.limit().saturating_add(1).min(BATCH);
    loop {
        let next: Vec<Arc<Claim>> = rest
            .by_ref()
            .filter(|((key, id), _)| page.wants(key, id))
            .take(batch)
            .map(|(_, claim)| Arc::clone(claim))
            .collect();
        if next.is_empty() {
            break;
        }
        // One decision for all of them: those that look at the same time would each record it.
        let permit = &policy::permit_seal(&intent(exchange)).await?;
        let found: Vec<Option<ListedUpload>> = stream::iter(next)
            .map(|claim| async move { look(exchange, permit, &claim).await })
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await?;
        for upload in found.into_iter().flatten() {
            if page.add(upload).is_break() {
                return Ok(page);
            }
        }
    }
    if candidates.len() > MAXIMUM_CANDIDATES
        && let Some((key, id)) = candidates.keys().nth(MAXIMUM_CANDIDATES - 1)
    {
        page.end_behind(key, id);
    }
    Ok(page)
}

/// An upload as it is listed, if its record verifies and the storage knows it too.
async fn look(
    exchange: &Exchange,
    permit: &UnwrapPermit,
    claim: &Claim,
) -> Result<Option<ListedUpload>, S3Error> {
    let gateway = &exchange.gateway;
    let rule = gateway.config.domain_for(&claim.bucket, &claim.key);
    let upload = gateway
        .uploads
        .open_claimed(gateway, permit, claim, &rule)
        .await?;
    let Some(upload) = upload else {
        return Ok(None);
    };
    let class = class_if_open(exchange, &upload).await?;
    Ok(class.map(|class| shown(&upload, class)))
}

/// The storage class of an upload that the upstream knows too. A record outlives the upload where the bucket was deleted, a lifecycle rule aborted it, or somebody
/// else did, until `sealgate gc` comes; and a bucket of the same name would inherit it.
async fn class_if_open(
    exchange: &Exchange,
    upload: &OpenUpload,
) -> Result<Option<String>, S3Error> {
    let key = ObjectKey::new(upload.record.object_key.as_str())?;
    let mut query = String::from("max-parts=1");
    append_query(&mut query, "uploadId", &upload.id.upstream);
    let target = Target::object(exchange.bucket(), key.to_wire())
        .for_requester(headers::requester(&exchange.headers));
    let request = UpstreamRequest::new(Method::GET, target).query(query);
    match exchange.gateway.upstream.call(request).await {
        Ok(answer) => {
            let document = answer.document(MAX_DOCUMENT_LENGTH).await?;
            let class = parse_parts(&document)?.storage_class;
            Ok(Some(
                class.unwrap_or_else(|| DEFAULT_STORAGE_CLASS.to_owned()),
            ))
        }
        Err(error) if error.code == "NoSuchUpload" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the marker is no upload id of ours. It need not be open any more: uploads end between two pages.
fn is_foreign_marker(asked: &Asked) -> bool {
    let marker = asked.upload_id_marker.as_str();
    // Without a key it means nothing (S3 API, ListMultipartUploads).
    !asked.key_marker.is_empty() && !marker.is_empty() && UploadId::parse(marker).is_none()
}

/// Whether the marker is this id, which is not of the key that it comes with.
fn is_marker_of_another_key(asked: &Asked, key: &str, id: &str) -> bool {
    !asked.key_marker.is_empty() && id == asked.upload_id_marker && key != asked.key_marker
}

fn invalid_marker(asked: &Asked) -> S3Error {
    S3Error::invalid_argument("Invalid uploadId marker")
        .with_element("ArgumentName", "upload-id-marker")
        .with_element("ArgumentValue", asked.upload_id_marker.as_str())
}

fn asked(exchange: &Exchange) -> Result<Asked, S3Error> {
    let text = |name: &str| {
        exchange
            .query
            .unique(name)
            .ok()
            .flatten()
            .map(str::to_owned)
    };
    let max_uploads = match text("max-uploads").filter(|text| !text.is_empty()) {
        None => 1_000,
        Some(text) => limit_of("max-uploads", &text)?.min(1_000),
    };
    Ok(Asked {
        prefix: text("prefix").unwrap_or_default(),
        delimiter: text("delimiter").filter(|delimiter| !delimiter.is_empty()),
        key_marker: text("key-marker").unwrap_or_default(),
        upload_id_marker: text("upload-id-marker").unwrap_or_default(),
        max_uploads,
    })
}

/// The value of a parameter that limits a listing, such as `max-uploads`.
pub(super) fn limit_of(name: &'static str, text: &str) -> Result<u32, S3Error> {
    let limit: i32 = text.parse().map_err(|_| {
        let message = format!("Provided {text} not an integer or within integer range");
        bad_limit(name, text, message)
    })?;
    u32::try_from(limit).map_err(|_| {
        let message = format!("Argument {text} must be an integer between 0 and 2147483647");
        bad_limit(name, text, message)
    })
}

fn bad_limit(name: &'static str, text: &str, message: String) -> S3Error {
    S3Error::invalid_argument(message)
        .with_element("ArgumentName", name)
        .with_element("ArgumentValue", text)
}

fn shown(upload: &OpenUpload, storage_class: String) -> ListedUpload {
    let kind = upload.checksum_kind();
    let initiated = i128::from(upload.record.created) * 1_000_000;
    ListedUpload {
        key: upload.record.object_key.clone(),
        upload_id: upload.id.to_string(),
        initiated: OffsetDateTime::from_unix_timestamp_nanos(initiated)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        owner: None,
        storage_class: Some(storage_class),
        checksum_algorithm: kind
            .and_then(|kind| checksums::from_sealed_algorithm(kind.algorithm))
            .map(|algorithm| algorithm.name().to_owned()),
        checksum_type: kind.map(|kind| checksums::from_sealed_type(kind.r#type).name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_belongs_to_its_key_and_may_be_of_an_upload_that_has_ended() {
        let id = |byte| {
            UploadId {
                object_id: sealgate_envelope::ObjectId::from_bytes([byte; 16]),
                upstream: "u".to_owned(),
            }
            .to_string()
        };
        let found = [("a", id(1)), ("b", id(2))];
        let is_valid = |key: &str, marker: &str| {
            let asked = Asked {
                prefix: String::new(),
                delimiter: None,
                key_marker: key.to_owned(),
                upload_id_marker: marker.to_owned(),
                max_uploads: 10,
            };
            let misplaced = |(key, id): &(&str, String)| is_marker_of_another_key(&asked, key, id);
            !is_foreign_marker(&asked) && !found.iter().any(misplaced)
        };
        assert!(is_valid("a", &id(1)));
        assert!(is_valid("a", &id(3)));
        assert!(!is_valid("a", &id(2)));
        assert!(!is_valid("a", "no id of ours"));
        assert!(is_valid("", "no id of ours"));
    }
}
