//! Documents that clients send and the gateway acts on, and their form for the upstream.
//!
//! Elements that we do not know are refused as AWS's schema check does: one that we skipped could be a condition.

mod complete_multipart_upload;
mod delete_objects;
mod passed;
mod tagging;

use thiserror::Error;

pub use complete_multipart_upload::{
    CompleteMultipartUpload, CompletedPart, MAX_PARTS, part_number,
};
pub use delete_objects::{DeleteObjects, MAX_DELETED_KEYS, ObjectToDelete};
pub use passed::{MAX_LABEL_BYTES, PassedDocument, PassedDocumentError};
pub use tagging::{MAX_TAGS, Tagging};

use super::{XmlError, quote};

/// A document of a client that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestDocumentError {
    /// Answer 400 `MalformedXML`.
    #[error(transparent)]
    Malformed(#[from] XmlError),
    /// Answer 400 `InvalidPartOrder`.
    #[error("part {number} follows part {previous}; list the parts once each, in ascending order")]
    PartOrder {
        /// The number that is out of order.
        number: u16,
        /// The number before it.
        previous: u16,
    },
    /// Answer 400 `InvalidArgument`.
    #[error("part number {number} is not between 1 and {MAX_PARTS}")]
    PartNumber {
        /// The number given.
        number: i64,
    },
    /// Answer 400 `InvalidArgument`.
    #[error("the ETag of a key to delete cannot be read: {0}")]
    EntityTag(#[from] crate::entity_tag::EntityTagError),
}

fn unexpected(element: &str, parent: &'static str) -> XmlError {
    XmlError::UnexpectedElement {
        element: quote(element),
        parent,
    }
}
