//! ListObjectVersions of an upstream, as the gateway reads it for itself.

use time::OffsetDateTime;

use super::XmlError;
use super::object_pages::{Kind, Page};
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
    const KIND: Kind = Kind {
        root: "ListVersionsResult",
        entry: "Version",
    };
    let page = Page::read(document, &KIND)?;
    let versions = page.entries.into_iter().map(|entry| ListedVersion {
        key: entry.key,
        version_id: entry.version_id,
        is_latest: entry.is_latest,
        size: entry.size,
        last_modified: entry.last_modified,
        entity_tag: entry.entity_tag,
    });
    Ok(VersionsPage {
        versions: versions.collect(),
        next_key_marker: page.next_key_marker,
        next_version_id_marker: page.next_version_id_marker,
        is_truncated: page.is_truncated,
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
