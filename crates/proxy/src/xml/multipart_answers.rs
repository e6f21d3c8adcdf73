//! Answers of the multipart operations that the gateway writes itself, from its own records.

use time::OffsetDateTime;

use super::NAMESPACE;
use super::checksum_value::ChecksumValue;
use super::url_encoding;
use super::write::{Document, ElementWriter};
use crate::entity_tag::EntityTag;

/// What CreateMultipartUpload answers (S3 API reference, CreateMultipartUpload).
#[derive(Debug, Clone, Copy)]
pub struct InitiatedAnswer<'a> {
    /// Bucket.
    pub bucket: &'a str,
    /// Key.
    pub key: &'a str,
    /// The upload id that clients see.
    pub upload_id: &'a str,
}

impl InitiatedAnswer<'_> {
    /// Writes `<InitiateMultipartUploadResult>`.
    pub fn to_document(&self) -> Document {
        ElementWriter::document("InitiateMultipartUploadResult", Some(NAMESPACE), |writer| {
            writer.leaf("Bucket", self.bucket);
            writer.leaf("Key", self.key);
            writer.leaf("UploadId", self.upload_id);
        })
    }
}

/// What CompleteMultipartUpload answers (S3 API reference, CompleteMultipartUpload).
#[derive(Debug, Clone, Copy)]
pub struct CompletedAnswer<'a> {
    /// URL of the object at the gateway, never at the upstream.
    pub location: &'a str,
    /// Bucket.
    pub bucket: &'a str,
    /// Key.
    pub key: &'a str,
    /// The client-visible tag of the object.
    pub entity_tag: &'a EntityTag,
    /// Checksums of the plaintext.
    pub checksums: &'a [ChecksumValue],
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<&'a str>,
}

impl CompletedAnswer<'_> {
    /// Writes `<CompleteMultipartUploadResult>`. After white space has kept the connection alive, send [`Document::into_root_bytes`].
    pub fn to_document(&self) -> Document {
        ElementWriter::document("CompleteMultipartUploadResult", Some(NAMESPACE), |writer| {
            writer.leaf("Location", self.location);
            writer.leaf("Bucket", self.bucket);
            writer.leaf("Key", self.key);
            writer.value("ETag", self.entity_tag);
            for checksum in self.checksums {
                checksum.write(writer);
            }
            writer.optional("ChecksumType", self.checksum_type);
        })
    }
}

/// Who began an upload and owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Canonical id.
    pub id: String,
    /// Name for people.
    pub display_name: String,
}

impl Owner {
    /// Writes `<Initiator>` and `<Owner>`, which are the same party here.
    fn write(&self, writer: &mut ElementWriter) {
        for role in ["Initiator", "Owner"] {
            writer.element(role, |writer| {
                writer.leaf("ID", &self.id);
                writer.leaf("DisplayName", &self.display_name);
            });
        }
    }
}

/// A part of an open upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Part number, 1 to 10,000.
    pub number: u16,
    /// When it was uploaded.
    pub last_modified: OffsetDateTime,
    /// Its tag.
    pub entity_tag: EntityTag,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksums.
    pub checksums: Vec<ChecksumValue>,
}

/// What ListParts answers (S3 API reference, ListParts), with plaintext sizes and checksums and our own tags.
#[derive(Debug, Clone)]
pub struct PartsAnswer<'a> {
    /// Bucket.
    pub bucket: &'a str,
    /// Key.
    pub key: &'a str,
    /// The upload id that clients see.
    pub upload_id: &'a str,
    /// Who began the upload.
    pub owner: Option<&'a Owner>,
    /// Storage class of the object to be.
    pub storage_class: Option<&'a str>,
    /// The marker of the request; 0 if none.
    pub part_number_marker: u32,
    /// The number of the last part in `parts`, where more follow.
    pub next_part_number_marker: Option<u32>,
    /// The limit of the request.
    pub max_parts: u32,
    /// Whether more parts follow.
    pub is_truncated: bool,
    /// The upload's checksum algorithm.
    pub checksum_algorithm: Option<&'a str>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<&'a str>,
    /// The parts, ascending.
    pub parts: &'a [ListedPart],
}

