//! ListParts and ListMultipartUploads.

use std::ops::Bound;

use s3s::dto::{
    ChecksumAlgorithm, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, Part, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answer;
use super::listings::Names;
use crate::index::listing::after_prefix;
use crate::index::records::{PartRecord, UploadRecord};
use crate::index::{IndexError, View};
use crate::store::{Demand, Store};

pub(super) async fn list_parts(
    store: &Store,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let limit = answer::page_size(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let after = u16::try_from(marker.min(i32::from(u16::MAX)));
    let after =
        after.map_err(|_| s3_error!(InvalidArgument, "part-number-marker must not be negative"))?;
    store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&input.bucket)?;
            let upload = snapshot.demand_upload(&input.bucket, &input.key, &input.upload_id)?;
            let mut found = snapshot.parts(&input.upload_id)?;
            let mut found = found.split_off(&after.saturating_add(1)).into_iter();
            let parts: Vec<Part> = found
                .by_ref()
                .take(limit)
                .map(|(number, record)| describe_part(number, record, &upload))
                .collect();
            Ok(S3Response::new(ListPartsOutput {
                bucket: Some(input.bucket),
                key: Some(input.key),
                upload_id: Some(input.upload_id),
                max_parts: answer::count(limit),
                part_number_marker: Some(marker),
                next_part_number_marker: Some(
                    parts.last().and_then(|part| part.part_number).unwrap_or(0),
                ),
                is_truncated: Some(limit > 0 && found.next().is_some()),
                parts: Some(parts),
                checksum_algorithm: checksum_algorithm(&upload),
                checksum_type: upload.algorithm.map(|_| upload.checksum_kind.to_dto()),
                storage_class: Some(storage_class(&upload)),
                owner: Some(answer::owner()),
                ..Default::default()
            }))
        })
        .await
}

fn describe_part(number: u16, record: PartRecord, upload: &UploadRecord) -> Part {
    // Only the checksums that the client asked for: the others are the store's own business.
    let checksums = upload
        .algorithm
        .map(|algorithm| record.checksums.only(algorithm))
        .unwrap_or_default();
    let checksums = checksums.to_dto();
    Part {
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        e_tag: Some(ETag::Strong(record.etag)),
        last_modified: answer::timestamp(record.modified),
        part_number: Some(i32::from(number)),
        size: answer::signed(record.size),
    }
}

fn checksum_algorithm(upload: &UploadRecord) -> Option<ChecksumAlgorithm> {
    upload
        .algorithm
        .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name()))
}

fn storage_class(upload: &UploadRecord) -> StorageClass {
    StorageClass::from(
        upload
            .attributes
            .storage_class
            .clone()
            .unwrap_or_else(|| "STANDARD".to_owned()),
    )
}

/// What ListMultipartUploads asks for.
#[derive(Debug, Clone, Copy, Default)]
struct Query<'a> {
    prefix: &'a str,
    delimiter: &'a str,
    key_marker: &'a str,
    /// Counts only beside a key marker.
    upload_marker: Option<&'a str>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Page {
    uploads: Vec<(String, String, UploadRecord)>,
    prefixes: Vec<String>,
    /// The markers of the next page, if there is one.
    next: Option<(String, String)>,
}

/// One page of uploads: by key, and for each key by time.
fn page(view: &impl View, bucket: &str, query: Query<'_>) -> Result<Page, IndexError> {
    let mut page = Page::default();
    if query.limit == 0 {
        return Ok(page);
    }
    let mut last = (
        query.key_marker.to_owned(),
        query.upload_marker.unwrap_or_default().to_owned(),
    );
    let mut from: Bound<(Vec<u8>, String)> = if query.key_marker < query.prefix {
        Bound::Included((query.prefix.as_bytes().to_owned(), String::new()))
    } else if query.upload_marker.is_some() || query.key_marker.is_empty() {
        Bound::Excluded((last.0.as_bytes().to_owned(), last.1.clone()))
    } else {
        // Behind every upload of the key: the next key there can be is this one and a zero byte.
        Bound::Included(([query.key_marker.as_bytes(), &[0]].concat(), String::new()))
    };
    while let Some((key, upload, record)) = view.next_upload(
        bucket,
        from.as_ref()
            .map(|(key, upload)| (key.as_slice(), upload.as_str())),
    )? {
        let name = String::from_utf8_lossy(&key).into_owned();
        let Some(rest) = name.strip_prefix(query.prefix) else {
            break;
        };
        let common = Some(query.delimiter)
            .filter(|delimiter| !delimiter.is_empty())
            .and_then(|delimiter| rest.split_once(delimiter))
            .map(|(head, _)| [query.prefix, head, query.delimiter].concat());
        let behind = |common: &str| after_prefix(common).map(|key| (key, String::new()));
        if let Some(common) = &common
            && common.as_str() <= query.key_marker
        {
            from = behind(common);
            continue;
        }
        if page.uploads.len() + page.prefixes.len() == query.limit {
            page.next = Some(last);
            break;
        }
        if let Some(common) = common {
            from = behind(&common);
            last = (common.clone(), String::new());
            page.prefixes.push(common);
        } else {
            from = Bound::Excluded((key, upload.clone()));
            last = (name.clone(), upload.clone());
            page.uploads.push((name, upload, record));
        }
    }
    Ok(page)
}

