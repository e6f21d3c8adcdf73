//! Answers of an upstream to single requests.
//!
//! Unlike a client's documents they may hold elements that we do not know, which are skipped. A status of 200 proves nothing for copies and
//! completions: their body can still be an `<Error>`, so those readers return an [`Outcome`].

use time::OffsetDateTime;

use super::answers::{DeleteAnswer, DeleteFailure, DeletedObject};
use super::elements::{ElementReader, push_entry, set_once};
use super::{XmlError, quote};
use crate::entity_tag::EntityTag;

/// Longest upload id taken from an upstream, in bytes; those of AWS have about 130.
pub const MAX_UPLOAD_ID_BYTES: usize = 2_048;

/// An `<Error>` of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    /// S3 error code.
    pub code: String,
    /// The upstream's message; empty if it sent none.
    pub message: String,
    /// Name and value of the argument that the error is about, where the upstream tells both.
    pub argument: Option<(String, String)>,
}

/// What a body says that a status of 200 leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was done.
    Done(T),
    /// It was not: the body is an `<Error>`.
    Failed(UpstreamError),
}

/// Reads `<Error>`.
///
/// # Errors
/// [`XmlError`] where the body is no S3 error, as with a load balancer's page: go by the status then.
pub fn parse_error(document: &[u8]) -> Result<UpstreamError, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("Error")?;
    read_error(reader)
}

/// Reads the content of `<Error>`, whose start was just read, and what follows.
fn read_error(mut reader: ElementReader<'_>) -> Result<UpstreamError, XmlError> {
    let error = read_error_content(&mut reader)?;
    reader.finish()?;
    Ok(error)
}

/// Reads the content of `<Error>`, whose start was just read.
pub(super) fn read_error_content(
    reader: &mut ElementReader<'_>,
) -> Result<UpstreamError, XmlError> {
    let (mut code, mut message) = (None, None);
    let (mut name, mut value) = (None, None);
    while let Some(child) = reader.child()? {
        match child {
            "ArgumentName" => name = Some(reader.text("ArgumentName")?),
            "ArgumentValue" => value = Some(reader.text("ArgumentValue")?),
            "Code" => set_once(&mut code, reader.text("Code")?.trim().to_owned(), "Code")?,
            "Message" => set_once(&mut message, reader.text("Message")?, "Message")?,
            _ => reader.skip()?,
        }
    }
    let code = code
        .filter(|code| !code.is_empty())
        .ok_or(XmlError::MissingElement {
            element: "Code",
            parent: "Error",
        })?;
    Ok(UpstreamError {
        code,
        message: message.unwrap_or_default(),
        argument: name.zip(value),
    })
}