impl PartsAnswer<'_> {
    /// Writes `<ListPartsResult>`.
    pub fn to_document(&self) -> Document {
        ElementWriter::document("ListPartsResult", Some(NAMESPACE), |writer| {
            writer.leaf("Bucket", self.bucket);
            writer.leaf("Key", self.key);
            writer.leaf("UploadId", self.upload_id);
            if let Some(owner) = self.owner {
                owner.write(writer);
            }
            writer.optional("StorageClass", self.storage_class);
            writer.value("PartNumberMarker", &self.part_number_marker);
            if let Some(marker) = self.next_part_number_marker {
                writer.value("NextPartNumberMarker", &marker);
            }
            writer.value("MaxParts", &self.max_parts);
            writer.value("IsTruncated", &self.is_truncated);
            writer.optional("ChecksumAlgorithm", self.checksum_algorithm);
            writer.optional("ChecksumType", self.checksum_type);
            for part in self.parts {
                writer.element("Part", |writer| {
                    writer.value("PartNumber", &part.number);
                    writer.time("LastModified", part.last_modified);
                    writer.value("ETag", &part.entity_tag);
                    writer.value("Size", &part.size);
                    for checksum in &part.checksums {
                        checksum.write(writer);
                    }
                });
            }
        })
    }
}

/// An open upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// Its key, decoded.
    pub key: String,
    /// Its upload id.
    pub upload_id: String,
    /// When it began.
    pub initiated: OffsetDateTime,
    /// Who began it.
    pub owner: Option<Owner>,
    /// Storage class of the object to be.
    pub storage_class: Option<String>,
    /// Its checksum algorithm.
    pub checksum_algorithm: Option<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
}

/// What ListMultipartUploads answers (S3 API reference, ListMultipartUploads). Every name is given decoded.
#[derive(Debug, Clone, Default)]
pub struct UploadsAnswer<'a> {
    /// Bucket.
    pub bucket: &'a str,
    /// The prefix of the request.
    pub prefix: &'a str,
    /// The delimiter of the request.
    pub delimiter: Option<&'a str>,
    /// The key marker of the request.
    pub key_marker: &'a str,
    /// The upload id marker of the request.
    pub upload_id_marker: &'a str,
    /// Where to go on, if more follow: key.
    pub next_key_marker: Option<&'a str>,
    /// Where to go on, if more follow: upload id.
    pub next_upload_id_marker: Option<&'a str>,
    /// The limit of the request.
    pub max_uploads: u32,
    /// Whether more uploads follow.
    pub is_truncated: bool,
    /// Whether the request said `encoding-type=url`.
    pub url_encoded: bool,
    /// The uploads, by key.
    pub uploads: &'a [ListedUpload],
    /// What the delimiter rolled up.
    pub common_prefixes: &'a [String],
}

