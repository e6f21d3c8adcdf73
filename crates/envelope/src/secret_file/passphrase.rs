//! What a person types to open a secret file.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The shortest passphrase that seals a file, in bytes. Guessing is slow, but not against a short word.
pub const MINIMUM_PASSPHRASE_LENGTH: usize = 12;

/// The longest passphrase, in bytes: what is longer is a wrong file.
pub const MAXIMUM_PASSPHRASE_LENGTH: usize = 1_024;

/// A passphrase: UTF-8 text, taken byte by byte as it is. Wiped on drop, absent from `Debug`.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text over.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] unless it has [`MINIMUM_PASSPHRASE_LENGTH`] to [`MAXIMUM_PASSPHRASE_LENGTH`] bytes; the error
    /// does not show it.
    pub fn new(text: Zeroizing<String>) -> Result<Self> {
        if (MINIMUM_PASSPHRASE_LENGTH..=MAXIMUM_PASSPHRASE_LENGTH).contains(&text.len()) {
            return Ok(Self(text));
        }
        Err(Error::misuse(format!(
            "a passphrase has {MINIMUM_PASSPHRASE_LENGTH} to {MAXIMUM_PASSPHRASE_LENGTH} bytes; take several words"
        )))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase(redacted)")
    }
}
