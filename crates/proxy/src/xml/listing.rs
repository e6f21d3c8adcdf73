//! Rewrites the listings of an upstream so that clients see plaintext sizes and their own ETags.
//!
//! The result is the upstream's document with a few spans replaced: order of elements, namespaces, white space, comments and elements that we do
//! not know stay byte for byte, so a newer S3 keeps working through an older gateway.
//!
//! ```text
//! <Contents>
//!   <Key>a</Key>                                 as it is
//!   <Size>412</Size>                             through the size callback
//!   <ETag>&quot;5d41…&quot;</ETag>                through EntityTag::to_client
//!   <ChecksumAlgorithm>CRC64NVME</…>             removed: it is of the ciphertext
//! </Contents>
//! ```

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;

use super::elements::{ElementReader, Token, parse_number};
use super::fragments::{Fragment, Splitter};
use super::plain_entry::{PlainChild, plain_entry, plain_tag};
use super::write::escape;
use super::{MAX_FRAGMENT_BYTES, XmlError, quote};
use crate::entity_tag::{EntityTag, client_suffix};

/// Elements of a sealed object that describe its ciphertext, not what clients stored.
const OF_CIPHERTEXT: [&str; 2] = ["ChecksumAlgorithm", "ChecksumType"];

/// What MinIO adds to the objects of a listing and S3 does not have: metadata as it is stored, tags, and how the storage spreads them. Nobody
/// asks for it through the gateway, and no storage gets to show it all the same.
const OF_MINIO: [&str; 3] = ["UserMetadata", "UserTags", "Internal"];

/// What a listing shows of an object that was never sealed, in a place that is marked migrating: what the upstream says now, or what it has
/// listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClearEntry {
    /// Its size, where that is known better than from the listing.
    pub size: Option<u64>,
    /// The upstream's tag, likewise.
    pub entity_tag: Option<EntityTag>,
}

/// A document that is being copied to the output. Spans are replaced in ascending order.
struct Rewriting<'a> {
    document: &'a [u8],
    /// How much of the document is in the output.
    copied: usize,
    output: &'a mut Vec<u8>,
}

impl<'a> Rewriting<'a> {
    fn new(document: &'a [u8], output: &'a mut Vec<u8>) -> Self {
        Self {
            document,
            copied: 0,
            output,
        }
    }

    /// Copies what stands before the span, then writes the replacement in place of the span.
    fn replace(&mut self, span: Range<usize>, replacement: &str) {
        self.remove(span).extend_from_slice(replacement.as_bytes());
    }

    /// Copies what stands before the span. What is written to the output now stands in place of the span.
    fn remove(&mut self, span: Range<usize>) -> &mut Vec<u8> {
        self.output.extend_from_slice(
            self.document
                .get(self.copied..span.start)
                .unwrap_or_default(),
        );
        self.copied = span.end;
        self.output
    }

    /// Copies the rest.
    fn finish(self) {
        self.output
            .extend_from_slice(self.document.get(self.copied..).unwrap_or_default());
    }
}

/// Rewrites the answer of ListObjects, ListObjectsV2 or ListObjectVersions (`ListBucketResult`, `ListVersionsResult`) while it arrives, in memory
/// that does not grow with it ([`MAX_FRAGMENT_BYTES`]). How the document is cut into pieces makes no difference.
///
/// The size function gets each listed size, that of the ciphertext, and returns the one to show; for a size that no sealed object has it returns
/// its argument (FORMAT.md, "Body").
///
/// After an error nothing more may be sent to the client, and what was sent must not look like a whole answer.
#[derive(Debug)]
pub struct ListingRewriter<F, C = fn() -> Option<ClearEntry>> {
    splitter: Splitter,
    plaintext_size: F,
    next_clear: C,
    /// Kept for its capacity.
    children: Vec<PlainChild>,
    /// The local name of the root's children that are objects, once the root is known.
    object: Option<&'static str>,
    output: Vec<u8>,
}

impl<F: FnMut(u64) -> u64> ListingRewriter<F> {
    /// A rewriter of one document whose objects are all sealed.
    pub fn new(plaintext_size: F) -> Self {
        Self::mixed(plaintext_size, || None)
    }
}

