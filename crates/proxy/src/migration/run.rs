//! A whole bucket, object by object.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use sha2::{Digest, Sha256};

use super::{
    Entry, Failure, Outcome, Pace, PermitIssuer, Report,
    listing::{Entries, Listing},
    preflight::{self, Versioning},
};
use crate::{error::S3Error, gateway::Gateway, upstream::Target};

/// What names of staged copies in the state bucket begin with.
const STAGED_PREFIX: &str = "migration/";

/// Staged copies that a run looks at. Each is one object that a killed command was about to replace.
const MAXIMUM_STAGED: usize = 100_000;

/// A staged copy whose key is gone is removed when it is older than this: its command may still be running.
const MINIMUM_STAGED_AGE: Duration = Duration::from_hours(24);

/// How far a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Seals.
    Seal,
    /// Finds out what would be sealed, and what could not be.
    DryRun,
    /// Counts what is left in the clear.
    Check,
}

/// What to migrate, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with.
    pub prefix: String,
    /// Only keys behind this one, in the order of the listing.
    pub start_after: Option<String>,
    /// How far to go.
    pub mode: Mode,
    /// Objects that are worked on at once.
    pub concurrency: usize,
    /// Objects longer than this go up in parts of this length.
    pub part_length: u64,
    /// Leave the clear version of what was sealed.
    pub keep_versions: bool,
    /// Remove older versions in the clear, whatever they hold.
    pub delete_clear_versions: bool,
}

/// A migration under way.
pub struct Migration {
    pub(super) gateway: Arc<Gateway>,
    pub(super) settings: Settings,
    pub(super) versioning: Versioning,
    pub(super) pace: Arc<Pace>,
    pub(super) permit: PermitIssuer,
    /// Staged copies by name, with their time.
    staged: Mutex<HashMap<String, SystemTime>>,
}

impl Migration {
    /// Looks at the bucket, and refuses one that cannot be migrated safely.
    ///
    /// # Errors
    ///
    /// The cause, with its fix.
    pub async fn prepare(
        gateway: Arc<Gateway>,
        settings: Settings,
        pace: Pace,
        permit: PermitIssuer,
    ) -> anyhow::Result<Arc<Self>> {
        let bucket = settings.bucket.as_str();
        ensure!(
            bucket != gateway.state.name(),
            "{bucket} is the state bucket; what lies there is the gateway's own"
        );
        let versioning = preflight::versioning(&gateway.upstream, bucket)
            .await
            .with_context(|| format!("the bucket {bucket} cannot be looked at"))?;
        let mut leftovers = HashMap::new();
        if settings.mode == Mode::Seal {
            ensure!(
                versioning != Versioning::Suspended,
                "the versioning of {bucket} is suspended, so that a write could replace an older version; enable it for the time of the migration"
            );
            preflight::require_conditions(&gateway.upstream, bucket).await?;
            let staged = gateway
                .state
                .list(&staged_prefix(bucket), MAXIMUM_STAGED)
                .await
                .context("the state bucket cannot be listed")?;
            leftovers.extend(staged.into_iter().map(|entry| (entry.name, entry.modified)));
        }
        Ok(Arc::new(Self {
            gateway,
            settings,
            versioning,
            pace: Arc::new(pace),
            permit,
            staged: Mutex::new(leftovers),
        }))
    }

    /// How the bucket keeps versions.
    pub fn versioning(&self) -> Versioning {
        self.versioning
    }

    /// Goes through the bucket. `on_outcome` hears of every object as it is done.
    ///
    /// # Errors
    ///
    /// When the bucket cannot be listed to its end. What was sealed until then stays so. What fails with a single object is in the report.
    pub async fn run(
        self: &Arc<Self>,
        mut on_outcome: impl FnMut(&Entry, &Result<Outcome, Failure>),
    ) -> anyhow::Result<Report> {
        let entries = self.listing().entries();
        let mut report = Report::default();
        let listed = stream::try_unfold(entries, async |mut entries: Entries| {
            Ok::<_, S3Error>(entries.next().await?.map(|entry| (entry, entries)))
        });
        let migration = Arc::clone(self);
        let tasks = listed.map(move |entry| {
            let migration = Arc::clone(&migration);
            // A task of its own, so that sealing uses every processor.
            tokio::spawn(async move {
                let entry = entry?;
                migration.pace.object().await;
                let outcome = migration.process(&entry).await;
                Ok::<_, S3Error>((entry, outcome))
            })
        });
        let mut outcomes = std::pin::pin!(tasks.buffer_unordered(self.settings.concurrency.max(1)));
        while let Some(joined) = outcomes.next().await {
            let (entry, outcome) = joined
                .context("a task ended by a fault of its own")?
                .context("the bucket cannot be listed; run the command again")?;
            on_outcome(&entry, &outcome);
            report.add(&entry.key, entry.version_id.as_deref(), outcome);
        }
        self.clear_leftovers(&report).await?;
        Ok(report)
    }

    fn listing(&self) -> Listing {
        Listing {
            upstream: self.gateway.upstream.clone(),
            bucket: self.settings.bucket.clone(),
            prefix: self.settings.prefix.clone(),
            start_after: self.settings.start_after.clone(),
            versions: self.versioning != Versioning::Off,
        }
    }

    /// The name of an object's staged copy in the state bucket.
    pub(super) fn staged_name(&self, key: &str) -> String {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes()));
        format!("{}{digest}", staged_prefix(&self.settings.bucket))
    }

    /// Where that is.
    pub(super) fn staged_target(&self, key: &str) -> Target {
        Target::object(self.gateway.state.name(), self.staged_name(key))
    }

    /// Whether there is a staged copy of this object: left by a killed command, or by an attempt of this one that failed half-way.
    pub(super) fn has_staged_copy(&self, key: &str) -> bool {
        self.staged().contains_key(&self.staged_name(key))
    }

    pub(super) fn note_staged_copy(&self, key: &str) {
        self.staged()
            .insert(self.staged_name(key), SystemTime::now());
    }

    pub(super) fn forget_staged_copy(&self, key: &str) {
        self.staged().remove(&self.staged_name(key));
    }

    fn staged(&self) -> MutexGuard<'_, HashMap<String, SystemTime>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Staged copies whose keys were not met, because they were deleted since.
    async fn clear_leftovers(&self, report: &Report) -> anyhow::Result<()> {
        let looked_everywhere = self.settings.prefix.is_empty()
            && self.settings.start_after.is_none()
            && self.settings.mode == Mode::Seal
            && report.failed == 0;
        if !looked_everywhere {
            return Ok(());
        }
        let is_old = |modified: &SystemTime| {
            SystemTime::now()
                .duration_since(*modified)
                .is_ok_and(|age| age >= MINIMUM_STAGED_AGE)
        };
        let names: Vec<String> = {
            let staged = self.staged();
            let old = staged.iter().filter(|(_, modified)| is_old(modified));
            old.map(|(name, _)| name.clone()).collect()
        };
        self.gateway
            .state
            .delete(&names)
            .await
            .context("staged copies of objects that were deleted cannot be removed")
    }
}

fn staged_prefix(bucket: &str) -> String {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(bucket.as_bytes()));
    format!("{STAGED_PREFIX}{digest}/")
}
