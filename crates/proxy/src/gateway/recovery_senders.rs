//! What wraps working keys for offline recovery keys: that of the deployment, and those that domains have of their own.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
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
    if let Some(expected) = recovery.sender {
        ensure!(
            key.public() == expected,
            "{place} sender_key is another key than `sender` names, so the recovery key would open nothing that is wrapped with it: \
             give the gateways the sender key that `sealgate recovery init` wrote beside this recovery key"
        );
    }
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

#[cfg(test)]
mod tests {
    use sealgate_envelope::OsRandom;

    use super::*;

    #[test]
    fn a_sender_key_that_the_recovery_key_does_not_believe_is_refused() {
        let [ours, other] = [(); 2].map(|()| RecoverySenderKey::generate(&mut OsRandom).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("sender"), &*ours.to_text()).unwrap();
        std::fs::write(path("secret"), "a secret of the test").unwrap();
        let senders = |sender: RecoveryPublicKey| {
            let text = format!(
                "deployment = 'test'\n[listener]\naddress = '127.0.0.1:0'\n\
                 [upstream]\nendpoint = 'http://127.0.0.1:1'\nregion = 'us-east-1'\n\
                 [recovery]\npublic_key = '{}'\nsender_key = 'file:sender'\nsender = '{sender}'\n\
                 [[key_service]]\ntype = 'local'\nfile = 'key'\n\
                 [[identity]]\nname = 'test'\n\
                 [[identity.credential]]\naccess_key_id = 'client'\nsecret_access_key = 'file:secret'\n",
                other.public()
            );
            std::fs::write(path("sealgate.toml"), text).unwrap();
            let config = Config::load(&path("sealgate.toml")).unwrap();
            RecoverySenders::of(&Arc::new(config))
        };
        assert!(senders(ours.public()).is_ok());
        let error = senders(other.public()).unwrap_err().to_string();
        assert!(error.contains("sender_key is another key"), "{error}");
    }
}
