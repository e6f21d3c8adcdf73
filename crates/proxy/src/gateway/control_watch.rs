//! Follows what operators tell all gateways (`sealgate keys flush`, `sealgate keys rotate`), and says what this gateway counts.
//! No request waits for any of it.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sealgate_envelope::Domain;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Gateway, now_in_milliseconds};
use crate::error::S3Error;
use crate::state::control::{
    Command, Control, Order, POLL_INTERVAL, RECORD_INTERVAL, ReplicaRecord, ServiceRecord,
};

/// The shortest time between two rotations: whoever runs the storage can forge commands, and should not be able to fill
/// the registry with working keys. A command that comes sooner waits.
const ROTATION_PAUSE: Duration = Duration::from_secs(20);

/// How long a rotation may keep this gateway from looking for a flush.
const ROTATION_LIMIT: Duration = Duration::from_secs(15);

/// How long one look at the state bucket, or one writing of a record, may take: a storage that answers a byte a minute must not pass for one that has
/// no commands.
const LOOK_LIMIT: Duration = Duration::from_secs(15);

/// How long a gateway that stops tries to remove its record.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Commands that have been followed already.
#[derive(Debug, Default)]
pub(super) struct Followed {
    done: HashSet<String>,
    failed: HashSet<String>,
    last_rotation: Option<Instant>,
}

impl Gateway {
    /// Looks for commands every few seconds for as long as the gateway lives, and writes its record now and then.
    pub(crate) fn watch_control(self: &Arc<Self>) -> JoinHandle<()> {
        tokio::spawn(watch(
            Arc::downgrade(self),
            Control::new(self.state.clone()),
        ))
    }

    /// Removes this gateway's record, so that nobody waits for what it will never do. A storage that is away keeps it.
    pub(crate) async fn take_leave(&self) {
        let control = Control::new(self.state.clone());
        let left = tokio::time::timeout(LEAVE_LIMIT, control.forget(&self.host_id)).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::debug!("this gateway's record could not be removed");
        }
    }
}

async fn watch(gateway: Weak<Gateway>, control: Control) {
    if let Err(error) = within_limit(control.forget_the_dead()).await {
        tracing::debug!(%error, "old records of gateways could not be removed");
    }
    let mut followed = Followed::default();
    let mut told: Option<Instant> = None;
    let mut is_reached = true;
    loop {
        let Some(gateway) = gateway.upgrade() else {
            return;
        };
        let commands = within_limit(control.commands()).await;
        if commands.is_ok() != is_reached {
            is_reached = commands.is_ok();
            if let Err(error) = &commands {
                tracing::warn!(%error, "the state bucket cannot be asked for commands: a flush of the keys does not reach this gateway, and cached keys live as long as working_key_cache_age and outage_grace say");
            }
        }
        let news = match commands {
            Ok(commands) => gateway.follow(commands, &mut followed).await,
            Err(_) => false,
        };
        let is_due = told.is_none_or(|told| told.elapsed() >= RECORD_INTERVAL);
        if news || is_due {
            let record = gateway.record(&followed);
            match within_limit(control.tell(&record)).await {
                Ok(()) => told = Some(Instant::now()),
                Err(error) => tracing::debug!(%error, "this gateway's record could not be written"),
            }
        }
        drop(gateway);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn within_limit<T>(asked: impl Future<Output = Result<T, S3Error>>) -> Result<T, S3Error> {
    tokio::time::timeout(LOOK_LIMIT, asked)
        .await
        .unwrap_or_else(|_| {
            Err(S3Error::internal(format!(
                "the storage has not answered for {} s",
                LOOK_LIMIT.as_secs()
            )))
        })
}

impl Gateway {
    /// Drops every key in memory that opens or seals objects: working keys, and the keys of open uploads.
    fn flush_keys(&self) -> usize {
        self.uploads.memory.flush();
        self.keyring.flush()
    }

    /// Does what it has not done yet; tells whether there was anything.
    pub(super) async fn follow(&self, commands: Vec<Command>, followed: &mut Followed) -> bool {
        let known: HashSet<_> = commands.iter().map(|command| command.id.clone()).collect();
        // What has left the list never comes back, unless somebody replays it, which does no harm.
        followed.done.retain(|id| known.contains(id));
        followed.failed.retain(|id| known.contains(id));
        let is_new = |command: &Command| !followed.done.contains(&command.id);
        let (flushes, rotations): (Vec<_>, Vec<_>) = commands
            .into_iter()
            .filter(is_new)
            .partition(|command| command.order == Order::Flush);
        let mut news = !flushes.is_empty();
        if news {
            // A flush waits for nothing, least of all for a rotation that somebody forged.
            let dropped = self.flush_keys();
            tracing::info!(dropped, "flushed the working keys");
            followed
                .done
                .extend(flushes.into_iter().map(|flush| flush.id));
        }
        let is_time = followed
            .last_rotation
            .is_none_or(|last| last.elapsed() >= ROTATION_PAUSE);
        if !rotations.is_empty() && is_time {
            news = true;
            let is_whole = self.rotate(&rotations).await;
            followed.last_rotation = Some(Instant::now());
            for rotation in rotations {
                if !is_whole {
                    followed.failed.insert(rotation.id.clone());
                }
                followed.done.insert(rotation.id);
            }
        }
        news
    }

    /// Makes new working keys, once for all commands that were found together: for one domain where all name the same, else for each. Tells whether
    /// there is one for each domain that had one.
    async fn rotate(&self, commands: &[Command]) -> bool {
        let mut named = commands.iter().map(|command| match &command.order {
            Order::Rotate { domain } => domain.as_deref(),
            Order::Flush => None,
        });
        let first = named.next().flatten();
        let domain = first.filter(|first| named.all(|other| other == Some(first)));
        let Ok(domain) = domain.map(Domain::new).transpose() else {
            return false;
        };
        let rotation = self.keyring.rotate(domain.as_ref());
        let Ok(rotation) = tokio::time::timeout(ROTATION_LIMIT, rotation).await else {
            tracing::warn!(
                "not every working key was rotated in time; the others are at their next use"
            );
            return false;
        };
        tracing::info!(
            made = rotation.made,
            failed = rotation.failed,
            "rotated the working keys"
        );
        rotation.failed == 0
    }

    fn record(&self, followed: &Followed) -> ReplicaRecord {
        let status = self.keyring.status();
        let names = self.config.key_service_names.iter();
        let key_services = names
            .zip(&status.key_services)
            .map(|(name, service)| ServiceRecord {
                name: name.clone(),
                generates: service.generates,
                wraps: service.wraps,
                unwraps: service.unwraps,
                outages: service.outages,
                refusals: service.refusals,
                spared: service.spared,
                healthy: service.healthy,
            });
        ReplicaRecord {
            host: self.host_id.clone(),
            written: now_in_milliseconds(),
            done: followed.done.iter().cloned().collect(),
            failed: followed.failed.iter().cloned().collect(),
            sealing_keys: status.sealing_keys as u64,
            cached_keys: status.cached_keys as u64,
            oldest_cached_key: status.oldest_cached_key.map_or(0, |age| age.as_secs()),
            hits: status.hits,
            misses: status.unwraps,
            failures: status.failures,
            outage_hits: status.outage_hits,
            key_services: key_services.collect(),
        }
    }
}
