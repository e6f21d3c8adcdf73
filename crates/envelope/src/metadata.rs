//! The sealed metadata of an object: entries, their order, and the one valid padding (FORMAT.md, section 3).

use std::collections::BTreeMap;

use crate::checksum::{Checksum, ChecksumAlgorithm};
use crate::decode::Reader;
use crate::error::{Error, Result};
use crate::suite::{NONCE_LENGTH, TAG_LENGTH};

/// What sealing adds to the metadata: nonce and tag.
pub(crate) const SEALED_METADATA_OVERHEAD: usize = NONCE_LENGTH + TAG_LENGTH;

/// Padding is used only while the header stays within what S3 metadata can hold.
const PADDING_BUDGET: usize = 1_500;

/// Metadata is padded to a multiple of this, so that its length tells little.
const PADDING_UNIT: usize = 32;

/// Prefix of names of user metadata.
const USER_PREFIX: &str = "x:";

/// What belongs to an object beside its bytes: named values in ascending order of names.
///
/// Names that this crate does not know are kept and ignored.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Metadata {
    entries: BTreeMap<String, Vec<u8>>,
}

impl Metadata {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the entry `name`: one of the HTTP headers of section 3, `file-name`, or a name of the caller's own.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the name is not 1 to 255 bytes of ASCII `0x21`–`0x7e` without upper-case letters, if a
    /// checksum's value has the wrong width, or if the value has 64 KiB or more.
    pub fn insert(&mut self, name: &str, value: impl Into<Vec<u8>>) -> Result<()> {
        let value = value.into();
        check(name.as_bytes(), &value).map_err(Error::misuse)?;
        self.entries.insert(name.to_owned(), value);
        Ok(())
    }

    /// Sets user metadata: `name` is what follows `x-amz-meta-`, in any case.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_user(&mut self, name: &str, value: impl Into<Vec<u8>>) -> Result<()> {
        self.insert(
            &format!("{USER_PREFIX}{}", name.to_ascii_lowercase()),
            value,
        )
    }

    /// Sets the checksum of the whole plaintext.
    ///
    /// # Errors
    /// None in practice: a [`Checksum`] has the right width.
    pub fn insert_checksum(&mut self, checksum: &Checksum) -> Result<()> {
        self.insert(checksum.algorithm().metadata_name(), checksum.value())
    }

    /// Removes the entry `name`, and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        self.entries.remove(name)
    }

    /// The value of the entry `name`.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(name).map(Vec::as_slice)
    }

    /// Every entry, in ascending order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// User metadata, without the prefix of its names.
    pub fn user(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter()
            .filter_map(|(name, value)| name.strip_prefix(USER_PREFIX).map(|name| (name, value)))
    }

    /// The checksums of the whole plaintext.
    pub fn checksums(&self) -> impl Iterator<Item = Checksum> {
        self.iter().filter_map(|(name, value)| {
            let algorithm = ChecksumAlgorithm::from_metadata_name(name)?;
            Checksum::new(algorithm, value.to_vec()).ok()
        })
    }

    /// Length of the encoding without padding: n of section 3.
    pub(crate) fn encoded_length(&self) -> usize {
        self.entries.iter().fold(2, |length, (name, value)| {
            length
                .saturating_add(3)
                .saturating_add(name.len())
                .saturating_add(value.len())
        })
    }

    /// The plaintext to be sealed into a header that has `other_length` bytes without its sealed metadata.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] if the header would get longer than `header_limit`.
    pub(crate) fn encode(&self, other_length: usize, header_limit: usize) -> Result<Vec<u8>> {
        let length = self.encoded_length();
        let limit = header_limit
            .min(usize::from(u16::MAX))
            .saturating_sub(other_length)
            .saturating_sub(SEALED_METADATA_OVERHEAD);
        let too_large = || Error::MetadataTooLarge { length, limit };
        if length > limit {
            return Err(too_large());
        }
        let entries_length = u16::try_from(length.saturating_sub(2)).map_err(|_| too_large())?;
        let mut plaintext = Vec::with_capacity(padded_length(length, other_length));
        plaintext.extend_from_slice(&entries_length.to_be_bytes());
        for (name, value) in &self.entries {
            plaintext.push(u8::try_from(name.len()).map_err(|_| too_large())?);
            plaintext.extend_from_slice(name.as_bytes());
            plaintext.extend_from_slice(
                &u16::try_from(value.len())
                    .map_err(|_| too_large())?
                    .to_be_bytes(),
            );
            plaintext.extend_from_slice(value);
        }
        plaintext.resize(padded_length(length, other_length), 0);
        Ok(plaintext)
    }

    /// Reads the opened plaintext of a header that has `other_length` bytes without its sealed metadata.
    ///
    /// # Errors
    /// [`Error::Stored`] if names are not ascending or not allowed, or the padding is not the one valid padding.
    pub(crate) fn decode(plaintext: &[u8], other_length: usize) -> Result<Self> {
        let mut reader = Reader::new(plaintext);
        let entries_length = usize::from(reader.u16()?);
        let mut encoded = Reader::new(reader.bytes(entries_length)?);
        let mut entries = BTreeMap::new();
        while encoded.remaining() > 0 {
            let name_length = usize::from(encoded.u8()?);
            let name = encoded.bytes(name_length)?;
            let value_length = usize::from(encoded.u16()?);
            let value = encoded.bytes(value_length)?;
            check(name, value).map_err(Error::stored)?;
            let name = std::str::from_utf8(name)
                .map_err(|_| Error::stored("the name of a metadata entry is not ASCII"))?;
            if entries
                .last_key_value()
                .is_some_and(|(last, _): (&String, _)| last.as_str() >= name)
            {
                return Err(Error::stored("metadata names are not unique and ascending"));
            }
            entries.insert(name.to_owned(), value.to_vec());
        }
        let length = entries_length.saturating_add(2);
        if plaintext.len() != padded_length(length, other_length)
            || reader.rest().iter().any(|byte| *byte != 0)
        {
            return Err(Error::stored("the metadata's padding is not the valid one"));
        }
        Ok(Self { entries })
    }
}

