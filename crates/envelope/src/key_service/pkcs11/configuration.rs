//! Which key of which token, behind which module.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// What stands for itself in the value of an attribute of a PKCS#11 URI (RFC 7512 section 2.3): the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// As the value of an attribute of such a URI.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The longest label of a token (PKCS#11, `CK_TOKEN_INFO`).
const TOKEN_LABEL_LIMIT: usize = 32;

/// The longest label of a key. The standard has no limit; nobody types longer ones.
const KEY_LABEL_LIMIT: usize = 255;

/// Limits on the time and the number of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pkcs11Limits {
    /// For an operation, with the wait for a free session and one repetition after a lost one. Default 12 s.
    pub operation_timeout: Duration,
    /// Sessions at once, each with a thread while it works. Default 8.
    pub sessions: usize,
}

impl Default for Pkcs11Limits {
    fn default() -> Self {
        Self {
            operation_timeout: Duration::from_secs(12),
            sessions: 8,
        }
    }
}

/// A secret AES key in a PKCS#11 token and how to reach it.
#[derive(Clone)]
pub struct Pkcs11Configuration {
    pub(super) module: PathBuf,
    pub(super) token: String,
    pub(super) key: String,
    pub(super) pin: Zeroizing<String>,
    pub(super) limits: Pkcs11Limits,
}

impl Pkcs11Configuration {
    /// The AES-256 key labelled `key` on the token labelled `token`, behind the shared library `module`.
    ///
    /// Slots have no place here: their numbers change. The library is loaded into this process and may do anything in it.
    #[must_use]
    pub fn new(
        module: impl Into<PathBuf>,
        token: impl Into<String>,
        key: impl Into<String>,
        pin: Zeroizing<String>,
    ) -> Self {
        Self {
            module: module.into(),
            token: token.into(),
            key: key.into(),
            pin,
            limits: Pkcs11Limits::default(),
        }
    }

    /// Time-outs and bounds.
    #[must_use]
    pub fn limits(mut self, limits: Pkcs11Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The key's name as references are made of it (FORMAT.md section 2): a PKCS#11 URI of both labels. The module is no
    /// part of it, because another machine may have it elsewhere.
    pub(super) fn key_name(&self) -> String {
        format!(
            "pkcs11:token={};object={}",
            escaped(&self.token),
            escaped(&self.key)
        )
    }

    pub(super) fn check(&self) -> Result<()> {
        for (what, label, limit) in [
            ("token", &self.token, TOKEN_LABEL_LIMIT),
            ("key", &self.key, KEY_LABEL_LIMIT),
        ] {
            if label.is_empty() || label.len() > limit || label.chars().any(char::is_control) {
                return Err(Error::misuse(format!(
                    "the label of a PKCS#11 {what} has 1 to {limit} bytes and no control characters"
                )));
            }
        }
        if self.token.ends_with(' ') {
            return Err(Error::misuse(
                "the label of a PKCS#11 token can't end with a space: tokens pad theirs with spaces",
            ));
        }
        if self.limits.sessions == 0 || self.limits.operation_timeout.is_zero() {
            return Err(Error::misuse(
                "a PKCS#11 token needs at least one session, and an operation timeout above zero",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Pkcs11Configuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pkcs11Configuration")
            .field("module", &self.module)
            .field("token", &self.token)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(token: &str, key: &str) -> Pkcs11Configuration {
        let pin = Zeroizing::new("hush-hush".to_owned());
        Pkcs11Configuration::new("/usr/lib/module.so", token, key, pin)
    }

    #[test]
    fn the_name_of_a_key_is_a_uri_that_no_label_can_break() {
        assert_eq!(
            labelled("Acme HSM", "a;object=b/ü").key_name(),
            "pkcs11:token=Acme%20HSM;object=a%3Bobject%3Db%2F%C3%BC"
        );
    }

    #[test]
    fn labels_that_no_token_can_have_are_refused() {
        labelled("t", "k").check().unwrap();
        for (token, key) in [
            ("", "k"),
            ("t", ""),
            ("t ", "k"),
            ("t\n", "k"),
            (&*"t".repeat(33), "k"),
        ] {
            assert!(labelled(token, key).check().is_err(), "{token:?} {key:?}");
        }
    }

    #[test]
    fn debug_shows_no_pin() {
        assert!(!format!("{:?}", labelled("t", "k")).contains("hush"));
    }
}
