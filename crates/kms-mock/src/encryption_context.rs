//! The encryption context: names and values that a ciphertext is bound to.

use std::collections::BTreeMap;

use crate::error::KmsError;

/// Most bytes that the names and values of one context may have together.
pub(crate) const MAX_CONTEXT_BYTES: usize = 8192;

/// Names and values that a ciphertext is bound to; without them, exactly, it does not open.
///
/// The order in a request has no meaning, case has. No context and an empty one are the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// Takes the map of a request, `member` being its name there.
    ///
    /// # Errors
    ///
    /// `ValidationException` when the names and values have more than [`MAX_CONTEXT_BYTES`] bytes together.
    pub(crate) fn new(
        pairs: Option<BTreeMap<String, String>>,
        member: &str,
    ) -> Result<Self, KmsError> {
        let pairs = pairs.unwrap_or_default();
        let bytes: usize = pairs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes > MAX_CONTEXT_BYTES {
            return Err(KmsError::validation(format!(
                "1 validation error detected: Value at '{member}' failed to satisfy constraint: Names and values must \
                 have at most {MAX_CONTEXT_BYTES} bytes together, and have {bytes}"
            )));
        }
        Ok(Self(pairs))
    }

    /// The one byte string that stands for this context: the number of pairs, then each name and value with its length
    /// before it, in the order of the names' bytes; every number is 32 bits, big-endian. Lengths before the strings
    /// make it impossible that two contexts have the same bytes.
    pub(crate) fn canonical_bytes(&self) -> Vec<u8> {
        let strings = || {
            self.0
                .iter()
                .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
        };
        let mut bytes =
            Vec::with_capacity(4 + strings().map(|string| 4 + string.len()).sum::<usize>());
        bytes.extend_from_slice(&length(self.0.len()));
        for string in strings() {
            bytes.extend_from_slice(&length(string.len()));
            bytes.extend_from_slice(string);
        }
        bytes
    }

    pub(crate) fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

fn length(value: usize) -> [u8; 4] {
    // `new` keeps every length far below 2^32, and saturation would only make the context fail to open.
    u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn context(pairs: &BTreeMap<String, String>) -> EncryptionContext {
        EncryptionContext::new(Some(pairs.clone()), "encryptionContext").unwrap()
    }

    #[test]
    fn empty_and_absent_are_the_same() {
        let absent = EncryptionContext::new(None, "encryptionContext").unwrap();
        assert_eq!(
            absent.canonical_bytes(),
            context(&BTreeMap::new()).canonical_bytes()
        );
        assert_eq!(absent.canonical_bytes(), [0; 4]);
    }

    #[test]
    fn length_is_limited() {
        let pair = |value: usize| Some(BTreeMap::from([("n".to_owned(), "v".repeat(value))]));
        assert!(EncryptionContext::new(pair(MAX_CONTEXT_BYTES - 1), "encryptionContext").is_ok());
        let error =
            EncryptionContext::new(pair(MAX_CONTEXT_BYTES), "encryptionContext").unwrap_err();
        assert!(error.message().unwrap().contains("8193"), "{error}");
    }

    proptest! {
        #[test]
        fn different_contexts_have_different_bytes(
            a in proptest::collection::btree_map("[ab]{0,3}", "[ab]{0,3}", 0..4),
            b in proptest::collection::btree_map("[ab]{0,3}", "[ab]{0,3}", 0..4),
        ) {
            prop_assert_eq!(a == b, context(&a).canonical_bytes() == context(&b).canonical_bytes());
        }
    }
}