impl<F: FnMut(u64) -> u64, C: FnMut() -> Option<ClearEntry>> ListingRewriter<F, C> {
    /// A rewriter of one document in which some objects are not sealed: `next_clear` is asked once for each object, in the document's order.
    pub fn mixed(plaintext_size: F, next_clear: C) -> Self {
        Self {
            splitter: Splitter::new(),
            plaintext_size,
            next_clear,
            children: Vec::new(),
            object: None,
            output: Vec::new(),
        }
    }

    /// Takes the next piece of the document.
    ///
    /// # Errors
    /// [`XmlError`] where the document is not such a listing, or not well-formed so far.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), XmlError> {
        self.splitter.push(piece);
        // It grows by a few bytes for each object, and loses more.
        self.output.reserve(piece.len() + piece.len() / 8);
        loop {
            self.rewrite_plain_entries()?;
            let position = self.splitter.position();
            let Some(fragment) = self.splitter.next()? else {
                return Ok(());
            };
            self.rewrite(&fragment)
                .map_err(|error| error.behind(position))?;
        }
    }

    /// Rewrites the children of the root that come next and have arrived whole, up to one that is not written plainly.
    fn rewrite_plain_entries(&mut self) -> Result<(), XmlError> {
        let Some(arrived) = self.splitter.at_child() else {
            return Ok(());
        };
        let mut rest = arrived;
        while let Some(entry) = plain_entry(rest, &mut self.children)
            && entry.text.len() <= MAX_FRAGMENT_BYTES
            && are_plain(entry.text, &self.children)
        {
            let mut rewriting = Rewriting::new(entry.text.as_bytes(), &mut self.output);
            if Some(entry.root) == self.object {
                let mut shown = Shown::next(&mut self.plaintext_size, &mut self.next_clear);
                let position = self.splitter.position() + arrived.len() - rest.len();
                rewrite_plain(entry.text, &self.children, &mut rewriting, &mut shown)
                    .map_err(|error| error.behind(position))?;
            }
            rewriting.finish();
            rest = rest.get(entry.text.len()..).unwrap_or_default();
        }
        let taken = arrived.len() - rest.len();
        self.splitter.skip(taken);
        Ok(())
    }

    /// What can be sent by now; may be empty.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.output))
    }

    /// The document has ended: the rest of what can be sent.
    ///
    /// # Errors
    /// [`XmlError`] where it is not whole.
    pub fn finish(mut self) -> Result<Bytes, XmlError> {
        let position = self.splitter.position();
        let splitter = std::mem::replace(&mut self.splitter, Splitter::new());
        if let Some(fragment) = splitter.finish()? {
            self.rewrite(&fragment)
                .map_err(|error| error.behind(position))?;
        }
        Ok(self.take())
    }

    fn rewrite(&mut self, fragment: &Fragment) -> Result<(), XmlError> {
        let text = match fragment {
            Fragment::Root { text, name, empty } => {
                self.object = Some(object_element(text, name.clone(), *empty)?);
                text
            }
            Fragment::Child(text) => return self.rewrite_child(text),
            Fragment::Between(text) => {
                check_between(text)?;
                text
            }
            Fragment::End(text) => text,
        };
        self.output.extend_from_slice(text);
        Ok(())
    }

    fn rewrite_child(&mut self, text: &[u8]) -> Result<(), XmlError> {
        let mut rewriting = Rewriting::new(text, &mut self.output);
        let mut reader = ElementReader::new(text)?;
        if Some(reader.root()?) == self.object {
            let mut shown = Shown::next(&mut self.plaintext_size, &mut self.next_clear);
            rewrite_object(&mut reader, &mut rewriting, &mut shown)?;
        } else {
            reader.skip()?;
        }
        reader.finish()?;
        rewriting.finish();
        Ok(())
    }
}

/// What clients are shown of one listed object.
enum Shown<'a, F> {
    /// It is sealed.
    Sealed(&'a mut F),
    /// It is not: its checksums are those of what clients stored.
    Clear(ClearEntry),
}

impl<'a, F: FnMut(u64) -> u64> Shown<'a, F> {
    fn next(
        plaintext_size: &'a mut F,
        next_clear: &mut impl FnMut() -> Option<ClearEntry>,
    ) -> Self {
        next_clear().map_or(Self::Sealed(plaintext_size), Self::Clear)
    }

    fn size(&mut self, listed: u64) -> u64 {
        match self {
            Self::Sealed(plaintext_size) => plaintext_size(listed),
            Self::Clear(clear) => clear.size.unwrap_or(listed),
        }
    }

