//! The objects of a bucket, or all their versions, page by page.

use std::{collections::VecDeque, time::SystemTime};

use http::Method;

use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    operation::append_query,
    upstream::{MAX_DOCUMENT_LENGTH, Target, Upstream, UpstreamRequest},
    xml::{upstream_listings::parse_objects, upstream_versions::parse_versions},
};

/// Pages in a row that may be empty although more are said to follow. A listing without an end must not keep a command for ever.
const MAXIMUM_EMPTY_PAGES: usize = 1_000;

/// An object, or a version of one, as a listing names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The decoded key.
    pub key: String,
    /// The version; none in a bucket that is listed without its versions.
    pub version_id: Option<String>,
    /// Whether it is what a GET of the key gets.
    pub is_current: bool,
    /// Its length at the storage.
    pub size: u64,
    /// The storage's tag.
    pub entity_tag: Option<EntityTag>,
    /// When it was written.
    pub modified: Option<SystemTime>,
    /// The next newer version of the same key, delete markers not counted.
    pub newer: Option<String>,
}

/// What to list.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// The storage.
    pub(crate) upstream: Upstream,
    /// The bucket.
    pub(crate) bucket: String,
    /// What keys begin with.
    pub(crate) prefix: String,
    /// Only keys behind this one.
    pub(crate) start_after: Option<String>,
    /// Whether all versions are wanted.
    pub(crate) versions: bool,
}

/// A listing under way.
pub(crate) struct Entries {
    listing: Listing,
    page: VecDeque<Entry>,
    next: Next,
    empty_pages: usize,
    /// The last version that was listed, across pages.
    last: Option<(String, Option<String>)>,
}

enum Next {
    Start,
    Token(String),
    Versions(String, Option<String>),
    End,
}

impl Listing {
    /// Begins.
    pub(crate) fn entries(self) -> Entries {
        Entries {
            listing: self,
            page: VecDeque::new(),
            next: Next::Start,
            empty_pages: 0,
            last: None,
        }
    }
}

/// Whether a listing names an object, or one version of it, still. Where it does and the object cannot be had, it is not deleted but lost, as far
/// as the storage's own word goes.
///
/// # Errors
///
/// The storage's.
pub(crate) async fn is_listed(
    upstream: &Upstream,
    bucket: &str,
    entry: &Entry,
) -> Result<bool, S3Error> {
    let listing = Listing {
        upstream: upstream.clone(),
        bucket: bucket.to_owned(),
        prefix: entry.key.clone(),
        start_after: None,
        versions: entry.version_id.is_some(),
    };
    let mut entries = listing.entries();
    // The key itself is the first one that begins with it.
    while let Some(found) = entries.next().await? {
        if found.key != entry.key {
            return Ok(false);
        }
        if found.version_id == entry.version_id {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Entries {
    /// The next entry; none at the end.
    ///
    /// # Errors
    ///
    /// The storage's error, or a listing without an end.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, S3Error> {
        loop {
            if let Some(entry) = self.page.pop_front() {
                return Ok(Some(entry));
            }
            if matches!(self.next, Next::End) {
                return Ok(None);
            }
            if self.listing.versions {
                self.fetch_versions().await?;
            } else {
                self.fetch_objects().await?;
            }
            self.empty_pages = if self.page.is_empty() {
                self.empty_pages + 1
            } else {
                0
            };
            if self.empty_pages > MAXIMUM_EMPTY_PAGES {
                return Err(S3Error::internal("the storage's listing has no end"));
            }
        }
    }

    async fn document(&self, query: String) -> Result<bytes::Bytes, S3Error> {
        let request =
            UpstreamRequest::new(Method::GET, Target::bucket(&self.listing.bucket)).query(query);
        let answer = self.listing.upstream.call(request).await?;
        Ok(answer.document(MAX_DOCUMENT_LENGTH).await?.into_bytes())
    }

    async fn fetch_objects(&mut self) -> Result<(), S3Error> {
        let mut query = String::from("list-type=2&encoding-type=url");
        append_query(&mut query, "prefix", &self.listing.prefix);
        match (&self.next, &self.listing.start_after) {
            (Next::Token(token), _) => append_query(&mut query, "continuation-token", token),
            (_, Some(start)) => append_query(&mut query, "start-after", start),
            (_, None) => {}
        }
        let page = parse_objects(&self.document(query).await?)?;
        self.page = page
            .objects
            .into_iter()
            .map(|object| Entry {
                key: object.key,
                version_id: None,
                is_current: true,
                size: object.size,
                entity_tag: object.entity_tag,
                modified: Some(object.last_modified.into()),
                newer: None,
            })
            .collect();
        self.next = match page.next_continuation_token {
            Some(token) if page.is_truncated => Next::Token(token),
            None if page.is_truncated => {
                return Err(S3Error::internal(
                    "the storage's listing is cut and does not say where it goes on",
                ));
            }
            _ => Next::End,
        };
        Ok(())
    }

    async fn fetch_versions(&mut self) -> Result<(), S3Error> {
        let mut query = String::from("versions=&encoding-type=url");
        append_query(&mut query, "prefix", &self.listing.prefix);
        match (&self.next, &self.listing.start_after) {
            (Next::Versions(key, version_id), _) => {
                append_query(&mut query, "key-marker", key);
                if let Some(version_id) = version_id {
                    append_query(&mut query, "version-id-marker", version_id);
                }
            }
            (_, Some(start)) => append_query(&mut query, "key-marker", start),
            (_, None) => {}
        }
        let page = parse_versions(&self.document(query).await?)?;
        for version in page.versions {
            let newer = match self.last.take() {
                Some((key, version_id)) if key == version.key => version_id,
                _ => None,
            };
            self.last = Some((version.key.clone(), version.version_id.clone()));
            self.page.push_back(Entry {
                key: version.key,
                version_id: version.version_id,
                is_current: version.is_latest,
                size: version.size,
                entity_tag: version.entity_tag,
                modified: Some(version.last_modified.into()),
                newer,
            });
        }
        self.next = match page.next_key_marker {
            Some(key) if page.is_truncated => Next::Versions(key, page.next_version_id_marker),
            None if page.is_truncated => {
                return Err(S3Error::internal(
                    "the storage's listing is cut and does not say where it goes on",
                ));
            }
            _ => Next::End,
        };
        Ok(())
    }
}
