//! The encryption context that binds a wrapped working key to its domain and identifier (FORMAT.md section 2).

use crate::decode::put_prefixed;
use crate::domain::Domain;
use crate::error::Result;
use crate::keys::WorkingKeyId;

/// What a key service authenticates beside a wrapped working key: three pairs of exact strings.
///
/// AWS KMS takes them as its encryption context, where they are visible in CloudTrail; they name a domain and a random
/// identifier, never an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncryptionContext {
    domain: Domain,
    working_key_id: WorkingKeyId,
}

impl EncryptionContext {
    /// The context of the working key `working_key_id`, which is of `domain`.
    ///
    /// When opening, `domain` must be the one that the reader expects, never one taken from what is stored.
    #[must_use]
    pub fn new(domain: Domain, working_key_id: WorkingKeyId) -> Self {
        Self {
            domain,
            working_key_id,
        }
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The identifier of the working key.
    #[must_use]
    pub fn working_key_id(&self) -> WorkingKeyId {
        self.working_key_id
    }

    /// The three pairs, in ascending byte order of their names.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, String); 3] {
        [
            ("sealgate:domain", self.domain.as_str().to_owned()),
            ("sealgate:format", "1".to_owned()),
            ("sealgate:working-key", self.working_key_id.to_string()),
        ]
    }

    /// The pairs as one string of bytes, lp(name) ‖ lp(value) for each, for services whose only context is
    /// additional authenticated data.
    ///
    /// # Errors
    ///
    /// Never for a [`Domain`], whose length is bounded; the encoder's error is passed on.
    pub fn to_associated_data(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (name, value) in self.pairs() {
            put_prefixed(&mut bytes, name.as_bytes())?;
            put_prefixed(&mut bytes, value.as_bytes())?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> EncryptionContext {
        EncryptionContext::new(
            Domain::new("d/b").unwrap(),
            WorkingKeyId::from_bytes([0xab; 16]),
        )
    }

    #[test]
    fn pairs_are_the_three_strings_of_the_format_in_order() {
        let pairs = sample().pairs();
        assert_eq!(
            pairs,
            [
                ("sealgate:domain", "d/b".to_owned()),
                ("sealgate:format", "1".to_owned()),
                ("sealgate:working-key", "ab".repeat(16)),
            ]
        );
        assert!(pairs.is_sorted());
    }

    #[test]
    fn associated_data_is_length_prefixed() {
        let bytes = sample().to_associated_data().unwrap();
        let expected = [
            &b"\0\0\0\x0fsealgate:domain\0\0\0\x03d/b\0\0\0\x0fsealgate:format\0\0\0\x011\0\0\0\x14sealgate:working-key\0\0\0\x20"[..],
            "ab".repeat(16).as_bytes(),
        ]
        .concat();
        assert_eq!(bytes, expected);
    }
}