/// The length of the padded plaintext, by the rule of section 3.
fn padded_length(length: usize, other_length: usize) -> usize {
    let rounded = length.next_multiple_of(PADDING_UNIT);
    let header = other_length
        .saturating_add(SEALED_METADATA_OVERHEAD)
        .saturating_add(rounded);
    if header <= PADDING_BUDGET {
        rounded
    } else {
        length
    }
}

fn check(name: &[u8], value: &[u8]) -> Result<(), &'static str> {
    let allowed = |byte: &u8| (0x21..=0x7e).contains(byte) && !byte.is_ascii_uppercase();
    if name.is_empty() || name.len() > 255 || !name.iter().all(allowed) {
        return Err(
            "the name of a metadata entry must be 1 to 255 visible ASCII characters without upper case",
        );
    }
    if value.len() > usize::from(u16::MAX) {
        return Err("the value of a metadata entry must have less than 64 KiB");
    }
    let algorithm = std::str::from_utf8(name)
        .ok()
        .and_then(ChecksumAlgorithm::from_metadata_name);
    if algorithm.is_some_and(|algorithm| algorithm.width() != value.len()) {
        return Err("a checksum in the metadata does not have the width of its algorithm");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Metadata {
        let mut metadata = Metadata::new();
        metadata.insert("content-type", "text/plain").unwrap();
        metadata.insert_user("Owner", "ü".as_bytes()).unwrap();
        metadata
    }

    #[test]
    fn names_and_widths_are_checked() {
        let mut metadata = Metadata::new();
        for name in ["", "Upper", "with space", "ü", &"n".repeat(256)] {
            assert!(metadata.insert(name, "").is_err(), "{name:?}");
        }
        assert!(metadata.insert("checksum-crc32", [0; 5]).is_err());
        assert!(metadata.insert("checksum-crc32", [0; 4]).is_ok());
        assert!(metadata.insert("value", vec![0; 65_536]).is_err());
        assert!(metadata.insert("value", vec![0; 65_535]).is_ok());
        assert!(metadata.insert(&"n".repeat(255), "").is_ok());
        assert_eq!(metadata.checksums().count(), 1);
    }

    #[test]
    fn what_was_set_is_told_until_it_is_removed() {
        let mut metadata = sample();
        let checksum = Checksum::new(ChecksumAlgorithm::Crc32c, vec![1, 2, 3, 4]).unwrap();
        metadata.insert_checksum(&checksum).unwrap();
        assert_eq!(metadata.value("content-type"), Some(&b"text/plain"[..]));
        assert_eq!(metadata.value("x:owner"), Some("ü".as_bytes()));
        assert_eq!(metadata.value("other"), None);
        assert_eq!(
            metadata.user().collect::<Vec<_>>(),
            [("owner", "ü".as_bytes())]
        );
        assert_eq!(metadata.checksums().collect::<Vec<_>>(), [checksum]);
        let names: Vec<_> = metadata.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["checksum-crc32c", "content-type", "x:owner"]);
        assert_eq!(metadata.remove("x:owner"), Some("ü".into()));
        assert_eq!(metadata.remove("x:owner"), None);
        assert_eq!(metadata.value("x:owner"), None);
    }

    #[test]
    fn padding_is_used_only_within_the_budget_and_is_checked() {
        let metadata = sample();
        let length = metadata.encoded_length();
        let padded = metadata.encode(200, 65_536).unwrap();
        assert_eq!(padded.len() % 32, 0);
        assert_eq!(metadata.encode(1_500, 65_536).unwrap().len(), length);
        assert_eq!(Metadata::decode(&padded, 200).unwrap(), metadata);
        assert!(Metadata::decode(&padded, 1_500).is_err());
        assert!(Metadata::decode(&padded[..length], 200).is_err());
        let mut dirty = padded.clone();
        *dirty.last_mut().unwrap() = 1;
        assert!(Metadata::decode(&dirty, 200).is_err());
    }

    #[test]
    fn the_budget_is_named_when_it_is_exceeded() {
        let mut metadata = Metadata::new();
        metadata.insert_user("big", vec![b'v'; 1_200]).unwrap();
        let error = metadata.encode(400, 1_500).unwrap_err();
        assert!(
            matches!(
                error,
                Error::MetadataTooLarge {
                    length: 1_210,
                    limit: 1_072
                }
            ),
            "{error:?} {error}"
        );
    }

    #[test]
    fn disorder_and_repetition_are_refused() {
        let entry = |name: &str| [&[1][..], name.as_bytes(), &[0, 0]].concat();
        for (names, allowed) in [(["a", "b"], true), (["b", "a"], false), (["a", "a"], false)] {
            let entries: Vec<u8> = names.into_iter().flat_map(entry).collect();
            let mut plaintext = u16::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
            plaintext.extend(entries);
            plaintext.resize(32, 0);
            assert_eq!(
                Metadata::decode(&plaintext, 0).is_ok(),
                allowed,
                "{names:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn metadata_round_trips(
            entries in proptest::collection::btree_map("[!-@\\[-~]{1,20}", proptest::collection::vec(any::<u8>(), 0..50), 0..20),
            other_length in 0usize..1_600,
        ) {
            let mut metadata = Metadata::new();
            for (name, value) in entries {
                metadata.insert(&name, value).unwrap();
            }
            let plaintext = metadata.encode(other_length, 65_536).unwrap();
            prop_assert_eq!(Metadata::decode(&plaintext, other_length).unwrap(), metadata);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_what_opens_is_canonical(bytes: Vec<u8>, other_length in 0usize..1_600) {
            if let Ok(metadata) = Metadata::decode(&bytes, other_length) {
                prop_assert_eq!(metadata.encode(other_length, 65_536).unwrap(), bytes);
            }
        }
    }
}