    fn entity_tag(&self, listed: &EntityTag) -> EntityTag {
        match self {
            Self::Sealed(_) => listed.to_client(),
            Self::Clear(clear) => clear
                .entity_tag
                .as_ref()
                .unwrap_or(listed)
                .to_client_in_the_clear(),
        }
    }

    fn hides(&self, element: &str) -> bool {
        OF_MINIO.contains(&element)
            || matches!(self, Self::Sealed(_)) && OF_CIPHERTEXT.contains(&element)
    }
}

/// The name of the elements that are objects in a document that begins so.
fn object_element(
    beginning: &[u8],
    name: Range<usize>,
    empty: bool,
) -> Result<&'static str, XmlError> {
    let mut document = beginning.to_vec();
    if !empty {
        document.extend_from_slice(b"</");
        document.extend_from_slice(beginning.get(name).unwrap_or_default());
        document.push(b'>');
    }
    let mut reader = ElementReader::new(&document)?;
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
    reader.skip()?;
    reader.finish()?;
    Ok(object)
}

/// Only white space, comments and processing instructions may stand between elements.
fn check_between(text: &[u8]) -> Result<(), XmlError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let document = [b"<x>", text, b"</x>"].concat();
    let mut reader = ElementReader::new(&document)?;
    reader.expect_root("x")?;
    match reader.child()? {
        None => reader.finish(),
        Some(found) => Err(XmlError::UnexpectedElement {
            element: quote(found),
            parent: "text between elements",
        }),
    }
}

/// As [`ListingRewriter`], for a document that is there as a whole.
///
/// # Errors
/// [`XmlError`] where the document is not such a listing; nothing of it may be sent to the client then.
pub fn rewrite_objects(
    document: &[u8],
    plaintext_size: impl FnMut(u64) -> u64,
) -> Result<Vec<u8>, XmlError> {
    let mut rewriter = ListingRewriter::new(plaintext_size);
    rewriter.push(document)?;
    Ok(rewriter.finish()?.into())
}

/// As [`ListingRewriter::mixed`], for a document that is there as a whole. `clear` says of every object in turn whether it is not sealed; where
/// it ends, the rest is.
///
/// # Errors
/// As [`rewrite_objects`].
pub fn rewrite_mixed_objects(
    document: &[u8],
    clear: impl IntoIterator<Item = Option<ClearEntry>>,
    plaintext_size: impl FnMut(u64) -> u64,
) -> Result<Vec<u8>, XmlError> {
    let mut clear = clear.into_iter();
    let mut rewriter = ListingRewriter::mixed(plaintext_size, || clear.next().flatten());
    rewriter.push(document)?;
    Ok(rewriter.finish()?.into())
}

/// Whether the values that are rewritten are written plainly, too.
fn are_plain(text: &str, children: &[PlainChild]) -> bool {
    children.iter().all(|child| {
        let content = text.get(child.content.clone()).unwrap_or_default();
        match text.get(child.name.clone()) {
            Some("Size") => content.bytes().all(|byte| byte.is_ascii_digit()),
            Some("ETag") => plain_tag(content).is_some(),
            _ => true,
        }
    })
}

/// Rewrites one listed object that [`plain_entry`] took apart.
fn rewrite_plain(
    text: &str,
    children: &[PlainChild],
    rewriting: &mut Rewriting<'_>,
    shown: &mut Shown<'_, impl FnMut(u64) -> u64>,
) -> Result<(), XmlError> {
    for child in children {
        let content = text.get(child.content.clone()).unwrap_or_default();
        match text.get(child.name.clone()).unwrap_or_default() {
            "Size" => replace_size(rewriting, child.content.clone(), content, shown)?,
            "ETag" => {
                let opaque = plain_tag(content).unwrap_or(content);
                if matches!(shown, Shown::Sealed(_)) {
                    add_suffix(rewriting, child.content.clone(), opaque);
                } else {
                    replace_tag(
                        rewriting,
                        child.content.clone(),
                        &EntityTag::strong(opaque),
                        shown,
                    );
                }
            }
            hidden if shown.hides(hidden) => rewriting.replace(child.whole.clone(), ""),
            _ => {}
        }
    }
    Ok(())
}

