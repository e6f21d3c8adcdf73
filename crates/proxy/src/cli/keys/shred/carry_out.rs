//! An order carried out, step by step; what is done is written down before the next step, so that another run goes on.
//!
//! ```text
//! look ─ keys ─ flush ─ registry ─ try ─ certificate
//!   │      │       │        │       └ the sample opens no more, and each key service says that its key is gone
//!   │      │       │        └ all versions of the domain's records, until there are none
//!   │      │       └ no gateway has a working key in memory any more
//!   │      └ first those whose deletion has a waiting period; each noted before it is asked for
//!   └ refusals; from here on the plan is fixed
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sealgate_envelope::KeyServiceFailure;
use sealgate_envelope::key_service::recovery::RecoveryKey;
use sealgate_envelope::key_service::{KeyAvailability, KeyService, failure_of};
use sealgate_envelope::records::registry_prefix;
use sealgate_envelope::secret_file::finish_destruction;

use super::super::command;
use super::certificate::{
    Certificate, DestroyedKey, GatewaysFlushed, ObjectsTried, RecordsDeleted,
};
use super::exclusivity::Refusal;
use super::moment::Moment;
use super::order::{Order, Orders, Plan, PlannedKey};
use super::prepare::{self, RecoveryFile};
use super::proof::{self, Opening};
use super::signing::SigningKey;
use crate::cli::pace::PaceArguments;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::scan::census::{Census, working_key};
use crate::scan::key_name::KeyName;
use crate::state::control::Order as Command;

/// How long gateways may take to drop their keys.
const FLUSH_LIMIT: Duration = Duration::from_mins(2);

/// How long a key service may go on opening after it has taken a deletion: AWS KMS is eventually consistent.
const SETTLING: Duration = Duration::from_mins(3);

/// The pause between attempts meanwhile.
const PAUSE: Duration = Duration::from_secs(3);

/// How often the registry is looked at again for records that came meanwhile.
const ROUNDS: usize = 5;

/// What a run needs beside the order.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) orders: &'a Orders,
    pub(super) key: &'a SigningKey,
    pub(super) pace: &'a PaceArguments,
    pub(super) operator: &'a str,
}

/// How it ended.
pub(super) enum Ended {
    Done(Box<Certificate>),
    /// Nothing was destroyed.
    Refused(Vec<Refusal>),
}

