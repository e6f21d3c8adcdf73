//! Sorts what the server says into the crate's [`KeyServiceFailure`].
//!
//! The interface has no error codes, only HTTP statuses and sentences, so a status that has several meanings is told
//! apart by the sentence (Vault 1.14, `builtin/logical/transit` and `sdk/helper/keysutil`; OpenBao kept them).

use http::StatusCode;

use super::transport::Answer;
use crate::error::{Error, KeyServiceFailure};
use crate::key_service::key_service_error;

/// The class of a failed answer. `errors` are the server's sentences.
pub(super) fn class(status: StatusCode, errors: &str) -> KeyServiceFailure {
    use KeyServiceFailure as Class;
    let says = |part: &str| errors.contains(part);
    match status.as_u16() {
        400 if says("encryption key not found") || says("no existing key named") => Class::NotFound,
        400 if says("message authentication failed")
            || says("invalid ciphertext")
            || says("unable to decrypt") =>
        {
            Class::Refused
        }
        // An administrator raised min_decryption_version above the version that the wrap names; any wrap can name one.
        400 if says("disallowed by policy") || says("version is too old") => Class::WrapWithdrawn,
        400 if says("soft-deleted") => Class::KeyUnusable,
        400 | 405 => Class::Misconfigured,
        401 | 403 => Class::Denied,
        // Of a key's own path: no such key. Of any other: no engine is mounted there.
        404 if says("no handler for route") || says("unsupported path") => Class::Misconfigured,
        404 => Class::NotFound,
        429 if says("standby") => Class::Unavailable,
        429 => Class::Throttled,
        // 412: a standby that has not caught up yet; 472, 473: standbys of replication; 503: sealed.
        408 | 412 | 472 | 473 | 500..=599 => Class::Unavailable,
        _ => Class::Malformed,
    }
}

/// The error of a failed answer to `call`, which was about `key`.
pub(super) fn failed(call: &str, key: &str, answer: &Answer) -> Error {
    let errors = answer.errors();
    let class = class(answer.status, &errors);
    let said = if errors.is_empty() {
        "no reason given".to_owned()
    } else {
        errors
    };
    key_service_error(
        class,
        &format!(
            "{call} with Vault key {key}: HTTP {}, {said}{}",
            answer.status.as_u16(),
            advice(class, key)
        ),
    )
}

/// What an operator can do about it, where the class alone tells.
fn advice(class: KeyServiceFailure, key: &str) -> String {
    match class {
        KeyServiceFailure::Denied => {
            "; check the token or role, and that its policy allows this path".to_owned()
        }
        KeyServiceFailure::NotFound => {
            format!(
                "; make it with: vault write -f {} type=aes256-gcm96 derived=true",
                keys_path(key)
            )
        }
        KeyServiceFailure::Misconfigured => {
            "; check the mount, the namespace, and that the key is derived and can encrypt"
                .to_owned()
        }
        KeyServiceFailure::WrapWithdrawn => {
            "; lower the key's min_decryption_version, if it was raised too early".to_owned()
        }
        KeyServiceFailure::KeyUnusable => {
            "; unless its end is meant, restore the key to use it again".to_owned()
        }
        _ => String::new(),
    }
}

/// `mount/keys/name` for the key `mount/name`.
fn keys_path(key: &str) -> String {
    match key.rsplit_once('/') {
        Some((mount, name)) => format!("{mount}/keys/{name}"),
        None => format!("transit/keys/{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_decisions_and_forgeries_are_told_apart() {
        use KeyServiceFailure as Class;
        for (status, errors, expected) in [
            (400, "encryption key not found", Class::NotFound),
            (400, "cipher: message authentication failed", Class::Refused),
            (400, "invalid ciphertext: no prefix", Class::Refused),
            (
                400,
                "ciphertext or signature version is disallowed by policy (too old)",
                Class::WrapWithdrawn,
            ),
            (400, "key is soft-deleted", Class::KeyUnusable),
            (
                400,
                "missing 'context' for key derivation; …",
                Class::Misconfigured,
            ),
            (403, "permission denied", Class::Denied),
            (
                404,
                "no handler for route \"x/decrypt/k\"",
                Class::Misconfigured,
            ),
            (404, "", Class::NotFound),
            (
                429,
                "request path \"…\": rate limit quota exceeded",
                Class::Throttled,
            ),
            (503, "Vault is sealed", Class::Unavailable),
            (500, "internal error", Class::Unavailable),
            (473, "", Class::Unavailable),
            (302, "", Class::Malformed),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(class(status, errors), expected, "{status} {errors}");
        }
    }
}
