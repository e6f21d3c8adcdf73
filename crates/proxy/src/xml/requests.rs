//! Documents that clients send and the gateway acts on, and their form for the upstream.
//!
//! Elements that we do not know are refused as AWS's schema check does: one that we skipped could be a condition.

use thiserror::Error;

use super::checksum_value::ChecksumValue;
use super::elements::{ElementReader, set_once};
use super::write::{Document, ElementWriter};
use super::{NAMESPACE, XmlError, quote};
use crate::entity_tag::{EntityTag, TagCondition};

/// Most parts in one upload, and the highest part number (S3 user guide, "Multipart upload limits").
pub const MAX_PARTS: usize = 10_000;

/// Most keys in one DeleteObjects (S3 API reference, DeleteObjects).
pub const MAX_DELETED_KEYS: usize = 1_000;

/// A document of a client that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestDocumentError {
    /// Answer 400 `MalformedXML`.
    #[error(transparent)]
    Malformed(#[from] XmlError),
    /// Answer 400 `InvalidPartOrder`.
    #[error("part {number} follows part {previous}; list the parts once each, in ascending order")]
    PartOrder {
        /// The number that is out of order.
        number: u16,
        /// The number before it.
        previous: u16,
    },
    /// Answer 400 `InvalidArgument`.
    #[error("part number {number} is not between 1 and {MAX_PARTS}")]
    PartNumber {
        /// The number given.
        number: u64,
    },
    /// Answer 400 `InvalidArgument`.
    #[error("the ETag of a key to delete cannot be read: {0}")]
    EntityTag(#[from] crate::entity_tag::EntityTagError),
}

/// One part as a client names it to complete an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Part number, 1 to [`MAX_PARTS`].
    pub number: u16,
    /// The tag that UploadPart answered.
    pub entity_tag: EntityTag,
    /// Checksums of the part, if the client repeats them.
    pub checksums: Vec<ChecksumValue>,
}

/// The body of CompleteMultipartUpload: at least one part, at most [`MAX_PARTS`], strictly ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteMultipartUpload {
    parts: Vec<CompletedPart>,
}

impl CompleteMultipartUpload {
    /// Reads the body of a client (S3 API reference, CompleteMultipartUpload).
    ///
    /// # Errors
    /// [`RequestDocumentError`]; its variants name the S3 code.
    pub fn parse(document: &[u8]) -> Result<Self, RequestDocumentError> {
        let mut reader = ElementReader::new(document)?;
        reader.expect_root("CompleteMultipartUpload")?;
        let mut parts: Vec<CompletedPart> = Vec::new();
        while let Some(child) = reader.child()? {
            if child != "Part" {
                return Err(unexpected(child, "CompleteMultipartUpload").into());
            }
            if parts.len() == MAX_PARTS {
                return Err(XmlError::TooMany {
                    element: "Part",
                    limit: MAX_PARTS,
                }
                .into());
            }
            let part = read_completed_part(&mut reader)?;
            if let Some(last) = parts.last().filter(|last| last.number >= part.number) {
                return Err(RequestDocumentError::PartOrder {
                    number: part.number,
                    previous: last.number,
                });
            }
            parts.push(part);
        }
        reader.finish()?;
        if parts.is_empty() {
            return Err(XmlError::MissingElement {
                element: "Part",
                parent: "CompleteMultipartUpload",
            }
            .into());
        }
        Ok(Self { parts })
    }

    /// The parts, ascending.
    pub fn parts(&self) -> &[CompletedPart] {
        &self.parts
    }

    /// Writes the body for the upstream, with the upstream's own tags and ciphertext checksums in `parts`.
    pub fn to_document(parts: &[CompletedPart]) -> Document {
        ElementWriter::document("CompleteMultipartUpload", Some(NAMESPACE), |writer| {
            for part in parts {
                writer.element("Part", |writer| {
                    writer.value("PartNumber", &part.number);
                    writer.value("ETag", &part.entity_tag);
                    for checksum in &part.checksums {
                        checksum.write(writer);
                    }
                });
            }
        })
    }
}

