//! The way back: every object decrypted, verified and written to files or to another bucket, because the data is the user's.
//!
//! Nothing that did not verify appears under its name: a file gets its name when it is complete, and an object exists when the last of its bytes,
//! which leave only after all of them verified, have arrived. What was done is noted line by line in a journal, from which another run goes on.

mod bucket;
mod files;
mod journal;
mod manifest;
mod path;
mod source;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use sealgate_envelope::layout;

use self::{
    files::Files,
    journal::{Journal, Route},
    path::PathMapper,
};
use super::{
    Entry, Failure, Pace, PermitIssuer,
    listing::{Entries, Listing},
    preflight::{self, Versioning},
    store::Parts,
};
use crate::{
    config::is_default_state_bucket, error::S3Error, gateway::Gateway,
    state::recognition::refuse_state_bucket,
};

pub use self::bucket::Bucket;
pub(super) use self::{manifest::Manifest, path::OWN_PREFIX, source::describes};

/// Failures that are kept in a report; more are only counted.
const MAXIMUM_NAMED_FAILURES: usize = 10_000;

/// What to export, and how.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with.
    pub prefix: String,
    /// Only keys behind this one, in the order of the listing.
    pub start_after: Option<String>,
    /// Older versions too.
    pub versions: bool,
    /// Objects as they are stored, sealed, with their headers beside them: a copy that needs no key.
    pub as_stored: bool,
    /// Only say what would be exported.
    pub dry_run: bool,
    /// Objects that are worked on at once.
    pub concurrency: usize,
    /// Objects longer than this go to a bucket in parts of this length.
    pub part_length: u64,
}

/// Where to.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Files below a directory.
    Directory {
        /// The directory; it is made if it does not exist.
        path: PathBuf,
        /// Replace files that are not of this export.
        overwrite: bool,
    },
    /// A bucket, and the file of the journal.
    Bucket(Box<Bucket>, PathBuf),
}

enum Place {
    Files(Files),
    Bucket(Box<Bucket>),
}

/// An export under way.
pub struct Export {
    gateway: Arc<Gateway>,
    settings: ExportSettings,
    place: Place,
    journal: Journal,
    parts: Parts,
    pace: Arc<Pace>,
    permit: PermitIssuer,
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    /// It was exported, or would be: so many bytes, in a dry run as far as the listing tells.
    Done(u64),
    /// It was exported before, and has not changed.
    Skipped,
    /// It was deleted meanwhile.
    Gone,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Objects that were exported, or would be.
    pub exported: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that had been exported before.
    pub skipped: u64,
    /// Objects that were deleted meanwhile.
    pub gone: u64,
    /// Files whose name is not the key's own; the journal has both.
    pub renamed: u64,
    /// How many failed.
    pub failed: u64,
    /// The first of those: key, cause and fix.
    pub failures: Vec<(String, Failure)>,
}

impl Export {
    /// Looks at both sides.
    ///
    /// # Errors
    ///
    /// The cause, with its fix.
    pub async fn prepare(
        gateway: Arc<Gateway>,
        settings: ExportSettings,
        destination: Destination,
        pace: Pace,
        permit: PermitIssuer,
    ) -> anyhow::Result<Arc<Self>> {
        let bucket = settings.bucket.as_str();
        ensure!(
            settings.as_stored
                || bucket != gateway.state.name() && !is_default_state_bucket(bucket),
            "{bucket} is a state bucket: what lies there are records of gateways, which are no objects to export. Copy it as it is, with the storage's own tools (docs/keys.md, \"Restoring\")"
        );
        let versioning = preflight::versioning(&gateway.upstream, bucket)
            .await
            .with_context(|| format!("the bucket {bucket} cannot be looked at"))?;
        let mut parts = Parts {
            length: settings.part_length,
            conditional: true,
        };
        let route = |target| {
            let endpoint = &gateway.upstream.settings().endpoint;
            Route::new(endpoint, bucket, &settings.prefix, target)
                .with_as_stored(settings.as_stored)
        };
        let (place, journal) = match destination {
            Destination::Directory { path, overwrite } => {
                prepare_files(&path, overwrite, settings.dry_run, &route(None))?
            }
            Destination::Bucket(target, journal) => {
                parts.conditional = check_target(&gateway, &settings, &target).await?;
                let route = route(Some(target.identity()));
                let journal = if settings.dry_run {
                    Journal::look_at(&journal, &route)?
                } else {
                    Journal::open(&journal, &route, |_| {})?
                };
                (Place::Bucket(target), journal)
            }
        };
        let settings = ExportSettings {
            versions: settings.versions && versioning != Versioning::Off,
            ..settings
        };
        Ok(Arc::new(Self {
            journal,
            parts,
            gateway,
            settings,
            place,
            pace: Arc::new(pace),
            permit,
        }))
    }