impl UploadsAnswer<'_> {
    /// Writes `<ListMultipartUploadsResult>`.
    pub fn to_document(&self) -> Document {
        let encode = |name: &str| {
            if self.url_encoded {
                url_encoding::encode(name)
            } else {
                name.to_owned()
            }
        };
        ElementWriter::document("ListMultipartUploadsResult", Some(NAMESPACE), |writer| {
            writer.leaf("Bucket", self.bucket);
            writer.leaf("KeyMarker", &encode(self.key_marker));
            writer.leaf("UploadIdMarker", self.upload_id_marker);
            writer.optional("NextKeyMarker", self.next_key_marker.map(encode).as_deref());
            writer.optional("NextUploadIdMarker", self.next_upload_id_marker);
            writer.leaf("Prefix", &encode(self.prefix));
            writer.optional("Delimiter", self.delimiter.map(encode).as_deref());
            if self.url_encoded {
                writer.leaf("EncodingType", "url");
            }
            writer.value("MaxUploads", &self.max_uploads);
            writer.value("IsTruncated", &self.is_truncated);
            for upload in self.uploads {
                writer.element("Upload", |writer| {
                    writer.leaf("Key", &encode(&upload.key));
                    writer.leaf("UploadId", &upload.upload_id);
                    if let Some(owner) = &upload.owner {
                        owner.write(writer);
                    }
                    writer.optional("StorageClass", upload.storage_class.as_deref());
                    writer.time("Initiated", upload.initiated);
                    writer.optional("ChecksumAlgorithm", upload.checksum_algorithm.as_deref());
                    writer.optional("ChecksumType", upload.checksum_type.as_deref());
                });
            }
            for prefix in self.common_prefixes {
                writer.element("CommonPrefixes", |writer| {
                    writer.leaf("Prefix", &encode(prefix));
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::XML_DECLARATION;
    use time::macros::datetime;

    const TIME: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn content(document: Document, root: &str) -> String {
        let text = String::from_utf8(document.into_root_bytes().to_vec()).unwrap();
        let start = format!("<{root} xmlns=\"{NAMESPACE}\">");
        let text = text.strip_prefix(&start).unwrap();
        text.strip_suffix(&format!("</{root}>")).unwrap().to_owned()
    }

    #[test]
    fn a_completion_can_follow_white_space() {
        let checksums = [ChecksumValue::new("CRC64NVME", "AAAAAAAAAAA=").unwrap()];
        let answer = CompletedAnswer {
            location: "https://gateway/b/a%26b",
            bucket: "b",
            key: "a&b",
            entity_tag: &EntityTag::strong("x-2"),
            checksums: &checksums,
            checksum_type: Some("FULL_OBJECT"),
        };
        assert_eq!(
            content(answer.to_document(), "CompleteMultipartUploadResult"),
            "<Location>https://gateway/b/a%26b</Location><Bucket>b</Bucket><Key>a&amp;b</Key>\
             <ETag>&quot;x-2&quot;</ETag><ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>\
             <ChecksumType>FULL_OBJECT</ChecksumType>"
        );
        let whole = answer.to_document().into_bytes();
        assert!(whole.starts_with(XML_DECLARATION.as_bytes()));
        assert!(whole.ends_with(&answer.to_document().into_root_bytes()));
    }

    #[test]
    fn parts_are_listed_with_their_upload() {
        let owner = Owner {
            id: "o".into(),
            display_name: "d".into(),
        };
        let part = ListedPart {
            number: 3,
            last_modified: TIME,
            entity_tag: EntityTag::strong("x-01"),
            size: 7,
            checksums: vec![],
        };
        let answer = PartsAnswer {
            bucket: "b",
            key: "k",
            upload_id: "u",
            owner: Some(&owner),
            storage_class: None,
            part_number_marker: 2,
            next_part_number_marker: Some(3),
            max_parts: 1,
            is_truncated: true,
            checksum_algorithm: None,
            checksum_type: None,
            parts: &[part],
        };
        assert_eq!(
            content(answer.to_document(), "ListPartsResult"),
            "<Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId>\
             <Initiator><ID>o</ID><DisplayName>d</DisplayName></Initiator>\
             <Owner><ID>o</ID><DisplayName>d</DisplayName></Owner>\
             <PartNumberMarker>2</PartNumberMarker><NextPartNumberMarker>3</NextPartNumberMarker>\
             <MaxParts>1</MaxParts><IsTruncated>true</IsTruncated>\
             <Part><PartNumber>3</PartNumber><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
             <ETag>&quot;x-01&quot;</ETag><Size>7</Size></Part>"
        );
    }

    #[test]
    fn names_of_uploads_are_encoded_on_request() {
        let upload = ListedUpload {
            key: "a b\u{1}".into(),
            upload_id: "u".into(),
            initiated: TIME,
            owner: None,
            storage_class: None,
            checksum_algorithm: None,
            checksum_type: None,
        };
        let common_prefixes = ["p+/".to_owned()];
        let answer = UploadsAnswer {
            bucket: "b",
            prefix: "a b",
            delimiter: Some("/"),
            url_encoded: true,
            max_uploads: 5,
            uploads: &[upload],
            common_prefixes: &common_prefixes,
            ..UploadsAnswer::default()
        };
        let encoded = content(answer.to_document(), "ListMultipartUploadsResult");
        assert_eq!(
            encoded,
            "<Bucket>b</Bucket><KeyMarker></KeyMarker><UploadIdMarker></UploadIdMarker>\
             <Prefix>a+b</Prefix><Delimiter>/</Delimiter><EncodingType>url</EncodingType>\
             <MaxUploads>5</MaxUploads><IsTruncated>false</IsTruncated>\
             <Upload><Key>a+b%01</Key><UploadId>u</UploadId>\
             <Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>\
             <CommonPrefixes><Prefix>p%2B/</Prefix></CommonPrefixes>"
        );
        let plain = UploadsAnswer {
            url_encoded: false,
            ..answer
        }
        .to_document();
        let plain = content(plain, "ListMultipartUploadsResult");
        assert!(plain.contains("<Key>a b\u{fffd}</Key>") && plain.contains("<Prefix>p+/</Prefix>"));
        assert!(!plain.contains("EncodingType"));
    }
}