/// Rewrites one listed object whose start was just read.
fn rewrite_object(
    reader: &mut ElementReader<'_>,
    rewriting: &mut Rewriting<'_>,
    shown: &mut Shown<'_, impl FnMut(u64) -> u64>,
) -> Result<(), XmlError> {
    while let Some(child) = reader.child()? {
        let start = reader.span().start;
        match child {
            "Size" => {
                let (text, span) = content(reader, "Size")?;
                replace_size(rewriting, span, text.trim(), shown)?;
            }
            "ETag" => {
                let (text, span) = content(reader, "ETag")?;
                replace_tag(rewriting, span, &EntityTag::parse(&text), shown);
            }
            hidden if shown.hides(hidden) => {
                reader.skip()?;
                rewriting.replace(start..reader.span().end, "");
            }
            _ => reader.skip()?,
        }
    }
    Ok(())
}

fn replace_size(
    rewriting: &mut Rewriting<'_>,
    span: Range<usize>,
    digits: &str,
    shown: &mut Shown<'_, impl FnMut(u64) -> u64>,
) -> Result<(), XmlError> {
    let listed = parse_number("Size", digits)?;
    let size = shown.size(listed);
    if size != listed {
        // Writing to a vector cannot fail.
        let _ = write!(rewriting.remove(span), "{size}");
    }
    Ok(())
}

/// [`replace_tag`] for the plain tag of a sealed object, which has nothing to escape.
fn add_suffix(rewriting: &mut Rewriting<'_>, span: Range<usize>, opaque: &str) {
    let suffix = client_suffix(opaque);
    if !span.is_empty() && !suffix.is_empty() {
        let output = rewriting.remove(span);
        for text in ["&quot;", opaque, suffix, "&quot;"] {
            output.extend_from_slice(text.as_bytes());
        }
    }
}

