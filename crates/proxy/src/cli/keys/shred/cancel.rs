//! `--cancel`: an order ended before its end, as taken back or, where something of it is gone for good, as given up.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};

use super::super::super::service::runtime;
use super::fate::{self, Cancellation, Fate};
use super::order::Order;
use super::orders::{Ending, Stored};
use super::plan::PlannedKey;
use super::{Run, known, report, resume};

impl Run<'_> {
    pub(super) fn cancel(&self, domain: &str) -> anyhow::Result<()> {
        let (_lock, key) = self.existing()?;
        let stored = self.orders.load(domain, &key.public()?)?;
        let mut order = match stored.with_context(|| format!("nothing is ordered for {domain}"))? {
            Stored::Order(order) => order,
            Stored::Ended(ended, path) => bail!("{}", report::ended(&ended, &path)),
        };
        // Whatever stops this run, no timer goes on with what somebody wants to end.
        order.mark("somebody wanted to end the order with --cancel, and could not");
        self.orders.save(&mut order, &key)?;
        for stated in &self.arguments.stated {
            let is_of_it = order.plan_or_keys().has(stated);
            ensure!(is_of_it, "--destroyed: the order is not for {stated}");
            order.stated.push(stated.clone());
        }
        if !order.is_begun() {
            // It is no matter what has become of its keys.
            self.orders.end(&order, Ending::TakenBack, &key)?;
            let text = format!(
                "the order for {domain} is taken back: by it nothing was asked of any key. What has become of them otherwise is not looked at here (`sealgate check`)"
            );
            let report = report::cancelled(domain, Ending::TakenBack, &[]);
            return self.print(&report, &text);
        }
        let keys = order.plan()?.keys.clone();
        let fates = runtime()?.block_on(self.fates(&mut order, &keys))?;
        let keys: Vec<(&PlannedKey, &Fate)> = keys.iter().zip(&fates).collect();
        let (how, mut text) = match fate::cancellation(&fates) {
            Cancellation::TakenBack => (Ending::TakenBack, taken_back(&order, &keys)),
            Cancellation::GivenUp => (Ending::GivenUp, given_up(&order, &keys)),
            // It can come to no other end: what was looked at before is not known any more.
            Cancellation::NothingLeft if !order.was_looked_at() => {
                (Ending::GivenUp, given_up(&order, &keys))
            }
            refused => {
                // Whatever was learnt stays known.
                let cause = cannot(&order, &keys, refused);
                self.orders.save(&mut order, &key)?;
                bail!("{cause}")
            }
        };
        self.orders.end(&order, how, &key)?;
        let deleted = order.progress.deleting.len();
        if deleted > 0 {
            // Writing to a String never fails.
            let _ = write!(
                text,
                ". The records of {deleted} working keys are deleted, and do not come back: objects whose headers carry no wrap by a key of today are lost; copy the others onto themselves, which gives them working keys with a record"
            );
        }
        self.print(&report::cancelled(domain, how, &keys), &text)
    }

    /// What has become of each key; it is written down in the order, too.
    async fn fates(&self, order: &mut Order, keys: &[PlannedKey]) -> anyhow::Result<Vec<Fate>> {
        let plan = order.plan()?;
        plan.check_places(&self.config)?;
        let passphrase = &self.arguments.passphrase;
        let services = known::key_services(&self.config, Some(&plan.as_planned())).await?;
        let (mut fates, mut shown) = (Vec::new(), Vec::new());
        for (place, key) in keys.iter().enumerate() {
            let found = resume::condition_of(&self.config, passphrase, order, &services, key).await;
            let is_stated = order.stated.contains(&key.chosen.key);
            resume::learn(order, place, &found)?;
            if found.is_shown() {
                shown.push(key.chosen.key.clone());
            }
            fates.push(fate::fate(key, found, is_stated));
        }
        resume::drop_words(order, &shown);
        Ok(fates)
    }
}

/// A key, as people are told of it.
fn shown(key: &PlannedKey) -> String {
    let chosen = &key.chosen;
    format!(
        "{}: {} ({})",
        chosen.service(),
        chosen.full_name,
        chosen.key
    )
}

