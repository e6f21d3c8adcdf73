//! `sealgate gc`: removes the state of uploads that were completed or aborted while nobody could delete it.
//!
//! State is listed first, whatever is younger than a day stays, and the rest goes only where the upstream says of that very upload that it does
//! not exist. MinIO lists the uploads of a whole bucket as none by design, so ListParts is asked about each.

use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use sealgate_envelope::records::{MAXIMUM_RECORD_LENGTH, UploadRecord, upload_record_name};

use super::Gateway;
use crate::{
    error::S3Error,
    object_key::ObjectKey,
    operation::append_query,
    upstream::{Target, UpstreamRequest},
};

/// State younger than this is never touched: its upload may be under way.
pub const MINIMUM_AGE: Duration = Duration::from_hours(24);

/// Uploads that one run looks at.
const MAXIMUM_UPLOADS: usize = 1_000_000;

/// Objects of one upload that one run looks at: 10,000 parts, each uploaded several times, and what was stashed of them. Where a client has
/// left more, the next run goes on.
const MAXIMUM_NAMES: usize = 100_000;

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
    /// Examines the state of every upload, and removes what nobody needs any more unless `dry_run` is set. `report` hears of each upload.
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
            let is_old = |time: SystemTime| {
                SystemTime::now()
                    .duration_since(time)
                    .is_ok_and(|age| age >= MINIMUM_AGE)
            };
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
        Ok(())
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