pub(super) async fn list_uploads(
    store: &Store,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    let limit = answer::page_size(input.max_uploads, "max-uploads")?;
    let names = Names::new(input.encoding_type.as_ref())?;
    store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&input.bucket)?;
            let query = Query {
                prefix: input.prefix.as_deref().unwrap_or_default(),
                delimiter: input.delimiter.as_deref().unwrap_or_default(),
                key_marker: input.key_marker.as_deref().unwrap_or_default(),
                upload_marker: input
                    .upload_id_marker
                    .as_deref()
                    .filter(|marker| !marker.is_empty()),
                limit,
            };
            let page = page(&snapshot, &input.bucket, query)?;
            let uploads = page
                .uploads
                .into_iter()
                .map(|(key, upload, record)| MultipartUpload {
                    checksum_algorithm: checksum_algorithm(&record),
                    checksum_type: record.algorithm.map(|_| record.checksum_kind.to_dto()),
                    initiated: answer::timestamp(record.initiated),
                    initiator: None,
                    key: Some(names.encode(&key)),
                    owner: Some(answer::owner()),
                    storage_class: Some(storage_class(&record)),
                    upload_id: Some(upload),
                });
            let (next_key, next_upload) = page.next.unzip();
            Ok(S3Response::new(ListMultipartUploadsOutput {
                uploads: Some(uploads.collect()),
                bucket: Some(input.bucket),
                common_prefixes: Some(names.common_prefixes(page.prefixes)),
                delimiter: input.delimiter.map(|delimiter| names.encode(&delimiter)),
                encoding_type: input.encoding_type,
                is_truncated: Some(next_key.is_some()),
                key_marker: Some(names.encode(&input.key_marker.unwrap_or_default())),
                max_uploads: answer::count(limit),
                next_key_marker: next_key.map(|key| names.encode(&key)),
                next_upload_id_marker: next_upload,
                prefix: Some(names.encode(&input.prefix.unwrap_or_default())),
                request_charged: None,
                upload_id_marker: input.upload_id_marker,
            }))
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;
    use crate::index::records::Attributes;

    fn index(uploads: &[(&str, &str)]) -> (tempfile::TempDir, Index) {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::open(&directory.path().join("index")).unwrap();
        let mut change = index.write().unwrap();
        for bucket in ["aa", "bb", "cc"] {
            for (key, upload) in uploads {
                let record = UploadRecord {
                    initiated: 0,
                    algorithm: None,
                    checksum_kind: crate::checksum::ChecksumKind::FullObject,
                    attributes: Attributes::default(),
                };
                change.put_upload(bucket, key, upload, &record).unwrap();
            }
        }
        change.commit().unwrap();
        (directory, index)
    }

    const SAMPLE: [(&str, &str); 6] = [
        ("a", "1"),
        ("a", "2"),
        ("a/x", "3"),
        ("a/y", "4"),
        ("b", "5"),
        ("c", "6"),
    ];

    fn ids(page: &Page) -> Vec<&str> {
        page.uploads
            .iter()
            .map(|(_, upload, _)| upload.as_str())
            .collect()
    }

    #[test]
    fn markers_continue_within_and_behind_a_key() {
        let (_directory, index) = index(&SAMPLE);
        let view = index.read().unwrap();
        let list = |query| {
            page(
                &view,
                "bb",
                Query {
                    limit: 100,
                    ..query
                },
            )
            .unwrap()
        };
        assert_eq!(ids(&list(Query::default())), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(
            ids(&list(Query {
                key_marker: "a",
                ..Query::default()
            })),
            ["3", "4", "5", "6"]
        );
        let within = Query {
            key_marker: "a",
            upload_marker: Some("1"),
            ..Query::default()
        };
        assert_eq!(ids(&list(within)), ["2", "3", "4", "5", "6"]);
        assert_eq!(
            ids(&list(Query {
                prefix: "a/",
                ..Query::default()
            })),
            ["3", "4"]
        );
        let grouped = list(Query {
            delimiter: "/",
            ..Query::default()
        });
        assert_eq!(
            (ids(&grouped), grouped.prefixes.clone()),
            (vec!["1", "2", "5", "6"], vec!["a/".to_owned()])
        );
    }

    #[test]
    fn pages_of_one_add_up() {
        let (_directory, index) = index(&SAMPLE);
        let view = index.read().unwrap();
        for (delimiter, expected) in [("", 6), ("/", 5)] {
            let mut markers = (String::new(), String::new());
            let mut count = 0;
            loop {
                let query = Query {
                    delimiter,
                    key_marker: &markers.0,
                    upload_marker: Some(markers.1.as_str()).filter(|marker| !marker.is_empty()),
                    limit: 1,
                    ..Query::default()
                };
                let page = page(&view, "bb", query).unwrap();
                count += page.uploads.len() + page.prefixes.len();
                assert!(count <= expected);
                match page.next {
                    Some(next) => markers = next,
                    None => break,
                }
            }
            assert_eq!(count, expected);
        }
    }
}
