//! An order carried out, step by step; what is done is written down before the next step, so that another run goes on.
//!
//! ```text
//! look ─ keys ─ settle ─ flush ─ prove ─ registry ─ try again ─ certificate
//!   │      │      │        │       │        │           └ the same as the proof, with the records gone, too
//!   │      │      │        │       │        └ all versions of the domain's records, until there are none
//!   │      │      │        │       └ neither what the sample was wrapped by opens, nor what is stored
//!   │      │      │        └ no gateway has a working key in memory any more
//!   │      │      └ until each key service refuses: what a gateway opens before that would outlive its flush
//!   │      └ first those whose deletion has a waiting period; each noted before it is asked for
//!   └ refusals; again in every run, until the first key may be gone
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::key_service::recovery::RecoveryKey;
use sealgate_envelope::secret_file::overwrite_again;

use super::super::command;
use super::certificate::{Certificate, GatewaysFlushed};
use super::destroy::{self, Attempt, FileStep};
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

/// What a run needs beside the order.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) orders: &'a Orders,
    pub(super) key: &'a SigningKey,
    pub(super) pace: &'a PaceArguments,
    pub(super) passphrase: &'a PassphraseArgument,
    pub(super) operator: &'a str,
    /// Whether somebody has confirmed this run, and it is not a timer's.
    pub(super) is_attended: bool,
}

/// How it ended.
pub(super) enum Ended {
    Done(Box<Certificate>),
    /// Nothing was destroyed in this run.
    Refused(Vec<Refusal>),
}