impl Work<'_> {
    /// Carries out an order, or what is left of it. `recovery` is the domain's recovery key, whose file is to be destroyed, as
    /// long as nothing has begun.
    pub(super) async fn carry_out(
        &self,
        order: &mut Order,
        recovery: Option<RecoveryKey>,
    ) -> anyhow::Result<Ended> {
        let plan = order.progress.plan.as_ref();
        let services = prepare::key_services(self.config, plan).await?;
        let gateway = Gateway::reader(self.config.clone(), services).await?;
        if !order.is_begun() {
            let file = recovery.as_ref().map(RecoveryFile::of).transpose()?;
            let prepared =
                prepare::prepare(&gateway, self.config, order, file.as_ref(), self.pace).await?;
            if !prepared.refusals.is_empty() {
                return Ok(Ended::Refused(prepared.refusals));
            }
            order.progress.plan = Some(prepared.plan);
            self.save(order)?;
        }
        self.destroy_keys(order, &gateway, recovery).await?;
        self.flush(order).await?;
        self.delete_records(order, &gateway).await?;
        self.try_objects(order).await?;
        if order.progress.completed.is_none() {
            order.progress.completed = Some(Moment::now());
            self.save(order)?;
        }
        let certificate = Certificate::of(order, self.operator)?;
        certificate.write(&order.certificate, self.key)?;
        self.orders.remove(&order.domain)?;
        Ok(Ended::Done(Box::new(certificate)))
    }

    fn save(&self, order: &Order) -> anyhow::Result<()> {
        self.orders.save(order, self.key)
    }

    async fn destroy_keys(
        &self,
        order: &mut Order,
        gateway: &Gateway,
        mut recovery: Option<RecoveryKey>,
    ) -> anyhow::Result<()> {
        let count = plan(order)?.keys.len();
        for place in 0..count {
            let key = planned(order, place)?;
            if key.destroyed.is_some() {
                continue;
            }
            let was_begun = key.is_begun;
            key.is_begun = true;
            let key = key.clone();
            self.save(order)?;
            let destroyed = match &key.key_service {
                Some(name) => {
                    let place = self
                        .config
                        .key_service_names
                        .iter()
                        .position(|known| known == name);
                    let service = place.and_then(|place| gateway.key_services.get(place));
                    let service = service.with_context(|| {
                        format!("no [[key_service]] has the name {name} any more; this run needs the configuration that it began with")
                    })?;
                    end(service.as_ref(), &key, order.waiting_days, was_begun).await?
                }
                None => end_recovery(order, &key, recovery.take(), was_begun)?,
            };
            planned(order, place)?.destroyed = Some(destroyed);
            self.save(order)?;
        }
        Ok(())
    }

    async fn flush(&self, order: &mut Order) -> anyhow::Result<()> {
        if order.progress.flushed.is_some() {
            return Ok(());
        }
        let outcome =
            command::give(self.config, Command::Flush, "shred: flush", FLUSH_LIMIT).await?;
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

    /// Deletes the domain's records until a listing shows none. One that came meanwhile must not be wrapped by a key that stays.
    async fn delete_records(&self, order: &mut Order, gateway: &Gateway) -> anyhow::Result<()> {
        if order.progress.records.is_some() {
            return Ok(());
        }
        let plan = plan(order)?.clone();
        let mut versions = 0;
        for _ in 0..ROUNDS {
            let mut census = Census::default();
            census.of_records(gateway, &plan.names).await?;
            for (key, found) in &census.inside {
                let goes = plan.keys.iter().any(|gone| gone.key == *key);
                ensure!(
                    goes || order.stated.contains(key),
                    "meanwhile {found} was wrapped by {key}, which is not destroyed: a gateway has another configuration. Correct it, take the wrap away, and run this again"
                );
            }
            let all = gateway.state.versions(registry_prefix()).await?;
            let own: Vec<_> = all
                .into_iter()
                .filter(|version| {
                    working_key(version).is_some_and(|id| census.records.contains(&id))
                })
                .collect();
            if own.is_empty() {
                order.progress.records = Some(RecordsDeleted {
                    working_keys: plan.working_keys,
                    versions,
                });
                return self.save(order);
            }
            gateway.state.delete_versions(&own).await?;
            versions += own.len() as u64;
        }
        bail!(
            "new registry records of the domain come all the time; stop the gateway that writes them, and run this again"
        )
    }

    /// Through fresh clients of the key services, as a gateway that starts now has them.
    async fn try_objects(&self, order: &mut Order) -> anyhow::Result<()> {
        if order.progress.objects.is_some() {
            return Ok(());
        }
        let plan = plan(order)?.clone();
        let deadline = Instant::now() + SETTLING;
        loop {
            let services = prepare::key_services(self.config, Some(&plan)).await?;
            let gateway = Gateway::reader(self.config.clone(), services).await?;
            match tried(&gateway, &plan).await {
                Ok(tried) => {
                    order.progress.objects = Some(tried);
                    return self.save(order);
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(error.context("the keys are destroyed, and that nothing opens could not be shown; run this again to try once more"));
                }
                Err(error) => tracing::debug!(error = %format!("{error:#}"), "not shown yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn tried(gateway: &Arc<Gateway>, plan: &Plan) -> anyhow::Result<ObjectsTried> {
    for key in &plan.keys {
        let Some(name) = &key.key_service else {
            continue;
        };
        let place = gateway
            .config
            .key_service_names
            .iter()
            .position(|known| known == name);
        let service = place.and_then(|place| gateway.key_services.get(place));
        let service = service.with_context(|| format!("no key service {name}"))?;
        match service.describe().await {
            Ok(described) => ensure!(
                described.availability == KeyAvailability::PendingDeletion,
                "the key service {name} says that its key can still be used"
            ),
            Err(error) => ensure!(
                failure_of(&error) == Some(KeyServiceFailure::NotFound),
                "what has become of the key of {name} cannot be found out: {}",
                error.detail()
            ),
        }
    }
    let (mut refused, mut deleted) = (0, 0);
    for object in &plan.sample {
        match proof::open(gateway, object).await {
            Opening::Refused => refused += 1,
            Opening::Deleted => deleted += 1,
            Opening::Opened => bail!("{}/{} still opens", object.bucket, object.key),
            Opening::Unknown(cause) => bail!(
                "whether {}/{} still opens cannot be found out: {cause}",
                object.bucket,
                object.key
            ),
        }
    }
    Ok(ObjectsTried {
        seen: plan.objects,
        opened_before: plan.sample.len() as u64,
        refused_after: refused,
        deleted,
    })
}

async fn end(
    service: &dyn KeyService,
    key: &PlannedKey,
    waiting_days: u8,
    was_begun: bool,
) -> anyhow::Result<DestroyedKey> {
    let name = key.key_service.as_deref().unwrap_or_default();
    // Behind an alias there may be another key by now.
    let asked = match service.key_reference().await {
        Ok(reference) => {
            let found = KeyName::new(service.provider(), reference);
            ensure!(
                found == key.key,
                "the key service {name} has the key {found} now, and {} was to be destroyed; nothing was done to it",
                key.key
            );
            service.schedule_deletion(waiting_days).await
        }
        Err(error) => Err(error),
    };
    let now = Moment::now();
    let (manner, final_from, not_covered) = match asked {
        Ok(deletion) => (
            deletion.manner.name(),
            Moment::from_milliseconds(deletion.final_from),
            deletion.manner.survivors(),
        ),
        // An earlier run asked for it, and was killed before it could write down the answer.
        Err(error) if was_begun && failure_of(&error) == Some(KeyServiceFailure::NotFound) => (
            "gone, by an earlier attempt of this order",
            now,
            Some("backups of the key from before"),
        ),
        Err(error) => {
            return Err(error).with_context(|| {
                format!("the key of key service {name} could not be destroyed; see that these credentials may do it, and run this again")
            });
        }
    };
    Ok(DestroyedKey {
        key_service: key.key_service.clone(),
        key: key.key.clone(),
        full_name: key.full_name.clone(),
        manner: manner.to_owned(),
        done: now,
        final_from,
        not_covered: not_covered.map(str::to_owned),
    })
}

fn end_recovery(
    order: &Order,
    key: &PlannedKey,
    recovery: Option<RecoveryKey>,
    was_begun: bool,
) -> anyhow::Result<DestroyedKey> {
    let path = order.recovery_key.as_ref();
    let path = path.context("the order names no file of a recovery key")?;
    let is_gone = was_begun && finish_destruction(path)?;
    if !is_gone {
        let recovery = recovery.with_context(|| {
            format!("the recovery key {} is to be destroyed; run this again with --recovery-key and its passphrase", path.display())
        })?;
        ensure!(
            RecoveryFile::of(&recovery)?.name == key.key,
            "{} has another recovery key than {}",
            path.display(),
            key.key
        );
        recovery.destroy(path)?;
    }
    let now = Moment::now();
    Ok(DestroyedKey {
        key_service: None,
        key: key.key.clone(),
        full_name: key.full_name.clone(),
        manner: "file overwritten and removed".to_owned(),
        done: now,
        final_from: now,
        not_covered: Some(
            "copies of the recovery key's file, printed or on other media, which the operator states not to exist".to_owned(),
        ),
    })
}

fn plan(order: &Order) -> anyhow::Result<&Plan> {
    order.progress.plan.as_ref().context("nothing is planned")
}

fn planned(order: &mut Order, place: usize) -> anyhow::Result<&mut PlannedKey> {
    let plan = order.progress.plan.as_mut();
    let key = plan.and_then(|plan| plan.keys.get_mut(place));
    key.context("nothing is planned")
}