/// Reads the upload id from the answer of CreateMultipartUpload.
///
/// # Errors
/// [`XmlError`] where there is none, or one longer than [`MAX_UPLOAD_ID_BYTES`].
pub fn parse_initiated(document: &[u8]) -> Result<String, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("InitiateMultipartUploadResult")?;
    let mut upload_id = None;
    while let Some(child) = reader.child()? {
        match child {
            "UploadId" => set_once(
                &mut upload_id,
                reader.text("UploadId")?.trim().to_owned(),
                "UploadId",
            )?,
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    let upload_id =
        upload_id
            .filter(|upload_id| !upload_id.is_empty())
            .ok_or(XmlError::MissingElement {
                element: "UploadId",
                parent: "InitiateMultipartUploadResult",
            })?;
    if upload_id.len() > MAX_UPLOAD_ID_BYTES {
        return Err(XmlError::invalid(
            "UploadId",
            &upload_id,
            "an upload id of at most 2,048 bytes",
        ));
    }
    Ok(upload_id)
}

/// Reads the answer of CompleteMultipartUpload: the upstream's tag of the object.
///
/// # Errors
/// [`XmlError`] where it is neither a result with an ETag nor an `<Error>`.
pub fn parse_completed(document: &[u8]) -> Result<Outcome<EntityTag>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    match reader.root()? {
        "CompleteMultipartUploadResult" => {}
        "Error" => return read_error(reader).map(Outcome::Failed),
        found => {
            return Err(XmlError::UnexpectedRoot {
                found: quote(found),
                expected: "<CompleteMultipartUploadResult> or <Error>",
            });
        }
    }
    let mut entity_tag = None;
    while let Some(child) = reader.child()? {
        match child {
            "ETag" => set_once(
                &mut entity_tag,
                EntityTag::parse(&reader.text("ETag")?),
                "ETag",
            )?,
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    entity_tag
        .map(Outcome::Done)
        .ok_or(XmlError::MissingElement {
            element: "ETag",
            parent: "CompleteMultipartUploadResult",
        })
}

/// What an upstream says of a finished copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The upstream's tag of the new object or part.
    pub entity_tag: EntityTag,
    /// When it was made; not every server says so.
    pub last_modified: Option<OffsetDateTime>,
}

/// Reads the answer of CopyObject or UploadPartCopy.
///
/// # Errors
/// [`XmlError`] where it is neither a result with an ETag nor an `<Error>`.
pub fn parse_copied(document: &[u8]) -> Result<Outcome<Copied>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    match reader.root()? {
        "CopyObjectResult" | "CopyPartResult" => {}
        "Error" => return read_error(reader).map(Outcome::Failed),
        found => {
            return Err(XmlError::UnexpectedRoot {
                found: quote(found),
                expected: "<CopyObjectResult>, <CopyPartResult> or <Error>",
            });
        }
    }
    let (mut entity_tag, mut last_modified) = (None, None);
    while let Some(child) = reader.child()? {
        match child {
            "ETag" => set_once(
                &mut entity_tag,
                EntityTag::parse(&reader.text("ETag")?),
                "ETag",
            )?,
            "LastModified" => set_once(
                &mut last_modified,
                reader.time("LastModified")?,
                "LastModified",
            )?,
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    let entity_tag = entity_tag.ok_or(XmlError::MissingElement {
        element: "ETag",
        parent: "a copy's result",
    })?;
    Ok(Outcome::Done(Copied {
        entity_tag,
        last_modified,
    }))
}

/// Reads the answer of GetBucketLocation; `None` is the region that has no name there, us-east-1.
///
/// # Errors
/// [`XmlError`] where it is no `<LocationConstraint>`.
pub fn parse_location(document: &[u8]) -> Result<Option<String>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("LocationConstraint")?;
    let location = reader.text("LocationConstraint")?.trim().to_owned();
    reader.finish()?;
    Ok((!location.is_empty()).then_some(location))
}

/// Reads the answer of DeleteObjects, to be joined with what the gateway itself refused.
///
/// # Errors
/// [`XmlError`] where it is no `<DeleteResult>` or an entry has no key.
pub fn parse_deleted(document: &[u8]) -> Result<DeleteAnswer, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("DeleteResult")?;
    let mut answer = DeleteAnswer::default();
    while let Some(child) = reader.child()? {
        match child {
            "Deleted" => {
                let deleted = read_deleted(&mut reader)?;
                push_entry(&mut answer.deleted, deleted, "Deleted")?;
            }
            "Error" => {
                let failure = read_failure(&mut reader)?;
                push_entry(&mut answer.failures, failure, "Error")?;
            }
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    Ok(answer)
}

/// Reads one `<Deleted>`, whose start was just read.
fn read_deleted(reader: &mut ElementReader<'_>) -> Result<DeletedObject, XmlError> {
    let mut key = None;
    let mut deleted = DeletedObject::default();
    while let Some(child) = reader.child()? {
        match child {
            "Key" => set_once(&mut key, reader.text("Key")?, "Key")?,
            "VersionId" => {
                deleted.version_id =
                    Some(reader.text("VersionId")?).filter(|text| !text.is_empty());
            }
            "DeleteMarker" => deleted.delete_marker = reader.boolean("DeleteMarker")?,
            "DeleteMarkerVersionId" => {
                deleted.delete_marker_version_id =
                    Some(reader.text("DeleteMarkerVersionId")?).filter(|text| !text.is_empty());
            }
            _ => reader.skip()?,
        }
    }
    deleted.key = key.ok_or(XmlError::MissingElement {
        element: "Key",
        parent: "Deleted",
    })?;
    Ok(deleted)
}

/// Reads one `<Error>` in a `<DeleteResult>`, whose start was just read.
fn read_failure(reader: &mut ElementReader<'_>) -> Result<DeleteFailure, XmlError> {
    let mut key = None;
    let mut failure = DeleteFailure::default();
    while let Some(child) = reader.child()? {
        match child {
            "Key" => set_once(&mut key, reader.text("Key")?, "Key")?,
            "VersionId" => {
                failure.version_id =
                    Some(reader.text("VersionId")?).filter(|text| !text.is_empty());
            }
            "Code" => reader.text("Code")?.trim().clone_into(&mut failure.code),
            "Message" => failure.message = reader.text("Message")?,
            _ => reader.skip()?,
        }
    }
    failure.key = key.ok_or(XmlError::MissingElement {
        element: "Key",
        parent: "Error",
    })?;
    Ok(failure)
}

#[cfg(test)]
mod tests {
    use super::super::write::as_clients_read;
    use super::*;
    use crate::xml::answers::ErrorAnswer;
    use crate::xml::multipart_answers::{CompletedAnswer, InitiatedAnswer};
    use proptest::prelude::*;
    use time::macros::datetime;

    #[test]
    fn errors_are_read_and_pages_are_not() {
        let error = b"<?xml version='1.0'?>\n<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message><BucketName>x</BucketName><HostId>h</HostId></Error>";
        assert_eq!(
            parse_error(error),
            Ok(UpstreamError {
                code: "NoSuchKey".into(),
                message: "a & b".into(),
                argument: None
            })
        );
        let argument = |elements: &str| {
            let error = format!("<Error><Code>InvalidArgument</Code>{elements}</Error>");
            parse_error(error.as_bytes()).unwrap().argument
        };
        assert_eq!(
            argument("<ArgumentName>a</ArgumentName><ArgumentValue>b</ArgumentValue>"),
            Some(("a".into(), "b".into()))
        );
        assert_eq!(argument("<ArgumentName>a</ArgumentName>"), None);
        assert_eq!(
            parse_error(b"<Error><Message>x</Message></Error>"),
            Err(XmlError::MissingElement {
                element: "Code",
                parent: "Error"
            })
        );
        assert!(parse_error(b"<html><body>502 Bad Gateway</body></html>").is_err());
        assert!(parse_error(b"").is_err());
    }

    #[test]
    fn an_upload_id_must_be_there_and_be_short() {
        let answer = |upload_id: &str| {
            InitiatedAnswer {
                bucket: "b",
                key: "k",
                upload_id,
            }
            .to_document()
            .into_bytes()
        };
        assert_eq!(parse_initiated(&answer("a+/=b")), Ok("a+/=b".into()));
        assert!(parse_initiated(&answer("")).is_err());
        assert!(parse_initiated(&answer(&"a".repeat(MAX_UPLOAD_ID_BYTES))).is_ok());
        assert!(parse_initiated(&answer(&"a".repeat(MAX_UPLOAD_ID_BYTES + 1))).is_err());
    }

    #[test]
    fn a_completion_with_status_200_can_be_an_error() {
        let failed = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n   \n<Error><Code>InternalError</Code><Message>again</Message></Error>";
        assert_eq!(
            parse_completed(failed),
            Ok(Outcome::Failed(UpstreamError {
                code: "InternalError".into(),
                message: "again".into(),
                argument: None
            }))
        );
        let tag = EntityTag::strong("x-2");
        let done = CompletedAnswer {
            location: "http://l/",
            bucket: "b",
            key: "k",
            entity_tag: &tag,
            checksums: &[],
            checksum_type: None,
        };
        assert_eq!(
            parse_completed(&done.to_document().into_bytes()),
            Ok(Outcome::Done(tag))
        );
        assert!(parse_completed(b"<CompleteMultipartUploadResult/>").is_err());
        assert!(parse_completed(b"<CompleteMultipartUploadResult><ETag>x</ETag>").is_err());
        assert!(parse_completed(b"   ").is_err());
    }

    #[test]
    fn rule_19_a_copy_with_status_200_can_be_an_error() {
        let copied = b"<CopyObjectResult><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&#34;x&#34;</ETag><ChecksumCRC32>y</ChecksumCRC32></CopyObjectResult>";
        let expected = Copied {
            entity_tag: EntityTag::strong("x"),
            last_modified: Some(datetime!(2026-01-02 03:04:05 UTC)),
        };
        assert_eq!(parse_copied(copied), Ok(Outcome::Done(expected)));
        let error = ErrorAnswer {
            host_id: "h",
            code: "SlowDown",
            message: "m",
            resource: None,
            request_id: "r",
            details: &[],
        }
        .to_document()
        .into_bytes();
        assert!(
            matches!(parse_copied(&error), Ok(Outcome::Failed(UpstreamError { code, .. })) if code == "SlowDown")
        );
        assert!(parse_copied(b"<CopyPartResult/>").is_err());
        assert!(parse_copied(b"<CopyPartResult><ETag>x</ETag><LastModified>today</LastModified></CopyPartResult>").is_err());
    }

    #[test]
    fn a_location_may_be_empty() {
        assert_eq!(parse_location(b"<LocationConstraint xmlns='n'/>"), Ok(None));
        assert_eq!(
            parse_location(b"<LocationConstraint>eu-central-1</LocationConstraint>"),
            Ok(Some("eu-central-1".into()))
        );
    }

    proptest! {
        #[test]
        fn written_deletions_are_read_back(
            key in "[^\\x00]{0,20}".prop_map(|key| as_clients_read(&key)),
            version_id in proptest::option::of("[a-z]{1,5}"),
            delete_marker in any::<bool>(),
        ) {
            let deleted = DeletedObject {
                key: key.clone(),
                version_id: version_id.clone(),
                delete_marker,
                delete_marker_version_id: version_id.clone(),
            };
            let (code, message) = ("AccessDenied".into(), "no".into());
            let failure = DeleteFailure { key, version_id, code, message };
            let answer = DeleteAnswer { deleted: vec![deleted], failures: vec![failure] };
            prop_assert_eq!(parse_deleted(&answer.to_document().into_bytes()), Ok(answer));
        }

        #[test]
        fn any_answer_is_read_without_panic(body in ".{0,100}") {
            let body = body.as_bytes();
            let _ = (parse_error(body), parse_initiated(body), parse_completed(body));
            let _ = (parse_copied(body), parse_location(body), parse_deleted(body));
        }
    }
}
