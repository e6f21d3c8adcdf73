//! The algorithms of flexible checksums and the types that a multipart object's checksum may have.
//!
//! Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3".

use std::fmt;

use crc_fast::CrcAlgorithm;

/// A checksum algorithm that clients may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CRC-32 of ISO HDLC, 4 bytes.
    Crc32,
    /// CRC-32C of iSCSI, 4 bytes.
    Crc32c,
    /// CRC-64 of NVMe, 8 bytes.
    Crc64Nvme,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// MD5, 16 bytes.
    Md5,
    /// XXH64 with seed 0, 8 bytes, canonical (big-endian).
    XxHash64,
    /// XXH3 of 64 bits with seed 0, 8 bytes, canonical.
    XxHash3,
    /// XXH3 of 128 bits with seed 0, 16 bytes, canonical.
    XxHash128,
}

impl Algorithm {
    /// Every supported algorithm.
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

    /// The name in headers' values, in XML and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    /// The name of the header or trailer that carries the checksum, lower case.
    pub const fn header_name(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// Bytes of a checksum, before base64.
    pub const fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The algorithm of that [`name`](Self::name), in any case, as S3 reads it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The algorithm whose checksum that header or trailer carries, in any case.
    pub fn from_header_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.header_name().eq_ignore_ascii_case(name))
    }

    /// Whether a multipart object may have a checksum of that type with this algorithm: only CRCs of parts can be combined to that of the whole.
    pub const fn supports(self, checksum_type: ChecksumType) -> bool {
        match checksum_type {
            ChecksumType::Composite => !matches!(self, Self::Crc64Nvme),
            ChecksumType::FullObject => self.crc().is_some(),
        }
    }

    /// The type that a multipart object gets when the client names none.
    pub const fn default_multipart_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        }
    }

    /// The CRC; the hashes have none.
    pub(super) const fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How the checksum of a multipart object follows from its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumType {
    /// The checksum of the parts' checksums.
    Composite,
    /// The checksum of the object's bytes.
    FullObject,
}

impl ChecksumType {
    /// The value of `x-amz-checksum-type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// Reads the value of `x-amz-checksum-type`, in any case, as S3 does.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Composite, Self::FullObject]
            .into_iter()
            .find(|checksum_type| checksum_type.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for ChecksumType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for algorithm in Algorithm::ALL {
            assert_eq!(
                Algorithm::from_name(&algorithm.name().to_lowercase()),
                Some(algorithm)
            );
            assert_eq!(
                Algorithm::from_header_name(&algorithm.header_name().to_uppercase()),
                Some(algorithm)
            );
            assert_eq!(algorithm.to_string(), algorithm.name());
            assert!(algorithm.supports(algorithm.default_multipart_type()));
        }
        assert_eq!(Algorithm::from_name("MD4"), None);
        assert_eq!(
            ChecksumType::from_name("FULL_OBJECT"),
            Some(ChecksumType::FullObject)
        );
        assert_eq!(
            ChecksumType::from_name("Composite"),
            Some(ChecksumType::Composite)
        );
        assert_eq!(ChecksumType::from_name("FULL-OBJECT"), None);
        assert_eq!(ChecksumType::FullObject.to_string(), "FULL_OBJECT");
    }

    #[test]
    fn pairs_of_algorithm_and_type_are_those_of_s3() {
        use ChecksumType::{Composite, FullObject};
        for algorithm in Algorithm::ALL {
            let allowed =
                [Composite, FullObject].map(|checksum_type| algorithm.supports(checksum_type));
            let expected = match algorithm {
                Algorithm::Crc32 | Algorithm::Crc32c => [true, true],
                Algorithm::Crc64Nvme => [false, true],
                _ => [true, false],
            };
            assert_eq!(allowed, expected, "{algorithm}");
        }
    }
}
