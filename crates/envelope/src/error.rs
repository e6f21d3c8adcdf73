//! What can go wrong, and whose fault it is.
//!
//! Everything that is wrong with stored bytes looks alike to whoever only reads the message: a client must not
//! learn *why* a decryption failed. Operators get the reason from [`Error::detail`].

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The program that called this crate, or its configuration: a length over a limit, calls out of order.
    Caller,
    /// What the storage holds is not what was sealed, or not for this place.
    StoredData,
    /// The key service did not do what it was asked.
    KeyService,
    /// The machine: no entropy, or the cryptographic module refused to work.
    Machine,
}

/// How a key service failed; tells whether trying again makes sense and what to answer a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyServiceFailure {
    /// Not reached, timed out, or broken inside: try again later.
    Unavailable,
    /// Reached, but too busy: try again later.
    Throttled,
    /// The credentials are missing, wrong, or may not use the key.
    Denied,
    /// The key exists but may not be used now: disabled, or about to be deleted.
    KeyUnusable,
    /// There is no such key.
    NotFound,
    /// The service says that the wrapped key, or its encryption context, is not genuine.
    Refused,
    /// The key works, but not for this wrap: the wrap names a version that was withdrawn, or another key. It may have
    /// been made so by whoever wrote it, so it says nothing about other wraps.
    WrapWithdrawn,
    /// This process makes and wraps working keys and opens none, as it is configured.
    WriteOnly,
    /// No configured key service can open any of the wraps at hand.
    NotConfigured,
    /// The answer was not one that the service's protocol allows.
    Malformed,
    /// The service says that the request cannot work as it is configured: a key of the wrong type, a malformed name.
    Misconfigured,
}

impl KeyServiceFailure {
    /// Whether the same call may succeed later with nothing else changed.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled)
    }
}

/// Every failure of this crate.
///
/// `Display` is safe to show to anyone; [`detail`](Self::detail) is for operators. Neither ever holds key material
/// or plaintext. Cloning is cheap, so that one failure can answer several waiters.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// The caller broke a rule of the interface or a limit of the format; the text names the cause.
    Misuse(Cow<'static, str>),
    /// The metadata to be sealed does not fit into the header. The text carries the numbers.
    MetadataTooLarge {
        /// Bytes that the encoded metadata takes.
        length: usize,
        /// Bytes that there is room for, with these wraps.
        limit: usize,
    },
    /// The stored bytes were refused; the text is for operators only.
    Stored(Cow<'static, str>),
    /// The key service failed.
    KeyService {
        /// In which way.
        failure: KeyServiceFailure,
        /// What it said, for operators.
        detail: Cow<'static, str>,
        /// The error of the client library, if there was one.
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },
    /// The machine has no entropy, or its cryptographic module does not work.
    Machine(Cow<'static, str>),
}

impl Error {
    /// The caller's fault; `detail` names the cause.
    pub fn misuse(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Misuse(detail.into())
    }

    /// The stored data's fault; `detail` is for operators.
    pub fn stored(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Stored(detail.into())
    }

    /// The key service's fault, without an underlying error.
    pub fn key_service(failure: KeyServiceFailure, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::KeyService {
            failure,
            detail: detail.into(),
            source: None,
        }
    }

    /// The machine's fault.
    pub fn machine(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Machine(detail.into())
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Misuse(_) | Self::MetadataTooLarge { .. } => Fault::Caller,
            Self::Stored(_) => Fault::StoredData,
            Self::KeyService { .. } => Fault::KeyService,
            Self::Machine(_) => Fault::Machine,
        }
    }

    /// The reason, for operators: write it to a log, never into an answer.
    pub fn detail(&self) -> &str {
        match self {
            Self::Misuse(detail)
            | Self::Stored(detail)
            | Self::Machine(detail)
            | Self::KeyService { detail, .. } => detail,
            Self::MetadataTooLarge { .. } => "the metadata does not fit into the header",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(detail) => formatter.write_str(detail),
            Self::MetadataTooLarge { length, limit } => {
                write!(
                    formatter,
                    "the metadata takes {length} bytes, but only {limit} fit beside the keys"
                )
            }
            Self::Stored(_) => {
                formatter.write_str("the stored data is damaged or does not belong here")
            }
            Self::KeyService { failure, .. } if failure.is_transient() => {
                formatter.write_str("the key service is not available")
            }
            Self::KeyService { .. } => formatter.write_str("the key service refused the request"),
            Self::Machine(_) => {
                formatter.write_str("the cryptographic module of this machine failed")
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.fault(), self.detail())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::KeyService {
                source: Some(source),
                ..
            } => Some(source.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_failures_look_alike_but_keep_their_detail() {
        let first = Error::stored("the MAC is wrong");
        let second = Error::stored("segment 7 does not open");
        assert_eq!(first.to_string(), second.to_string());
        assert_ne!(first.detail(), second.detail());
        assert_eq!(first.fault(), Fault::StoredData);
    }

    #[test]
    fn what_clients_may_read_says_which_side_has_failed() {
        let of_key_service = |failure| Error::key_service(failure, "the detail");
        for (error, text) in [
            (Error::misuse("a wrong call"), "a wrong call"),
            (
                Error::MetadataTooLarge {
                    length: 7,
                    limit: 6,
                },
                "the metadata takes 7 bytes, but only 6 fit beside the keys",
            ),
            (
                of_key_service(KeyServiceFailure::Throttled),
                "the key service is not available",
            ),
            (
                of_key_service(KeyServiceFailure::Denied),
                "the key service refused the request",
            ),
            (
                Error::machine("the detail"),
                "the cryptographic module of this machine failed",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn the_cause_of_a_key_services_failure_is_kept() {
        let cause = std::io::Error::other("connection refused");
        let error = Error::KeyService {
            failure: KeyServiceFailure::Throttled,
            detail: "".into(),
            source: Some(Arc::new(cause)),
        };
        assert_eq!(error.source().unwrap().to_string(), "connection refused");
        assert!(Error::machine("").source().is_none());
    }

    #[test]
    fn transient_failures_are_told_from_lasting_ones() {
        assert!(KeyServiceFailure::Throttled.is_transient());
        assert!(!KeyServiceFailure::Denied.is_transient());
        let error = Error::key_service(KeyServiceFailure::Denied, "AccessDeniedException");
        assert!(!error.to_string().contains("AccessDenied"));
    }
}