fn taken_back(order: &Order, keys: &[(&PlannedKey, &Fate)]) -> String {
    let asked = match order.progress.asked {
        Some(asked) => format!("was asked for at {asked}"),
        None => "may have been asked for".to_owned(),
    };
    let mut text = format!(
        "the order for {} is taken back; none of its keys is destroyed, as their services say now. A destruction {asked}, and may be heard late: ask them again in some minutes (`sealgate check`)",
        order.domain
    );
    for (key, fate) in keys {
        if let Fate::Untouched(found) = fate {
            let _ = write!(
                text,
                ". Nothing was asked of {} by this order, and it cannot be used now: {found}",
                shown(key)
            );
        }
    }
    text
}

fn given_up(order: &Order, keys: &[(&PlannedKey, &Fate)]) -> String {
    let domain = &order.domain;
    let mut text = format!(
        "the order for {domain} is given up; there is no certificate, and nothing more is destroyed"
    );
    let mut gone = Vec::new();
    for (key, fate) in keys {
        // Writing to a String never fails.
        let _ = match fate {
            Fate::Gone(how) => {
                gone.push(format!("--destroyed '{}'", key.chosen.key));
                write!(text, "\n  gone for good: {}: {how}", shown(key))
            }
            Fate::Untouched(found) => write!(
                text,
                "\n  nothing was asked of it, and it cannot be used now: {}: {found}",
                shown(key)
            ),
            Fate::Usable | Fate::Going | Fate::Unknown(_) => {
                write!(
                    text,
                    "\n  there, and can be used or enabled: {}",
                    shown(key)
                )
            }
        };
    }
    let is_late =
        |(key, fate): &(&PlannedKey, &Fate)| **fate == Fate::Usable && key.was_ever_asked();
    if keys.iter().any(is_late) {
        text.push_str("\nthe destruction of a key that can be used was asked for, and may be heard late: ask its service again in some minutes (`sealgate check`)");
    }
    let _ = write!(
        text,
        "\nwhat a key that can be used has wrapped opens as before; what none of them has wrapped stays closed for ever. Take the keys that are gone out of the configuration (key_services, [[key_service]], recovery) of every gateway, restart them, and run `sealgate keys rewrap` and `sealgate verify --deep`. Another order for {domain} is given with {}",
        gone.join(" ")
    );
    text
}

/// Why an order cannot be ended now, and what to do.
fn cannot(order: &Order, keys: &[(&PlannedKey, &Fate)], why: Cancellation) -> String {
    let domain = &order.domain;
    let to_its_end = format!("run this again with --domain {domain}");
    let at = |place: usize| keys.get(place).copied();
    match why {
        Cancellation::StillGoing(place) => {
            let key = at(place).map(|(key, _)| shown(key)).unwrap_or_default();
            format!(
                "the order cannot be taken back while the deletion of {key} is scheduled. Within its waiting period `aws kms cancel-key-deletion` and `aws kms enable-key` take that back; then --cancel works. Else let the order come to its end: {to_its_end}"
            )
        }
        Cancellation::NotKnown(place) => {
            let (name, key, cause) = match at(place) {
                Some((key, Fate::Unknown(found))) => {
                    (key.chosen.key.to_string(), shown(key), found.to_string())
                }
                Some((key, Fate::Untouched(found))) => {
                    return format!(
                        "the order cannot be taken back, since other keys are gone, and nobody can tell whether {} can be used, of which nothing was asked: {found}. Run this again when its service, token or medium is there",
                        shown(key)
                    );
                }
                _ => Default::default(),
            };
            format!(
                "the order cannot be taken back, since nobody can tell what has become of {key}: {cause}. Run this again when its service, token or medium is there. If it is destroyed, say so with --destroyed '{name}': with --cancel, where another key can still be used; or let the order come to its end: {to_its_end} --destroyed '{name}', which the certificate calls not confirmed"
            )
        }
        _ => format!(
            "the order cannot be taken back: none of its keys can be used any more. Let it come to its end: {to_its_end}, and, for a key of which nobody can tell, --destroyed KEY, which the certificate calls not confirmed"
        ),
    }
}
