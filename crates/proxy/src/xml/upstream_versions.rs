//! ListObjectVersions of an upstream, as the gateway reads it for itself.

use time::OffsetDateTime;

use super::XmlError;
use super::elements::{ElementReader, push_entry, set_once};
use super::upstream_listings::{NameEncoding, non_empty};
use crate::entity_tag::EntityTag;

/// One version of an object; delete markers are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// Its key, decoded.
    pub key: String,
    /// Its id; `null` for a version from before the bucket had versions.
    pub version_id: Option<String>,
    /// Whether it is the current one.
    pub is_latest: bool,
    /// Its length at the upstream.
    pub size: u64,
    /// When it was written.
    pub last_modified: OffsetDateTime,
    /// The upstream's tag.
    pub entity_tag: Option<EntityTag>,
}

/// One page of ListObjectVersions, names decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionsPage {
    /// The versions in the upstream's order.
    pub versions: Vec<ListedVersion>,
    /// Where to go on: key.
    pub next_key_marker: Option<String>,
    /// Where to go on: version.
    pub next_version_id_marker: Option<String>,
    /// Whether more versions follow.
    pub is_truncated: bool,
}

/// Reads the answer of ListObjectVersions.
///
/// # Errors
/// [`XmlError`] where it is no `<ListVersionsResult>`, or a version lacks key, size or time.
pub fn parse_versions(document: &[u8]) -> Result<VersionsPage, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("ListVersionsResult")?;
    let mut page = VersionsPage::default();
    let mut encoding = NameEncoding::default();
    while let Some(child) = reader.child()? {
        match child {
            "Version" => {
                let version = read_version(&mut reader)?;
                push_entry(&mut page.versions, version, "Version")?;
            }
            "NextKeyMarker" => page.next_key_marker = non_empty(reader.text("NextKeyMarker")?),
            "NextVersionIdMarker" => {
                page.next_version_id_marker = non_empty(reader.text("NextVersionIdMarker")?);
            }
            "IsTruncated" => page.is_truncated = reader.boolean("IsTruncated")?,
            "EncodingType" => encoding.read(&mut reader)?,
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    encoding.decode_all(
        page.versions.iter_mut().map(|version| &mut version.key),
        "Key",
    )?;
    encoding.decode_all(&mut page.next_key_marker, "NextKeyMarker")?;
    Ok(page)
}

/// Reads one `<Version>`, whose start was just read.
fn read_version(reader: &mut ElementReader<'_>) -> Result<ListedVersion, XmlError> {
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
    let missing = |element| XmlError::MissingElement {
        element,
        parent: "Version",
    };
    Ok(ListedVersion {
        key: key.ok_or_else(|| missing("Key"))?,
        version_id,
        is_latest,
        size: size.ok_or_else(|| missing("Size"))?,
        last_modified: last_modified.ok_or_else(|| missing("LastModified"))?,
        entity_tag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_order_and_markers_are_left_out() {
        let page = parse_versions(
            b"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
              <NextKeyMarker>a%2Fb</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>\
              <Version><Key>a%2Fb</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>\"x\"</ETag><Size>3</Size></Version>\
              <DeleteMarker><Key>a</Key><VersionId>d</VersionId></DeleteMarker>\
              <Version><Key>a%2Fb</Key><VersionId>null</VersionId><IsLatest>false</IsLatest><LastModified>2026-01-02T03:04:05Z</LastModified><Size>4</Size></Version></ListVersionsResult>",
        )
        .unwrap();
        let seen: Vec<_> = page
            .versions
            .iter()
            .map(|version| {
                (
                    &*version.key,
                    version.version_id.as_deref(),
                    version.is_latest,
                    version.size,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("a/b", Some("v2"), true, 3),
                ("a/b", Some("null"), false, 4)
            ]
        );
        assert_eq!(page.next_key_marker.as_deref(), Some("a/b"));
        assert!(page.is_truncated);
        assert!(
            parse_versions(
                b"<ListVersionsResult><Version><Key>a</Key></Version></ListVersionsResult>"
            )
            .is_err()
        );
    }
}
