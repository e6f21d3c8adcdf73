//! Listings of an upstream that the gateway reads for itself: the parts of an upload, open uploads, and objects of the state bucket.

use time::OffsetDateTime;

use super::XmlError;
use super::checksum_value::ChecksumValue;
use super::elements::{ElementReader, push_entry, set_once};
use super::multipart_answers::{ListedPart, ListedUpload};
use super::object_pages::{Kind, Page};
use super::requests::part_number;
use super::url_encoding;
use crate::entity_tag::EntityTag;

/// One page of ListParts: sizes, tags and checksums are the upstream's, of the ciphertext.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartsPage {
    /// The parts in the upstream's order.
    pub parts: Vec<ListedPart>,
    /// The storage class of the object to be, where the upstream tells it.
    pub storage_class: Option<String>,
    /// Where to go on.
    pub next_part_number_marker: Option<u32>,
    /// Whether more parts follow.
    pub is_truncated: bool,
}

/// Reads the answer of ListParts.
///
/// # Errors
/// [`XmlError`] where it is no `<ListPartsResult>`, or a part lacks number, ETag, size or time.
pub fn parse_parts(document: &[u8]) -> Result<PartsPage, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("ListPartsResult")?;
    let mut page = PartsPage::default();
    while let Some(child) = reader.child()? {
        match child {
            "Part" => {
                let part = read_part(&mut reader)?;
                push_entry(&mut page.parts, part, "Part")?;
            }
            "NextPartNumberMarker" => {
                page.next_part_number_marker = Some(reader.number("NextPartNumberMarker")?);
            }
            "IsTruncated" => page.is_truncated = reader.boolean("IsTruncated")?,
            "StorageClass" => page.storage_class = non_empty(reader.text("StorageClass")?),
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    Ok(page)
}

/// Reads one `<Part>`, whose start was just read.
fn read_part(reader: &mut ElementReader<'_>) -> Result<ListedPart, XmlError> {
    let (mut number, mut last_modified, mut entity_tag, mut size, mut checksums) =
        (None, None, None, None, Vec::new());
    while let Some(child) = reader.child()? {
        match child {
            "PartNumber" => set_once(
                &mut number,
                reader.number::<i64>("PartNumber")?,
                "PartNumber",
            )?,
            "LastModified" => set_once(
                &mut last_modified,
                reader.time("LastModified")?,
                "LastModified",
            )?,
            "ETag" => set_once(
                &mut entity_tag,
                EntityTag::parse(&reader.text("ETag")?),
                "ETag",
            )?,
            "Size" => set_once(&mut size, reader.number("Size")?, "Size")?,
            name if ChecksumValue::is_element(name) => {
                ChecksumValue::read(reader, name, &mut checksums)?;
            }
            _ => reader.skip()?,
        }
    }
    let missing = |element| XmlError::MissingElement {
        element,
        parent: "Part",
    };
    let number = number.ok_or_else(|| missing("PartNumber"))?;
    Ok(ListedPart {
        number: part_number(number).map_err(|_| {
            XmlError::invalid("PartNumber", &number.to_string(), "between 1 and 10,000")
        })?,
        last_modified: last_modified.ok_or_else(|| missing("LastModified"))?,
        entity_tag: entity_tag.ok_or_else(|| missing("ETag"))?,
        size: size.ok_or_else(|| missing("Size"))?,
        checksums,
    })
}

/// One page of ListMultipartUploads, names decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadsPage {
    /// The uploads in the upstream's order, with the upstream's ids.
    pub uploads: Vec<ListedUpload>,
    /// What the delimiter rolled up.
    pub common_prefixes: Vec<String>,
    /// Where to go on: key.
    pub next_key_marker: Option<String>,
    /// Where to go on: upload id.
    pub next_upload_id_marker: Option<String>,
    /// Whether more uploads follow.
    pub is_truncated: bool,
}

