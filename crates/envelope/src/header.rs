//! The header of a sealed object (FORMAT.md, section 3): strict parsing, and what it says before it is opened.

mod build;
mod open;

pub use build::{Carrier, HeaderBuilder, HeaderKey, SealedHeader};
pub use open::OpenedHeader;

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use crate::decode::Reader;
use crate::error::{Error, Result};
use crate::keys::{ObjectId, WorkingKeyId};
use crate::label::{FORMAT_VERSION, MAC_LENGTH};
use crate::metadata::SEALED_METADATA_OVERHEAD;
use crate::object::Body;
use crate::suite::Suite;
use crate::wrap::Wrap;

/// The first bytes of a header.
pub const HEADER_MAGIC: [u8; 4] = *b"SGHD";

/// The most bytes of a header in S3 metadata.
pub const MAXIMUM_OBJECT_HEADER_LENGTH: usize = 1_500;

/// The most bytes of a header in a file.
pub const MAXIMUM_FILE_HEADER_LENGTH: usize = 65_536;

/// The most characters of a header's text in S3 metadata.
pub const MAXIMUM_HEADER_TEXT_LENGTH: usize = 2_000;

/// Name of the S3 user metadata that holds the header.
pub const HEADER_METADATA_NAME: &str = "x-amz-meta-sealgate";

/// The most wraps in a header.
pub const MAXIMUM_HEADER_WRAPS: usize = 2;

/// Base-2 logarithm of the segment size; the only one of version 1.
const SEGMENT_EXPONENT: u8 = 16;

/// Bytes before the sealed metadata.
const FIXED_LENGTH: usize = 138;

/// Bytes of a sealed data key: 32 and a tag.
const SEALED_DATA_KEY_LENGTH: usize = 48;

/// A header as it is stored: well-formed, but nothing in it is authentic before [`open`](Self::open).
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    suite: Suite,
    body: Body,
    working_key_id: WorkingKeyId,
    wrap_salt: [u8; 32],
    object_id: ObjectId,
    created: u64,
    sealed_data_key: [u8; SEALED_DATA_KEY_LENGTH],
    sealed_metadata: Vec<u8>,
    wraps: Vec<Wrap>,
}

impl Header {
    /// Reads a header of at most 65,536 bytes; nothing may follow it.
    ///
    /// # Errors
    /// [`Error::Stored`] for anything that section 3 does not allow.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAXIMUM_FILE_HEADER_LENGTH {
            return Err(Error::stored("the header is too long"));
        }
        Self::parse_owned(bytes.to_vec())
    }

    /// The same for bytes whose number was bounded before.
    fn parse_owned(bytes: Vec<u8>) -> Result<Self> {
        let mut reader = Reader::new(&bytes);
        if reader.array()? != HEADER_MAGIC {
            return Err(Error::stored("the header's magic is wrong"));
        }
        if reader.u8()? != FORMAT_VERSION {
            return Err(Error::stored("the header's version is unknown"));
        }
        let suite = Suite::from_code(reader.u8()?)?;
        let flags = reader.u8()?;
        if reader.u8()? != SEGMENT_EXPONENT {
            return Err(Error::stored(
                "the header's segment size is not that of version 1",
            ));
        }
        let working_key_id = WorkingKeyId::from_bytes(reader.array()?);
        let wrap_salt = reader.array()?;
        let object_id = ObjectId::from_bytes(reader.array()?);
        let body = Body::decode(flags, reader.u64()?)?;
        let created = reader.u64()?;
        let sealed_data_key = reader.array()?;
        let sealed_metadata_length = usize::from(reader.u16()?);
        if sealed_metadata_length < SEALED_METADATA_OVERHEAD {
            return Err(Error::stored("the header's sealed metadata is too short"));
        }
        let sealed_metadata = reader.bytes(sealed_metadata_length)?.to_vec();
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAXIMUM_HEADER_WRAPS {
            return Err(Error::stored("the header must have 1 or 2 wraps"));
        }
        let wraps = (0..count)
            .map(|_| Wrap::decode(&mut reader))
            .collect::<Result<_>>()?;
        reader.array::<MAC_LENGTH>()?;
        reader.end()?;
        Ok(Self {
            bytes,
            suite,
            body,
            working_key_id,
            wrap_salt,
            object_id,
            created,
            sealed_data_key,
            sealed_metadata,
            wraps,
        })
    }

    /// Reads the text of S3 metadata: base64url without padding, canonical, at most 2,000 characters.
    ///
    /// # Errors
    /// [`Error::Stored`] if it is anything else, or as [`parse`](Self::parse).
    pub fn from_text(text: &str) -> Result<Self> {
        if text.len() > MAXIMUM_HEADER_TEXT_LENGTH {
            return Err(Error::stored("the header's text is too long"));
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|error| {
            Error::stored(format!("the header is not canonical base64url: {error}"))
        })?;
        Self::parse(&bytes)
    }

    /// Reads the header from all the values of the metadata [`HEADER_METADATA_NAME`], of which there must be exactly one.
    ///
    /// # Errors
    /// [`Error::Stored`] if there is none or more than one, or as [`from_text`](Self::from_text).
    pub fn from_metadata_values<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(text), None) => Self::from_text(text),
            (None, _) => Err(Error::stored(
                "the object has no header: it was never sealed, or its metadata were lost",
            )),
            (Some(_), Some(_)) => Err(Error::stored("the object has several headers")),
        }
    }

    /// The text for S3 metadata.
    pub fn to_text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.bytes)
    }

    /// The bytes as they are stored in a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The suite; not authentic before [`open`](Self::open).
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The kind of the body, and its length where known; not authentic before [`open`](Self::open).
    pub fn body(&self) -> Body {
        self.body
    }

    /// Which working key sealed the data key.
    pub fn working_key_id(&self) -> WorkingKeyId {
        self.working_key_id
    }

    /// The object's identifier; not authentic before [`open`](Self::open).
    pub fn object_id(&self) -> ObjectId {
        self.object_id
    }

    /// When it was sealed, in milliseconds since 1970; not authentic before [`open`](Self::open).
    pub fn created(&self) -> u64 {
        self.created
    }

    /// The wraps of the working key, 1 or 2.
    pub fn wraps(&self) -> &[Wrap] {
        &self.wraps
    }

    /// Length of the header without its sealed metadata: o of section 3.
    fn other_length(&self) -> usize {
        self.bytes.len().saturating_sub(self.sealed_metadata.len())
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Header")
            .field("suite", &self.suite)
            .field("body", &self.body)
            .field("working_key_id", &self.working_key_id)
            .field("object_id", &self.object_id)
            .field("created", &self.created)
            .field("wraps", &self.wraps)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