    /// Goes through the bucket. `on_failure` hears of every object that could not be exported.
    ///
    /// # Errors
    ///
    /// When the bucket cannot be listed to its end. What was exported until then is complete.
    pub async fn run(
        self: &Arc<Self>,
        mut on_failure: impl FnMut(&Entry, &Failure),
    ) -> anyhow::Result<ExportReport> {
        let listing = Listing {
            upstream: self.gateway.upstream.clone(),
            bucket: self.settings.bucket.clone(),
            prefix: self.settings.prefix.clone(),
            start_after: self.settings.start_after.clone(),
            versions: self.settings.versions,
        };
        let listed = stream::try_unfold(listing.entries(), async |mut entries: Entries| {
            Ok::<_, S3Error>(entries.next().await?.map(|entry| (entry, entries)))
        });
        // One after the other, in the order of the listing: which name is free follows from the keys before.
        let mut names = PathMapper::default();
        let mut renamed = 0;
        let tasks = listed.map(|entry| {
            let named = entry.map(|entry| {
                let older = entry.version_id.as_deref().filter(|_| !entry.is_current);
                let path = names.path_for(&entry.key, older);
                renamed += u64::from(path != Path::new(&entry.key));
                (entry, path)
            });
            let export = Arc::clone(self);
            tokio::spawn(async move {
                let (entry, path) = named?;
                export.pace.object().await;
                let outcome = export.process(&entry, &path).await;
                Ok::<_, S3Error>((entry, outcome))
            })
        });
        let mut report = ExportReport::default();
        {
            let mut outcomes =
                std::pin::pin!(tasks.buffer_unordered(self.settings.concurrency.max(1)));
            while let Some(joined) = outcomes.next().await {
                let (entry, outcome) = joined
                    .context("a task ended by a fault of its own")?
                    .context("the bucket cannot be listed; run the command again")?;
                if let Err(failure) = &outcome {
                    on_failure(&entry, failure);
                }
                report.add(&entry.key, outcome);
            }
        }
        if let Place::Files(files) = &self.place {
            report.renamed = renamed;
            // A copy has to say whether it is whole: whoever restores from it has nothing to compare it with.
            if self.settings.as_stored && !self.settings.dry_run && report.failed == 0 {
                files
                    .mark_complete()
                    .context("the end of the copy cannot be noted beside its journal")?;
            }
        }
        Ok(report)
    }

    /// Writes one object to `output`, each segment as soon as it is verified, so what was written before a failure is authentic and incomplete.
    /// None where there is no such object.
    ///
    /// # Errors
    ///
    /// What keeps it from being read to its end.
    pub async fn stream(&self, key: &str, output: &mut impl Write) -> Result<Option<u64>, Failure> {
        let entry = Entry {
            key: key.to_owned(),
            version_id: None,
            is_current: true,
            size: 0,
            entity_tag: None,
            modified: None,
            newer: None,
        };
        let Some(mut source) = self.open(&entry).await? else {
            return Ok(None);
        };
        let mut length = 0;
        while let Some(piece) = source.plaintext.next().await? {
            output.write_all(&piece).map_err(|error| {
                Failure::new(
                    format!("the output: {error}"),
                    "make room for it, and run the command again",
                )
            })?;
            length += piece.len() as u64;
        }
        source.plaintext.verified()?;
        Ok(Some(length))
    }

