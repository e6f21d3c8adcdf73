//! The logical place that a ciphertext is bound to: a domain and an object key (FORMAT.md, sections 2 and 3).

use std::fmt;

use crate::error::{Error, Result};

/// The most bytes of a domain.
pub const MAXIMUM_DOMAIN_LENGTH: usize = 255;

/// The most bytes of an object key.
pub const MAXIMUM_OBJECT_KEY_LENGTH: usize = 1024;

/// The domain of files whose user named none.
pub const FILE_DOMAIN: &str = "file";

/// A domain: 1 to 255 bytes of UTF-8 without control characters. Configured by the reader, never taken from what is
/// stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Domain(String);

impl Domain {
    /// Checks and takes a configured name.
    ///
    /// # Errors
    /// [`Error::Misuse`] if it is empty, longer than 255 bytes, or has a control character.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.len() > MAXIMUM_DOMAIN_LENGTH {
            return Err(Error::misuse(format!(
                "a domain must have 1 to {MAXIMUM_DOMAIN_LENGTH} bytes, this one has {}",
                name.len()
            )));
        }
        if name.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(Error::misuse(
                "a domain must not contain control characters",
            ));
        }
        Ok(Self(name))
    }

    /// The domain of files, [`FILE_DOMAIN`].
    pub fn file() -> Self {
        Self(FILE_DOMAIN.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where an object is: what the header's MAC binds it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    domain: &'a Domain,
    object_key: &'a str,
}

impl<'a> Place<'a> {
    /// The object `object_key` (percent-decoded exactly once) in `domain`.
    ///
    /// # Errors
    /// [`Error::Misuse`] unless the key has 1 to 1,024 bytes.
    pub fn new(domain: &'a Domain, object_key: &'a str) -> Result<Self> {
        if object_key.is_empty() || object_key.len() > MAXIMUM_OBJECT_KEY_LENGTH {
            return Err(Error::misuse(format!(
                "an object key must have 1 to {MAXIMUM_OBJECT_KEY_LENGTH} bytes"
            )));
        }
        Ok(Self { domain, object_key })
    }

    /// A file, which has an empty object key.
    pub fn file(domain: &'a Domain) -> Self {
        Self {
            domain,
            object_key: "",
        }
    }

    /// The domain.
    pub fn domain(self) -> &'a Domain {
        self.domain
    }

    /// The object key.
    pub fn object_key(self) -> &'a str {
        self.object_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_have_bounds() {
        for name in ["", "a\nb", "\u{7f}", &"x".repeat(256)] {
            assert!(Domain::new(name).is_err(), "{name:?}");
        }
        assert_eq!(
            Domain::new("deployment/bucket ü").unwrap().as_str(),
            "deployment/bucket ü"
        );
        assert_eq!(Domain::new("a/b").unwrap().to_string(), "a/b");
        assert!(Place::new(&Domain::file(), &"k".repeat(1025)).is_err());
        assert!(Place::new(&Domain::file(), "").is_err());
    }
}
