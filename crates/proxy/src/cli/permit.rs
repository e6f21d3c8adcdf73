//! Permits for commands that an operator runs by hand.

use sealgate_envelope::key_service::UnwrapPermit;

/// A permit for a command that opens only what its user hands it: the command line is the decision and the record.
///
/// Nothing that serves requests may use it; requests get theirs from [`crate::policy`].
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the command line that issues permits"
)]
pub(super) fn for_command(command: &str) -> UnwrapPermit {
    tracing::debug!(target: "sealgate::audit", command, "intent");
    UnwrapPermit::issue(command)
}
