//! What the index stores, as JSON but for the lists of body files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::IndexError;
use crate::checksum::{Algorithm, ChecksumKind, Checksums};
use crate::id::Id;

/// A bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BucketRecord {
    /// Milliseconds since 1970.
    pub(crate) created: i64,
    /// The LocationConstraint it was made with; none is us-east-1.
    pub(crate) location: Option<String>,
}

/// What a client says about an object beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    /// Seconds since 1970.
    pub(crate) expires: Option<i64>,
    pub(crate) storage_class: Option<String>,
    pub(crate) website_redirect: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
}

/// An object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    /// None for an object without bytes.
    pub(crate) body: Option<Id>,
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
    /// How many parts it was completed from; none for a PutObject or CopyObject.
    pub(crate) parts: Option<u32>,
    pub(crate) checksums: Checksums,
    pub(crate) checksum_kind: ChecksumKind,
    pub(crate) attributes: Attributes,
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    /// Milliseconds since 1970.
    pub(crate) initiated: i64,
    /// The algorithm that CreateMultipartUpload named.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) checksum_kind: ChecksumKind,
    pub(crate) attributes: Attributes,
}

impl UploadRecord {
    /// The algorithm of the finished object's checksum.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or_default()
    }
}

/// The latest upload of a part number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    /// None for a part without bytes.
    pub(crate) file: Option<Id>,
    pub(crate) size: u64,
    /// MD5 as hex, without quotes.
    pub(crate) etag: String,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) checksums: Checksums,
}

impl PartRecord {
    pub(crate) fn segment(&self) -> Segment {
        Segment {
            file: self.file.unwrap_or(Id::NONE),
            length: self.size,
        }
    }
}

/// A file that holds the next bytes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// [`Id::NONE`] where the length is zero.
    pub(crate) file: Id,
    pub(crate) length: u64,
}

/// A segment in the index: the file's name and its length, 8 bytes big-endian.
const SEGMENT_LENGTH: usize = Id::LENGTH + size_of::<u64>();

pub(crate) fn encode_segments(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(segments.len() * SEGMENT_LENGTH);
    for segment in segments {
        bytes.extend_from_slice(segment.file.as_bytes());
        bytes.extend_from_slice(&segment.length.to_be_bytes());
    }
    bytes
}

pub(crate) fn decode_segments(body: Id, bytes: &[u8]) -> Result<Vec<Segment>, IndexError> {
    let malformed = || IndexError::Body(body.to_string());
    let (chunks, rest) = bytes.as_chunks::<SEGMENT_LENGTH>();
    if !rest.is_empty() {
        return Err(malformed());
    }
    chunks
        .iter()
        .map(|chunk| {
            let (file, length) = chunk
                .split_first_chunk::<{ Id::LENGTH }>()
                .ok_or_else(malformed)?;
            Ok(Segment {
                file: Id::try_from(file.as_slice()).map_err(|_| malformed())?,
                length: u64::from_be_bytes(length.try_into().map_err(|_| malformed())?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_round_trip_and_cut_lists_are_refused() {
        let segments: Vec<Segment> = [0, 1, u64::MAX]
            .map(|length| Segment {
                file: Id::random(),
                length,
            })
            .into();
        let bytes = encode_segments(&segments);
        assert_eq!(bytes.len(), 72);
        assert_eq!(decode_segments(Id::NONE, &bytes).unwrap(), segments);
        assert!(decode_segments(Id::NONE, &bytes[..71]).is_err());
        assert!(decode_segments(Id::NONE, &[]).unwrap().is_empty());
    }

    #[test]
    fn old_attributes_without_a_field_still_read() {
        let attributes: Attributes = serde_json::from_str(r#"{"content_type":"a/b"}"#).unwrap();
        assert_eq!(attributes.content_type.as_deref(), Some("a/b"));
        assert!(attributes.tags.is_empty());
    }
}
