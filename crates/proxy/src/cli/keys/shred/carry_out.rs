//! An order carried out, step by step; what is done is written down before the next step, so that another run goes on.
//!
//! ```text
//! find out ─ look ─ confirm ─ keys ─┬─ settle ─ flush ─ registry ─ try again ─ certificate
//!                                   └──── once more, where any answer changed or was missing
//! ```
//!
//! Two rules hold whatever happens between and within runs:
//!
//! - A run that nobody confirms destroys nothing unless each key is as a straight course of the order leaves it (`fate`). Whatever
//!   else is seen is written down first, and from then on the order needs a person, who confirms what this very run has found.
//! - A certificate calls a key confirmed only if the run that writes it has asked its service, or looked at its file, after all
//!   else, and got that answer. What was shown by earlier runs counts for nothing, so it is not kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::key_service::recovery::RecoveryKey;
use sealgate_envelope::secret_file::overwrite_again;

use super::super::command;
use super::certificate::{Certificate, GatewaysFlushed, Shown};
use super::destroy::{self, FileStep, Readiness};
use super::document;
use super::exclusivity::Refusal;
use super::known::{self, RecoveryFile};
use super::look;
use super::moment::Moment;
use super::order::Order;
use super::orders::{Ending, Orders};
use super::others;
use super::plan::{KeyState, Plan, PlannedKey};
use super::report;
use super::resume;
use super::settle::Pass;
use super::signing::SigningKey;
use crate::cli::pace::PaceArguments;
use crate::cli::passphrase::PassphraseArgument;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::state::control::Order as Command;

/// How long gateways may take to drop their keys.
const FLUSH_LIMIT: Duration = Duration::from_mins(2);

/// How often the registry is looked at again for records that came meanwhile.
pub(super) const ROUNDS: usize = 5;

/// Shows what would be destroyed now, and has it confirmed.
pub(super) type Confirm<'a> = &'a dyn Fn(&mut Order) -> anyhow::Result<()>;

/// What a run needs beside the order.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) orders: &'a Orders,
    pub(super) key: &'a SigningKey,
    pub(super) pace: &'a PaceArguments,
    pub(super) passphrase: &'a PassphraseArgument,
    pub(super) operator: &'a str,
    /// How a person confirms what this run has found out; none in a timer's.
    pub(super) confirm: Option<Confirm<'a>>,
}

/// How it ended.
pub(super) enum Ended {
    Done(Box<Certificate>),
    /// Its time has not come.
    Waits,
    /// Nothing was destroyed in this run.
    Refused(Vec<Refusal>),
}

