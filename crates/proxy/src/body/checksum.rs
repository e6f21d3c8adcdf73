//! The flexible checksums of S3: of bodies, of parts, and of the objects that parts become.
//!
//! Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::{CrcAlgorithm, Digest as CrcDigest};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Bytes of the longest supported checksum.
const MAX_WIDTH: usize = 32;

/// A checksum algorithm that clients may choose.
///
/// S3 also knows SHA512, MD5, XXHASH64, XXHASH3 and XXHASH128. Each of them is one variant here, one [`Hasher`] and
/// one line in each `match` of this file; until then requests that use them are refused, never ignored.
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
}

impl Algorithm {
    /// Every supported algorithm.
    pub const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// The name in headers' values, in XML and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
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
        }
    }

    /// Bytes of a checksum, before base64.
    pub const fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
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

    /// A hasher for one body.
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Crc32 | Self::Crc32c | Self::Crc64Nvme => {
                State::Crc(self, CrcDigest::new(self.crc()))
            }
            Self::Sha1 => State::Sha1(Sha1::new()),
            Self::Sha256 => State::Sha256(Sha256::new()),
        })
    }

    /// Whether a multipart object may have a checksum of that type with this algorithm.
    pub const fn supports(self, checksum_type: ChecksumType) -> bool {
        match checksum_type {
            ChecksumType::Composite => !matches!(self, Self::Crc64Nvme),
            ChecksumType::FullObject => {
                matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
            }
        }
    }

    /// The type that a multipart object gets when the client names none.
    pub const fn default_multipart_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => ChecksumType::Composite,
        }
    }

    /// The CRC; for the hashes, which have none, a value that is never used.
    const fn crc(self) -> CrcAlgorithm {
        match self {
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc64Nvme | Self::Sha1 | Self::Sha256 => CrcAlgorithm::Crc64Nvme,
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

    /// Reads the value of `x-amz-checksum-type`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Composite, Self::FullObject]
            .into_iter()
            .find(|checksum_type| checksum_type.name() == name)
    }
}

impl fmt::Display for ChecksumType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A checksum with its algorithm. `Display` writes the base64 that headers carry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    /// The value, followed by zeros.
    padded: [u8; MAX_WIDTH],
}

/// Checksums that do not make the checksum of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CombineError {
    /// No part at all.
    #[error("an object without parts has no combined checksum")]
    NoParts,
    /// The parts have checksums of different algorithms.
    #[error("the parts have checksums of different algorithms, {0} and {1}")]
    Mixed(Algorithm, Algorithm),
    /// The algorithm does not allow this type of checksum.
    #[error("{0} has no checksum of type {1}")]
    Unsupported(Algorithm, ChecksumType),
}

