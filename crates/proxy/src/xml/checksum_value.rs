//! Checksum elements (`ChecksumCRC32`, `ChecksumSHA256`, …) as the documents carry them, with algorithms that are yet to come.

use super::elements::ElementReader;
use super::write::ElementWriter;
use super::{XmlError, quote};

/// What the name of every checksum element begins with.
const ELEMENT_PREFIX: &str = "Checksum";

/// Longest name of an algorithm; the longest today is `CRC64NVME`.
const MAX_ALGORITHM_CHARACTERS: usize = 16;

/// Longest value: 64 bytes of SHA-512 in base64, a dash and a part count.
const MAX_VALUE_CHARACTERS: usize = 96;

/// Most checksums in one element; S3 knows ten algorithms.
const MAX_CHECKSUMS: usize = 16;

/// One checksum: the algorithm as S3 spells it in element names (`CRC32`, `CRC64NVME`, `SHA256`) and its value in base64, with `-N` if composite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChecksumValue {
    algorithm: String,
    value: String,
}

impl ChecksumValue {
    /// Makes a checksum; `None` where the algorithm is not a name of upper-case letters and digits or a text is too long.
    pub fn new(algorithm: &str, value: &str) -> Option<Self> {
        let named = (1..=MAX_ALGORITHM_CHARACTERS).contains(&algorithm.len())
            && algorithm
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        (named && value.len() <= MAX_VALUE_CHARACTERS).then(|| Self {
            algorithm: algorithm.to_owned(),
            value: value.to_owned(),
        })
    }

    /// The algorithm, in capitals.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The value as it stands in the document.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether an element of this local name is a checksum. `ChecksumType` and `ChecksumAlgorithm` are not: they hold lower-case letters.
    pub(super) fn is_element(name: &str) -> bool {
        name.strip_prefix(ELEMENT_PREFIX)
            .is_some_and(|algorithm| Self::new(algorithm, "").is_some())
    }

    /// Reads the open element, whose name [`ChecksumValue::is_element`] accepted, into a list that holds each algorithm once.
    pub(super) fn read(
        reader: &mut ElementReader<'_>,
        name: &str,
        checksums: &mut Vec<Self>,
    ) -> Result<(), XmlError> {
        let value = reader.text("Checksum…")?;
        let algorithm = name.strip_prefix(ELEMENT_PREFIX).unwrap_or_default();
        let checksum = Self::new(algorithm, value.trim())
            .ok_or_else(|| XmlError::invalid("Checksum…", &value, "a checksum in base64"))?;
        if checksums
            .iter()
            .any(|present| present.algorithm == checksum.algorithm)
        {
            return Err(XmlError::UnexpectedElement {
                element: quote(name),
                parent: "an element that holds one already",
            });
        }
        if checksums.len() == MAX_CHECKSUMS {
            return Err(XmlError::TooMany {
                element: "Checksum…",
                limit: MAX_CHECKSUMS,
            });
        }
        checksums.push(checksum);
        Ok(())
    }

    /// Writes the element.
    pub(super) fn write(&self, writer: &mut ElementWriter) {
        writer.leaf(&format!("{ELEMENT_PREFIX}{}", self.algorithm), &self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plausible_algorithms_and_values_are_taken() {
        assert!(ChecksumValue::new("CRC64NVME", "AAAAAAAAAAA=").is_some());
        for algorithm in ["", "crc32", "CRC32><x", "ABCDEFGHIJKLMNOPQ"] {
            assert_eq!(ChecksumValue::new(algorithm, "AAAA"), None, "{algorithm}");
        }
        assert_eq!(
            ChecksumValue::new("CRC32", &"A".repeat(MAX_VALUE_CHARACTERS + 1)),
            None
        );
        assert!(ChecksumValue::is_element("ChecksumXXHASH128"));
        assert!(
            !ChecksumValue::is_element("ChecksumType")
                && !ChecksumValue::is_element("ChecksumAlgorithm")
                && !ChecksumValue::is_element("ETag")
        );
    }
    #[test]
    fn one_element_holds_few_checksums_and_none_twice() {
        let read = |content: &str| {
            let document = format!("<Part>{content}</Part>");
            let mut reader = ElementReader::new(document.as_bytes()).unwrap();
            reader.expect_root("Part").unwrap();
            let mut checksums = Vec::new();
            while let Some(name) = reader.child().unwrap() {
                ChecksumValue::read(&mut reader, name, &mut checksums)?;
            }
            Ok(checksums.len())
        };
        let distinct = |count: usize| -> String {
            let element = |index| format!("<ChecksumA{index}>x</ChecksumA{index}>");
            (0..count).map(element).collect()
        };
        assert_eq!(read(&distinct(MAX_CHECKSUMS)), Ok(MAX_CHECKSUMS));
        assert!(matches!(
            read(&distinct(MAX_CHECKSUMS + 1)),
            Err(XmlError::TooMany { .. })
        ));
        let twice = "<ChecksumCRC32>x</ChecksumCRC32>".repeat(2);
        assert!(matches!(
            read(&twice),
            Err(XmlError::UnexpectedElement { .. })
        ));
    }
}
