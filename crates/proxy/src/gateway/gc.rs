//! `sealgate gc`: removes the state of uploads that were completed or aborted while nobody could delete it.
//!
//! State is listed first, whatever is younger than a day stays, and the rest goes only where the upstream says of that very upload that it does
//! not exist. MinIO lists the uploads of a whole bucket as none by design, so ListParts is asked about each.

use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use sealgate_envelope::records::{MAXIMUM_RECORD_LENGTH, UploadRecord, upload_record_name};

use super::{Gateway, probe::PROBES};
use crate::{
    error::S3Error,
    object_key::ObjectKey,
    operation::append_query,
    upstream::{MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
    xml::{multipart_answers::ListedUpload, upstream_listings::parse_uploads},
};

/// State younger than this is never touched: its upload may be under way.
pub const MINIMUM_AGE: Duration = Duration::from_hours(24);

/// Uploads that one run looks at.
const MAXIMUM_UPLOADS: usize = 1_000_000;

/// Objects of one upload that one run looks at: 10,000 parts, each uploaded several times, and what was stashed of them. Where a client has
/// left more, the next run goes on.
const MAXIMUM_NAMES: usize = 100_000;

/// Whether nothing of that time can be under way.
fn is_old(time: SystemTime) -> bool {
    let age = SystemTime::now().duration_since(time);
    age.is_ok_and(|age| age >= MINIMUM_AGE)
}

/// What became of the state of one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Something of it is younger than [`MINIMUM_AGE`].
    Young,
    /// The upstream still knows the upload.
    Open,
    /// Its record cannot be read, or the upstream does not let us ask for it, so nobody can tell; it stays, for a person to look at.
    Unreadable,
    /// Nobody needs it any more; removed, unless this was a dry run.
    Garbage,
}

/// The state of one upload, and what became of it.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What its names begin with.
    pub prefix: String,
    /// How many objects of the state bucket it takes.
    pub objects: usize,
    /// What became of it.
    pub verdict: Verdict,
}

impl Gateway {
    /// Examines the state of every upload, and what probes have left that were cut off, and removes what nobody needs any more unless `dry_run` is
    /// set. `report` hears of each upload, and of the probes at once.
    ///
    /// # Errors
    ///
    /// When the state bucket or the upstream cannot be asked. What was removed until then is gone, and another run goes on.
    pub async fn collect_garbage(
        &self,
        dry_run: bool,
        mut report: impl FnMut(&Examined),
    ) -> Result<(), S3Error> {
        for prefix in self
            .state
            .list_prefixes("uploads/", MAXIMUM_UPLOADS)
            .await?
        {
            let entries = self.state.list_first(&prefix, MAXIMUM_NAMES).await?;
            if entries.is_empty() {
                // Deleted meanwhile, or a directory that a storage on a file system has left behind.
                continue;
            }
            let youngest = entries.iter().map(|entry| entry.modified).max();
            let verdict = if youngest.is_some_and(is_old) {
                self.judge(&prefix).await?
            } else {
                Verdict::Young
            };
            let examined = Examined {
                prefix,
                objects: entries.len(),
                verdict,
            };
            if verdict == Verdict::Garbage && !dry_run {
                // The record last: as long as there is anything of an upload, it can be judged again.
                let (record, mut others): (Vec<String>, Vec<String>) = entries
                    .into_iter()
                    .map(|entry| entry.name)
                    .partition(|name| name.ends_with("/record"));
                others.extend(record);
                self.state.delete(&others).await?;
            }
            report(&examined);
        }
        let objects = self.collect_probes(dry_run).await?;
        if objects > 0 {
            report(&Examined {
                prefix: PROBES.to_owned(),
                objects,
                verdict: Verdict::Garbage,
            });
        }
        Ok(())
    }

    /// Removes what probes have written that could not clean up behind themselves; how much that is.
    async fn collect_probes(&self, dry_run: bool) -> Result<usize, S3Error> {
        let entries = self.state.list_first(PROBES, MAXIMUM_NAMES).await?;
        let old = entries.into_iter().filter(|entry| is_old(entry.modified));
        let names: Vec<String> = old.map(|entry| entry.name).collect();
        // Not every storage lists uploads of which it was not told the whole name; those end them by themselves.
        let uploads = self.open_probes().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "open uploads of probes are not listed");
            Vec::new()
        });
        if !dry_run {
            if !names.is_empty() {
                self.state.delete(&names).await?;
            }
            for upload in &uploads {
                let mut query = String::new();
                append_query(&mut query, "uploadId", &upload.upload_id);
                let target = Target::object(self.state.name(), upload.key.as_str());
                let abort = UpstreamRequest::new(Method::DELETE, target).query(query);
                match self.state.upstream().call(abort).await {
                    // Somebody else was faster.
                    Err(error) if error.code == "NoSuchUpload" => {}
                    outcome => drop(outcome?),
                }
            }
        }
        Ok(names.len() + uploads.len())
    }

    async fn open_probes(&self) -> Result<Vec<ListedUpload>, S3Error> {
        let mut query = String::from("uploads=");
        append_query(&mut query, "prefix", PROBES);
        let request =
            UpstreamRequest::new(Method::GET, Target::bucket(self.state.name())).query(query);
        let answer = self.state.upstream().call(request).await?;
        let mut page = parse_uploads(&answer.document(MAX_DOCUMENT_LENGTH).await?)?;
        page.uploads
            .retain(|upload| upload.key.starts_with(PROBES) && is_old(upload.initiated.into()));
        Ok(page.uploads)
    }

    async fn judge(&self, prefix: &str) -> Result<Verdict, S3Error> {
        let name = format!("{prefix}record");
        let Some(bytes) = self.state.get(&name, MAXIMUM_RECORD_LENGTH).await? else {
            // Without its record an upload can't be completed; what is left came from requests that ended after it was forgotten.
            return Ok(Verdict::Garbage);
        };
        let Ok(unverified) = UploadRecord::parse(&bytes) else {
            return Ok(Verdict::Unreadable);
        };
        let UploadRecord {
            bucket,
            object_key,
            upload_id,
            ..
        } = unverified.claim();
        let named_by_its_upload =
            name == upload_record_name(sealgate_envelope::UploadHash::of(upload_id));
        let Ok(key) = ObjectKey::new(object_key.as_str()) else {
            return Ok(Verdict::Unreadable);
        };
        if !named_by_its_upload {
            return Ok(Verdict::Unreadable);
        }
        let mut query = String::from("max-parts=1");
        append_query(&mut query, "uploadId", upload_id);
        let request =
            UpstreamRequest::new(Method::GET, Target::object(bucket.as_str(), key.to_wire()))
                .query(query);
        match self.upstream.call(request).await {
            Ok(_) => Ok(Verdict::Open),
            Err(error) if error.code == "NoSuchUpload" || error.code == "NoSuchBucket" => {
                Ok(Verdict::Garbage)
            }
            // A bucket's policy is its clients' to write, and must not keep the state of all other uploads from being cleared.
            Err(error) if error.status == StatusCode::FORBIDDEN => {
                tracing::warn!(name, %error, "the upstream does not let us ask for an upload");
                Ok(Verdict::Unreadable)
            }
            Err(error) => Err(error),
        }
    }
}