impl Checksum {
    /// A checksum from its bytes, most significant first. `None` if there are not [`Algorithm::width`] of them.
    pub fn from_bytes(algorithm: Algorithm, value: &[u8]) -> Option<Self> {
        if value.len() != algorithm.width() {
            return None;
        }
        let mut padded = [0; MAX_WIDTH];
        padded.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self { algorithm, padded })
    }

    /// Reads the base64 of a checksum, with padding and nothing around it.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        // A base64 text this long cannot be right; decoding it would only cost memory.
        if text.len() > 2 * MAX_WIDTH {
            return None;
        }
        Self::from_bytes(algorithm, &BASE64.decode(text).ok()?)
    }

    /// The CRC-64/NVMe with that value.
    pub fn from_crc64nvme(value: u64) -> Self {
        Self::from_crc(Algorithm::Crc64Nvme, value)
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes, [`Algorithm::width`] of them, most significant first.
    pub fn value(&self) -> &[u8] {
        self.padded
            .get(..self.algorithm.width())
            .unwrap_or_default()
    }

    /// Its base64, as in headers and XML.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.value())
    }

    /// The `FULL_OBJECT` checksum of an object from the CRC and plaintext length of each part, in order.
    ///
    /// # Errors
    /// No parts, mixed algorithms, or an algorithm that cannot be combined.
    pub fn combine(parts: impl IntoIterator<Item = (Self, u64)>) -> Result<Self, CombineError> {
        let mut parts = parts.into_iter();
        let (first, _) = parts.next().ok_or(CombineError::NoParts)?;
        let algorithm = first.algorithm;
        if !algorithm.supports(ChecksumType::FullObject) {
            return Err(CombineError::Unsupported(
                algorithm,
                ChecksumType::FullObject,
            ));
        }
        let mut value = first.crc_value();
        for (part, length) in parts {
            if part.algorithm != algorithm {
                return Err(CombineError::Mixed(algorithm, part.algorithm));
            }
            value = crc_fast::checksum_combine(algorithm.crc(), value, part.crc_value(), length);
        }
        Ok(Self::from_crc(algorithm, value))
    }

    /// The `COMPOSITE` checksum of an object from the checksum of each part, in order.
    ///
    /// # Errors
    /// No parts, mixed algorithms, or an algorithm without this type.
    pub fn composite(
        parts: impl IntoIterator<Item = Self>,
    ) -> Result<CompositeChecksum, CombineError> {
        let mut parts = parts.into_iter();
        let first = parts.next().ok_or(CombineError::NoParts)?;
        let algorithm = first.algorithm;
        if !algorithm.supports(ChecksumType::Composite) {
            return Err(CombineError::Unsupported(
                algorithm,
                ChecksumType::Composite,
            ));
        }
        let mut hasher = algorithm.hasher();
        hasher.update(first.value());
        let mut count = 1;
        for part in parts {
            if part.algorithm != algorithm {
                return Err(CombineError::Mixed(algorithm, part.algorithm));
            }
            hasher.update(part.value());
            count += 1;
        }
        Ok(CompositeChecksum {
            checksum: hasher.finish(),
            parts: count,
        })
    }

    fn from_crc(algorithm: Algorithm, value: u64) -> Self {
        let mut padded = [0; MAX_WIDTH];
        let bytes = value.to_be_bytes();
        let start = bytes.len() - algorithm.width().min(bytes.len());
        for (target, source) in padded.iter_mut().zip(bytes.iter().skip(start)) {
            *target = *source;
        }
        Self { algorithm, padded }
    }

    fn crc_value(&self) -> u64 {
        self.value()
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({self})", self.algorithm)
    }
}

/// The checksum of parts' checksums. `Display` writes it as S3 does: base64, `-`, number of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompositeChecksum {
    /// The checksum itself.
    pub checksum: Checksum,
    /// How many parts it covers.
    pub parts: usize,
}

impl fmt::Display for CompositeChecksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.checksum, self.parts)
    }
}