impl Work<'_> {
    /// Carries out an order, or what is left of it. `looked` is what a look has found just now and somebody has confirmed, for
    /// an order that was given in this run.
    pub(super) async fn carry_out(
        &self,
        order: &mut Order,
        looked: Option<Plan>,
        mut recovery: Option<RecoveryKey>,
    ) -> anyhow::Result<Ended> {
        if let Some(plan) = looked {
            order.looked_at_again(plan);
            self.save(order)?;
        } else {
            let refusals = self.prepare(order, &mut recovery).await?;
            if !refusals.is_empty() {
                return Ok(Ended::Refused(refusals));
            }
            if order.waits() {
                return Ok(Ended::Waits);
            }
        }
        let gateway = self.gateway(order).await?;
        self.destroy_keys(order, &gateway, recovery).await?;
        let shown = self.show(order).await?;
        let certificate = Certificate::of(order, shown, self.operator)?;
        let certificate = certificate.write(&order.certificate, self.key).with_context(|| {
            format!("everything was done, and the certificate is not written; run this again, with --domain {} and another --certificate FILE if it cannot be written there", order.domain)
        })?;
        self.orders.end(order, Ending::CarriedOut, self.key)?;
        Ok(Ended::Done(Box::new(certificate)))
    }

    /// Finds out what each key is, looks at what speaks against it, and has it confirmed where a person is there. What speaks
    /// against it is returned.
    async fn prepare(
        &self,
        order: &mut Order,
        recovery: &mut Option<RecoveryKey>,
    ) -> anyhow::Result<Vec<Refusal>> {
        self.require_straight_course(order)?;
        if order.is_begun() {
            order.plan()?.check_places(self.config)?;
            self.find_out(order).await?;
        }
        let is_whole = order.progress.plan.as_ref().is_none_or(Plan::is_whole);
        if is_whole {
            document::try_place(&order.certificate).context("the certificate")?;
            match self.look(order, recovery).await? {
                Ok(plan) => order.looked_at_again(plan),
                Err(refusals) => return Ok(refusals),
            }
            self.save(order)?;
        } else {
            ensure!(
                order.was_looked_at(),
                "the file of the order is older than what was done by it, and says nothing of what was looked at: put back the newest one. {}",
                resume::ways_out(order)
            );
            let gateway = self.gateway(order).await?;
            let refusals = others::look_at_others(&gateway, self.config, order, self.pace).await?;
            if !refusals.is_empty() {
                self.note(order, &refusals)?;
                return Ok(refusals);
            }
        }
        if !order.is_begun() {
            let is_stated = order.ever_stated().iter().any(|key| {
                let plan = order.progress.plan.as_ref();
                plan.is_some_and(|plan| plan.has(key))
            });
            if is_stated {
                order.mark("the operator has stated that a key of the order is destroyed already, and it can be used");
                self.save(order)?;
            }
            self.require_straight_course(order)?;
        }
        if let Some(confirm) = self.confirm {
            confirm(order)?;
        }
        if !order.is_begun() {
            return self.confirmed(order).map(|()| Vec::new());
        }
        // Both take long, and whoever may take a deletion back has not been heard since.
        let before = order.plan()?.keys.clone();
        self.find_out(order).await?;
        ensure!(
            order.plan()?.keys == before,
            "what was found out of the keys has changed meanwhile; run this again"
        );
        self.confirmed(order)?;
        Ok(Vec::new())
    }

    /// Notes that a person has confirmed what this run has found, where one was asked.
    fn confirmed(&self, order: &mut Order) -> anyhow::Result<()> {
        if self.confirm.is_some() {
            order.progress.needs_confirmation = None;
            order.progress.shown.clear();
            self.save(order)?;
        }
        Ok(())
    }

    /// From the keys to what follows from them, without an interruption; once more from the beginning where there was one.
    async fn show(&self, order: &mut Order) -> anyhow::Result<Shown> {
        for _ in 0..ROUNDS {
            let settled = self.settle(order).await?;
            let gateways = self.flush(order).await?;
            let records = self.delete_records(order).await?;
            let answers = order.plan()?.keys.clone();
            match self.ask_all(order).await {
                Ok(Pass::Refused { asked, objects }) if settled == answers => {
                    return Ok(Shown {
                        asked,
                        settled: Moment::now(),
                        gateways,
                        records,
                        objects,
                    });
                }
                Ok(Pass::TakenBack(cause)) => bail!("{cause}"),
                Ok(Pass::NotHeard(cause)) => {
                    report::tell(&format!("once more from the beginning: {cause}"));
                }
                Ok(Pass::Refused { .. }) => {
                    report::tell("the answer of a key service has changed; waiting once more");
                }
                Err(error) => report::tell(&format!("once more from the beginning: {error:#}")),
            }
        }
        bail!(
            "the answers of key services or of the storage change all the time; find out why, and run this again"
        )
    }

    async fn look(
        &self,
        order: &mut Order,
        recovery: &mut Option<RecoveryKey>,
    ) -> anyhow::Result<Result<Plan, Vec<Refusal>>> {
        if let (None, Some(path)) = (&recovery, &order.recovery_key) {
            *recovery = Some(known::open_recovery(path, self.passphrase, self.config)?);
        }
        let services = known::key_services(self.config, None).await?;
        let gateway = Gateway::reader(self.config.clone(), services).await?;
        let file = recovery.as_ref().map(RecoveryFile::of).transpose()?;
        let looked = look::look(&gateway, self.config, order, file.as_ref(), self.pace).await?;
        self.note(order, &looked.refusals)?;
        Ok(if looked.refusals.is_empty() {
            Ok(looked.plan)
        } else {
            Err(looked.refusals)
        })
    }

    /// Writes down that something speaks against the order: it may be gone tomorrow, and somebody's will is behind it, who has disabled
    /// a key, or needs it.
    fn note(&self, order: &mut Order, refusals: &[Refusal]) -> anyhow::Result<()> {
        if let Some(refusal) = refusals.iter().find(|refusal| !refusal.is_passing) {
            let (now, cause) = (Moment::now(), &refusal.cause);
            order.mark(format!("something spoke against it at {now}: {cause}"));
            self.save(order)?;
        }
        Ok(())
    }

    /// With fresh clients of the key services, as a gateway that starts now has them.
    pub(super) async fn gateway(&self, order: &Order) -> anyhow::Result<Arc<Gateway>> {
        let services = known::key_services(self.config, order.progress.plan.as_ref()).await?;
        Gateway::reader(self.config.clone(), services).await
    }

    pub(super) fn save(&self, order: &mut Order) -> anyhow::Result<()> {
        self.orders.save(order, self.key)
    }

    fn set(&self, order: &mut Order, place: usize, state: KeyState) -> anyhow::Result<()> {
        order.planned(place)?.state = state;
        self.save(order)
    }

    /// That the destruction of a key is asked for now.
    fn set_asked(&self, order: &mut Order, place: usize) -> anyhow::Result<()> {
        order.progress.asked = Some(Moment::now());
        order.planned(place)?.was_asked = true;
        self.set(order, place, KeyState::Asked)
    }

    async fn destroy_keys(
        &self,
        order: &mut Order,
        gateway: &Gateway,
        mut recovery: Option<RecoveryKey>,
    ) -> anyhow::Result<()> {
        for place in 0..order.plan()?.keys.len() {
            let key = order.planned(place)?.clone();
            if matches!(key.state, KeyState::Destroyed(_) | KeyState::ByWord(_)) {
                continue;
            }
            match key.file(self.config, order.recovery_key.as_ref()) {
                Some(file) => self.destroy_file(order, place, &file, &mut recovery)?,
                None => self.ask_to_destroy(order, place, &key, gateway).await?,
            }
        }
        Ok(())
    }

    async fn ask_to_destroy(
        &self,
        order: &mut Order,
        place: usize,
        key: &PlannedKey,
        gateway: &Gateway,
    ) -> anyhow::Result<()> {
        let name = key.chosen.service();
        let service = self.config.key_service_place(name);
        let service = service.and_then(|at| gateway.key_services.get(at));
        let service: &dyn KeyService = service.context("no such key service")?.as_ref();
        match destroy::readiness(service, &key.chosen).await {
            Readiness::Ready => {}
            // What this run has shown to the person who confirmed it.
            Readiness::Not(found)
                if self.confirm.is_some() && key.shown.as_ref() == Some(&found) => {}
            Readiness::Away(cause) => bail!(
                "nothing was asked of the key of key service {name} in this run, which does not tell it: {cause}. Run this again, or leave it to the timer"
            ),
            Readiness::Not(found) => {
                order.mark(format!(
                    "the key of key service {name} was not as before: {found}"
                ));
                self.save(order)?;
                bail!(
                    "nothing was asked of the key of key service {name} in this run: {found}. {}",
                    resume::to_confirm(order)
                );
            }
        }
        self.set_asked(order, place)?;
        match destroy::end(service, &key.chosen, order.waiting_days).await {
            Ok(destroyed) => self.set(order, place, KeyState::Destroyed(destroyed)),
            Err(error) => {
                order.mark(format!(
                    "the destruction of the key of key service {name} was asked for, and failed: {error:#}"
                ));
                self.save(order)?;
                let ways_out = resume::ways_out(order);
                Err(error).with_context(|| {
                    format!("the key of key service {name} could not be destroyed, as far as its answer tells. See that these credentials may do it, and run this again with --domain: that finds out what the key is now, and shows what would be destroyed. {ways_out}")
                })
            }
        }
    }

    fn destroy_file(
        &self,
        order: &mut Order,
        place: usize,
        file: &Path,
        recovery: &mut Option<RecoveryKey>,
    ) -> anyhow::Result<()> {
        let key = order.planned(place)?.clone();
        let shown = file.display();
        match destroy::next_step(file, &key.state)? {
            FileStep::Missing => bail!(
                "{shown} is not there, or holds no key, and nothing shows that its key was destroyed: bring back the medium that it lies on, and run this again with --domain; if the key is destroyed, with all copies, say so: --destroyed '{}'",
                key.chosen.key
            ),
            FileStep::Overwrite => {
                let opened = match &key.chosen.key_service {
                    Some(_) => None,
                    // Only when it is there, and opens, anything is written down.
                    None => Some(self.recovery(file, &key, recovery.take())?),
                };
                self.set_asked(order, place)?;
                match &opened {
                    Some(recovery) => recovery.overwrite_file(file),
                    None => LocalKeyService::overwrite_file(file, &key.chosen.full_name),
                }
                .map_err(|error| destroy::detailed(&error))
                .with_context(|| {
                    format!(
                        "whether {shown} is overwritten is not known; run this again with --domain"
                    )
                })?;
                self.set(order, place, KeyState::Overwritten)?;
            }
            FileStep::OverwriteAgain => {
                overwrite_again(file)
                    .map_err(|error| destroy::detailed(&error))
                    .with_context(|| format!("{shown} holds zeros, and whether they are on disk is not known; run this again with --domain"))?;
                self.set(order, place, KeyState::Overwritten)?;
            }
            FileStep::Remove => {}
        }
        let destroyed = destroy::removed(file, &key.chosen)?;
        self.set(order, place, KeyState::Destroyed(destroyed))
    }

    fn recovery(
        &self,
        file: &Path,
        key: &PlannedKey,
        recovery: Option<RecoveryKey>,
    ) -> anyhow::Result<RecoveryKey> {
        let recovery = match recovery {
            Some(recovery) => recovery,
            None => known::open_recovery(file, self.passphrase, self.config)
                .context("the recovery key is to be destroyed, and nothing was done to it")?,
        };
        let found = RecoveryFile::of(&recovery)?.name;
        ensure!(
            found == key.chosen.key,
            "{} has the recovery key {found}, and {} is to be destroyed; nothing was done to it",
            file.display(),
            key.chosen.key
        );
        Ok(recovery)
    }

    async fn flush(&self, order: &Order) -> anyhow::Result<GatewaysFlushed> {
        report::tell(&format!(
            "waiting until every gateway has dropped its cached keys, for at most {} s; for one that was killed, that takes 90 s",
            FLUSH_LIMIT.as_secs()
        ));
        let outcome =
            command::give(self.config, Command::Flush, "shred: flush", FLUSH_LIMIT).await?;
        let answered = outcome.done.len() + outcome.failed.len() + outcome.waiting.len();
        let mut keys = order.plan()?.keys.iter();
        let is_in_file = keys.any(|key| {
            key.chosen.key_service.is_some()
                && key.file(self.config, order.recovery_key.as_ref()).is_some()
        });
        ensure!(
            !is_in_file || answered == 0,
            "{answered} gateways run, and keep the key of a key file in memory until they end, whatever they say that they dropped; the file is destroyed. Stop them, wait 90 seconds where they were killed, and run this again with --without-gateways"
        );
        ensure!(
            outcome.failed.is_empty() && outcome.waiting.is_empty(),
            "{} gateways have not said that they dropped their keys; the keys are destroyed, run this again to go on. One that was killed counts for 90 seconds; if none runs anywhere, go on with --without-gateways after that",
            outcome.waiting.len() + outcome.failed.len()
        );
        ensure!(
            !outcome.done.is_empty() || order.without_gateways,
            "no gateway has written its record of late; the keys are destroyed. Run this again to go on: with gateways, or, if none runs anywhere, with --without-gateways"
        );
        Ok(GatewaysFlushed {
            done: Moment::now(),
            gateways: outcome.done,
        })
    }
}
