//! What wraps working keys for offline recovery keys: that of the deployment, and those that domains have of their own.

use std::sync::Arc;

use anyhow::Context as _;
use sealgate_envelope::{
    Result, WorkingKey, Wrap,
    key_service::{
        EncryptionContext,
        recovery::{RecoveryPublicKey, RecoverySender, RecoverySenderKey},
    },
    keyring::RecordWrapper,
};

use crate::config::{Config, RecoveryConfig};

/// One sender for each recovery key of the configuration, found by the domain of what is wrapped.
#[derive(Debug)]
pub(crate) struct RecoverySenders {
    config: Arc<Config>,
    senders: Vec<(RecoveryPublicKey, RecoverySender)>,
}

impl RecoverySenders {
    /// Reads all sender keys.
    ///
    /// # Errors
    ///
    /// Which of them is none.
    pub(crate) fn of(config: &Arc<Config>) -> anyhow::Result<Self> {
        let mut senders: Vec<(RecoveryPublicKey, RecoverySender)> = Vec::new();
        let of_deployment = config.recovery.iter().map(|own| ("[recovery]", own));
        let of_domains = config.domains.iter().filter_map(|rule| {
            let own = rule.recovery.as_ref()?;
            Some(("[[domain]] recovery", own))
        });
        for (place, recovery) in of_deployment.chain(of_domains) {
            if senders.iter().any(|(key, _)| *key == recovery.public_key) {
                continue;
            }
            senders.push((recovery.public_key, sender(config, place, recovery)?));
        }
        Ok(Self {
            config: Arc::clone(config),
            senders,
        })
    }

    /// What wraps for the recovery key of a domain; none where it has none.
    pub(crate) fn of_domain(&self, name: &str) -> Option<&RecoverySender> {
        let wanted = self.config.recovery_of_domain(name)?.public_key;
        let mut senders = self.senders.iter();
        senders
            .find(|(key, _)| *key == wanted)
            .map(|(_, sender)| sender)
    }
}

fn sender(
    config: &Config,
    place: &str,
    recovery: &RecoveryConfig,
) -> anyhow::Result<RecoverySender> {
    let key = RecoverySenderKey::from_text(recovery.sender_key.expose())
        .with_context(|| format!("{place} sender_key"))?;
    Ok(RecoverySender::new(
        recovery.public_key,
        key,
        config.deployment.as_str(),
    )?)
}

impl RecordWrapper for RecoverySenders {
    fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Option<Wrap>> {
        self.of_domain(context.domain().as_str())
            .map(|sender| sender.wrap(context, working_key))
            .transpose()
    }
}
