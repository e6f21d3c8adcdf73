//! Permits of commands that are not recorded: `sealgate open` without a configuration, and therefore without an audit log, and `recovery copy`,
//! which opens nothing.

use sealgate_envelope::key_service::UnwrapPermit;

/// A permit to open a file that its user hands over, by a key that the user names: the command line is the decision.
///
/// Nothing that has a configuration may use it: requests get theirs from [`crate::policy`], commands by a record (`recorded`).
#[expect(
    clippy::disallowed_methods,
    reason = "for files of the user's own, outside of any deployment"
)]
pub(super) fn for_own_file(command: &str) -> UnwrapPermit {
    tracing::debug!(target: "sealgate::audit", "intent");
    UnwrapPermit::issue(command)
}

/// A permit for a reader without keys, which copies what is stored as it is: there is nothing that it could open.
#[expect(
    clippy::disallowed_methods,
    reason = "handed to a reader that has no key service"
)]
pub(super) fn for_no_keys(command: &str) -> UnwrapPermit {
    UnwrapPermit::issue(command)
}

/// A permit for `sealgate keys shred`, whose whole run is recorded before it looks at anything (`shred::run`).
#[expect(
    clippy::disallowed_methods,
    reason = "the run is recorded before anything of it is done"
)]
pub(super) fn for_shredding(command: &str) -> UnwrapPermit {
    UnwrapPermit::issue(command)
}
