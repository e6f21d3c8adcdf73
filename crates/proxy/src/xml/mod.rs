//! The XML of S3: reading what clients and upstreams send, rewriting listings, writing our own answers.
//!
//! ```text
//! client ── requests ──▶ gateway ── requests, written again ──▶ upstream
//! client ◀── answers ─── gateway ◀── upstream_answers, _listings ─ upstream
//!        ◀── listing: the upstream's bytes with a few values replaced, while they arrive ──
//! ```
//!
//! Every reader is bounded ([`MAX_DOCUMENT_BYTES`], [`MAX_DEPTH`]), refuses document types and entities, and matches elements by their local
//! name, because servers disagree about namespaces. Nothing here does IO.

pub mod answers;
pub mod attributes_answer;
pub mod buckets;
pub mod checksum_value;
pub mod delete_result;
mod elements;
mod fragments;
pub mod labels;
pub mod listing;
pub mod multipart_answers;
mod object_pages;
mod plain_entry;
pub mod requests;
mod rewriting;
pub mod sts_answers;
pub mod upstream_answers;
pub mod upstream_listings;
pub mod upstream_versions;
pub mod url_encoding;
mod write;

use thiserror::Error;

pub(crate) use write::ElementWriter;
pub use write::{Document, XML_DECLARATION};

/// Longest document read, in bytes. A listing of 1,000 versions with keys of 1,024 bytes, each byte escaped, stays below 8 MiB; a
/// CompleteMultipartUpload of 10,000 parts with checksums below 4 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1_024 * 1_024;

/// Longest child of a listing's root that is read while it arrives, in bytes: an entry with a key of 1,024 bytes, each escaped to six, and its
/// other elements, MinIO's copy of the user metadata among them, stays below 16 KiB.
pub const MAX_FRAGMENT_BYTES: usize = 64 * 1_024;

/// Longest listing that is passed on, in bytes. It costs time only; without a limit a listing without an end would cost it for ever.
pub const MAX_LISTING_BYTES: usize = 1_024 * 1_024 * 1_024;

/// Deepest nesting of elements read. The deepest that S3 sends here is five.
pub const MAX_DEPTH: usize = 32;

/// Most entries taken from one listing of an upstream. S3 sends at most 1,000 a page, some servers more parts.
pub const MAX_ENTRIES: usize = 10_000;

/// The namespace of every S3 document.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Longest piece of a peer's text that an error repeats, in characters.
const MAX_QUOTED_CHARACTERS: usize = 64;

/// A document that cannot be read. From a client it means 400 `MalformedXML`, from an upstream 502 or 500.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum XmlError {
    /// Longer than [`MAX_DOCUMENT_BYTES`].
    #[error("the XML document has {length} bytes; at most {MAX_DOCUMENT_BYTES} are read")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// A listing, or an entry of one, is longer than [`MAX_LISTING_BYTES`] or [`MAX_FRAGMENT_BYTES`].
    #[error("the listing, or one entry of it, has more than {limit} bytes")]
    FragmentTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the XML document is not UTF-8 at byte {position}")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        position: usize,
    },
    /// Not well-formed.
    #[error("the XML document is not well-formed at byte {position}: {reason}")]
    IllFormed {
        /// Offset in bytes, close to the fault.
        position: usize,
        /// What is wrong.
        reason: String,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the XML document nests deeper than {MAX_DEPTH} elements")]
    TooDeep,
    /// It holds a document type declaration.
    #[error("the XML document holds a document type declaration, which is refused")]
    DocumentType,
    /// It refers to an entity that XML does not predefine.
    #[error("the XML document refers to the entity {name}, which is refused")]
    Entity {
        /// Name of the entity.
        name: String,
    },
    /// The root element is another one.
    #[error("the root element is <{found}> where {expected} is due")]
    UnexpectedRoot {
        /// Local name of the root.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// An element that this document must not hold.
    #[error("the element <{element}> must not stand in <{parent}>")]
    UnexpectedElement {
        /// Local name of the element.
        element: String,
        /// The element around it.
        parent: &'static str,
    },
    /// Text where only elements may stand.
    #[error("text stands at byte {position}, where only elements may stand")]
    UnexpectedText {
        /// Offset of the text in bytes.
        position: usize,
    },
    /// A required element is missing.
    #[error("the element <{element}> is missing in <{parent}>")]
    MissingElement {
        /// Local name of the missing element.
        element: &'static str,
        /// The element that must hold it.
        parent: &'static str,
    },
    /// An element occurs twice where two readers could choose different ones.
    #[error("the element <{element}> occurs more than once")]
    DuplicateElement {
        /// Local name of the element.
        element: &'static str,
    },
    /// A value that is not of its type.
    #[error("<{element}> holds {found:?}, which is not {expected}")]
    InvalidValue {
        /// Local name of the element.
        element: &'static str,
        /// The beginning of the value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// More elements of one kind than allowed.
    #[error("the document holds more than {limit} <{element}> elements")]
    TooMany {
        /// Local name of the element.
        element: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

impl XmlError {
    /// An error in a piece of a document, as one of the whole: `offset` bytes stand before the piece.
    fn behind(mut self, offset: usize) -> Self {
        if let Self::NotUtf8 { position }
        | Self::IllFormed { position, .. }
        | Self::UnexpectedText { position } = &mut self
        {
            *position += offset;
        }
        self
    }

    /// An invalid value, cut to a length that is safe to repeat.
    fn invalid(element: &'static str, found: &str, expected: &'static str) -> Self {
        Self::InvalidValue {
            element,
            found: quote(found),
            expected,
        }
    }
}

/// The beginning of a peer's text.
fn quote(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARACTERS).collect()
}