/// Reads the answer of ListMultipartUploads.
///
/// # Errors
/// [`XmlError`] where it is no `<ListMultipartUploadsResult>`, or an upload lacks key, id or time.
pub fn parse_uploads(document: &[u8]) -> Result<UploadsPage, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("ListMultipartUploadsResult")?;
    let mut page = UploadsPage::default();
    let mut encoding = NameEncoding::default();
    while let Some(child) = reader.child()? {
        match child {
            "Upload" => {
                let upload = read_upload(&mut reader)?;
                push_entry(&mut page.uploads, upload, "Upload")?;
            }
            "CommonPrefixes" => read_prefixes(&mut reader, &mut page.common_prefixes)?,
            "NextKeyMarker" => page.next_key_marker = non_empty(reader.text("NextKeyMarker")?),
            "NextUploadIdMarker" => {
                page.next_upload_id_marker = non_empty(reader.text("NextUploadIdMarker")?);
            }
            "IsTruncated" => page.is_truncated = reader.boolean("IsTruncated")?,
            "EncodingType" => encoding.read(&mut reader)?,
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    encoding.decode_all(page.uploads.iter_mut().map(|upload| &mut upload.key), "Key")?;
    encoding.decode_all(&mut page.common_prefixes, "Prefix")?;
    encoding.decode_all(&mut page.next_key_marker, "NextKeyMarker")?;
    Ok(page)
}

/// Reads one `<Upload>`, whose start was just read.
fn read_upload(reader: &mut ElementReader<'_>) -> Result<ListedUpload, XmlError> {
    let (mut key, mut upload_id, mut initiated) = (None, None, None);
    let (mut storage_class, mut checksum_algorithm, mut checksum_type) = (None, None, None);
    while let Some(child) = reader.child()? {
        match child {
            "Key" => set_once(&mut key, reader.text("Key")?, "Key")?,
            "UploadId" => set_once(
                &mut upload_id,
                reader.text("UploadId")?.trim().to_owned(),
                "UploadId",
            )?,
            "Initiated" => set_once(&mut initiated, reader.time("Initiated")?, "Initiated")?,
            "StorageClass" => storage_class = non_empty(reader.text("StorageClass")?),
            "ChecksumAlgorithm" => {
                checksum_algorithm = non_empty(reader.text("ChecksumAlgorithm")?);
            }
            "ChecksumType" => checksum_type = non_empty(reader.text("ChecksumType")?),
            _ => reader.skip()?,
        }
    }
    let missing = |element| XmlError::MissingElement {
        element,
        parent: "Upload",
    };
    Ok(ListedUpload {
        key: key.ok_or_else(|| missing("Key"))?,
        upload_id: upload_id.ok_or_else(|| missing("UploadId"))?,
        initiated: initiated.ok_or_else(|| missing("Initiated"))?,
        owner: None,
        storage_class,
        checksum_algorithm,
        checksum_type,
    })
}

/// One object of a listing: size and tag are the upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Key, decoded.
    pub key: String,
    /// Size in bytes, as stored.
    pub size: u64,
    /// When it was written.
    pub last_modified: OffsetDateTime,
    /// The upstream's tag; not every server sends one.
    pub entity_tag: Option<EntityTag>,
}

/// One page of ListObjects or ListObjectsV2, names decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectsPage {
    /// The objects in the upstream's order.
    pub objects: Vec<ListedObject>,
    /// What the delimiter rolled up.
    pub common_prefixes: Vec<String>,
    /// Where to go on (ListObjectsV2); opaque, never decoded.
    pub next_continuation_token: Option<String>,
    /// Where to go on (ListObjects).
    pub next_marker: Option<String>,
    /// Whether more objects follow.
    pub is_truncated: bool,
}

/// Reads the answer of ListObjects or ListObjectsV2.
///
/// # Errors
/// [`XmlError`] where it is no `<ListBucketResult>`, or an object lacks key, size or time.
pub fn parse_objects(document: &[u8]) -> Result<ObjectsPage, XmlError> {
    const KIND: Kind = Kind {
        root: "ListBucketResult",
        entry: "Contents",
    };
    let page = Page::read(document, &KIND)?;
    let objects = page.entries.into_iter().map(|entry| ListedObject {
        key: entry.key,
        size: entry.size,
        last_modified: entry.last_modified,
        entity_tag: entry.entity_tag,
    });
    Ok(ObjectsPage {
        objects: objects.collect(),
        common_prefixes: page.common_prefixes,
        next_continuation_token: page.next_continuation_token,
        next_marker: page.next_marker,
        is_truncated: page.is_truncated,
    })
}

