//! Rewrites a listing in which some objects are sealed and others are not, as it is in a bucket that is marked migrating.
//!
//! Other than [`super::listing`] it needs the whole document at once: what an object is has to be asked for object by object.

use std::ops::Range;

use super::elements::{ElementReader, parse_number};
use super::write::escape;
use super::{XmlError, quote};
use crate::entity_tag::EntityTag;

/// Elements of a sealed object that describe the ciphertext, or are the upstream's own.
const REMOVED_FROM_SEALED: [&str; 3] = ["ChecksumAlgorithm", "ChecksumType", "UserMetadata"];

/// What a listing shows of an object that was never sealed: what the upstream says now, or what it has listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClearEntry {
    /// Its size, where that is known better than from the listing.
    pub size: Option<u64>,
    /// The upstream's tag, likewise.
    pub entity_tag: Option<EntityTag>,
}

/// Rewrites the answer of ListObjects, ListObjectsV2 or ListObjectVersions. `clear` says of every object in turn whether it is not sealed;
/// `plaintext_size` is as in [`super::listing::rewrite_objects`].
///
/// # Errors
/// [`XmlError`] where the document is not such a listing; nothing of it may be sent to the client then.
pub fn rewrite_mixed_objects(
    document: &[u8],
    clear: &[Option<ClearEntry>],
    mut plaintext_size: impl FnMut(u64) -> u64,
) -> Result<Vec<u8>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    let object = match reader.root()? {
        "ListBucketResult" => "Contents",
        "ListVersionsResult" => "Version",
        found => {
            return Err(XmlError::UnexpectedRoot {
                found: quote(found),
                expected: "<ListBucketResult> or <ListVersionsResult>",
            });
        }
    };
    let mut edits = Vec::new();
    let mut clear = clear.iter();
    while let Some(child) = reader.child()? {
        if child == object {
            let entry = clear.next().and_then(Option::as_ref);
            rewrite_object(&mut reader, &mut edits, entry, &mut plaintext_size)?;
        } else {
            reader.skip()?;
        }
    }
    reader.finish()?;
    Ok(apply(document, &edits))
}

/// A span of the document and what stands there instead.
type Edit = (Range<usize>, String);

/// Edits come in ascending order, because the document is read once.
fn apply(document: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut output = Vec::with_capacity(document.len());
    let mut copied = 0;
    for (span, replacement) in edits {
        output.extend_from_slice(document.get(copied..span.start).unwrap_or_default());
        output.extend_from_slice(replacement.as_bytes());
        copied = span.end;
    }
    output.extend_from_slice(document.get(copied..).unwrap_or_default());
    output
}

/// Rewrites one listed object, whose start was just read.
fn rewrite_object(
    reader: &mut ElementReader<'_>,
    edits: &mut Vec<Edit>,
    clear: Option<&ClearEntry>,
    plaintext_size: &mut impl FnMut(u64) -> u64,
) -> Result<(), XmlError> {
    while let Some(child) = reader.child()? {
        let start = reader.span().start;
        match child {
            "Size" => {
                let (text, span) = content(reader, "Size")?;
                let listed: u64 = parse_number("Size", text.trim())?;
                let shown = match clear {
                    Some(entry) => entry.size.unwrap_or(listed),
                    None => plaintext_size(listed),
                };
                if shown != listed {
                    edits.push((span, shown.to_string()));
                }
            }
            "ETag" => {
                let (text, span) = content(reader, "ETag")?;
                let listed = EntityTag::parse(&text);
                let shown = match clear {
                    Some(entry) => entry
                        .entity_tag
                        .as_ref()
                        .unwrap_or(&listed)
                        .to_client_in_the_clear(),
                    None => listed.to_client(),
                };
                // An empty element has no tag to map, and no content in which one could stand.
                if !span.is_empty() && shown != listed {
                    edits.push((span, escape(&shown.to_string())));
                }
            }
            removed if clear.is_none() && REMOVED_FROM_SEALED.contains(&removed) => {
                reader.skip()?;
                edits.push((start..reader.span().end, String::new()));
            }
            _ => reader.skip()?,
        }
    }
    Ok(())
}

/// The text of the open leaf element and the span of its content, tags excluded.
fn content(
    reader: &mut ElementReader<'_>,
    element: &'static str,
) -> Result<(String, Range<usize>), XmlError> {
    let start = reader.span().end;
    let text = reader.text(element)?;
    Ok((text, start..reader.span().start.max(start)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xml::listing::rewrite_objects;

    #[test]
    fn what_is_not_sealed_keeps_its_size_its_tag_and_its_checksums() {
        let object = |size: u64, tag: &str, more: &str| {
            format!("<Contents><Size>{size}</Size><ETag>{tag}</ETag>{more}</Contents>")
        };
        let kind = "<ChecksumType>FULL_OBJECT</ChecksumType>";
        let upstream = format!(
            "<ListBucketResult>{}{}{}{}</ListBucketResult>",
            object(412, "&quot;a&quot;", kind),
            object(412, "&quot;b&quot;", kind),
            object(412, "&quot;c&quot;", ""),
            object(412, "&quot;d&quot;", "")
        );
        let clear = [
            Some(ClearEntry::default()),
            None,
            Some(ClearEntry {
                size: Some(7),
                entity_tag: Some(EntityTag::strong("new")),
            }),
        ];
        let rewritten =
            rewrite_mixed_objects(upstream.as_bytes(), &clear, |size| size - 400).unwrap();
        let expected = format!(
            "<ListBucketResult>{}{}{}{}</ListBucketResult>",
            object(412, "&quot;a&quot;", kind),
            object(12, "&quot;b-01&quot;", ""),
            object(7, "&quot;new&quot;", ""),
            object(12, "&quot;d-01&quot;", "")
        );
        assert_eq!(String::from_utf8(rewritten).unwrap(), expected);
        assert!(rewrite_mixed_objects(b"<Error/>", &[], |size| size).is_err());
    }

    proptest! {
        #[test]
        fn where_all_are_sealed_both_ways_to_rewrite_agree(
            sizes in proptest::collection::vec(400_u64..1_000_000, 0..5),
            extra in "(<ChecksumType>x</ChecksumType>|<Owner><Size>1</Size></Owner>| <!-- c -->)?",
        ) {
            let objects: Vec<String> = sizes
                .iter()
                .map(|size| format!("<Version>{extra}<Size>{size}</Size><ETag>\"x\"</ETag>{extra}</Version>"))
                .collect();
            let objects = objects.concat();
            let document = format!("<ListVersionsResult>{objects}<DeleteMarker/></ListVersionsResult>");
            let size = |size: u64| size - 400;
            prop_assert_eq!(
                rewrite_mixed_objects(document.as_bytes(), &[], size),
                rewrite_objects(document.as_bytes(), size)
            );
        }
    }
}
