//! The body of DeleteObjects.

use super::{RequestDocumentError, unexpected};
use crate::entity_tag::TagCondition;
use crate::xml::elements::{ElementReader, set_once};
use crate::xml::write::{Document, ElementWriter};
use crate::xml::{NAMESPACE, XmlError};

/// Most keys in one DeleteObjects (S3 API reference, DeleteObjects).
pub const MAX_DELETED_KEYS: usize = 1_000;

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

/// The body of DeleteObjects: at most [`MAX_DELETED_KEYS`]. Whether there must be one is for the storage to say; AWS demands it.
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
        Ok(Self {
            quiet: quiet.unwrap_or(false),
            objects,
        })
    }

    /// Writes the body for the upstream. Tags are mapped here; a [`ObjectToDelete::size`] must have been replaced by the ciphertext's before.
    pub fn to_document(&self) -> Document {
        ElementWriter::request("Delete", Some(NAMESPACE), |writer| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity_tag::EntityTag;
    use proptest::prelude::*;

    fn delete(content: &str) -> Result<DeleteObjects, RequestDocumentError> {
        DeleteObjects::parse(format!("<Delete>{content}</Delete>").as_bytes())
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
    fn rule_24_malformed_deletions_are_refused() {
        for content in [
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
        fn any_body_is_read_without_panic(body in ".{0,100}") {
            let _ = delete(&body);
        }
    }
}
