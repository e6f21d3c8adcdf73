//! What can go wrong at a key service, sorted by what a caller should do about it.

use std::fmt;

/// The longest detail text kept from a key service's own message, in bytes.
///
/// A key service is another machine; what it says ends up in logs, so its length is bounded here.
pub const DETAIL_LIMIT: usize = 1_024;

/// The kind of a [`KeyServiceError`]: what went wrong, and so what may be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyServiceErrorClass {
    /// No answer, or an answer that says "not now": connection refused or lost, a timeout, a 5xx status.
    Unavailable,
    /// The service limits our rate.
    Throttled,
    /// Our credentials are missing, wrong, expired, or not allowed to do this.
    AccessDenied,
    /// The key exists and may not be used now: disabled, pending deletion, or its material is missing.
    Disabled,
    /// There is no such key.
    NotFound,
    /// The wrap is not one that this key made for this context: tampered with, moved, or of another key.
    InvalidWrap,
    /// The service answered something that cannot be right, such as a working key that is not 32 bytes long.
    InvalidAnswer,
    /// Our configuration cannot work: a malformed key name, a key of the wrong type, an unreadable file.
    Misconfigured,
}

impl KeyServiceErrorClass {
    /// Whether working keys that are already in memory may go on serving, for the configured grace, in spite of this.
    ///
    /// True only for [`Unavailable`](Self::Unavailable) and [`Throttled`](Self::Throttled): an outage says nothing about
    /// what we are allowed to do. Every other class may be somebody's decision to take the key away.
    #[must_use]
    pub fn serves_cached(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled)
    }

    /// Whether the service took the key away from us, so that copies in memory must be dropped.
    #[must_use]
    pub fn revokes(self) -> bool {
        matches!(self, Self::AccessDenied | Self::Disabled | Self::NotFound)
    }

    /// A fixed lower-case name, fit for a metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::AccessDenied => "access-denied",
            Self::Disabled => "disabled",
            Self::NotFound => "not-found",
            Self::InvalidWrap => "invalid-wrap",
            Self::InvalidAnswer => "invalid-answer",
            Self::Misconfigured => "misconfigured",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Unavailable => "the key service cannot be reached",
            Self::Throttled => "the key service limits the rate of requests",
            Self::AccessDenied => "the key service denies access",
            Self::Disabled => "the key is disabled or pending deletion",
            Self::NotFound => "the key does not exist",
            Self::InvalidWrap => "the wrapped key does not belong to this key and encryption context",
            Self::InvalidAnswer => "the key service gave an impossible answer",
            Self::Misconfigured => "the key service is misconfigured",
        }
    }
}

/// A failed call to a key service.
///
/// It carries text only, never the failed request or answer: those may hold a key in the clear. It is cheap to clone,
/// because one call's failure may be handed to many waiting readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyServiceError {
    class: KeyServiceErrorClass,
    detail: String,
}

impl KeyServiceError {
    /// An error of a class, with a detail that names the cause and, where there is one, the fix.
    ///
    /// `detail` is cut to [`DETAIL_LIMIT`] bytes, and its control characters are replaced, since part of it may come
    /// from another machine. It must not contain key material.
    #[must_use]
    pub fn new(class: KeyServiceErrorClass, detail: impl AsRef<str>) -> Self {
        Self { class, detail: printable(detail.as_ref()) }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> KeyServiceErrorClass {
        self.class
    }

    /// The cause in words, for operators. It may name the key; it is not meant for the gateway's clients.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for KeyServiceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.class.explanation(), self.detail)
    }
}

impl std::error::Error for KeyServiceError {}

fn printable(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(DETAIL_LIMIT));
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if kept.len() + character.len_utf8() > DETAIL_LIMIT {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_outages_let_cached_keys_serve() {
        use KeyServiceErrorClass as Class;
        let all = [
            Class::Unavailable,
            Class::Throttled,
            Class::AccessDenied,
            Class::Disabled,
            Class::NotFound,
            Class::InvalidWrap,
            Class::InvalidAnswer,
            Class::Misconfigured,
        ];
        let serving: Vec<_> = all.into_iter().filter(|class| class.serves_cached()).collect();
        assert_eq!(serving, [Class::Unavailable, Class::Throttled]);
        let revoking: Vec<_> = all.into_iter().filter(|class| class.revokes()).collect();
        assert_eq!(revoking, [Class::AccessDenied, Class::Disabled, Class::NotFound]);
    }

    #[test]
    fn detail_is_bounded_and_on_one_line() {
        let error = KeyServiceError::new(KeyServiceErrorClass::NotFound, format!("a\r\nb{}", "é".repeat(DETAIL_LIMIT)));
        assert!(error.detail().len() <= DETAIL_LIMIT);
        assert!(error.detail().starts_with("a  bé"));
    }
}