/// Reads one `<Part>`, whose start was just read.
fn read_completed_part(
    reader: &mut ElementReader<'_>,
) -> Result<CompletedPart, RequestDocumentError> {
    let (mut number, mut entity_tag, mut checksums) = (None, None, Vec::new());
    while let Some(child) = reader.child()? {
        match child {
            "PartNumber" => set_once(
                &mut number,
                reader.number::<u64>("PartNumber")?,
                "PartNumber",
            )?,
            "ETag" => set_once(
                &mut entity_tag,
                EntityTag::parse(&reader.text("ETag")?),
                "ETag",
            )?,
            name if ChecksumValue::is_element(name) => {
                ChecksumValue::read(reader, name, &mut checksums)?;
            }
            other => return Err(unexpected(other, "Part").into()),
        }
    }
    let number = number.ok_or(XmlError::MissingElement {
        element: "PartNumber",
        parent: "Part",
    })?;
    let entity_tag = entity_tag.ok_or(XmlError::MissingElement {
        element: "ETag",
        parent: "Part",
    })?;
    Ok(CompletedPart {
        number: part_number(number)?,
        entity_tag,
        checksums,
    })
}

/// Checks a part number.
///
/// # Errors
/// [`RequestDocumentError::PartNumber`] outside of 1 to [`MAX_PARTS`].
pub fn part_number(number: u64) -> Result<u16, RequestDocumentError> {
    u16::try_from(number)
        .ok()
        .filter(|&number| number >= 1 && usize::from(number) <= MAX_PARTS)
        .ok_or(RequestDocumentError::PartNumber { number })
}

/// One object as a client names it to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectToDelete {
    /// Its key, decoded, not empty. Its length is the caller's to check: a key that is too long fails alone.
    pub key: String,
    /// The version, or the current one.
    pub version_id: Option<String>,
    /// Delete only if the client-visible tag matches.
    pub entity_tag: Option<TagCondition>,
    /// Delete only if last modified at this time; passed on as written.
    pub last_modified_time: Option<String>,
    /// Delete only if this large: the plaintext size when read from a client.
    pub size: Option<u64>,
}

/// The body of DeleteObjects: at least one key, at most [`MAX_DELETED_KEYS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteObjects {
    /// Whether only failures are to be answered.
    pub quiet: bool,
    /// What to delete.
    pub objects: Vec<ObjectToDelete>,
}

impl DeleteObjects {
    /// Reads the body of a client (S3 API reference, DeleteObjects).
    ///
    /// # Errors
    /// [`RequestDocumentError`]; its variants name the S3 code.
    pub fn parse(document: &[u8]) -> Result<Self, RequestDocumentError> {
        let mut reader = ElementReader::new(document)?;
        reader.expect_root("Delete")?;
        let (mut quiet, mut objects) = (None, Vec::new());
        while let Some(child) = reader.child()? {
            match child {
                "Quiet" => set_once(&mut quiet, reader.boolean("Quiet")?, "Quiet")?,
                "Object" if objects.len() == MAX_DELETED_KEYS => {
                    return Err(XmlError::TooMany {
                        element: "Object",
                        limit: MAX_DELETED_KEYS,
                    }
                    .into());
                }
                "Object" => objects.push(read_object_to_delete(&mut reader)?),
                other => return Err(unexpected(other, "Delete").into()),
            }
        }
        reader.finish()?;
        if objects.is_empty() {
            return Err(XmlError::MissingElement {
                element: "Object",
                parent: "Delete",
            }
            .into());
        }
        Ok(Self {
            quiet: quiet.unwrap_or(false),
            objects,
        })
    }

    /// Writes the body for the upstream. Tags are mapped here; a [`ObjectToDelete::size`] must have been replaced by the ciphertext's before.
    pub fn to_document(&self) -> Document {
        ElementWriter::document("Delete", Some(NAMESPACE), |writer| {
            if self.quiet {
                writer.value("Quiet", &true);
            }
            for object in &self.objects {
                writer.element("Object", |writer| {
                    writer.leaf("Key", &object.key);
                    writer.optional("VersionId", object.version_id.as_deref());
                    writer.optional(
                        "ETag",
                        object
                            .entity_tag
                            .as_ref()
                            .map(TagCondition::to_upstream_header)
                            .as_deref(),
                    );
                    writer.optional("LastModifiedTime", object.last_modified_time.as_deref());
                    if let Some(size) = object.size {
                        writer.value("Size", &size);
                    }
                });
            }
        })
    }
}

