//! Documents of requests that pass to the storage as they came: labels of objects, and configurations of buckets.
//!
//! What is at stake differs. A storage that does not know `PUT /bucket/key?retention` takes it for a PutObject and stores the body in place of
//! the object, so a label is checked element by element: what could end up there is a short document of names and values that the storage is
//! told anyway. A configuration names no key and cannot become an object, whatever the storage makes of it, so its root element is enough,
//! apart from the places where it names a bucket.

use super::unexpected;
use crate::xml::elements::{ElementReader, Token};
use crate::xml::{XmlError, quote};

/// Longest label, in bytes: an access control list of 100 grants, the most that S3 takes, stays below 40 KiB.
pub const MAX_LABEL_BYTES: usize = 64 * 1_024;

/// Longest text in a label, in bytes: the value of a tag of 256 characters, with room for the storage to name the limit itself.
const MAX_LABEL_TEXT: usize = 2 * 1_024;

/// Longest start tag in a label, in bytes: there is none in S3 with more than two namespaces and a type.
const MAX_LABEL_TAG: usize = 512;

/// Elements of a configuration that name a bucket: destinations of replication, inventory, analytics and access logs.
const BUCKET_NAMES: [&str; 2] = ["Bucket", "TargetBucket"];

/// The document that an operation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedDocument {
    /// None: a body means nothing and stays behind.
    None,
    /// Of an object: root, the elements in it, and whether the request may do without, where headers say it all.
    Label {
        /// The root element.
        root: &'static str,
        /// All elements that may stand in it, at any depth.
        elements: &'static [&'static str],
        /// Whether there may be no body.
        is_optional: bool,
    },
    /// Of a bucket: its root.
    Configuration(&'static str),
    /// Of a bucket, not in XML.
    Policy,
}

impl PassedDocument {
    /// The document of the operation of this name (S3 API Reference).
    pub fn of(operation: &str) -> Self {
        const ACCESS_CONTROL: &[&str] = &[
            "AccessControlList",
            "DisplayName",
            "EmailAddress",
            "Grant",
            "Grantee",
            "ID",
            "Owner",
            "Permission",
            "Type",
            "URI",
        ];
        let label = |root, elements| Self::Label {
            root,
            elements,
            is_optional: false,
        };
        match operation {
            "PutObjectAcl" => Self::Label {
                root: "AccessControlPolicy",
                elements: ACCESS_CONTROL,
                is_optional: true,
            },
            "PutObjectLegalHold" => label("LegalHold", &["Status"]),
            "PutObjectRetention" => label("Retention", &["Mode", "RetainUntilDate"]),
            "PutObjectTagging" => label("Tagging", &["Key", "Tag", "TagSet", "Value"]),
            // Without what a query over the object would need. A POST is a PutObject to no storage, so an empty one is harmless.
            "RestoreObject" => Self::Label {
                root: "RestoreRequest",
                elements: &["Days", "Description", "GlacierJobParameters", "Tier"],
                is_optional: true,
            },
            "PutBucketPolicy" => Self::Policy,
            _ => configuration(operation).map_or(Self::None, Self::Configuration),
        }
    }

    /// Checks a body. `is_own` tells the bucket that no configuration may name.
    ///
    /// # Errors
    /// [`PassedDocumentError`] for anything that is not the document of the operation, and for a forbidden destination.
    pub fn check(
        self,
        body: &[u8],
        is_own: impl Fn(&str) -> bool,
    ) -> Result<(), PassedDocumentError> {
        match self {
            Self::None | Self::Policy => Ok(()),
            // What the storage says of an absent configuration differs, and it cannot do harm.
            Self::Configuration(_)
            | Self::Label {
                is_optional: true, ..
            } if body.is_empty() => Ok(()),
            Self::Label { root, elements, .. } => Ok(check_label(body, root, elements)?),
            Self::Configuration(root) => check_configuration(body, root, is_own),
        }
    }
}

/// Why a document does not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassedDocumentError {
    /// Not the document of the operation.
    #[error(transparent)]
    Malformed(#[from] XmlError),
    /// It would have the storage write into the gateway's own bucket.
    #[error(
        "the bucket {bucket} holds the gateway's own records and can be no destination; name another one"
    )]
    OwnBucket {
        /// Its name.
        bucket: String,
    },
}