/// Reads the names in an answer of ListBuckets.
///
/// # Errors
/// [`XmlError`] where it is no `<ListAllMyBucketsResult>`, or a bucket has no name.
pub fn parse_buckets(document: &[u8]) -> Result<Vec<String>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("ListAllMyBucketsResult")?;
    let mut buckets = Vec::new();
    while let Some(child) = reader.child()? {
        if child != "Buckets" {
            reader.skip()?;
            continue;
        }
        while let Some(child) = reader.child()? {
            if child != "Bucket" {
                reader.skip()?;
                continue;
            }
            let mut name = None;
            while let Some(child) = reader.child()? {
                if child == "Name" {
                    name = Some(reader.text("Name")?.trim().to_owned());
                } else {
                    reader.skip()?;
                }
            }
            buckets.push(name.ok_or(XmlError::MissingElement {
                element: "Name",
                parent: "Bucket",
            })?);
        }
    }
    reader.finish()?;
    Ok(buckets)
}

/// Whether the names of a listing are encoded; said once per document, often after the names.
#[derive(Default)]
pub(super) struct NameEncoding {
    is_url: bool,
}

impl NameEncoding {
    /// Reads `<EncodingType>`, whose start was just read.
    pub(super) fn read(&mut self, reader: &mut ElementReader<'_>) -> Result<(), XmlError> {
        let text = reader.text("EncodingType")?;
        match text.trim() {
            "" => {}
            "url" => self.is_url = true,
            other => return Err(XmlError::invalid("EncodingType", other, "url")),
        }
        Ok(())
    }

    pub(super) fn decode_all<'a>(
        &self,
        names: impl IntoIterator<Item = &'a mut String>,
        element: &'static str,
    ) -> Result<(), XmlError> {
        if self.is_url {
            for name in names {
                *name = url_encoding::decode(name).ok_or_else(|| {
                    XmlError::invalid(element, name, "a percent-encoded UTF-8 name")
                })?;
            }
        }
        Ok(())
    }
}

/// Reads one `<CommonPrefixes>`, whose start was just read.
pub(super) fn read_prefixes(
    reader: &mut ElementReader<'_>,
    prefixes: &mut Vec<String>,
) -> Result<(), XmlError> {
    while let Some(child) = reader.child()? {
        match child {
            "Prefix" => {
                let prefix = reader.text("Prefix")?;
                push_entry(prefixes, prefix, "Prefix")?;
            }
            _ => reader.skip()?,
        }
    }
    Ok(())
}