/// Reads one `<Object>`, whose start was just read.
fn read_object_to_delete(
    reader: &mut ElementReader<'_>,
) -> Result<ObjectToDelete, RequestDocumentError> {
    let (mut key, mut version_id, mut entity_tag, mut last_modified_time, mut size) =
        (None, None, None, None, None);
    while let Some(child) = reader.child()? {
        match child {
            "Key" => set_once(&mut key, reader.text("Key")?, "Key")?,
            "VersionId" => set_once(&mut version_id, reader.text("VersionId")?, "VersionId")?,
            "ETag" => set_once(
                &mut entity_tag,
                TagCondition::parse(&reader.text("ETag")?)?,
                "ETag",
            )?,
            "LastModifiedTime" => set_once(
                &mut last_modified_time,
                reader.text("LastModifiedTime")?,
                "LastModifiedTime",
            )?,
            "Size" => set_once(&mut size, reader.number("Size")?, "Size")?,
            other => return Err(unexpected(other, "Object").into()),
        }
    }
    let key = key
        .filter(|key| !key.is_empty())
        .ok_or(XmlError::MissingElement {
            element: "Key",
            parent: "Object",
        })?;
    // Some clients write an empty element for "no version".
    let version_id = version_id.filter(|version_id| !version_id.is_empty());
    Ok(ObjectToDelete {
        key,
        version_id,
        entity_tag,
        last_modified_time,
        size,
    })
}

