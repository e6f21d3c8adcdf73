//! Through whole buckets, in an order that a later run can go on in.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};

use super::buckets::listed_buckets;
use crate::{
    error::S3Error,
    gateway::Gateway,
    migration::{Entries, Entry, Listing, Pace, Versioning, versioning},
};

/// What to go through.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The buckets; all that the storage shows, if there is none.
    pub buckets: Vec<String>,
    /// What keys begin with.
    pub prefix: String,
    /// Bucket and key to go on after.
    pub resume_from: Option<(String, String)>,
    /// Whether all versions are wanted, and not only the current ones.
    pub versions: bool,
    /// Objects that are looked at at once.
    pub concurrency: usize,
}

/// One version of an object, wherever it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The bucket.
    pub bucket: String,
    /// What the listing says.
    pub entry: Entry,
}

impl Item {
    /// Where to go on after this one.
    pub fn position(&self) -> String {
        format!("{}/{}", self.bucket, self.entry.key)
    }
}

/// How far a walk came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// The buckets.
    pub buckets: Vec<String>,
    /// Whether all of it was seen, and not only what stands before a signal.
    pub is_complete: bool,
    /// Everything up to this key was seen, with all its versions.
    pub last: Option<String>,
}

impl Walked {
    /// What to do about a walk that a signal ended.
    pub fn how_to_go_on(&self) -> String {
        self.last.as_ref().map_or_else(
            || "interrupted before any key was seen with all its versions: begin again".to_owned(),
            |last| format!("interrupted: go on with --resume-from {last:?}"),
        )
    }
}

/// Finds the keys that were seen with all their versions: a listing that is resumed goes on behind all versions of a key.
#[derive(Debug, Default)]
struct Passed {
    /// The key of which more versions may follow.
    current: Option<String>,
}

impl Passed {
    /// Takes in the next version. Returns the key that is done by it.
    fn see(&mut self, item: &Item) -> Option<String> {
        let position = Some(item.position());
        if item.entry.version_id.is_none() {
            return position;
        }
        if self.current == position {
            return None;
        }
        std::mem::replace(&mut self.current, position)
    }
}

impl Walk {
    /// The buckets in their order, without those that an earlier run has done.
    ///
    /// # Errors
    ///
    /// When the storage cannot be asked, or one of them is the state bucket.
    async fn places(&self, gateway: &Gateway) -> anyhow::Result<Vec<String>> {
        let state = gateway.state.name();
        let mut buckets = self.buckets.clone();
        ensure!(
            !buckets.iter().any(|bucket| bucket == state),
            "{state} is the state bucket; its records are looked at anyway"
        );
        if buckets.is_empty() {
            buckets = listed_buckets(gateway).await?;
        }
        buckets.sort();
        buckets.dedup();
        if let Some((first, _)) = &self.resume_from {
            ensure!(
                buckets.contains(first),
                "the bucket {first} of --resume-from is none of those to go through: {}",
                buckets.join(", ")
            );
            buckets.retain(|bucket| bucket >= first);
        }
        Ok(buckets)
    }

    /// Visits everything, several at once; `on_seen` hears of them in order, so that what was seen when `stop` comes needs not be seen again.
    ///
    /// # Errors
    ///
    /// When a bucket cannot be listed to its end; with the place to go on from.
    pub async fn run<T, F>(
        &self,
        gateway: &Arc<Gateway>,
        pace: &Arc<Pace>,
        stop: impl Future<Output = ()>,
        visit: impl Fn(Item) -> F + Clone + Send + Sync + 'static,
        mut on_seen: impl FnMut(&Item, T),
    ) -> anyhow::Result<Walked>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        let mut walked = Walked {
            buckets: self.places(gateway).await?,
            is_complete: false,
            last: None,
        };
        let mut stop = std::pin::pin!(stop);
        for bucket in walked.buckets.clone() {
            let entries = self.entries(gateway, &bucket).await?;
            let listed = stream::try_unfold(entries, async |mut entries: Entries| {
                Ok::<_, S3Error>(entries.next().await?.map(|entry| (entry, entries)))
            });
            let tasks = listed.map(|entry| {
                let (visit, pace, bucket) = (visit.clone(), Arc::clone(pace), bucket.clone());
                // A task of its own, so that every processor is used.
                tokio::spawn(async move {
                    let item = Item {
                        bucket,
                        entry: entry?,
                    };
                    pace.object().await;
                    let found = visit(item.clone()).await;
                    Ok::<_, S3Error>((item, found))
                })
            });
            let mut seen = std::pin::pin!(tasks.buffered(self.concurrency.max(1)));
            let mut passed = Passed::default();
            loop {
                let next = tokio::select! {
                    next = seen.next() => next,
                    () = &mut stop => return Ok(walked),
                };
                let Some(joined) = next else { break };
                let (item, found) = joined
                    .context("a task ended by a fault of its own")?
                    .with_context(|| {
                        let place = walked.last.as_deref().unwrap_or("the beginning");
                        format!("the bucket {bucket} cannot be listed; go on from {place}")
                    })?;
                on_seen(&item, found);
                walked.last = passed.see(&item).or(walked.last);
            }
            walked.last = passed.current.or(walked.last);
        }
        walked.is_complete = true;
        Ok(walked)
    }

    async fn entries(&self, gateway: &Gateway, bucket: &str) -> anyhow::Result<Entries> {
        let has_versions = self.versions
            && versioning(&gateway.upstream, bucket)
                .await
                .with_context(|| format!("the bucket {bucket} cannot be looked at"))?
                != Versioning::Off;
        let start_after = self
            .resume_from
            .as_ref()
            .filter(|(first, _)| first == bucket)
            .map(|(_, key)| key.clone());
        let listing = Listing {
            upstream: gateway.upstream.clone(),
            bucket: bucket.to_owned(),
            prefix: self.prefix.clone(),
            start_after,
            versions: has_versions,
        };
        Ok(listing.entries())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, version_id: Option<&str>) -> Item {
        Item {
            bucket: "b".to_owned(),
            entry: Entry {
                key: key.to_owned(),
                version_id: version_id.map(str::to_owned),
                is_current: true,
                size: 0,
                entity_tag: None,
                modified: None,
                newer: None,
            },
        }
    }

    #[test]
    fn a_key_is_passed_when_its_last_version_was_seen() {
        let mut passed = Passed::default();
        let mut see = |key, version| passed.see(&item(key, Some(version)));
        assert_eq!(see("a", "3"), None);
        assert_eq!(see("a", "2"), None);
        assert_eq!(see("b", "1").as_deref(), Some("b/a"));
        assert_eq!(see("c", "1").as_deref(), Some("b/b"));
        assert_eq!(passed.current.as_deref(), Some("b/c"));
        let mut passed = Passed::default();
        assert_eq!(passed.see(&item("a", None)).as_deref(), Some("b/a"));
        assert_eq!(passed.current, None);
    }

    #[test]
    fn whoever_is_stopped_within_the_first_key_begins_again() {
        let mut walked = Walked {
            buckets: vec!["b".to_owned()],
            is_complete: false,
            last: None,
        };
        assert!(walked.how_to_go_on().ends_with("begin again"));
        walked.last = Some("b/k".to_owned());
        assert!(walked.how_to_go_on().contains("--resume-from \"b/k\""));
    }
}
