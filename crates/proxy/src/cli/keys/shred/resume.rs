//! What has become of the keys of an order that is gone on with. Nothing is taken for destroyed because it is not found: only
//! what a service has confirmed to us counts, or what the operator says, which the certificate calls so.

use std::sync::Arc;

use anyhow::{bail, ensure};
use sealgate_envelope::key_service::KeyService;

use super::carry_out::Work;
use super::destroy::{self, Condition};
use super::fate::{self, Next};
use super::known::{self, RecoveryFile};
use super::moment::Moment;
use super::order::Order;
use super::plan::{KeyState, PlannedKey};
use crate::cli::passphrase::PassphraseArgument;
use crate::config::Config;
use crate::scan::key_name::KeyName;

/// What a key of the order shows of itself now. Only asks.
pub(super) async fn condition_of(
    config: &Config,
    passphrase: &PassphraseArgument,
    order: &Order,
    services: &[Arc<dyn KeyService>],
    key: &PlannedKey,
) -> Condition {
    if let Some(file) = key.file(config, order.recovery_key.as_ref()) {
        return destroy::condition_of_file(&file, || {
            if key.chosen.key_service.is_some() {
                return destroy::content_of_key_file(&file, &key.chosen.full_name);
            }
            let opened = known::open_recovery(&file, passphrase, config)
                .and_then(|opened| RecoveryFile::of(&opened));
            match opened {
                Ok(found) if found.name == key.chosen.key => Condition::Usable,
                Ok(found) => Condition::Other(found.name.to_string()),
                // Without its passphrase it may be the key, whole.
                Err(error) => Condition::Unknown(format!(
                    "{} is there, and cannot be opened to see whether it is the key: {error:#}",
                    file.display()
                )),
            }
        });
    }
    let place = key.chosen.key_service.as_deref();
    let place = place.and_then(|name| config.key_service_place(name));
    match place.and_then(|place| services.get(place)) {
        Some(service) => destroy::condition(service.as_ref(), &key.chosen).await,
        None => Condition::Unknown("no key service of the configuration has its name".to_owned()),
    }
}

/// Writes down in the order what a key shows of itself: the state that follows, and, where that is not the straight course, why
/// a person has to confirm whatever is destroyed from now on. Returns that cause.
pub(super) fn learn(
    order: &mut Order,
    place: usize,
    found: &Condition,
) -> anyhow::Result<Option<String>> {
    let key = order.planned(place)?.clone();
    let is_stated = order.stated.contains(&key.chosen.key);
    let cause = (!fate::is_on_course(&key, found, is_stated)).then(|| deviation(&key, found));
    if let Some(cause) = &cause {
        order.mark(cause);
    }
    let state = match fate::next(&key, found, is_stated) {
        Next::Keep | Next::Stop => key.state.clone(),
        Next::Planned => KeyState::Planned,
        Next::Going(deletion) => KeyState::Destroyed(destroy::going(&key.chosen, &deletion)),
        Next::ByWord => KeyState::ByWord(fate::history(&key)),
    };
    let planned = order.planned(place)?;
    planned.was_asked = key.was_asked_for();
    planned.was_stated |= is_stated;
    let is_to_go = state == KeyState::Planned && *found != Condition::Usable;
    planned.shown = is_to_go.then(|| found.to_string());
    planned.state = state;
    Ok(cause)
}

/// Drops the words of the operator about keys that show themselves. After all keys were looked at, since two may have one name.
pub(super) fn drop_words(order: &mut Order, shown: &[KeyName]) {
    order.stated.retain(|stated| !shown.contains(stated));
}

/// What is said of a key that is not on the straight course.
fn deviation(key: &PlannedKey, found: &Condition) -> String {
    let (service, full_name) = (key.chosen.service(), &key.chosen.full_name);
    let what = match (&key.state, found) {
        (KeyState::Destroyed(_), Condition::Usable | Condition::Disabled) => {
            format!(
                "its deletion was confirmed, and now {found}: somebody has taken the deletion back"
            )
        }
        (KeyState::Planned, Condition::Disabled) if !key.was_ever_asked() => {
            format!("{found}: somebody may want to keep it")
        }
        (KeyState::Planned, Condition::Usable) if !key.was_ever_asked() => {
            format!("the operator has stated that it is destroyed, and {found}")
        }
        (_, Condition::Usable | Condition::Disabled) => format!(
            "{}; now {found}: nobody has heard, or somebody has brought it back",
            fate::history(key)
        ),
        (KeyState::Destroyed(destroyed), Condition::Going(_)) => format!(
            "{found}, and {} is written down: somebody has taken the deletion back and given it again",
            destroyed.final_from
        ),
        (_, Condition::Going(_)) => format!("{}; now {found}", fate::history(key)),
        _ => format!(
            "{}, and nobody can tell what it is now: {found}",
            fate::history(key)
        ),
    };
    format!("{service}: {full_name}: {what}")
}

impl Work<'_> {
    /// Finds out what each key of the order is now, and writes it down. Afterwards no answer is open.
    ///
    /// # Errors
    ///
    /// Where nobody can tell; and, unless a person is asked in this run, where any key is not on the straight course.
    pub(super) async fn find_out(&self, order: &mut Order) -> anyhow::Result<()> {
        // Of all, and not by way of a client that stands for one that is gone.
        let services = known::key_services(self.config, Some(&order.plan()?.as_planned())).await?;
        let (mut stop, mut shown) = (None, Vec::new());
        for place in 0..order.plan()?.keys.len() {
            let key = order.planned(place)?.clone();
            let found = condition_of(self.config, self.passphrase, order, &services, &key).await;
            let is_stated = order.stated.contains(&key.chosen.key);
            if fate::next(&key, &found, is_stated) == Next::Stop {
                stop = stop.or_else(|| Some(not_known(order, &key, &found)));
            }
            if learn(order, place, &found)?.is_some() {
                self.save(order)?;
            }
            if found.is_shown() {
                shown.push(key.chosen.key);
            }
        }
        drop_words(order, &shown);
        self.require_straight_course(order)?;
        match stop {
            Some(cause) => bail!("{cause}"),
            None => self.save(order),
        }
    }

    /// That nothing of the order needs a person, unless one is asked in this run.
    pub(super) fn require_straight_course(&self, order: &Order) -> anyhow::Result<()> {
        let needed = order.progress.needs_confirmation.as_ref();
        ensure!(
            needed.is_none() || self.confirm.is_some(),
            "{}",
            to_confirm(order)
        );
        Ok(())
    }
}

/// What is said where a person is needed.
pub(super) fn to_confirm(order: &Order) -> String {
    let cause = order.progress.needs_confirmation.as_deref();
    // What may be destroyed in part cannot be confirmed for a time to come.
    let when = if order.is_begun() && order.waits() {
        format!("from {} on ", order.not_before)
    } else {
        String::new()
    };
    format!(
        "{}. A timer destroys nothing against that: {when}run `sealgate keys shred --domain {domain} --confirm {domain}`, which finds out what each key is, looks again, and shows what would be destroyed. {}",
        cause.unwrap_or_default(),
        ways_out(order),
        domain = order.domain
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
    format!(
        "the key of {}: {}; what it is now cannot be found out: {found}. Until it is, nothing else is done. Run this again with what it began with: the same account, token and server, and the medium and the passphrase of a key file. If you know that it is destroyed, with all copies, run `sealgate keys shred --domain {domain} --destroyed '{}'`: the certificate says that it is not confirmed",
        chosen.service(),
        fate::history(key),
        chosen.key
    )
}
