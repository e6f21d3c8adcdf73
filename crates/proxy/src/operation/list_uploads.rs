//! ListMultipartUploads, answered from the records of open uploads: no upstream call returns what is needed, and MinIO lists uploads of a whole
//! bucket as none by design.
//!
//! Each record is read once by each replica, and remembered as far as listings need it; two listings at most read at the same time.

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, Method, Response, StatusCode};
use time::OffsetDateTime;

use super::{
    DEFAULT_STORAGE_CLASS, Exchange, ResponseBody, append_query, checksums, document,
    get_object::intent, headers,
};
use crate::{
    error::S3Error,
    object_key::ObjectKey,
    policy,
    state::{OpenUpload, UploadId},
    upstream::{MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
    xml::{
        multipart_answers::{ListedUpload, UploadsAnswer},
        upstream_listings::parse_parts,
    },
};

/// Open uploads that are looked at for one answer. More are an operator's case for `sealgate gc`.
const MAXIMUM_OPEN_UPLOADS: usize = 10_000;

/// Records that are read at the same time.
const CONCURRENT_READS: usize = 16;

/// What the request asks for.
struct Asked {
    prefix: String,
    delimiter: Option<String>,
    key_marker: String,
    upload_id_marker: String,
    max_uploads: u32,
}

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let asked = asked(&exchange)?;
    let gateway = &exchange.gateway;
    // A bucket that does not exist has no uploads, and says so.
    gateway
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
    let names = gateway.uploads.open_names(MAXIMUM_OPEN_UPLOADS).await?;
    let exchange_ref = &exchange;
    let prefix = &asked.prefix;
    let found: Vec<Option<ListedUpload>> = stream::iter(names)
        .map(|name| async move {
            let permit = policy::permit_seal(&intent(exchange_ref));
            let config = &exchange_ref.gateway.config;
            let wanted = |bucket: &str, key: &str| {
                (bucket == exchange_ref.bucket() && key.starts_with(prefix))
                    .then(|| config.domain_for(bucket, key))
            };
            let upload = exchange_ref
                .gateway
                .uploads
                .open_named(&exchange_ref.gateway, &permit, &name, wanted)
                .await?;
            let Some(upload) = upload else {
                return Ok(None);
            };
            let class = class_if_open(exchange_ref, &upload).await?;
            Ok::<_, S3Error>(class.map(|class| shown(&upload, class)))
        })
        .buffer_unordered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let found: Vec<ListedUpload> = found.into_iter().flatten().collect();
    check_marker(&found, &asked)?;
    let page = page(found, &asked);
    let encoded = exchange.query.unique("encoding-type").ok().flatten() == Some("url");
    let result = UploadsAnswer {
        bucket: exchange.bucket(),
        prefix: &asked.prefix,
        delimiter: asked.delimiter.as_deref(),
        key_marker: &asked.key_marker,
        upload_id_marker: &asked.upload_id_marker,
        next_key_marker: page.next.as_ref().map(|(key, _)| key.as_str()),
        next_upload_id_marker: page.next.as_ref().map(|(_, id)| id.as_str()),
        max_uploads: asked.max_uploads,
        is_truncated: page.next.is_some(),
        url_encoded: encoded,
        uploads: &page.uploads,
        common_prefixes: &page.common_prefixes,
    };
    Ok(document(
        StatusCode::OK,
        HeaderMap::new(),
        result.to_document(),
    ))
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

/// A marker is an upload id of ours, and of the key that it comes with. It need not be open any more: uploads end between two pages.
fn check_marker(found: &[ListedUpload], asked: &Asked) -> Result<(), S3Error> {
    let marker = asked.upload_id_marker.as_str();
    if marker.is_empty() || asked.key_marker.is_empty() {
        return Ok(());
    }
    let of_another_key = found
        .iter()
        .any(|upload| upload.upload_id == marker && upload.key != asked.key_marker);
    if of_another_key || UploadId::parse(marker).is_none() {
        return Err(S3Error::invalid_argument("Invalid uploadId marker")
            .with_element("ArgumentName", "upload-id-marker")
            .with_element("ArgumentValue", marker));
    }
    Ok(())
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

/// One page of uploads.
#[derive(Debug, Default)]
struct Page {
    uploads: Vec<ListedUpload>,
    common_prefixes: Vec<String>,
    /// Where the next page begins: after this key and upload id.
    next: Option<(String, String)>,
}

/// Sorts by key, then by time and id; leaves out what lies before the markers; rolls up behind the delimiter (S3 API, ListMultipartUploads).
fn page(mut uploads: Vec<ListedUpload>, asked: &Asked) -> Page {
    uploads
        .sort_by(|left, right| (&left.key, &left.upload_id).cmp(&(&right.key, &right.upload_id)));
    let mut page = Page::default();
    let limit = usize::try_from(asked.max_uploads).unwrap_or(usize::MAX);
    for upload in uploads {
        let after_marker = if asked.upload_id_marker.is_empty() {
            upload.key > asked.key_marker
        } else {
            (upload.key.as_str(), upload.upload_id.as_str())
                > (asked.key_marker.as_str(), asked.upload_id_marker.as_str())
        };
        if !after_marker && !asked.key_marker.is_empty() {
            continue;
        }
        let rolled_up = rolled_up(&upload.key, &asked.prefix, asked.delimiter.as_deref());
        if let Some(prefix) = &rolled_up
            && (page.common_prefixes.last() == Some(prefix)
                || asked.key_marker.starts_with(prefix.as_str()))
        {
            continue;
        }
        if page.uploads.len() + page.common_prefixes.len() == limit {
            let last_upload = page
                .uploads
                .last()
                .map(|upload| (upload.key.clone(), upload.upload_id.clone()));
            let last_prefix = page
                .common_prefixes
                .last()
                .map(|prefix| (prefix.clone(), String::new()));
            page.next = last_upload.max(last_prefix);
            break;
        }
        match rolled_up {
            Some(prefix) => page.common_prefixes.push(prefix),
            None => page.uploads.push(upload),
        }
    }
    page
}

/// The part of a key up to the first delimiter behind the prefix.
fn rolled_up(key: &str, prefix: &str, delimiter: Option<&str>) -> Option<String> {
    let rest = key.strip_prefix(prefix)?;
    let delimiter = delimiter?;
    let end = rest.find(delimiter)? + delimiter.len();
    Some(format!("{prefix}{}", rest.get(..end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(key: &str, id: &str) -> ListedUpload {
        ListedUpload {
            key: key.to_owned(),
            upload_id: id.to_owned(),
            initiated: OffsetDateTime::UNIX_EPOCH,
            owner: None,
            storage_class: None,
            checksum_algorithm: None,
            checksum_type: None,
        }
    }

    fn all() -> Vec<ListedUpload> {
        ["b", "a/2", "a/1", "c/x/y", "a/1"]
            .iter()
            .zip(["1", "2", "3", "4", "5"])
            .map(|(key, id)| upload(key, id))
            .collect()
    }

    fn asked(delimiter: Option<&str>, max_uploads: u32) -> Asked {
        Asked {
            prefix: String::new(),
            delimiter: delimiter.map(str::to_owned),
            key_marker: String::new(),
            upload_id_marker: String::new(),
            max_uploads,
        }
    }

    #[test]
    fn a_marker_belongs_to_its_key_and_may_be_of_an_upload_that_has_ended() {
        let id = |byte| {
            UploadId {
                object_id: sealgate_envelope::ObjectId::from_bytes([byte; 16]),
                upstream: "u".to_owned(),
            }
            .to_string()
        };
        let found = [upload("a", &id(1)), upload("b", &id(2))];
        let check = |key: &str, id: &str| {
            let mut asked = asked(None, 10);
            (asked.key_marker, asked.upload_id_marker) = (key.to_owned(), id.to_owned());
            check_marker(&found, &asked)
        };
        assert!(check("a", &id(1)).is_ok());
        assert!(check("a", &id(3)).is_ok());
        assert!(check("a", &id(2)).is_err());
        assert!(check("a", "no id of ours").is_err());
        // Without a key it means nothing (S3 API, ListMultipartUploads).
        assert!(check("", "no id of ours").is_ok());
    }

    #[test]
    fn pages_show_every_upload_once_and_in_order() {
        for limit in 1..6 {
            let mut asked = asked(None, limit);
            let mut seen = Vec::new();
            loop {
                let page = page(all(), &asked);
                seen.extend(
                    page.uploads
                        .into_iter()
                        .map(|upload| (upload.key, upload.upload_id)),
                );
                let Some((key, id)) = page.next else { break };
                (asked.key_marker, asked.upload_id_marker) = (key, id);
            }
            let expected = [
                ("a/1", "3"),
                ("a/1", "5"),
                ("a/2", "2"),
                ("b", "1"),
                ("c/x/y", "4"),
            ];
            assert_eq!(
                seen,
                expected.map(|(key, id)| (key.to_owned(), id.to_owned())),
                "limit {limit}"
            );
        }
    }

    #[test]
    fn a_delimiter_rolls_keys_up_once_across_pages() {
        for limit in 1..5 {
            let mut asked = asked(Some("/"), limit);
            let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
            loop {
                let page = page(all(), &asked);
                keys.extend(page.uploads.into_iter().map(|upload| upload.key));
                prefixes.extend(page.common_prefixes);
                let Some((key, id)) = page.next else { break };
                (asked.key_marker, asked.upload_id_marker) = (key, id);
            }
            assert_eq!(
                (keys, prefixes),
                (vec!["b".to_owned()], vec!["a/".to_owned(), "c/".to_owned()]),
                "limit {limit}"
            );
        }
    }
}
