//! A whole bucket, object by object.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};

use super::{
    Entry, Failure, Outcome, Pace, PermitIssuer, Report,
    listing::{Entries, Listing},
    preflight::{self, Versioning},
    staged_copies::StagedCopies,
    store::Parts,
};
use crate::{error::S3Error, gateway::Gateway, state::recognition::refuse_state_bucket};

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
    /// Whether a completion of parts may carry a condition here.
    completes_on_condition: bool,
    pub(super) staged: StagedCopies,
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
        refuse_state_bucket(&gateway.upstream, bucket).await?;
        let staged = StagedCopies::of_bucket(bucket);
        let mut completes_on_condition = false;
        // A dry run says so as well.
        ensure!(
            versioning != Versioning::Suspended || settings.mode == Mode::Check,
            "the versioning of {bucket} is suspended, so that a write could replace an older version; enable it for the time of the migration"
        );
        if settings.mode == Mode::Seal {
            completes_on_condition =
                preflight::require_conditions(&gateway.upstream, bucket).await?;
            if !completes_on_condition {
                tracing::warn!(
                    bucket,
                    "the storage ignores If-Match on CompleteMultipartUpload: objects of up to 5 GiB are sealed in one request each, whatever --part-size says, and longer ones are not"
                );
            }
            staged
                .find(&gateway.state)
                .await
                .context("the state bucket cannot be listed")?;
        }
        Ok(Arc::new(Self {
            gateway,
            settings,
            versioning,
            pace: Arc::new(pace),
            permit,
            completes_on_condition,
            staged,
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

    /// How what is too long for one request goes up.
    pub(super) fn parts(&self) -> Parts {
        Parts {
            length: self.settings.part_length,
            conditional: self.completes_on_condition,
        }
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
        self.staged
            .delete(&self.gateway.state, &self.staged.old())
            .await
            .context("staged copies of objects that were deleted cannot be removed")
    }
}