/// The root of a bucket's configuration.
fn configuration(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "CreateBucket" => "CreateBucketConfiguration",
        "CreateBucketMetadataConfiguration" => "MetadataConfiguration",
        "CreateBucketMetadataTableConfiguration" => "MetadataTableConfiguration",
        "PutBucketAbac" => "AbacStatus",
        "PutBucketAccelerateConfiguration" => "AccelerateConfiguration",
        "PutBucketAcl" => "AccessControlPolicy",
        "PutBucketAnalyticsConfiguration" => "AnalyticsConfiguration",
        "PutBucketCors" => "CORSConfiguration",
        "PutBucketEncryption" => "ServerSideEncryptionConfiguration",
        "PutBucketIntelligentTieringConfiguration" => "IntelligentTieringConfiguration",
        "PutBucketInventoryConfiguration" => "InventoryConfiguration",
        "PutBucketLifecycleConfiguration" => "LifecycleConfiguration",
        "PutBucketLogging" => "BucketLoggingStatus",
        "PutBucketMetricsConfiguration" => "MetricsConfiguration",
        "PutBucketNotificationConfiguration" => "NotificationConfiguration",
        "PutBucketOwnershipControls" => "OwnershipControls",
        "PutBucketReplication" => "ReplicationConfiguration",
        "PutBucketRequestPayment" => "RequestPaymentConfiguration",
        "PutBucketTagging" => "Tagging",
        "PutBucketVersioning" => "VersioningConfiguration",
        "PutBucketWebsite" => "WebsiteConfiguration",
        "PutObjectLockConfiguration" => "ObjectLockConfiguration",
        "PutPublicAccessBlock" => "PublicAccessBlockConfiguration",
        "UpdateBucketMetadataAnnotationTableConfiguration" => "AnnotationTableConfiguration",
        "UpdateBucketMetadataInventoryTableConfiguration" => "InventoryTableConfiguration",
        "UpdateBucketMetadataJournalTableConfiguration" => "JournalTableConfiguration",
        _ => return None,
    })
}

fn check_label(
    body: &[u8],
    root: &'static str,
    elements: &'static [&'static str],
) -> Result<(), XmlError> {
    if body.len() > MAX_LABEL_BYTES {
        return Err(XmlError::FragmentTooLong {
            limit: MAX_LABEL_BYTES,
        });
    }
    let body = without_declaration(body)?;
    // The root is read twice: it must be the right one, and nothing may stand before it.
    ElementReader::new(body)?.expect_root(root)?;
    let mut reader = ElementReader::new(body)?;
    let mut text_length = 0;
    while let Some(token) = reader.next()? {
        match token {
            Token::Start(name) if name != root && !elements.contains(&name) => {
                return Err(unexpected(name, root));
            }
            Token::Start(_) if reader.span().len() > MAX_LABEL_TAG => {
                return Err(too_long(root, "a start tag without further attributes"));
            }
            Token::Start(_) | Token::End => text_length = 0,
            Token::Text(text) => {
                text_length += text.len();
                if text_length > MAX_LABEL_TEXT {
                    return Err(too_long(root, "text of a label's length"));
                }
            }
            // Comments and instructions mean nothing to a storage that knows the document, and are kept by one that does not.
            Token::Other => {
                return Err(XmlError::UnexpectedElement {
                    element: "a comment or an instruction".to_owned(),
                    parent: root,
                });
            }
        }
    }
    Ok(())
}

fn too_long(element: &'static str, expected: &'static str) -> XmlError {
    XmlError::InvalidValue {
        element,
        found: "too much".to_owned(),
        expected,
    }
}

fn check_configuration(
    body: &[u8],
    root: &'static str,
    is_own: impl Fn(&str) -> bool,
) -> Result<(), PassedDocumentError> {
    let mut reader = ElementReader::new(without_declaration(body)?)?;
    reader.expect_root(root)?;
    while let Some(token) = reader.next()? {
        let Token::Start(name) = token else { continue };
        if !BUCKET_NAMES.contains(&name) {
            continue;
        }
        // Readers disagree on what the text of an element with children is, so a name has none.
        let text = reader.text("the name of a bucket")?;
        // A name, or the end of one that has the form arn:aws:s3:::name.
        let bucket = text.rsplit(':').next().unwrap_or_default().trim();
        if is_own(bucket) {
            return Err(PassedDocumentError::OwnBucket {
                bucket: quote(bucket),
            });
        }
    }
    Ok(())
}

