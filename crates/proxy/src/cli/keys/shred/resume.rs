//! What has become of the keys of an order that is gone on with. Nothing is taken for destroyed because it is not found: only
//! what a service has confirmed to us counts, or what the operator says, which the certificate calls so.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::local::LocalKeyService;

use super::carry_out::Work;
use super::destroy::{self, Condition};
use super::fate::{self, Circumstances, Next};
use super::known::{self, RecoveryFile};
use super::moment::Moment;
use super::order::Order;
use super::plan::{KeyState, PlannedKey};
use super::report;
use super::settle::CONSISTENCY;
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
        let mut cause = None;
        let found = destroy::condition_of_file(&file, || match &key.chosen.key_service {
            Some(_) => LocalKeyService::is_in_file(&file, &key.chosen.full_name),
            None => known::open_recovery(&file, passphrase, config)
                .and_then(|key| RecoveryFile::of(&key))
                .map_or_else(
                    |error| {
                        cause = Some(error);
                        false
                    },
                    |file| file.name == key.chosen.key,
                ),
        });
        return match (found, cause) {
            // Without its passphrase it may be the key, whole.
            (Condition::Unknown(_), Some(error)) => Condition::Unknown(format!(
                "{} is there, and cannot be opened to see whether it is the key: {error:#}. If another file lies there by now, move that away",
                file.display()
            )),
            (found, _) => found,
        };
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
    /// Where nobody can tell, or a deletion was taken back in its service; with the ways out.
    pub(super) async fn find_out(&self, order: &mut Order) -> anyhow::Result<()> {
        let is_confirmed = |key: &PlannedKey| {
            matches!(
                key.state,
                KeyState::Destroyed(_) | KeyState::OutOfReach(_) | KeyState::TakenBack(_)
            )
        };
        // What is still to go decides how much has to be known of what was confirmed; and what the operator says of keys that
        // nobody has asked for counts where others are gone, and no look can tell any more.
        let rounds: [&dyn Fn(&PlannedKey) -> bool; 3] = [
            &|key| key.was_ever_asked() && !is_confirmed(key),
            &is_confirmed,
            &|key| !key.was_ever_asked(),
        ];
        for is_of_round in rounds {
            for place in 0..order.plan()?.keys.len() {
                let key = order.planned(place)?.clone();
                let has_question = key.was_ever_asked() || order.stated.contains(&key.chosen.key);
                if order.is_begun() && is_of_round(&key) && has_question {
                    self.find_out_about(order, place, &key).await?;
                }
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
        // Of all, and not by way of a client that stands for one that is gone.
        let services = known::key_services(self.config, Some(&order.plan()?.as_planned())).await?;
        let found = condition_of(self.config, self.passphrase, order, &services, key).await;
        let others_are_left = order.plan()?.keys.iter().any(|key| !key.may_be_gone());
        let circumstances = Circumstances {
            is_stated: order.stated.contains(&key.chosen.key),
            is_in_file: file.is_some(),
            others_are_left,
        };
        // What shows itself needs nobody's word.
        if matches!(found, Condition::Usable | Condition::Going) {
            order.stated.retain(|stated| *stated != key.chosen.key);
        }
        match fate::next(key, &found, circumstances) {
            Next::Keep => Ok(()),
            Next::PlanAgain => self.plan_again(order, place, key),
            Next::AskAgain => {
                // Whatever gateways have cached since, and a client that stands for it, counts no more.
                order.progress.unsettle();
                self.set_asked(order, place)?;
                let gateway = self.gateway(order).await?;
                self.ask_to_destroy(order, place, key, &gateway).await
            }
            Next::OverwriteAgain => {
                let file = file.context("zeros without a file")?;
                self.destroy_file(order, place, &file, &mut None)
            }
            Next::Confirmed => match &key.state {
                KeyState::OutOfReach(destroyed) | KeyState::TakenBack(destroyed) => {
                    order.progress.unsettle();
                    self.set(order, place, KeyState::Destroyed(destroyed.clone()))
                }
                _ => Ok(()),
            },
            Next::Stated => self.set(order, place, KeyState::Stated),
            Next::OutOfReach => match &key.state {
                KeyState::Destroyed(destroyed) => {
                    self.set(order, place, KeyState::OutOfReach(destroyed.clone()))
                }
                _ => Ok(()),
            },
            Next::TakenBack => self.is_taken_back(order, place, key, others_are_left),
            Next::Stop(found) => bail!("{}", not_known(order, key, &found)),
        }
    }

    /// Of a deletion that its service had confirmed, and of a key that can be used. Right after it was asked for, not all of
    /// AWS KMS may know: then, where nothing else is still to go, it is waited for.
    fn is_taken_back(
        &self,
        order: &mut Order,
        place: usize,
        key: &PlannedKey,
        others_are_left: bool,
    ) -> anyhow::Result<()> {
        let is_fresh = match &key.state {
            KeyState::Destroyed(destroyed) => destroyed.done.after(CONSISTENCY) > Moment::now(),
            _ => false,
        };
        if is_fresh && !others_are_left && order.progress.settled.is_none() {
            return Ok(());
        }
        self.note_taken_back(order, Some(place))?;
        bail!("{}", taken_back(order, Some(place), CAN_BE_USED))
    }

    /// Writes down that a deletion was taken back: later runs, which may hear nothing of the key, must not forget it.
    pub(super) fn note_taken_back(
        &self,
        order: &mut Order,
        place: Option<usize>,
    ) -> anyhow::Result<()> {
        if let Some(place) = place {
            let key = order.planned(place)?;
            if let KeyState::Destroyed(destroyed) | KeyState::OutOfReach(destroyed) = &key.state {
                key.state = KeyState::TakenBack(destroyed.clone());
            }
        }
        order.progress.unsettle();
        self.save(order)
    }

    /// With a key that was asked for, or destroyed, and can be used: somebody has brought it back, or nobody has heard.
    fn plan_again(&self, order: &mut Order, place: usize, key: &PlannedKey) -> anyhow::Result<()> {
        let (service, full_name) = (key.chosen.service(), &key.chosen.full_name);
        order.progress.unsettle();
        order.planned(place)?.was_asked = true;
        self.set(order, place, KeyState::Planned)?;
        let domain = &order.domain;
        ensure!(
            self.is_attended,
            "{service}: {full_name} can be used, although its destruction was asked for before: nobody has heard, or somebody has brought it back. A timer destroys nothing against that: confirm the order once more, with --domain {domain} --confirm {domain}, or end it with --cancel {domain}"
        );
        report::tell(&format!(
            "{service}: {full_name} can be used, so it is not destroyed"
        ));
        Ok(())
    }
}

/// What is wrong with a key that was destroyed.
const CAN_BE_USED: &str = "its service says that the key can still be used";

/// What is said where a deletion was confirmed, and the key in this place, or an object, opens.
pub(super) fn taken_back(order: &Order, place: Option<usize>, cause: &str) -> String {
    let keys = order.progress.plan.iter().flat_map(|plan| &plan.keys);
    let key = place.and_then(|place| keys.clone().nth(place));
    let of_key = key.map(|key| {
        let (service, full_name) = (key.chosen.service(), &key.chosen.full_name);
        format!("{service}: {full_name}: ")
    });
    format!(
        "{}{cause}, and its deletion was confirmed before: somebody has taken the deletion back in the key service, or, if it was asked for only minutes ago, not all of the service knows of it yet. Nothing more is destroyed against that. Have the key deleted there and run this again. {}",
        of_key.unwrap_or_default(),
        ways_out(order)
    )
}

/// How an order can be ended of which a part is destroyed, or going to be.
pub(super) fn ways_out(order: &Order) -> String {
    let domain = &order.domain;
    let keys = order.progress.plan.iter().flat_map(|plan| &plan.keys);
    let scheduled = keys.filter_map(|key| match &key.state {
        KeyState::Destroyed(destroyed) if destroyed.final_from > Moment::now() => {
            Some(key.chosen.full_name.as_str())
        }
        _ => None,
    });
    let scheduled = scheduled.collect::<Vec<_>>().join(", ");
    if scheduled.is_empty() {
        format!("Or end the order with --cancel {domain}: what is destroyed stays so")
    } else {
        format!(
            "Or end the order: take back in its service what is scheduled still (of {scheduled}), and then --cancel {domain}; what is destroyed otherwise stays so"
        )
    }
}

/// What is said of a key of which nobody can tell what came of its destruction.
fn not_known(order: &Order, key: &PlannedKey, found: &Condition) -> String {
    let (domain, chosen) = (&order.domain, &key.chosen);
    let what = match &key.state {
        KeyState::Asked => "was asked for, and whether that was heard is not known",
        _ => "was confirmed, and whether it was taken back since cannot be found out",
    };
    format!(
        "the destruction of the key of {} {what}: {found}. Until it is, nothing else is done. Run this again with what it began with: the same account, token and server, and the medium of a key file; if {} can be used then, everything is looked at again. If you know that it is destroyed, with all copies, run `sealgate keys shred --domain {domain} --destroyed '{}'`: the certificate says that it is not confirmed",
        chosen.service(),
        chosen.full_name,
        chosen.key
    )
}
