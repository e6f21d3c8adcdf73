//! The recovery key of a file, for the commands that use it.

use std::path::Path;

use anyhow::ensure;
use sealgate_envelope::key_service::recovery::RecoveryKey;

use super::passphrase::PassphraseArgument;
use crate::config::Config;

/// Opens the file, with its passphrase where it is sealed.
pub(super) fn open(file: &Path, passphrase: &PassphraseArgument) -> anyhow::Result<RecoveryKey> {
    let passphrase = passphrase.of_file(file, RecoveryKey::is_sealed(file)?)?;
    Ok(RecoveryKey::open(file, passphrase.as_ref())?)
}

/// That the key is that of the configuration's deployment.
///
/// # Errors
///
/// When it is that of another one.
pub(super) fn require_deployment(key: &RecoveryKey, config: &Config) -> anyhow::Result<()> {
    ensure!(
        key.deployment() == config.deployment,
        "the recovery key is of deployment {}, the configuration of {}",
        key.deployment(),
        config.deployment
    );
    Ok(())
}