impl Work<'_> {
    /// Carries out an order, or what is left of it. `looked` is what a look has found just now, if there was one.
    pub(super) async fn carry_out(
        &self,
        order: &mut Order,
        looked: Option<Plan>,
        recovery: Option<RecoveryKey>,
    ) -> anyhow::Result<Ended> {
        let mut recovery = recovery;
        if let Some(written) = Certificate::written(order, self.key)? {
            self.orders.end(order, Ending::CarriedOut, self.key)?;
            return Ok(Ended::Done(Box::new(written)));
        }
        if order.is_begun() {
            order.plan()?.check_places(self.config)?;
            self.find_out(order).await?;
        }
        // Whatever was asked for before: while each key can be used, everything is looked at.
        let is_whole = order.progress.plan.as_ref().is_none_or(Plan::is_whole);
        if is_whole {
            document::try_place(&order.certificate).context("the certificate")?;
            let plan = match looked {
                Some(plan) => plan,
                None => match self.look(order, &mut recovery).await? {
                    Ok(plan) => plan,
                    Err(refusals) => return Ok(Ended::Refused(refusals)),
                },
            };
            order.progress = order.progress.looked_at_again(plan);
            self.save(order)?;
        }
        let gateway = self.gateway(order).await?;
        if !is_whole {
            let refusals = others::look_at_others(&gateway, self.config, order, self.pace).await?;
            if !refusals.is_empty() {
                return Ok(Ended::Refused(refusals));
            }
            // The look takes long, and whoever may take a deletion back has not been heard since.
            let left = order.plan()?.left();
            self.find_out(order).await?;
            ensure!(
                order.plan()?.left() <= left,
                "a key that was destroyed can be used again; run this again, so that what others have of it is looked at"
            );
        }
        self.destroy_keys(order, &gateway, recovery).await?;
        self.show(order).await?;
        order.progress.completed = Some(Moment::now());
        self.save(order)?;
        let certificate = Certificate::of(order, self.operator)?;
        let certificate = certificate.write(&order.certificate, self.key).with_context(|| {
            format!("everything was done, and the certificate is not written; run this again, with --domain {} and another --certificate FILE if it cannot be written there", order.domain)
        })?;
        self.orders.end(order, Ending::CarriedOut, self.key)?;
        Ok(Ended::Done(Box::new(certificate)))
    }

    /// From the keys to what follows from them; once more from the beginning where a key could be used meanwhile.
    async fn show(&self, order: &mut Order) -> anyhow::Result<()> {
        for _ in 0..ROUNDS {
            self.settle(order).await?;
            self.flush(order).await?;
            if self.prove(order).await? {
                self.delete_records(order).await?;
                if self.try_again(order).await? {
                    return Ok(());
                }
            }
        }
        bail!(
            "somebody takes the deletion back in the key service and gives it again, all the time; find out who, and run this again"
        )
    }

    async fn look(
        &self,
        order: &Order,
        recovery: &mut Option<RecoveryKey>,
    ) -> anyhow::Result<Result<Plan, Vec<Refusal>>> {
        if let (None, Some(path)) = (&recovery, &order.recovery_key) {
            *recovery = Some(known::open_recovery(path, self.passphrase, self.config)?);
        }
        let services = known::key_services(self.config, None).await?;
        let gateway = Gateway::reader(self.config.clone(), services).await?;
        let file = recovery.as_ref().map(RecoveryFile::of).transpose()?;
        let looked = look::look(&gateway, self.config, order, file.as_ref(), self.pace).await?;
        Ok(if looked.refusals.is_empty() {
            Ok(looked.plan)
        } else {
            Err(looked.refusals)
        })
    }

    /// With fresh clients of the key services, as a gateway that starts now has them.
    pub(super) async fn gateway(&self, order: &Order) -> anyhow::Result<Arc<Gateway>> {
        let services = known::key_services(self.config, order.progress.plan.as_ref()).await?;
        Gateway::reader(self.config.clone(), services).await
    }

    pub(super) fn save(&self, order: &Order) -> anyhow::Result<()> {
        self.orders.save(order, self.key)
    }

    pub(super) fn set(
        &self,
        order: &mut Order,
        place: usize,
        state: KeyState,
    ) -> anyhow::Result<()> {
        order.planned(place)?.state = state;
        self.save(order)
    }

    /// That the destruction of a key is asked for now.
    pub(super) fn set_asked(&self, order: &mut Order, place: usize) -> anyhow::Result<()> {
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
            if matches!(key.state, KeyState::Destroyed(_)) || key.is_not_asked() {
                continue;
            }
            ensure!(
                !matches!(key.state, KeyState::TakenBack(_)),
                "a deletion was taken back"
            );
            match key.file(self.config, order.recovery_key.as_ref()) {
                Some(file) => self.destroy_file(order, place, &file, &mut recovery)?,
                None => self.ask_to_destroy(order, place, &key, gateway).await?,
            }
        }
        Ok(())
    }

    pub(super) async fn ask_to_destroy(
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
        // Of another state of which it was asked for before, too.
        let was_asked = key.was_ever_asked();
        self.set_asked(order, place)?;
        match destroy::end(service, &key.chosen, order.waiting_days, was_asked).await {
            Attempt::Destroyed(destroyed) => {
                self.set(order, place, KeyState::Destroyed(destroyed))
            }
            Attempt::Refused(cause) => {
                order.planned(place)?.was_asked = was_asked;
                self.set(order, place, KeyState::Refused(cause.clone()))?;
                bail!("{}", refused(order, name, &cause));
            }
            Attempt::Unknown(error) => Err(error).with_context(|| {
                format!("whether the key of key service {name} is destroyed is not known, since its answer got lost; run this again to find out: if the key can be used, everything is looked at again")
            }),
        }
    }

    pub(super) fn destroy_file(
        &self,
        order: &mut Order,
        place: usize,
        file: &Path,
        recovery: &mut Option<RecoveryKey>,
    ) -> anyhow::Result<()> {
        let key = order.planned(place)?.clone();
        let (name, shown) = (key.chosen.service().to_owned(), file.display());
        match destroy::next_step(file, &key.state)? {
            FileStep::Missing if order.stated.contains(&key.chosen.key) => {
                return self.set(order, place, KeyState::Stated);
            }
            FileStep::Missing => bail!(
                "{shown} is not there, or holds no key, and nothing shows that its key was destroyed: bring back the medium that it lies on, and run this again; if the key is destroyed, with all copies, say so: --destroyed '{}'",
                key.chosen.key
            ),
            FileStep::Overwrite => {
                let opened = match &key.chosen.key_service {
                    Some(_) => None,
                    // Only when it is there, and opens, anything is written down.
                    None => Some(self.recovery(file, &key, recovery.take())?),
                };
                self.set_asked(order, place)?;
                let id = &key.chosen.full_name;
                let overwritten = match &opened {
                    Some(recovery) => destroy::overwritten(
                        || recovery.is_in_file(file),
                        || recovery.overwrite_file(file),
                    ),
                    None => destroy::overwritten(
                        || LocalKeyService::is_in_file(file, id),
                        || LocalKeyService::overwrite_file(file, id),
                    ),
                };
                let state = overwritten.with_context(|| {
                    format!("whether {shown} is overwritten is not known; run this again")
                })?;
                if matches!(state, KeyState::Refused(_)) {
                    order.planned(place)?.was_asked = key.was_ever_asked();
                }
                self.set(order, place, state.clone())?;
                if let KeyState::Refused(cause) = state {
                    bail!("{}", refused(order, &name, &cause));
                }
            }
            FileStep::OverwriteAgain => {
                overwrite_again(file)
                    .map_err(|error| destroy::detailed(&error))
                    .with_context(|| format!("{shown} holds zeros, and whether they are on disk is not known; run this again"))?;
                self.set(order, place, KeyState::Overwritten)?;
            }
            FileStep::Remove => self.set(order, place, KeyState::Overwritten)?,
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

    async fn flush(&self, order: &mut Order) -> anyhow::Result<()> {
        if order.progress.flushed.is_some() {
            return Ok(());
        }
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
            "{} gateways have not said that they dropped their keys; the keys are destroyed, run this again to go on",
            outcome.waiting.len() + outcome.failed.len()
        );
        ensure!(
            !outcome.done.is_empty() || order.without_gateways,
            "no gateway has written its record of late; the keys are destroyed. Run this again to go on: with gateways, or, if none runs anywhere, with --without-gateways"
        );
        order.progress.flushed = Some(GatewaysFlushed {
            done: Moment::now(),
            gateways: outcome.done,
        });
        self.save(order)
    }

    /// While the records are there still: what opens no more then does so for want of the keys. Whether that stands.
    async fn prove(&self, order: &mut Order) -> anyhow::Result<bool> {
        if order.progress.objects.is_none() {
            let Some(objects) = self.until_shown(order).await? else {
                return Ok(false);
            };
            order.progress.objects = Some(objects);
            self.save(order)?;
        }
        Ok(true)
    }

    /// In each run that comes so far: one that was killed here may be gone on with weeks later. Whether it stands.
    async fn try_again(&self, order: &mut Order) -> anyhow::Result<bool> {
        let Some(objects) = self.until_shown(order).await? else {
            return Ok(false);
        };
        order.progress.objects = Some(objects);
        order.progress.tried_again = Some(Moment::now());
        self.save(order)?;
        Ok(true)
    }
}

/// What is said where a key was refused.
fn refused(order: &Order, name: &str, cause: &str) -> String {
    let what_else = if order.is_begun() {
        format!(
            "keys of the order are destroyed, or may be. {}",
            resume::ways_out(order)
        )
    } else {
        "nothing was destroyed, and --cancel takes the order back".to_owned()
    };
    format!(
        "the key of key service {name} could not be destroyed, and nothing was done to it: {cause}. See that these credentials may do it, and run this again; {what_else}"
    )
}