pub(super) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::write::as_clients_read;
    use super::*;
    use crate::xml::MAX_ENTRIES;
    use crate::xml::multipart_answers::{PartsAnswer, UploadsAnswer};
    use proptest::prelude::*;
    use time::macros::datetime;

    const TIME: OffsetDateTime = datetime!(2026-01-02 03:04:05.678 UTC);

    fn objects(content: &str) -> Result<ObjectsPage, XmlError> {
        parse_objects(format!("<ListBucketResult>{content}</ListBucketResult>").as_bytes())
    }

    #[test]
    fn the_names_of_buckets() {
        let document = "<ListAllMyBucketsResult><Owner><ID>x</ID></Owner><Buckets><Bucket><CreationDate>d</CreationDate><Name>a</Name></Bucket>\
             <Bucket><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>";
        assert_eq!(parse_buckets(document.as_bytes()).unwrap(), ["a", "b"]);
        let unnamed =
            "<ListAllMyBucketsResult><Buckets><Bucket/></Buckets></ListAllMyBucketsResult>";
        assert!(parse_buckets(unnamed.as_bytes()).is_err());
    }

    #[test]
    fn objects_are_read_and_their_keys_decoded() {
        let page = objects(
            "<Contents><Key>a%2Fb+c</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;x&quot;</ETag><Size>0</Size><Owner><ID>1</ID></Owner></Contents>\
             <CommonPrefixes><Prefix>p%2B/</Prefix></CommonPrefixes><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>t%2B+</NextContinuationToken><NextMarker>a%20b</NextMarker><KeyCount>2</KeyCount>",
        )
        .unwrap();
        let object = ListedObject {
            key: "a/b c".into(),
            size: 0,
            last_modified: TIME,
            entity_tag: Some(EntityTag::strong("x")),
        };
        assert_eq!(
            page,
            ObjectsPage {
                objects: vec![object],
                common_prefixes: vec!["p+/".into()],
                next_continuation_token: Some("t%2B+".into()),
                next_marker: Some("a b".into()),
                is_truncated: true
            }
        );
    }

    #[test]
    fn keys_stay_as_they_are_without_an_encoding() {
        let content = "<Contents><Key>a%2Fb+c&#x1;</Key><LastModified>2026-01-02T03:04:05Z</LastModified><Size>7</Size></Contents>";
        assert_eq!(objects(content).unwrap().objects[0].key, "a%2Fb+c\u{1}");
    }

    #[test]
    fn incomplete_listings_are_refused() {
        for content in [
            "<Contents/>",
            "<Contents><Key>a</Key><Size>1</Size></Contents>",
            "<Contents><Key>a</Key><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>",
            "<EncodingType>base64</EncodingType>",
            "<EncodingType>url</EncodingType><CommonPrefixes><Prefix>%ff</Prefix></CommonPrefixes>",
            "<IsTruncated>perhaps</IsTruncated>",
        ] {
            assert!(objects(content).is_err(), "{content}");
        }
        assert!(
            parse_parts(
                b"<ListPartsResult><Part><PartNumber>1</PartNumber></Part></ListPartsResult>"
            )
            .is_err()
        );
        let part = |number: &str| {
            format!(
                "<ListPartsResult><Part><PartNumber>{number}</PartNumber><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>x</ETag><Size>1</Size></Part></ListPartsResult>"
            )
        };
        assert!(parse_parts(part("1").as_bytes()).is_ok());
        assert!(
            parse_parts(part("0").as_bytes()).is_err()
                && parse_parts(part("10001").as_bytes()).is_err()
        );
        assert!(parse_uploads(b"<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>").is_err());
        let prefixes =
            "<CommonPrefixes><Prefix>a</Prefix></CommonPrefixes>".repeat(MAX_ENTRIES + 1);
        assert_eq!(
            objects(&prefixes),
            Err(XmlError::TooMany {
                element: "Prefix",
                limit: MAX_ENTRIES
            })
        );
    }

    proptest! {
        #[test]
        fn written_parts_are_read_back(
            numbers in proptest::collection::btree_set(1_u16..=10_000, 0..10),
            size in any::<u64>(),
            next in any::<Option<u32>>(),
        ) {
            let checksums = vec![ChecksumValue::new("CRC32C", "AAAAAA==").unwrap()];
            let parts: Vec<_> = numbers
                .into_iter()
                .map(|number| ListedPart {
                    number,
                    last_modified: TIME,
                    entity_tag: EntityTag::of_attempt(&[7; 16]),
                    size,
                    checksums: checksums.clone(),
                })
                .collect();
            let answer = PartsAnswer {
                bucket: "b",
                key: "k",
                upload_id: "u",
                owner: None,
                storage_class: Some("GLACIER_IR"),
                part_number_marker: 0,
                next_part_number_marker: next,
                max_parts: 1_000,
                is_truncated: next.is_some(),
                checksum_algorithm: Some("CRC32C"),
                checksum_type: Some("COMPOSITE"),
                parts: &parts,
            };
            let page = parse_parts(&answer.to_document().into_bytes()).unwrap();
            let is_truncated = next.is_some();
            let storage_class = Some("GLACIER_IR".to_owned());
            prop_assert_eq!(page, PartsPage { parts, storage_class, next_part_number_marker: next, is_truncated });
        }

        #[test]
        fn written_uploads_are_read_back(
            key in "[^\\x00]{1,20}".prop_map(|key| as_clients_read(&key)),
            prefix in "[^\\x00]{1,10}".prop_map(|prefix| as_clients_read(&prefix)),
            url_encoded in any::<bool>(),
        ) {
            let upload = ListedUpload {
                key: key.clone(),
                upload_id: "u".into(),
                initiated: TIME,
                owner: None,
                storage_class: Some("STANDARD".into()),
                checksum_algorithm: None,
                checksum_type: Some("COMPOSITE".into()),
            };
            let (uploads, common_prefixes) = ([upload.clone()], [prefix.clone()]);
            let answer = UploadsAnswer {
                bucket: "b",
                delimiter: Some("/"),
                next_key_marker: Some(&key),
                next_upload_id_marker: Some("u"),
                max_uploads: 1,
                is_truncated: true,
                url_encoded,
                uploads: &uploads,
                common_prefixes: &common_prefixes,
                ..Default::default()
            };
            let page = parse_uploads(&answer.to_document().into_bytes()).unwrap();
            let expected = UploadsPage {
                uploads: vec![upload],
                common_prefixes: vec![prefix],
                next_key_marker: Some(key),
                next_upload_id_marker: Some("u".into()),
                is_truncated: true,
            };
            prop_assert_eq!(page, expected);
        }

        #[test]
        fn any_listing_is_read_without_panic(body in ".{0,100}") {
            let body = body.as_bytes();
            let _ = (parse_objects(body), parse_parts(body), parse_uploads(body));
        }
    }
}
