//! Who may do what, and who may decrypt: one decision per object touched.
//!
//! In this version every identity may do everything to every bucket but the state bucket; the shape is final all the same. Nothing opens a key
//! without an [`UnwrapPermit`], and [`permit_open`] and [`permit_seal`] are the only places of the gateway that issue one, after the intent has
//! been recorded (operators.md, "Audit": here a log line).

use sealgate_envelope::key_service::UnwrapPermit;

use crate::{
    auth::{Authenticated, Caller},
    error::S3Error,
};

/// What is about to be done to one object.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// Who.
    pub caller: &'a Authenticated<Caller>,
    /// The S3 operation.
    pub operation: &'static str,
    /// The bucket.
    pub bucket: &'a str,
    /// The decoded key.
    pub key: &'a str,
    /// The request's id.
    pub request_id: &'a str,
}

/// Refuses what no client may touch: the bucket of our own records.
///
/// # Errors
///
/// `AccessDenied`.
pub fn guard_bucket(bucket: &str, state_bucket: &str) -> Result<(), S3Error> {
    if bucket == state_bucket {
        return Err(S3Error::access_denied(
            "This bucket holds the gateway's own records and is not served to clients.",
        ));
    }
    Ok(())
}

/// Decides whether an object may be decrypted, records the intent, and issues the permit.
pub fn permit_open(intent: &Intent<'_>) -> UnwrapPermit {
    record(intent, "decrypt");
    issue(intent)
}

/// Decides whether an object's keys may be opened to write to it (a part of an open upload, say), records the intent, and issues the permit.
pub fn permit_seal(intent: &Intent<'_>) -> UnwrapPermit {
    record(intent, "encrypt");
    issue(intent)
}

/// For `sealgate check`: the key that is opened was made for the purpose by the same process, and protects nothing.
#[expect(clippy::disallowed_methods, reason = "reveals nothing that is stored")]
pub fn permit_self_check() -> UnwrapPermit {
    UnwrapPermit::issue("self-check of a key service")
}

fn record(intent: &Intent<'_>, action: &'static str) {
    tracing::debug!(
        target: "sealgate::audit",
        request_id = intent.request_id,
        identity = %intent.caller.identity,
        operation = intent.operation,
        bucket = intent.bucket,
        key = intent.key,
        action,
        "intent"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the gateway that may issue permits: the decision was made and recorded above"
)]
fn issue(intent: &Intent<'_>) -> UnwrapPermit {
    UnwrapPermit::issue(intent.request_id)
}
