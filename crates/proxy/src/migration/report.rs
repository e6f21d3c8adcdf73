//! What became of each object, and of all of them together.

use crate::error::S3Error;

/// Failures that are kept in a report; more are only counted.
const MAXIMUM_NAMED_FAILURES: usize = 10_000;

/// What became of one object or version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was sealed, or would be: so many bytes of plaintext.
    Sealed(u64),
    /// It was sealed before.
    AlreadySealed,
    /// An older version in the clear was removed, because the next newer one is the same, sealed; or because that was asked for.
    Removed,
    /// An older version in the clear, of its own content, was left.
    ClearVersion,
    /// It is in the clear. Said by a check only.
    Clear(u64),
    /// It was deleted meanwhile.
    Gone,
}

/// Why an object was not sealed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The cause.
    pub cause: String,
    /// The fix.
    pub fix: &'static str,
}

impl Failure {
    /// A failure with its fix.
    pub fn new(cause: impl Into<String>, fix: &'static str) -> Self {
        Self {
            cause: cause.into(),
            fix,
        }
    }
}

/// What helps against most failures.
pub(super) const RUN_AGAIN: &str =
    "run the command again: what is done is skipped, and nothing is lost";

/// What there is to know where no key of the command has wrapped an object's key: running it again changes nothing.
const NO_KEY: &str = "no key of this command has wrapped it, as its header says: with a recovery key, its domain may have none (`recovery = false`) or another one, or its registry record is missing; with key services, name the one that wrapped it. If its domain was destroyed with `keys shred`, it stays closed";

/// What there is to do where a key service refuses a key.
const REFUSED: &str = "compare `deployment` and the name of the [[domain]] in the configuration with those that it was sealed under; if they are right, its header or record was altered where it is stored: restore it from a backup";

/// What there is to do about what does not verify, whether it lies at a storage or in files.
const DAMAGED: &str = "it was altered, cut or lost where it is stored: restore it from a backup or another copy, or take an older version of it, and run the command again";

impl From<S3Error> for Failure {
    fn from(error: S3Error) -> Self {
        // What clients are told of it says nothing to operators.
        if error.is_about_stored_data && !error.lacks_key {
            let fix = if error.is_refused_wrap {
                REFUSED
            } else {
                DAMAGED
            };
            let cause = error.detail.clone();
            return Self::new(cause.unwrap_or_else(|| error.to_string()), fix);
        }
        if error.lacks_key {
            let cause = error.detail.clone();
            return Self::new(cause.unwrap_or_else(|| error.to_string()), NO_KEY);
        }
        let fix = match &*error.code {
            "MetadataTooLarge" => {
                "shorten its user metadata: about 1,200 bytes of it fit into a sealed header"
            }
            "EntityTooLarge" => {
                "copy it through the gateway into a new bucket, while no client writes it"
            }
            "InvalidObjectState" => {
                "restore it from its archive, copy it into another storage class, and run the command again"
            }
            "AccessDenied" => {
                "let the gateway's credentials for the storage read, write, tag and delete here, and run the command again"
            }
            "InvalidArgument" => "change what the message names, and run the command again",
            // All that a HEAD says of an object that is encrypted with a client's own key: 400.
            "InvalidRequest" | "UpstreamError" if error.status.is_client_error() => {
                "read it with what it was written with, a key of the client's own perhaps, and upload it through the gateway"
            }
            _ => RUN_AGAIN,
        };
        Self::new(error.to_string(), fix)
    }
}

/// A failure with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFailure {
    /// The decoded key.
    pub key: String,
    /// The version, where the bucket has versions.
    pub version_id: Option<String>,
    /// What happened.
    pub failure: Failure,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Objects that were sealed, or would be.
    pub sealed: u64,
    /// Bytes of plaintext of these.
    pub bytes: u64,
    /// Objects and versions that were sealed before.
    pub already_sealed: u64,
    /// Older versions in the clear that were removed, or would be.
    pub removed_versions: u64,
    /// Older versions in the clear that are left.
    pub clear_versions: u64,
    /// Objects in the clear that are left: what a check found.
    pub clear: u64,
    /// Objects that were deleted meanwhile.
    pub gone: u64,
    /// How many failed.
    pub failed: u64,
    /// The first of those, each with cause and fix.
    pub failures: Vec<NamedFailure>,
}

impl Report {
    /// Takes in one outcome.
    pub fn add(&mut self, key: &str, version_id: Option<&str>, outcome: Result<Outcome, Failure>) {
        match outcome {
            Ok(Outcome::Sealed(bytes)) => {
                self.sealed += 1;
                self.bytes += bytes;
            }
            Ok(Outcome::AlreadySealed) => self.already_sealed += 1,
            Ok(Outcome::Removed) => self.removed_versions += 1,
            Ok(Outcome::ClearVersion) => self.clear_versions += 1,
            Ok(Outcome::Clear(bytes)) => {
                self.clear += 1;
                self.bytes += bytes;
            }
            Ok(Outcome::Gone) => self.gone += 1,
            Err(failure) => {
                self.failed += 1;
                if self.failures.len() < MAXIMUM_NAMED_FAILURES {
                    self.failures.push(NamedFailure {
                        key: key.to_owned(),
                        version_id: version_id.map(str::to_owned),
                        failure,
                    });
                }
            }
        }
    }

    /// Whether nothing is left in the clear where this looked.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.clear == 0 && self.clear_versions == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_to_operators_with_what_to_do() {
        let damaged = Failure::from(S3Error::stored_data("the file is cut short"));
        assert_eq!(damaged.cause, "the file is cut short");
        assert!(
            damaged.fix.contains("restore it from a backup"),
            "{damaged:?}"
        );
        let refused = Failure::from(S3Error::refused_wrap("InvalidCiphertextException"));
        assert!(refused.fix.contains("`deployment`"), "{refused:?}");
        let away = Failure::from(S3Error::unavailable("x", "y"));
        assert_eq!(away.fix, RUN_AGAIN);
    }

    #[test]
    fn a_report_is_complete_only_when_nothing_is_left_in_the_clear() {
        let mut report = Report::default();
        report.add("a", None, Ok(Outcome::Sealed(5)));
        report.add("b", None, Ok(Outcome::AlreadySealed));
        assert!(report.is_complete());
        for left in [
            Ok(Outcome::Clear(1)),
            Ok(Outcome::ClearVersion),
            Err(Failure::new("x", RUN_AGAIN)),
        ] {
            let mut report = report.clone();
            report.add("c", Some("v"), left);
            assert!(!report.is_complete());
        }
    }

    #[test]
    fn metadata_that_does_not_fit_has_a_fix_of_its_own() {
        let error = S3Error::new(
            http::StatusCode::BAD_REQUEST,
            "MetadataTooLarge",
            "too large",
        );
        assert!(Failure::from(error).fix.contains("shorten"));
        assert_eq!(Failure::from(S3Error::internal("x")).fix, RUN_AGAIN);
        let lacking = Failure::from(S3Error::key_not_configured("no key has it"));
        assert_eq!(
            (lacking.cause.as_str(), lacking.fix),
            ("no key has it", NO_KEY)
        );
    }
}
