//! One page of ListObjects, ListObjectsV2 or ListObjectVersions of an upstream: their documents differ in names only.

use time::OffsetDateTime;

use super::XmlError;
use super::elements::{ElementReader, push_entry, set_once};
use super::upstream_listings::{NameEncoding, non_empty, read_prefixes};
use crate::entity_tag::EntityTag;

/// What tells the documents apart.
pub(super) struct Kind {
    /// The root element.
    pub(super) root: &'static str,
    /// The elements that are objects.
    pub(super) entry: &'static str,
}

/// One object, or one version of it.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) version_id: Option<String>,
    pub(super) is_latest: bool,
    pub(super) size: u64,
    pub(super) last_modified: OffsetDateTime,
    pub(super) entity_tag: Option<EntityTag>,
}

/// The page, names decoded.
#[derive(Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) common_prefixes: Vec<String>,
    /// Opaque, never decoded.
    pub(super) next_continuation_token: Option<String>,
    pub(super) next_marker: Option<String>,
    pub(super) next_key_marker: Option<String>,
    pub(super) next_version_id_marker: Option<String>,
    pub(super) is_truncated: bool,
}

impl Page {
    /// Reads the document.
    ///
    /// # Errors
    /// [`XmlError`] where it has another root, or an entry lacks key, size or time.
    pub(super) fn read(document: &[u8], kind: &Kind) -> Result<Self, XmlError> {
        let mut reader = ElementReader::new(document)?;
        reader.expect_root(kind.root)?;
        let mut page = Self::default();
        let mut encoding = NameEncoding::default();
        while let Some(child) = reader.child()? {
            let mut text = |name| reader.text(name).map(non_empty);
            match child {
                "NextContinuationToken" => {
                    page.next_continuation_token = text("NextContinuationToken")?;
                }
                "NextMarker" => page.next_marker = text("NextMarker")?,
                "NextKeyMarker" => page.next_key_marker = text("NextKeyMarker")?,
                "NextVersionIdMarker" => page.next_version_id_marker = text("NextVersionIdMarker")?,
                "CommonPrefixes" => read_prefixes(&mut reader, &mut page.common_prefixes)?,
                "IsTruncated" => page.is_truncated = reader.boolean("IsTruncated")?,
                "EncodingType" => encoding.read(&mut reader)?,
                name if name == kind.entry => {
                    let entry = read_entry(&mut reader, kind.entry)?;
                    push_entry(&mut page.entries, entry, kind.entry)?;
                }
                _ => reader.skip()?,
            }
        }
        reader.finish()?;
        encoding.decode_all(page.entries.iter_mut().map(|entry| &mut entry.key), "Key")?;
        encoding.decode_all(&mut page.common_prefixes, "Prefix")?;
        encoding.decode_all(&mut page.next_marker, "NextMarker")?;
        encoding.decode_all(&mut page.next_key_marker, "NextKeyMarker")?;
        Ok(page)
    }
}

/// Reads one entry, whose start was just read.
fn read_entry(reader: &mut ElementReader<'_>, parent: &'static str) -> Result<Entry, XmlError> {
    let (mut key, mut version_id, mut size) = (None, None, None);
    let (mut last_modified, mut entity_tag, mut is_latest) = (None, None, false);
    while let Some(child) = reader.child()? {
        match child {
            "Key" => set_once(&mut key, reader.text("Key")?, "Key")?,
            "VersionId" => set_once(&mut version_id, reader.text("VersionId")?, "VersionId")?,
            "IsLatest" => is_latest = reader.boolean("IsLatest")?,
            "Size" => set_once(&mut size, reader.number("Size")?, "Size")?,
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
            _ => reader.skip()?,
        }
    }
    let missing = |element| XmlError::MissingElement { element, parent };
    Ok(Entry {
        key: key.ok_or_else(|| missing("Key"))?,
        version_id,
        is_latest,
        size: size.ok_or_else(|| missing("Size"))?,
        last_modified: last_modified.ok_or_else(|| missing("LastModified"))?,
        entity_tag,
    })
}