fn unexpected(element: &str, parent: &'static str) -> XmlError {
    XmlError::UnexpectedElement {
        element: quote(element),
        parent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(parts: &str) -> Result<Vec<CompletedPart>, RequestDocumentError> {
        CompleteMultipartUpload::parse(
            format!(
                "<CompleteMultipartUpload xmlns=\"{NAMESPACE}\">{parts}</CompleteMultipartUpload>"
            )
            .as_bytes(),
        )
        .map(|complete| complete.parts)
    }

    fn delete(content: &str) -> Result<DeleteObjects, RequestDocumentError> {
        DeleteObjects::parse(format!("<Delete>{content}</Delete>").as_bytes())
    }

    #[test]
    fn parts_are_read_with_quoted_escaped_and_bare_tags() {
        let parts = complete(
            "<Part><PartNumber> 1 </PartNumber><ETag>\"a-01\"</ETag></Part>\n<Part><ETag>&quot;b-01&#34;</ETag><PartNumber>7</PartNumber>\
             <ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumSHA256>x=</ChecksumSHA256></Part><Part><PartNumber>10000</PartNumber><ETag>c-01</ETag></Part>",
        )
        .unwrap();
        let read: Vec<_> = parts
            .iter()
            .map(|part| (part.number, part.entity_tag.opaque(), part.checksums.len()))
            .collect();
        assert_eq!(read, [(1, "a-01", 0), (7, "b-01", 2), (10_000, "c-01", 0)]);
        assert_eq!(
            parts[1].checksums[0],
            ChecksumValue::new("CRC32", "AAAAAA==").unwrap()
        );
    }

    #[test]
    fn order_and_numbers_of_parts_are_checked() {
        let part =
            |number: u64| format!("<Part><PartNumber>{number}</PartNumber><ETag>x</ETag></Part>");
        assert_eq!(
            complete(&(part(2) + &part(1))),
            Err(RequestDocumentError::PartOrder {
                number: 1,
                previous: 2
            })
        );
        assert_eq!(
            complete(&(part(2) + &part(2))),
            Err(RequestDocumentError::PartOrder {
                number: 2,
                previous: 2
            })
        );
        for number in [0, 10_001, 65_537, u64::MAX] {
            assert_eq!(
                complete(&part(number)),
                Err(RequestDocumentError::PartNumber { number })
            );
        }
        let all: String = (1..=10_000).map(part).collect();
        assert_eq!(complete(&all).unwrap().len(), MAX_PARTS);
        assert_eq!(
            complete(&(all + &part(10_000))),
            Err(RequestDocumentError::Malformed(XmlError::TooMany {
                element: "Part",
                limit: MAX_PARTS
            }))
        );
    }

    #[test]
    fn malformed_completions_are_refused() {
        for parts in [
            "",
            "<Part><PartNumber>1</PartNumber></Part>",
            "<Part><ETag>x</ETag></Part>",
            "<Part><PartNumber>one</PartNumber><ETag>x</ETag></Part>",
            "<Part><PartNumber>1</PartNumber><PartNumber>2</PartNumber><ETag>x</ETag></Part>",
            "<Part><PartNumber>1</PartNumber><ETag>x</ETag><New/></Part>",
            "<Part><PartNumber>1</PartNumber><ETag>x</ETag><ChecksumCRC32>a</ChecksumCRC32><ChecksumCRC32>b</ChecksumCRC32></Part>",
            "<Other/>",
            "text",
        ] {
            assert!(
                matches!(complete(parts), Err(RequestDocumentError::Malformed(_))),
                "{parts}"
            );
        }
        assert!(matches!(
            CompleteMultipartUpload::parse(b"<Delete/>"),
            Err(RequestDocumentError::Malformed(
                XmlError::UnexpectedRoot { .. }
            ))
        ));
        assert!(matches!(
            CompleteMultipartUpload::parse(b""),
            Err(RequestDocumentError::Malformed(XmlError::IllFormed { .. }))
        ));
    }

    #[test]
    fn deletions_keep_keys_to_the_byte_and_their_conditions() {
        let read = delete(
            "<Quiet>true</Quiet><Object><Key> a&#13;&lt;b </Key><VersionId>v</VersionId><ETag>\"x-01\"</ETag><LastModifiedTime>t</LastModifiedTime><Size>5</Size></Object><Object><Key>c</Key><VersionId/></Object>",
        )
        .unwrap();
        let expected = ObjectToDelete {
            key: " a\r<b ".into(),
            version_id: Some("v".into()),
            entity_tag: Some(TagCondition::Tags(vec![EntityTag::strong("x-01")])),
            last_modified_time: Some("t".into()),
            size: Some(5),
        };
        assert_eq!(
            read,
            DeleteObjects {
                quiet: true,
                objects: vec![
                    expected,
                    ObjectToDelete {
                        key: "c".into(),
                        ..Default::default()
                    }
                ]
            }
        );
        let upstream = String::from_utf8(read.to_document().into_root_bytes().to_vec()).unwrap();
        assert!(upstream.contains("<Key> a&#xd;&lt;b </Key><VersionId>v</VersionId><ETag>&quot;x&quot;</ETag><LastModifiedTime>t</LastModifiedTime><Size>5</Size>"));
    }

    #[test]
    fn malformed_deletions_are_refused() {
        for content in [
            "",
            "<Object/>",
            "<Object><Key></Key></Object>",
            "<Object><Key>a</Key><Key>b</Key></Object>",
            "<Object><Key>a</Key><IfNew>x</IfNew></Object>",
            "<Object><Key>a</Key><Size>x</Size></Object>",
            "<Quiet>maybe</Quiet><Object><Key>a</Key></Object>",
        ] {
            assert!(
                matches!(delete(content), Err(RequestDocumentError::Malformed(_))),
                "{content}"
            );
        }
        assert!(matches!(
            delete("<Object><Key>a</Key><ETag>\"x</ETag></Object>"),
            Err(RequestDocumentError::EntityTag(_))
        ));
        let object = "<Object><Key>a</Key></Object>";
        assert_eq!(
            delete(&object.repeat(MAX_DELETED_KEYS))
                .unwrap()
                .objects
                .len(),
            MAX_DELETED_KEYS
        );
        assert!(matches!(
            delete(&object.repeat(MAX_DELETED_KEYS + 1)),
            Err(RequestDocumentError::Malformed(XmlError::TooMany { .. }))
        ));
    }

    proptest! {
        #[test]
        fn written_deletions_are_read_back(
            keys in proptest::collection::vec("[^\\x00]{1,20}", 1..5),
            quiet in any::<bool>(),
            size in any::<Option<u64>>(),
        ) {
            let objects = keys
                .into_iter()
                .map(|key| ObjectToDelete { key, size, ..Default::default() })
                .collect();
            let request = DeleteObjects { quiet, objects };
            prop_assert_eq!(DeleteObjects::parse(&request.to_document().into_bytes()), Ok(request));
        }

        #[test]
        fn written_completions_are_read_back(
            numbers in proptest::collection::btree_set(1_u16..=10_000, 1..20),
            tag in "[ -!#-~]{0,20}",
        ) {
            let checksums = vec![ChecksumValue::new("CRC64NVME", "AAAAAAAAAAA=").unwrap()];
            let parts: Vec<_> = numbers
                .into_iter()
                .map(|number| CompletedPart {
                    number,
                    entity_tag: EntityTag::strong(tag.clone()),
                    checksums: checksums.clone(),
                })
                .collect();
            let document = CompleteMultipartUpload::to_document(&parts).into_bytes();
            let read = CompleteMultipartUpload::parse(&document);
            prop_assert_eq!(read, Ok(CompleteMultipartUpload { parts }));
        }

        #[test]
        fn any_body_is_read_without_panic(body in ".{0,100}") {
            let _ = delete(&body);
            let _ = complete(&body);
        }
    }
}
