//! The values of flexible checksums: of bodies, of parts, and of the objects that parts become.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use super::algorithm::{Algorithm, ChecksumType};
use super::hasher::Hasher;

/// Bytes of the longest supported checksum.
const MAX_WIDTH: usize = 64;

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
        let crc = algorithm.crc().ok_or(CombineError::Unsupported(
            algorithm,
            ChecksumType::FullObject,
        ))?;
        let mut value = first.crc_value();
        for (part, length) in parts {
            if part.algorithm != algorithm {
                return Err(CombineError::Mixed(algorithm, part.algorithm));
            }
            value = crc_fast::checksum_combine(crc, value, part.crc_value(), length);
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
        let mut hasher = Hasher::new(algorithm);
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

    pub(super) fn from_crc(algorithm: Algorithm, value: u64) -> Self {
        let mut padded = [0; MAX_WIDTH];
        let bytes = value.to_be_bytes();
        let start = bytes.len() - algorithm.width().min(bytes.len());
        for (target, source) in padded.iter_mut().zip(bytes.iter().skip(start)) {
            *target = *source;
        }
        Self { algorithm, padded }
    }

    /// A hash, which must be as long as the algorithm says.
    pub(super) fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        let mut padded = [0; MAX_WIDTH];
        for (target, source) in padded.iter_mut().zip(hash) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
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
    fn rule_16_what_cannot_be_combined_is_refused() {
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
        fn rule_09_combining_equals_hashing_the_whole(
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
