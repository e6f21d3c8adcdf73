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

use super::elements::{ElementReader, parse_number};
use super::fragments::{Fragment, Splitter};
use super::plain_entry::{PlainChild, plain_entry, plain_tag};
use super::rewriting::Rewriting;
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

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
