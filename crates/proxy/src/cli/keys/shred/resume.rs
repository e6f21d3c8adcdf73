//! What has become of the keys of an order that is gone on with. Nothing is taken for destroyed because it is not found: only
//! what a service has confirmed to us counts, or what the operator says, which the certificate calls so.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::local::LocalKeyService;

use super::carry_out::Work;
use super::destroy::{self, Condition};
use super::known::{self, RecoveryFile};
use super::order::Order;
use super::plan::{KeyState, PlannedKey};
use super::report;
use crate::cli::passphrase::PassphraseArgument;
use crate::config::Config;

/// What a key of the order shows of itself now.
pub(super) async fn condition_of(
    config: &Config,
    passphrase: &PassphraseArgument,
    order: &Order,
    services: &[Arc<dyn KeyService>],
    key: &PlannedKey,
) -> Condition {
    if let Some(file) = key.file(config, order.recovery_key.as_ref()) {
        return destroy::condition_of_file(&file, || match &key.chosen.key_service {
            Some(_) => LocalKeyService::is_in_file(&file, &key.chosen.full_name),
            None => known::open_recovery(&file, passphrase, config)
                .and_then(|key| RecoveryFile::of(&key))
                .is_ok_and(|file| file.name == key.chosen.key),
        });
    }
    let place = key.chosen.key_service.as_deref();
    let place = place.and_then(|name| config.key_service_place(name));
    match place.and_then(|place| services.get(place)) {
        Some(service) => destroy::condition(service.as_ref(), &key.chosen).await,
        None => Condition::Unknown("no key service of the configuration has its name".to_owned()),
    }
}

impl Work<'_> {
    /// Finds out what has become of each key that may be gone. Afterwards no answer is open: a key that can be used is one of
    /// which nothing was asked, so that everything is looked at again before it is.
    ///
    /// # Errors
    ///
    /// Where nobody can tell, with the ways out.
    pub(super) async fn find_out(&self, order: &mut Order) -> anyhow::Result<()> {
        for place in 0..order.plan()?.keys.len() {
            let key = order.planned(place)?.clone();
            if key.may_be_gone() {
                self.find_out_about(order, place, &key).await?;
            }
        }
        // What the operator says of keys that nobody has asked for counts where others are gone, and no look can tell any more.
        for place in 0..order.plan()?.keys.len() {
            let key = order.planned(place)?.clone();
            if order.is_begun() && !key.may_be_gone() && order.stated.contains(&key.chosen.key) {
                self.find_out_about(order, place, &key).await?;
            }
        }
        Ok(())
    }

    async fn find_out_about(
        &self,
        order: &mut Order,
        place: usize,
        key: &PlannedKey,
    ) -> anyhow::Result<()> {
        let file = key.file(self.config, order.recovery_key.as_ref());
        if matches!(key.state, KeyState::Destroyed(_)) && file.is_none() {
            // Its service is asked before anything is certified.
            return Ok(());
        }
        // Of all, and not by way of a client that stands for one that is gone.
        let services = known::key_services(self.config, Some(&order.plan()?.as_planned())).await?;
        let found = condition_of(self.config, self.passphrase, order, &services, key).await;
        let (name, full_name) = (key.chosen.service(), &key.chosen.full_name);
        let is_stated = order.stated.contains(&key.chosen.key);
        match (&key.state, found) {
            (state, Condition::Usable) => {
                report::tell(&format!(
                    "{name}: {full_name} can be used, so it is not destroyed"
                ));
                if !matches!(state, KeyState::Planned | KeyState::Refused(_)) {
                    order.progress.unsettle();
                }
                order.stated.retain(|stated| *stated != key.chosen.key);
                self.set(order, place, KeyState::Planned)
            }
            // Written down when it was confirmed.
            (KeyState::Destroyed(_) | KeyState::Overwritten, _) => Ok(()),
            (_, Condition::Going) => {
                let gateway = self.gateway(order).await?;
                self.ask_to_destroy(order, place, key, &gateway).await
            }
            (KeyState::Asked, Condition::Zeros) => {
                let file = file.context("zeros without a file")?;
                self.destroy_file(order, place, &file, &mut None)
            }
            (KeyState::Stated, _) => Ok(()),
            (_, Condition::Missing | Condition::Unknown(_)) if is_stated => {
                self.set(order, place, KeyState::Stated)
            }
            (KeyState::Asked, found) => bail!("{}", not_known(order, key, &found)),
            (KeyState::Planned | KeyState::Refused(_), _) => Ok(()),
        }
    }
}

/// What is said of a key whose destruction was asked for, and of which nobody can tell what came of it.
fn not_known(order: &Order, key: &PlannedKey, found: &Condition) -> String {
    format!(
        "the destruction of the key of {} was asked for, and whether that was heard is not known: {found}. Until it is, nothing else is done. Run this again with what it began with: the same account, token and server, and the medium of a key file; as soon as {} is said to be usable, everything is looked at again, and --cancel {} works. If you know that it is destroyed, with all copies, run `sealgate keys shred --domain {} --destroyed '{}'`: the certificate says that it is not confirmed",
        key.chosen.service(),
        key.chosen.full_name,
        order.domain,
        order.domain,
        key.chosen.key
    )
}