    async fn process(&self, entry: &Entry, path: &Path) -> Result<Exported, Failure> {
        let target = match &self.place {
            Place::Files(_) => path.to_string_lossy().into_owned(),
            Place::Bucket(_) => entry.key.clone(),
        };
        if self.is_done(entry, path, &target).await? {
            return Ok(Exported::Skipped);
        }
        if self.settings.dry_run {
            let length = layout::plaintext_length(entry.size).unwrap_or(entry.size);
            return Ok(Exported::Done(length));
        }
        let Some(source) = self.open(entry).await? else {
            return Ok(Exported::Gone);
        };
        let mut line = source.line(entry, target);
        let is_owned = self.journal.owns(&line.target);
        let hash = match &self.place {
            Place::Files(files) => files.write(path, source, is_owned, &self.pace).await?,
            Place::Bucket(bucket) => {
                self.write_to_bucket(bucket, entry, source, is_owned)
                    .await?
            }
        };
        line.sha256 = data_encoding::HEXLOWER.encode(&hash);
        self.journal.append(&line).map_err(|error| {
            Failure::new(
                format!("{error:#}"),
                "make room for the journal, and run the command again",
            )
        })?;
        Ok(Exported::Done(line.size))
    }

    /// Whether the journal knows this very object, and what it was exported to is still there.
    async fn is_done(&self, entry: &Entry, path: &Path, target: &str) -> Result<bool, Failure> {
        let Some(tag) = &entry.entity_tag else {
            return Ok(false);
        };
        let version_id = entry.version_id.as_deref();
        // The tag alone does not do: it stays when a copy of the object onto itself gave it another header.
        let modified = entry.modified.map(httpdate::fmt_http_date);
        let modified = modified.as_deref();
        if !self
            .journal
            .has(target, &entry.key, version_id, tag.opaque(), modified)
        {
            return Ok(false);
        }
        Ok(match &self.place {
            Place::Files(files) => {
                // What is listed is the length of a sealed object, or of one in the clear.
                let lengths = [Some(entry.size), layout::plaintext_length(entry.size)];
                let lengths: Vec<u64> = lengths.into_iter().flatten().collect();
                files.has(path, &lengths)
            }
            Place::Bucket(bucket) => bucket.has(&entry.key).await?,
        })
    }
}

fn prepare_files(
    path: &Path,
    overwrite: bool,
    is_dry_run: bool,
    route: &Route,
) -> anyhow::Result<(Place, Journal)> {
    if is_dry_run {
        let files = Files::look_at(path);
        let journal = Journal::look_at(&files.journal(), route)?;
        return Ok((Place::Files(files), journal));
    }
    let files = Files::prepare(path, overwrite)?;
    let journal = Journal::open(&files.journal(), route, |target| {
        files.note(Path::new(target));
    })?;
    files.remove_incomplete()?;
    Ok((Place::Files(files), journal))
}

/// Refuses a bucket that an export must not go to. Returns whether conditions count there on the completion of an upload in parts.
async fn check_target(
    gateway: &Gateway,
    settings: &ExportSettings,
    target: &Bucket,
) -> anyhow::Result<bool> {
    let name = target.name.as_str();
    let state = &gateway.state;
    let mut others = vec![
        (
            &gateway.upstream,
            settings.bucket.as_str(),
            "which is exported",
        ),
        (state.upstream(), state.name(), "the state bucket"),
    ];
    if let Some(sealing) = &target.gateway {
        let state = &sealing.state;
        let what = "the state bucket of --to-config";
        others.push((state.upstream(), state.name(), what));
    }
    for (upstream, other, what) in &others {
        let is_same =
            name == *other && target.upstream.settings().endpoint == upstream.settings().endpoint;
        ensure!(
            !is_same,
            "{name} is the same bucket as {other}, {what}; name another one"
        );
    }
    preflight::versioning(&target.upstream, name)
        .await
        .with_context(|| format!("the target bucket {name} cannot be looked at"))?;
    refuse_state_bucket(&target.upstream, name).await?;
    if settings.dry_run {
        return Ok(true);
    }
    preflight::require_target(&target.upstream, name, &others, target.overwrite).await
}

impl ExportReport {
    fn add(&mut self, key: &str, outcome: Result<Exported, Failure>) {
        match outcome {
            Ok(Exported::Done(bytes)) => {
                self.exported += 1;
                self.bytes += bytes;
            }
            Ok(Exported::Skipped) => self.skipped += 1,
            Ok(Exported::Gone) => self.gone += 1,
            Err(failure) => {
                self.failed += 1;
                if self.failures.len() < MAXIMUM_NAMED_FAILURES {
                    self.failures.push((key.to_owned(), failure));
                }
            }
        }
    }
}