/// The document behind its XML declaration, which may name no encoding but UTF-8: in another one the same bytes are another text.
fn without_declaration(body: &[u8]) -> Result<&[u8], XmlError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if !body.starts_with(b"<?xml") {
        return Ok(body);
    }
    let ill_formed = |reason: &str| XmlError::IllFormed {
        position: 0,
        reason: reason.to_owned(),
    };
    let end = memchr::memmem::find(body, b"?>")
        .ok_or_else(|| ill_formed("the XML declaration has no end"))?;
    let (declaration, rest) = body.split_at(end + 2);
    let declared = declaration
        .strip_prefix(b"<?xml")
        .and_then(|rest| rest.strip_suffix(b"?>"));
    let declared = std::str::from_utf8(declared.unwrap_or_default()).ok();
    if declared.and_then(says_utf_8) == Some(()) {
        return Ok(rest);
    }
    Err(ill_formed(
        "the XML declaration may say no more than version 1.0 and UTF-8",
    ))
}

/// Whether a declaration says what every document of S3 says, and nothing else.
fn says_utf_8(declared: &str) -> Option<()> {
    let mut rest = declared.trim();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let quote = value
            .chars()
            .next()
            .filter(|quote| "'\"".contains(*quote))?;
        let (value, behind) = value.get(1..)?.split_once(quote)?;
        let is_usual = match name.trim() {
            "version" => value == "1.0",
            "encoding" => value.eq_ignore_ascii_case("utf-8"),
            "standalone" => matches!(value, "yes" | "no"),
            _ => false,
        };
        if !is_usual {
            return None;
        }
        rest = behind.trim_start();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operation: &str, body: &str) -> Result<(), PassedDocumentError> {
        PassedDocument::of(operation).check(body.as_bytes(), |bucket| bucket == "state")
    }

    #[test]
    fn labels_as_clients_write_them_pass() {
        let grant = "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>x</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>x</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>";
        for (operation, body) in [
            ("PutObjectAcl", ""),
            ("PutObjectAcl", grant),
            (
                "PutObjectLegalHold",
                "<?xml version='1.0' encoding='UTF-8'?>\n<LegalHold><Status>ON</Status></LegalHold>\n",
            ),
            ("PutObjectRetention", "<Retention/>"),
            (
                "PutObjectRetention",
                "<?xml version=\"1.0\"?><s:Retention xmlns:s='n'> <s:Mode>GOVERNANCE</s:Mode><s:RetainUntilDate>2030-01-01T00:00:00Z</s:RetainUntilDate></s:Retention>",
            ),
            (
                "PutObjectTagging",
                "<Tagging><TagSet><Tag><Key>a&lt;</Key><Value>b</Value></Tag></TagSet></Tagging>",
            ),
            ("RestoreObject", ""),
            (
                "RestoreObject",
                "<RestoreRequest><Days>1</Days><GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters></RestoreRequest>",
            ),
        ] {
            assert_eq!(check(operation, body), Ok(()), "{operation} {body}");
        }
    }

    #[test]
    fn nothing_but_a_label_passes_for_one() {
        let long = format!(
            "<LegalHold><Status>{}</Status></LegalHold>",
            "x".repeat(MAX_LABEL_TEXT + 1)
        );
        let split = format!(
            "<LegalHold><Status>{}</Status></LegalHold>",
            "x<![CDATA[y]]>".repeat(MAX_LABEL_TEXT)
        );
        let attribute = format!(
            "<LegalHold><Status a=\"{}\"/></LegalHold>",
            "x".repeat(MAX_LABEL_TAG)
        );
        let many = format!("<Tagging>{}</Tagging>", "<Tag/>".repeat(MAX_LABEL_BYTES));
        for (operation, body) in [
            ("PutObjectLegalHold", ""),
            ("PutObjectRetention", ""),
            ("PutObjectTagging", ""),
            ("PutObjectRetention", "the plaintext of an object"),
            (
                "PutObjectRetention",
                "<LegalHold><Status>ON</Status></LegalHold>",
            ),
            (
                "PutObjectLegalHold",
                "<LegalHold><Other>x</Other></LegalHold>",
            ),
            (
                "PutObjectLegalHold",
                "<LegalHold><Status>ON</Status></LegalHold>plaintext",
            ),
            (
                "PutObjectLegalHold",
                "<LegalHold><!-- plaintext --></LegalHold>",
            ),
            ("PutObjectLegalHold", "<LegalHold/><!-- plaintext -->"),
            ("PutObjectLegalHold", "<?plaintext x?><LegalHold/>"),
            (
                "PutObjectLegalHold",
                "<?xml version='1.0' encoding='UTF-7'?><LegalHold/>",
            ),
            (
                "PutObjectAcl",
                "<AccessControlPolicy><Grant><Key>x</Key></Grant></AccessControlPolicy>",
            ),
            (
                "RestoreObject",
                "<RestoreRequest><Type>&#83;ELECT</Type></RestoreRequest>",
            ),
            (
                "RestoreObject",
                "<RestoreRequest><OutputLocation/></RestoreRequest>",
            ),
            ("PutObjectLegalHold", &long),
            ("PutObjectLegalHold", &split),
            ("PutObjectLegalHold", &attribute),
            ("PutObjectTagging", &many),
        ] {
            let shown: String = body.chars().take(80).collect();
            assert!(check(operation, body).is_err(), "{operation} {shown}");
        }
    }

    #[test]
    fn no_configuration_names_our_bucket() {
        let replication = |bucket: &str| {
            format!(
                "<ReplicationConfiguration><Role>r</Role><Rule><Destination><Bucket>{bucket}</Bucket></Destination></Rule></ReplicationConfiguration>"
            )
        };
        let inventory = |bucket: &str| {
            format!(
                "<InventoryConfiguration><Destination><S3BucketDestination><Bucket>{bucket}</Bucket></S3BucketDestination></Destination></InventoryConfiguration>"
            )
        };
        let logging = |bucket: &str| {
            format!(
                "<BucketLoggingStatus><LoggingEnabled><TargetBucket>{bucket}</TargetBucket></LoggingEnabled></BucketLoggingStatus>"
            )
        };
        let own = Err(PassedDocumentError::OwnBucket {
            bucket: "state".to_owned(),
        });
        for bucket in [
            "arn:aws:s3:::state",
            "arn:minio:replication::1:state",
            " state\n",
            "st&#97;te",
            "<![CDATA[state]]>",
            "sta<!-- x -->te",
        ] {
            assert_eq!(
                check("PutBucketReplication", &replication(bucket)),
                own,
                "{bucket}"
            );
            assert_eq!(
                check("PutBucketInventoryConfiguration", &inventory(bucket)),
                own,
                "{bucket}"
            );
            assert_eq!(check("PutBucketLogging", &logging(bucket)), own, "{bucket}");
        }
        // Go's reader leaves out what a child says, others leave out what follows it.
        for bucket in ["sta<x/>te", "sta<x>zz</x>te", "state<x>zz</x>"] {
            let refused = check("PutBucketReplication", &replication(bucket));
            assert!(
                matches!(
                    refused,
                    Err(PassedDocumentError::Malformed(
                        XmlError::UnexpectedElement { .. }
                    ))
                ),
                "{bucket}: {refused:?}"
            );
        }
        assert_eq!(
            check(
                "PutBucketReplication",
                &replication("arn:aws:s3:::state-of-others")
            ),
            Ok(())
        );
        assert_eq!(check("PutBucketLogging", &logging("logs")), Ok(()));
        let other = "<?xml version='1.0' encoding='UTF-16'?><BucketLoggingStatus/>";
        assert!(check("PutBucketLogging", other).is_err());
        assert!(check("PutBucketLogging", "<ReplicationConfiguration/>").is_err());
    }

    #[test]
    fn every_operation_that_brings_a_document_has_a_shape() {
        for name in crate::route::passed_names() {
            let brings = ["Put", "Create", "Update", "Restore"]
                .iter()
                .any(|verb| name.starts_with(verb));
            let has = PassedDocument::of(name) != PassedDocument::None;
            assert_eq!(has, brings, "{name}");
        }
    }
}
