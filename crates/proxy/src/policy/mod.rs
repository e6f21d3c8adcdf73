//! Who may do what, and who may decrypt: one decision per object touched.
//!
//! [`Rights`] asks the policies of the configuration before anything else is done; without any, every identity may do everything to every bucket
//! but the state bucket. Nothing opens a key
//! without an [`UnwrapPermit`], and [`permit_open`] and [`permit_seal`] are the only places of the gateway that issue one, after the intent is
//! durable in the audit log, where there is one, and else is a log line.

mod anonymous;
mod asker;
mod needs;
mod rights;

pub use anonymous::{conceal_absence, is_public, permit_anonymous, refusal, strip_anonymous};
pub(crate) use asker::Audience;
pub use asker::Refusal;
pub use rights::Rights;

use sealgate_envelope::key_service::UnwrapPermit;

use crate::{
    audit::{DECRYPT, ENCRYPT, Trail},
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
    /// The request in the audit log.
    pub trail: &'a Trail,
}

/// What opens the keys of an object, now or once its intent is durable: a permit can be had no other way.
#[derive(Debug)]
pub enum Permission<'a> {
    /// Its intent is durable.
    Issued(UnwrapPermit),
    /// It is asked for when the storage has answered: a read may begin there while the intent is on its way to the disk.
    Intended(Intent<'a>),
}

/// Names that are no buckets for some storages: MinIO serves its administration under `/minio/`. Signed with our credentials, `DELETE
/// /minio/admin/v3/remove-user` is an operator's command and not the deletion of an object.
const NOT_BUCKETS: [&str; 1] = ["minio"];

/// Refuses what no client may touch: the bucket of our own records, and what a storage takes for something else than a bucket.
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
    if NOT_BUCKETS.contains(&bucket) {
        return Err(S3Error::access_denied(
            "Some storages serve their administration under the name of this bucket, so it is not served to clients. Use another name.",
        ));
    }
    Ok(())
}

/// Tells the audit log what was decided about a request, and hands the decision on.
pub(crate) fn recorded(
    decision: Result<(), S3Error>,
    rights: &Rights,
    trail: &Trail,
) -> Result<(), S3Error> {
    if !rights.decided_by().is_empty() {
        trail.decided_by(rights.decided_by().join(", "));
    }
    if decision.is_err() {
        trail.refuse();
    }
    decision
}

/// Decides whether an object may be decrypted, records the intent, and issues the permit once the record is durable.
///
/// # Errors
///
/// `ServiceUnavailable` where the intent can't be recorded.
pub async fn permit_open(intent: &Intent<'_>) -> Result<UnwrapPermit, S3Error> {
    record(intent, DECRYPT).await?;
    Ok(issue(intent))
}

/// Decides whether an object's keys may be opened to write to it (a part of an open upload, say), records the intent, and issues the permit.
///
/// # Errors
///
/// As [`permit_open`].
pub async fn permit_seal(intent: &Intent<'_>) -> Result<UnwrapPermit, S3Error> {
    record(intent, ENCRYPT).await?;
    Ok(issue(intent))
}

/// For `sealgate check`: the key that is opened was made for the purpose by the same process, and protects nothing.
#[expect(clippy::disallowed_methods, reason = "reveals nothing that is stored")]
pub fn permit_self_check() -> UnwrapPermit {
    UnwrapPermit::issue("self-check of a key service")
}

/// For the secrets of access keys, which a gateway needs before anybody can ask it for anything: no object is sealed under their working keys.
#[expect(
    clippy::disallowed_methods,
    reason = "opens the secrets of clients, and nothing that they have stored"
)]
pub fn permit_credentials() -> UnwrapPermit {
    tracing::debug!(target: "sealgate::audit", "intent to open access keys");
    UnwrapPermit::issue("access keys of clients")
}

async fn record(intent: &Intent<'_>, action: &'static str) -> Result<(), S3Error> {
    if intent.trail.is_recorded() {
        let trail = intent.trail;
        return trail.intend(Some(action), intent.bucket, intent.key).await;
    }
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
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the gateway that may issue permits: the decision was made and recorded above"
)]
fn issue(intent: &Intent<'_>) -> UnwrapPermit {
    UnwrapPermit::issue(intent.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_our_records_nor_the_storages_administration_is_served() {
        assert!(guard_bucket("state", "state").is_err());
        assert!(guard_bucket("minio", "state").is_err());
        assert!(guard_bucket("minio-data", "state").is_ok());
    }
}
