//! Checksums as S3 knows them, by number and width (FORMAT.md, section 1). They are carried here, not computed.

use crate::decode::Reader;
use crate::error::{Error, Result};

/// An algorithm of S3's "flexible checksums", or MD5.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of S3")]
pub enum ChecksumAlgorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    Sha512,
    Md5,
    XxHash64,
    XxHash3,
    XxHash128,
}

impl ChecksumAlgorithm {
    /// Every algorithm, in the order of their numbers from 1.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// The number that is stored, 1 to 10.
    pub fn code(self) -> u8 {
        match self {
            Self::Crc32 => 1,
            Self::Crc32c => 2,
            Self::Crc64Nvme => 3,
            Self::Sha1 => 4,
            Self::Sha256 => 5,
            Self::Sha512 => 6,
            Self::Md5 => 7,
            Self::XxHash64 => 8,
            Self::XxHash3 => 9,
            Self::XxHash128 => 10,
        }
    }

    /// Bytes of a value.
    pub fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The name of the metadata entry that holds the checksum of a whole object.
    pub fn metadata_name(self) -> &'static str {
        match self {
            Self::Crc32 => "checksum-crc32",
            Self::Crc32c => "checksum-crc32c",
            Self::Crc64Nvme => "checksum-crc64nvme",
            Self::Sha1 => "checksum-sha1",
            Self::Sha256 => "checksum-sha256",
            Self::Sha512 => "checksum-sha512",
            Self::Md5 => "checksum-md5",
            Self::XxHash64 => "checksum-xxhash64",
            Self::XxHash3 => "checksum-xxhash3",
            Self::XxHash128 => "checksum-xxhash128",
        }
    }

    /// The algorithm whose [`metadata_name`](Self::metadata_name) this is.
    pub fn from_metadata_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.metadata_name() == name)
    }

    /// The algorithm of this number; 0 is none.
    ///
    /// # Errors
    /// [`Error::Stored`] for a number above 10.
    pub fn from_code(code: u8) -> Result<Option<Self>> {
        if code == 0 {
            return Ok(None);
        }
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.code() == code)
            .map(Some)
            .ok_or_else(|| Error::stored(format!("checksum algorithm {code} is unknown")))
    }
}

/// What the checksum of a multipart object covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChecksumType {
    /// The bytes of the object.
    FullObject,
    /// The checksums of its parts.
    Composite,
}

impl ChecksumType {
    /// The number that is stored, 1 or 2.
    pub fn code(self) -> u8 {
        match self {
            Self::FullObject => 1,
            Self::Composite => 2,
        }
    }
}

/// The algorithm and type that a record names together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChecksumKind {
    /// How a value is computed.
    pub algorithm: ChecksumAlgorithm,
    /// What the object's value covers.
    pub r#type: ChecksumType,
}

impl ChecksumKind {
    /// The two bytes of a record: algorithm and type, both 0 for none.
    pub(crate) fn encode(kind: Option<Self>) -> [u8; 2] {
        kind.map_or([0, 0], |kind| [kind.algorithm.code(), kind.r#type.code()])
    }

    /// Reads the two bytes; one is 0 exactly where the other one is.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let algorithm = ChecksumAlgorithm::from_code(reader.u8()?)?;
        let r#type = match reader.u8()? {
            0 => None,
            1 => Some(ChecksumType::FullObject),
            2 => Some(ChecksumType::Composite),
            code => return Err(Error::stored(format!("checksum type {code} is unknown"))),
        };
        match (algorithm, r#type) {
            (None, None) => Ok(None),
            (Some(algorithm), Some(r#type)) => Ok(Some(Self { algorithm, r#type })),
            _ => Err(Error::stored(
                "a checksum has an algorithm without a type, or a type without an algorithm",
            )),
        }
    }
}

/// The value of a checksum, of exactly its algorithm's width.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    value: Vec<u8>,
}

impl Checksum {
    /// Takes the raw bytes that S3 writes in base64.
    ///
    /// # Errors
    /// [`Error::Misuse`] if they are not as many as the algorithm gives.
    pub fn new(algorithm: ChecksumAlgorithm, value: Vec<u8>) -> Result<Self> {
        if value.len() != algorithm.width() {
            return Err(Error::misuse(format!(
                "a {algorithm:?} checksum has {} bytes, not {}",
                algorithm.width(),
                value.len()
            )));
        }
        Ok(Self { algorithm, value })
    }

    /// How it was computed.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// The raw bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Reads a value of `algorithm`'s width.
    pub(crate) fn decode(algorithm: ChecksumAlgorithm, reader: &mut Reader<'_>) -> Result<Self> {
        let value = reader.bytes(algorithm.width())?.to_vec();
        Ok(Self { algorithm, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_widths_are_those_of_the_format() {
        let widths: Vec<usize> = ChecksumAlgorithm::ALL
            .iter()
            .map(|algorithm| algorithm.width())
            .collect();
        assert_eq!(widths, [4, 4, 8, 20, 32, 64, 16, 8, 8, 16]);
        for (index, algorithm) in ChecksumAlgorithm::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(algorithm.code()), index + 1);
            assert_eq!(
                ChecksumAlgorithm::from_metadata_name(algorithm.metadata_name()),
                Some(algorithm)
            );
        }
        assert!(ChecksumAlgorithm::from_code(11).is_err());
    }

    #[test]
    fn algorithm_and_type_come_together_or_not_at_all() {
        for (bytes, allowed) in [
            ([0, 0], true),
            ([5, 1], true),
            ([5, 2], true),
            ([0, 1], false),
            ([5, 0], false),
            ([5, 3], false),
        ] {
            assert_eq!(
                ChecksumKind::decode(&mut Reader::new(&bytes)).is_ok(),
                allowed,
                "{bytes:?}"
            );
        }
    }
}
