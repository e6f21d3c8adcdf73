//! Through whole buckets, in an order that a later run can go on in.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use http::Method;

use crate::{
    error::S3Error,
    gateway::Gateway,
    migration::{Entries, Entry, Listing, Pace, Versioning, versioning},
    upstream::{MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
    xml::upstream_listings::parse_buckets,
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
    /// Everything up to the versions of this key was seen.
    pub last: Option<String>,
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
            let request = UpstreamRequest::new(Method::GET, Target::service());
            let answer = gateway.upstream.call(request).await;
            let answer = answer.context("the buckets cannot be listed; name them")?;
            buckets = parse_buckets(&answer.document(MAX_DOCUMENT_LENGTH).await?)
                .map_err(S3Error::from)?;
            buckets.retain(|bucket| bucket != state);
        }
        buckets.sort();
        buckets.dedup();
        if let Some((first, _)) = &self.resume_from {
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
                // The versions of one key may go on, and a listing goes on behind a key.
                walked.last = Some(item.position());
            }
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
