//! Answers of single requests that the gateway writes itself: errors, copies, deletions.

use time::OffsetDateTime;

use super::NAMESPACE;
use super::checksum_value::ChecksumValue;
use super::write::{Document, ElementWriter};
use crate::entity_tag::EntityTag;

/// An error (S3 API reference, "Error responses"). Like AWS's it has no namespace.
#[derive(Debug, Clone, Copy)]
pub struct ErrorAnswer<'a> {
    /// S3 error code.
    pub code: &'a str,
    /// What went wrong and how to mend it.
    pub message: &'a str,
    /// The path of the request.
    pub resource: Option<&'a str>,
    /// Our request id.
    pub request_id: &'a str,
    /// Which gateway it is, as in the header `x-amz-id-2`.
    pub host_id: &'a str,
    /// Further elements, such as `("Key", …)` with NoSuchKey.
    pub details: &'a [(&'static str, &'a str)],
}

impl ErrorAnswer<'_> {
    /// Writes `<Error>`.
    pub fn to_document(&self) -> Document {
        ElementWriter::document("Error", None, |writer| {
            writer.leaf("Code", self.code);
            writer.leaf("Message", self.message);
            for (name, text) in self.details {
                writer.leaf(name, text);
            }
            writer.optional("Resource", self.resource);
            writer.leaf("RequestId", self.request_id);
            writer.leaf("HostId", self.host_id);
        })
    }
}

/// What a form's upload answers with `success_action_status` 201 (S3 API reference, "POST Object").
#[derive(Debug, Clone, Copy)]
pub struct PostAnswer<'a> {
    /// URL of the object at the gateway.
    pub location: &'a str,
    /// Bucket.
    pub bucket: &'a str,
    /// Key.
    pub key: &'a str,
    /// The client-visible tag, quotes included.
    pub entity_tag: &'a str,
}

impl PostAnswer<'_> {
    /// Writes `<PostResponse>`, which has no namespace.
    pub fn to_document(&self) -> Document {
        ElementWriter::document("PostResponse", None, |writer| {
            writer.leaf("Location", self.location);
            writer.leaf("Bucket", self.bucket);
            writer.leaf("Key", self.key);
            writer.leaf("ETag", self.entity_tag);
        })
    }
}

/// What a copy answers (S3 API reference, CopyObject and UploadPartCopy).
#[derive(Debug, Clone)]
pub struct CopyAnswer<'a> {
    /// The client-visible tag of the new object or part.
    pub entity_tag: &'a EntityTag,
    /// When it was made.
    pub last_modified: OffsetDateTime,
    /// Checksums of the plaintext.
    pub checksums: &'a [ChecksumValue],
    /// `FULL_OBJECT` or `COMPOSITE`; only for a whole object.
    pub checksum_type: Option<&'a str>,
}

impl CopyAnswer<'_> {
    /// Writes `<CopyObjectResult>`.
    pub fn to_object_document(&self) -> Document {
        self.write("CopyObjectResult")
    }

    /// Writes `<CopyPartResult>`.
    pub fn to_part_document(&self) -> Document {
        self.write("CopyPartResult")
    }

    fn write(&self, root: &str) -> Document {
        ElementWriter::document(root, Some(NAMESPACE), |writer| {
            writer.time("LastModified", self.last_modified);
            writer.value("ETag", self.entity_tag);
            writer.optional("ChecksumType", self.checksum_type);
            for checksum in self.checksums {
                checksum.write(writer);
            }
        })
    }
}

/// An object that DeleteObjects deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedObject {
    /// Its key.
    pub key: String,
    /// The version that was asked for.
    pub version_id: Option<String>,
    /// Whether a delete marker was made or deleted.
    pub delete_marker: bool,
    /// Version of that delete marker.
    pub delete_marker_version_id: Option<String>,
}

/// An object that DeleteObjects did not delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteFailure {
    /// Its key.
    pub key: String,
    /// The version that was asked for.
    pub version_id: Option<String>,
    /// S3 error code.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// What DeleteObjects answers (S3 API reference, DeleteObjects). In quiet mode `deleted` is left empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteAnswer {
    /// What was deleted.
    pub deleted: Vec<DeletedObject>,
    /// What was not.
    pub failures: Vec<DeleteFailure>,
}

impl DeleteAnswer {
    /// Writes `<DeleteResult>`.
    pub fn to_document(&self) -> Document {
        ElementWriter::document("DeleteResult", Some(NAMESPACE), |writer| {
            for deleted in &self.deleted {
                writer.element("Deleted", |writer| {
                    writer.leaf("Key", &deleted.key);
                    writer.optional("VersionId", deleted.version_id.as_deref());
                    if deleted.delete_marker {
                        writer.value("DeleteMarker", &true);
                    }
                    writer.optional(
                        "DeleteMarkerVersionId",
                        deleted.delete_marker_version_id.as_deref(),
                    );
                });
            }
            for failure in &self.failures {
                writer.element("Error", |writer| {
                    writer.leaf("Key", &failure.key);
                    writer.optional("VersionId", failure.version_id.as_deref());
                    writer.leaf("Code", &failure.code);
                    writer.leaf("Message", &failure.message);
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn text(document: Document) -> String {
        String::from_utf8(document.into_root_bytes().to_vec()).unwrap()
    }

    #[test]
    fn an_error_carries_its_details() {
        let error = ErrorAnswer {
            code: "NoSuchKey",
            message: "no <such> key",
            resource: Some("/b/a&b"),
            request_id: "r1",
            host_id: "h1",
            details: &[("Key", "a&b")],
        };
        assert_eq!(
            text(error.to_document()),
            "<Error><Code>NoSuchKey</Code><Message>no &lt;such&gt; key</Message><Key>a&amp;b</Key><Resource>/b/a&amp;b</Resource><RequestId>r1</RequestId><HostId>h1</HostId></Error>"
        );
    }

    #[test]
    fn copies_name_tag_time_and_checksums() {
        let checksums = [ChecksumValue::new("CRC32", "AAAAAA==").unwrap()];
        let answer = CopyAnswer {
            entity_tag: &EntityTag::strong("x-01"),
            last_modified: datetime!(2026-01-02 03:04:05 UTC),
            checksums: &checksums,
            checksum_type: Some("FULL_OBJECT"),
        };
        assert_eq!(
            text(answer.to_object_document()),
            "<CopyObjectResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;x-01&quot;</ETag><ChecksumType>FULL_OBJECT</ChecksumType><ChecksumCRC32>AAAAAA==</ChecksumCRC32></CopyObjectResult>"
        );
        assert!(text(answer.to_part_document()).starts_with("<CopyPartResult xmlns="));
    }
}