/// Computes one checksum over bytes that arrive piece by piece.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Crc(Algorithm, CrcDigest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc(_, crc) => crc.update(bytes),
            State::Sha1(hash) => hash.update(bytes),
            State::Sha256(hash) => hash.update(bytes),
        }
    }

    /// The checksum of all bytes.
    pub fn finish(self) -> Checksum {
        match self.0 {
            State::Crc(algorithm, crc) => Checksum::from_crc(algorithm, crc.finalize()),
            State::Sha1(hash) => from_hash(Algorithm::Sha1, &hash.finalize()),
            State::Sha256(hash) => from_hash(Algorithm::Sha256, &hash.finalize()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher")
    }
}

fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Checksum {
    let mut padded = [0; MAX_WIDTH];
    for (target, source) in padded.iter_mut().zip(hash) {
        *target = *source;
    }
    Checksum { algorithm, padded }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = algorithm.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The check values of the CRC catalogue and of FIPS 180 for `123456789` and `abc`.
    #[test]
    fn published_values() {
        let hex = |algorithm, bytes: &[u8]| {
            data_encoding::HEXLOWER.encode(checksum(algorithm, bytes).value())
        };
        assert_eq!(hex(Algorithm::Crc32, b"123456789"), "cbf43926");
        assert_eq!(hex(Algorithm::Crc32c, b"123456789"), "e3069283");
        assert_eq!(hex(Algorithm::Crc64Nvme, b"123456789"), "ae8b14860a799888");
        assert_eq!(
            hex(Algorithm::Sha1, b"abc"),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            hex(Algorithm::Sha256, b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(checksum(Algorithm::Crc32, b"").to_base64(), "AAAAAA==");
    }

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
            assert!(algorithm.supports(algorithm.default_multipart_type()));
        }
        assert_eq!(Algorithm::from_name("MD5"), None);
        assert_eq!(
            ChecksumType::from_name("FULL_OBJECT"),
            Some(ChecksumType::FullObject)
        );
        assert_eq!(ChecksumType::from_name("full_object"), None);
    }

    #[test]
    fn text_is_read_strictly() {
        assert!(Checksum::from_base64(Algorithm::Crc32, "AAAAAA==").is_some());
        for text in [
            "",
            "AAAAAA",
            "AAAAAA== ",
            "AAAA",
            "AAAAAAAA",
            "!AAAAA==",
            "AAAAAB==",
        ] {
            assert!(
                Checksum::from_base64(Algorithm::Crc32, text).is_none(),
                "{text}"
            );
        }
        assert!(Checksum::from_base64(Algorithm::Sha256, &"A".repeat(4000)).is_none());
    }

    #[test]
    fn what_cannot_be_combined_is_refused() {
        let crc = checksum(Algorithm::Crc32, b"a");
        let sha = checksum(Algorithm::Sha256, b"a");
        let nvme = checksum(Algorithm::Crc64Nvme, b"a");
        assert_eq!(Checksum::combine([]), Err(CombineError::NoParts));
        assert_eq!(
            Checksum::combine([(sha, 1)]),
            Err(CombineError::Unsupported(
                Algorithm::Sha256,
                ChecksumType::FullObject
            ))
        );
        assert_eq!(
            Checksum::combine([(crc, 1), (nvme, 1)]),
            Err(CombineError::Mixed(Algorithm::Crc32, Algorithm::Crc64Nvme))
        );
        assert_eq!(
            Checksum::composite([nvme]),
            Err(CombineError::Unsupported(
                Algorithm::Crc64Nvme,
                ChecksumType::Composite
            ))
        );
        assert_eq!(Checksum::composite([]), Err(CombineError::NoParts));
        assert_eq!(
            Checksum::composite([crc, sha]),
            Err(CombineError::Mixed(Algorithm::Crc32, Algorithm::Sha256))
        );
    }

    #[test]
    fn a_composite_is_the_hash_of_the_values() {
        let parts =
            [b"first".as_slice(), b"second"].map(|bytes| checksum(Algorithm::Sha256, bytes));
        let mut values = parts[0].value().to_vec();
        values.extend_from_slice(parts[1].value());
        let composite = Checksum::composite(parts).unwrap();
        assert_eq!(composite.checksum, checksum(Algorithm::Sha256, &values));
        assert_eq!(
            composite.to_string(),
            format!("{}-2", BASE64.encode(Sha256::digest(&values)))
        );
    }

    proptest! {
        #[test]
        fn combining_equals_hashing_the_whole(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..6)
        ) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let whole = checksum(algorithm, &parts.concat());
                let combined = Checksum::combine(
                    parts.iter().map(|part| (checksum(algorithm, part), part.len() as u64))
                );
                prop_assert_eq!(combined, Ok(whole));
            }
        }

        #[test]
        fn base64_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for algorithm in Algorithm::ALL {
                let value = checksum(algorithm, &bytes);
                prop_assert_eq!(Checksum::from_base64(algorithm, &value.to_base64()), Some(value));
            }
        }
    }
}
