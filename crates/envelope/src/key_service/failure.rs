//! Failures of key services as the crate's [`Error`], made in one place so that their texts are bounded.

use crate::error::{Error, KeyServiceFailure};

/// The longest detail text kept about a failure, in bytes.
///
/// A key service is another machine; what it says ends up in logs, so its length is bounded here.
pub const MAXIMUM_DETAIL_LENGTH: usize = 1_024;

/// The error of a key service that failed; `detail` names the cause and, where there is one, the fix.
///
/// `detail` is cut to [`MAXIMUM_DETAIL_LENGTH`] bytes and its control characters become spaces, since part of it may
/// come from another machine. It must not contain key material.
#[must_use]
pub fn key_service_error(failure: KeyServiceFailure, detail: &str) -> Error {
    let mut kept = String::with_capacity(detail.len().min(MAXIMUM_DETAIL_LENGTH));
    for character in detail.chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        if kept.len() + character.len_utf8() > MAXIMUM_DETAIL_LENGTH {
            break;
        }
        kept.push(character);
    }
    Error::key_service(failure, kept)
}

/// In which way the key service failed; `None` if the error is about something else.
#[must_use]
pub fn failure_of(error: &Error) -> Option<KeyServiceFailure> {
    match error {
        Error::KeyService { failure, .. } => Some(*failure),
        _ => None,
    }
}

/// Whether working keys that are already in memory may go on serving, for the configured grace, in spite of `error`.
///
/// True only for outages and throttling, which say nothing about what we are allowed to do. Every other failure may be
/// somebody's decision to take the key away.
#[must_use]
pub fn serves_cached(error: &Error) -> bool {
    failure_of(error).is_some_and(KeyServiceFailure::is_transient)
}

/// Whether the key service took the key away from us, so that the copy in memory must be dropped.
///
/// What is refused because of the wrap itself does not count: whoever writes headers could have any key dropped. The
/// keyring knows which wraps have opened before, and takes their refusal for what it is.
#[must_use]
pub fn revokes(error: &Error) -> bool {
    matches!(
        failure_of(error),
        Some(
            KeyServiceFailure::Denied
                | KeyServiceFailure::KeyUnusable
                | KeyServiceFailure::NotFound
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [KeyServiceFailure; 11] = [
        KeyServiceFailure::Unavailable,
        KeyServiceFailure::Throttled,
        KeyServiceFailure::Denied,
        KeyServiceFailure::KeyUnusable,
        KeyServiceFailure::NotFound,
        KeyServiceFailure::Refused,
        KeyServiceFailure::WrapWithdrawn,
        KeyServiceFailure::WriteOnly,
        KeyServiceFailure::NotConfigured,
        KeyServiceFailure::Malformed,
        KeyServiceFailure::Misconfigured,
    ];

    fn those(predicate: fn(&Error) -> bool) -> Vec<KeyServiceFailure> {
        ALL.into_iter()
            .filter(|failure| predicate(&key_service_error(*failure, "x")))
            .collect()
    }

    #[test]
    fn only_outages_let_cached_keys_serve_and_only_decisions_revoke() {
        assert_eq!(
            those(serves_cached),
            [KeyServiceFailure::Unavailable, KeyServiceFailure::Throttled]
        );
        assert_eq!(
            those(revokes),
            [
                KeyServiceFailure::Denied,
                KeyServiceFailure::KeyUnusable,
                KeyServiceFailure::NotFound
            ]
        );
        assert!(!serves_cached(&Error::machine("x")) && !revokes(&Error::stored("x")));
    }

    #[test]
    fn detail_is_bounded_and_on_one_line() {
        let text = format!("a\r\nb{}", "é".repeat(MAXIMUM_DETAIL_LENGTH));
        let error = key_service_error(KeyServiceFailure::NotFound, &text);
        assert!(error.detail().len() <= MAXIMUM_DETAIL_LENGTH);
        assert!(error.detail().starts_with("a  bé"));
    }
}