fn replace_tag(
    rewriting: &mut Rewriting<'_>,
    span: Range<usize>,
    listed: &EntityTag,
    shown: &Shown<'_, impl FnMut(u64) -> u64>,
) {
    let tag = shown.entity_tag(listed);
    // An empty element has no tag to map, and no content in which one could stand.
    if !span.is_empty() && tag != *listed {
        rewriting.replace(span, &escape(&tag.to_string()));
    }
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

/// Removes hidden buckets from the answer of ListBuckets (`ListAllMyBucketsResult`).
///
/// # Errors
/// [`XmlError`] where the document is not such a listing; nothing of it may be sent to the client then.
pub fn hide_buckets(
    document: &[u8],
    mut is_hidden: impl FnMut(&str) -> bool,
) -> Result<Vec<u8>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("ListAllMyBucketsResult")?;
    let mut output = Vec::with_capacity(document.len());
    let mut rewriting = Rewriting::new(document, &mut output);
    // Wherever they stand, so that a list in an unusual place hides nothing from us.
    while let Some(token) = reader.next()? {
        if token == Token::Start("Bucket") {
            let start = reader.span().start;
            let mut hidden = false;
            let mut named = false;
            while let Some(child) = reader.child()? {
                if child == "Name" {
                    named = true;
                    hidden |= is_hidden(reader.text("Name")?.trim());
                } else {
                    reader.skip()?;
                }
            }
            if !named {
                return Err(XmlError::MissingElement {
                    element: "Name",
                    parent: "Bucket",
                });
            }
            if hidden {
                rewriting.replace(start..reader.span().end, "");
            }
        }
    }
    rewriting.finish();
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewrite(document: &str) -> Result<String, XmlError> {
        rewrite_objects(document.as_bytes(), |size| size.saturating_sub(400))
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn rule_18_a_listing_changes_in_sizes_tags_and_checksums_only() {
        let upstream = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
            <KeyCount>2</KeyCount><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
            <Contents><Key>a%2Bb+c</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;</ETag>\
            <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>\
            <Size>412</Size><Owner><ID>x</ID><Size>412</Size></Owner><StorageClass>STANDARD</StorageClass></Contents>\n  \
            <Contents><Size>1000</Size><Key>z</Key><ETag>&#34;5d41402abc4b2a76b9719d911017c592-2&#34;</ETag><New a='1'><Size>999</Size></New></Contents>\
            <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes><Size>500</Size></ListBucketResult>";
        let expected = upstream
            .replacen("<Size>412</Size>", "<Size>12</Size>", 1)
            .replacen("<Size>1000</Size>", "<Size>600</Size>", 1)
            .replacen("592&quot;", "592-01&quot;", 1)
            .replace("<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>", "");
        assert_eq!(rewrite(upstream).unwrap(), expected);
    }

    #[test]
    fn what_minio_adds_to_a_listing_is_shown_to_nobody() {
        let object = |additions: &str| {
            format!("<Contents><Key>k</Key><Size>412</Size>{additions}</Contents>")
        };
        let additions = "<UserMetadata><X-Amz-Meta-Sealgate>secret</X-Amz-Meta-Sealgate></UserMetadata><UserTags>a=b</UserTags><Internal><K>2</K><M>2</M></Internal>";
        let listing = |first: &str, second: &str| {
            format!("<ListBucketResult>{first}{second}</ListBucketResult>")
        };
        let upstream = listing(&object(additions), &object(additions));
        let clear = [Some(ClearEntry::default()), None];
        let rewritten =
            rewrite_mixed_objects(upstream.as_bytes(), clear, |size| size - 400).unwrap();
        let sealed = object("").replace("412", "12");
        assert_eq!(
            String::from_utf8(rewritten).unwrap(),
            listing(&object(""), &sealed)
        );
    }

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
            rewrite_mixed_objects(upstream.as_bytes(), clear, |size| size - 400).unwrap();
        let expected = format!(
            "<ListBucketResult>{}{}{}{}</ListBucketResult>",
            object(412, "&quot;a&quot;", kind),
            object(12, "&quot;b-01&quot;", ""),
            object(7, "&quot;new&quot;", ""),
            object(12, "&quot;d-01&quot;", "")
        );
        assert_eq!(String::from_utf8(rewritten).unwrap(), expected);
        assert!(rewrite_mixed_objects(b"<Error/>", [], |size| size).is_err());
    }

    #[test]
    fn versions_are_rewritten_and_delete_markers_are_not() {
        let upstream = "<ListVersionsResult><Version><ETag>\"x\"</ETag><Size> 401 </Size></Version><DeleteMarker><Size>401</Size><ETag>x</ETag></DeleteMarker><Contents><Size>401</Size></Contents></ListVersionsResult>";
        assert_eq!(
            rewrite(upstream).unwrap(),
            "<ListVersionsResult><Version><ETag>&quot;x-01&quot;</ETag><Size>1</Size></Version><DeleteMarker><Size>401</Size><ETag>x</ETag></DeleteMarker><Contents><Size>401</Size></Contents></ListVersionsResult>"
        );
    }

    #[test]
    fn prefixes_split_text_and_empty_elements_are_understood() {
        let listing = |size: &str, removed: &str| {
            format!(
                "<s:ListBucketResult xmlns:s='n'><s:Contents><s:Size>{size}</s:Size>{removed}\
                 <s:ETag/></s:Contents></s:ListBucketResult>"
            )
        };
        let upstream = listing("4<!-- c -->0<![CDATA[5]]>", "<s:ChecksumType/>");
        assert_eq!(rewrite(&upstream).unwrap(), listing("5", ""));
    }

    #[test]
    fn what_is_no_listing_is_an_error_that_names_the_cause() {
        assert!(
            matches!(rewrite("<Error><Code>x</Code></Error>"), Err(XmlError::UnexpectedRoot { found, .. }) if found == "Error")
        );
        for size in ["", "-1", "x", "99999999999999999999", "1 2"] {
            let document = format!(
                "<ListBucketResult><Contents><Size>{size}</Size></Contents></ListBucketResult>"
            );
            assert!(
                matches!(
                    rewrite(&document),
                    Err(XmlError::InvalidValue {
                        element: "Size",
                        ..
                    })
                ),
                "{size}"
            );
        }
        assert!(matches!(
            rewrite("<ListBucketResult><Contents><Size/></Contents></ListBucketResult>"),
            Err(XmlError::InvalidValue { .. })
        ));
        assert!(matches!(
            rewrite("<ListBucketResult><Contents></ListBucketResult>"),
            Err(XmlError::IllFormed { .. })
        ));
        assert!(matches!(
            rewrite("<ListBucketResult><Contents>"),
            Err(XmlError::IllFormed { .. })
        ));
        assert!(matches!(
            rewrite("<!DOCTYPE x><ListBucketResult/>"),
            Err(XmlError::DocumentType)
        ));
    }

    #[test]
    fn hidden_buckets_vanish_and_the_rest_stays() {
        let upstream = "<ListAllMyBucketsResult xmlns=\"n\"><Owner><ID>x</ID></Owner><Buckets><Bucket><Name>a</Name><CreationDate>d</CreationDate></Bucket>\n<Bucket><CreationDate>d</CreationDate><Name>st&#97;te</Name></Bucket><Bucket><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>";
        let expected = upstream.replace(
            "<Bucket><CreationDate>d</CreationDate><Name>st&#97;te</Name></Bucket>",
            "",
        );
        assert_eq!(
            hide_buckets(upstream.as_bytes(), |name| name == "state").unwrap(),
            expected.as_bytes()
        );
        let nameless =
            b"<ListAllMyBucketsResult><Buckets><Bucket/></Buckets></ListAllMyBucketsResult>";
        assert_eq!(
            hide_buckets(nameless, |_| false),
            Err(XmlError::MissingElement {
                element: "Name",
                parent: "Bucket"
            })
        );
    }

    /// Elements as a newer S3 might send them, without any that we rewrite.
    fn unknown_xml() -> impl Strategy<Value = String> {
        let text =
            "[ a-z\\n]{0,8}(&amp;|&#x1;|<!-- n -->|<!\\[CDATA\\[<\\]\\]>)?".prop_map(String::from);
        text.prop_recursive(3, 20, 4, |inner| {
            (
                "[A-Z][a-z]{1,6}",
                "( [a-z]{1,3}=(\"[<a-z ]?\"|'[a-z]?'))?",
                proptest::collection::vec(inner, 0..4),
            )
                .prop_map(|(name, attribute, children)| {
                    let attribute = attribute.replace('<', ">");
                    let children = children.concat();
                    if children.is_empty() {
                        format!("<X{name}{attribute}/>")
                    } else {
                        format!("<X{name}{attribute}>{children}</X{name}>")
                    }
                })
        })
        .prop_map(|content| format!("<Unknown>{content}</Unknown>"))
    }

    /// Children of entries that are written plainly, and some that are not.
    const PLAIN_CHILDREN: &[&str] = &[
        "<Key>a&amp;b/\u{e9}</Key>",
        "<Size>412</Size>",
        "<Size>0</Size>",
        "<Size>99999999999999999999</Size>",
        "<Size>+1</Size>",
        "<ETag>&quot;5d41-2&quot;</ETag>",
        "<ETag>&quot;5d41&quot;</ETag>",
        "<ETag>&#34;5d41-02&#34;</ETag>",
        "<ETag>\"\"</ETag>",
        "<ETag></ETag>",
        "<ETag>W/&quot;x&quot;</ETag>",
        "<ETag>5d41</ETag>",
        "<ChecksumType>FULL_OBJECT</ChecksumType>",
        "<UserTags>a=b</UserTags>",
        "<Owner><ID>x</ID><Size>412</Size></Owner>",
        "<StorageClass/>",
        "\n  ",
        "text",
    ];

    fn in_pieces(document: &[u8], length: usize) -> Result<Vec<u8>, XmlError> {
        let mut rewriter = ListingRewriter::new(|size: u64| size.saturating_sub(400));
        let mut output = Vec::new();
        for piece in document.chunks(length) {
            rewriter.push(piece)?;
            output.extend_from_slice(&rewriter.take());
        }
        output.extend_from_slice(&rewriter.finish()?);
        Ok(output)
    }

    #[test]
    fn objects_leave_before_the_document_has_ended_and_memory_stays_flat() {
        let mut rewriter = ListingRewriter::new(|size| size - 400);
        rewriter.push(b"<ListBucketResult>").unwrap();
        assert_eq!(rewriter.take(), "<ListBucketResult>");
        for index in 0..100_000 {
            let object = format!("<Contents><Key>{index}</Key><Size>412</Size></Contents>");
            rewriter.push(object.as_bytes()).unwrap();
            assert_eq!(rewriter.take(), object.replace("<Size>4", "<Size>"));
        }
        rewriter.push(b"</ListBucketResult>").unwrap();
        assert_eq!(rewriter.finish().unwrap(), "</ListBucketResult>");
    }

    #[test]
    fn a_listing_that_is_cut_or_goes_wrong_never_ends_well() {
        let listing = "<ListBucketResult><Contents><Size>412</Size></Contents><Contents><Size>500</Size></Contents></ListBucketResult>";
        for cut in 0..listing.len() {
            assert!(in_pieces(&listing.as_bytes()[..cut], 7).is_err(), "{cut}");
        }
        let wrong = listing.replace("500", "x");
        let mut rewriter = ListingRewriter::new(|size| size);
        assert!(rewriter.push(wrong.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_as_the_whole(
            before in unknown_xml(),
            inside in unknown_xml(),
            size in 400_u64..1_000_000,
            length in 1_usize..50,
            damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut listing = format!(
                "<?xml version=\"1.0\"?>\n<s:ListVersionsResult>{before}<s:Version>{inside}<s:Size>{size}</s:Size>\
                 <s:ETag>&#34;abc&#34;</s:ETag></s:Version> <!-- x -->{before}</s:ListVersionsResult>\n"
            )
            .into_bytes();
            if let Some((index, byte)) = damage {
                let index = index.index(listing.len());
                listing[index] = byte;
            }
            let whole = rewrite_objects(&listing, |size| size.saturating_sub(400)).ok();
            prop_assert_eq!(in_pieces(&listing, length).ok(), whole);
        }

        /// Byte by byte no entry is there as a whole where it begins, so the parser reads all of them.
        #[test]
        fn what_is_written_plainly_is_rewritten_as_the_parser_does(
            entries in proptest::collection::vec(
                (
                    proptest::sample::select(&["Contents", "CommonPrefixes"][..]),
                    proptest::collection::vec(proptest::sample::select(PLAIN_CHILDREN), 0..6),
                ),
                0..4,
            ),
            length in 2_usize..200,
            damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut listing = b"<ListBucketResult>".to_vec();
            for (name, children) in entries {
                write!(listing, "<{name}>{}</{name}>", children.concat()).unwrap();
            }
            listing.extend_from_slice(b"</ListBucketResult>");
            if let Some((index, byte)) = damage {
                let index = index.index(listing.len());
                listing[index] = byte;
            }
            let parsed = in_pieces(&listing, 1);
            prop_assert_eq!(in_pieces(&listing, length), parsed.clone());
            prop_assert_eq!(in_pieces(&listing, listing.len()), parsed);
        }

        #[test]
        fn unknown_xml_stays_byte_for_byte(
            before in unknown_xml(),
            inside in unknown_xml(),
            after in unknown_xml(),
            size in 400_u64..1_000_000,
        ) {
            let listing = |size: u64, tag: &str| {
                format!(
                    "<ListBucketResult>{before}<Contents>{inside}<Size>{size}</Size>{after}\
                     <ETag>{tag}</ETag></Contents>{after}</ListBucketResult>"
                )
            };
            let rewritten = rewrite(&listing(size, "&#34;abc&#34;")).unwrap();
            prop_assert_eq!(rewritten, listing(size - 400, "&quot;abc-01&quot;"));
        }

        #[test]
        fn identity_callbacks_change_nothing(before in unknown_xml(), size in any::<u64>()) {
            let listing = format!(
                "<ListVersionsResult>{before}<Version><Size>{size}</Size>\
                 <ETag>&#34;x-1&#34;</ETag>{before}</Version></ListVersionsResult>"
            );
            let rewritten = rewrite_objects(listing.as_bytes(), |size| size).unwrap();
            prop_assert_eq!(rewritten, listing.as_bytes());
            let buckets = format!(
                "<ListAllMyBucketsResult>{before}<Buckets><Bucket><Name>x</Name>{before}\
                 </Bucket></Buckets></ListAllMyBucketsResult>"
            );
            let shown = hide_buckets(buckets.as_bytes(), |_| false).unwrap();
            prop_assert_eq!(shown, buckets.as_bytes());
        }

        #[test]
        fn cut_or_damaged_listings_never_panic(cut in 0_usize..200, byte in any::<u8>()) {
            let mut listing = b"<ListBucketResult><Contents><Key>a</Key><Size>412</Size>\
                <ETag>&quot;5d&quot;</ETag><ChecksumType>x</ChecksumType></Contents>\
                </ListBucketResult>"
                .to_vec();
            let cut = cut % listing.len();
            let _ = rewrite_objects(&listing[..cut], |size| size);
            listing[cut] = byte;
            let _ = rewrite_objects(&listing, |size| size);
            let _ = hide_buckets(&listing, |_| true);
        }
    }
}
