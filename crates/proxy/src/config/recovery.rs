//! `[recovery]`: the offline key that opens everything on the day when no key service is left.

use sealgate_envelope::key_service::recovery::RecoveryPublicKey;

use super::secret::{Secret, Surroundings};
use super::table::Table;

/// For whom working keys are wrapped beside the key services, and as whom.
#[derive(Clone, Debug)]
pub struct RecoveryConfig {
    /// The public part of the recovery key; its private part is offline.
    pub public_key: RecoveryPublicKey,
    /// What proves to the recovery key that this deployment wrapped. It opens nothing.
    pub sender_key: Secret,
}

pub(super) fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<RecoveryConfig> {
    let public_key = table
        .require_text(
            "public_key",
            "public_key = \"KEY\"; `sealgate recovery init` prints it",
        )
        .and_then(|value| match value.text()?.parse() {
            Ok(key) => Some(key),
            Err(_) => value.problem(
                "not a public key",
                "write the 43 characters that `sealgate recovery init` printed",
            ),
        });
    let sender_key = table
        .require_text("sender_key", "sender_key = \"file:PATH\" or \"env:NAME\"")
        .and_then(|value| surroundings.secret(&value));
    table.finish();
    Some(RecoveryConfig {
        public_key: public_key?,
        sender_key: sender_key?,
    })
}
