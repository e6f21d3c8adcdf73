//! Export to a bucket: in the clear, or sealed anew as another configuration says. What was written is read back before it counts.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};

use super::{
    Export, journal,
    source::{Sent, Source, into_body},
};
use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    gateway::Gateway,
    migration::{
        Entry, Failure, Pace,
        body::paced,
        one::{sealed_headers, sha256, tag_value},
        report::RUN_AGAIN,
        seal::{self, Home},
        store::{Stored, store},
        verify::{Located, read_all},
    },
    object::{tags, version_query},
    object_key::ObjectKey,
    operation::named,
    upstream::{Target, Upstream, UpstreamRequest},
};

/// A bucket that objects are exported to.
#[derive(Clone)]
pub struct Bucket {
    /// The storage.
    pub(crate) upstream: Upstream,
    /// Its name.
    pub(crate) name: String,
    /// What seals the objects there; none for an export in the clear.
    pub(crate) gateway: Option<Arc<Gateway>>,
    /// Replace objects that are not of this export.
    pub(crate) overwrite: bool,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket")
            .field("upstream", &self.upstream)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Bucket {
    /// What the journal says of it.
    pub(super) fn identity(&self) -> journal::Target {
        journal::Target {
            endpoint: self.upstream.settings().endpoint.to_string(),
            bucket: self.name.clone(),
            deployment: self
                .gateway
                .as_ref()
                .map(|gateway| gateway.config.deployment.clone()),
        }
    }

    fn target(&self, key: &str) -> Result<Target, S3Error> {
        Ok(Target::object(
            self.name.as_str(),
            ObjectKey::new(key)?.to_wire(),
        ))
    }

    /// Whether there is an object under this key.
    pub(super) async fn has(&self, key: &str) -> Result<bool, S3Error> {
        let request = UpstreamRequest::new(Method::HEAD, self.target(key)?);
        match self.upstream.call(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.status == StatusCode::NOT_FOUND => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Export {
    /// Writes an object to its bucket. `is_owned` says that what lies there is of this export and may be replaced.
    pub(super) async fn write_to_bucket(
        &self,
        bucket: &Bucket,
        entry: &Entry,
        source: Source,
        is_owned: bool,
    ) -> Result<[u8; 32], Failure> {
        let target = bucket.target(&entry.key)?;
        let mut headers = HeaderMap::new();
        if !(is_owned || bucket.overwrite) {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        if let Some(value) = tags::to_header(&source.tags)? {
            headers.insert(named("x-amz-tagging"), value);
        }
        let written = match &bucket.gateway {
            Some(gateway) => {
                self.write_sealed(gateway, bucket, &target, &entry.key, source, headers)
                    .await
            }
            None => self.write_clear(bucket, &target, source, headers).await,
        };
        match written {
            Err(Problem::Exists) => self.same_or_refused(bucket, &target, entry).await,
            Err(Problem::Failed(failure)) => Err(failure),
            Ok(hash) => Ok(hash),
        }
    }

    async fn write_clear(
        &self,
        bucket: &Bucket,
        target: &Target,
        source: Source,
        mut headers: HeaderMap,
    ) -> Result<[u8; 32], Problem> {
        headers.extend(source.headers.clone());
        let length = source.plaintext.length();
        let (body, sent): (_, Sent) = into_body(source.plaintext).await?;
        let stored = store(
            &bucket.upstream,
            target,
            headers,
            paced(body, self.pace.clone()),
            length,
            self.parts,
        )
        .await;
        let stored = sent.failure().map_or(stored, Err)?;
        let hash = sent.sha256()?;
        let found = hash_of(bucket, target, Some(&stored), &self.pace).await?;
        self.keep_if_same(bucket, target, &stored, found == hash)
            .await?;
        Ok(hash)
    }

    async fn write_sealed(
        &self,
        gateway: &Gateway,
        bucket: &Bucket,
        target: &Target,
        key: &str,
        source: Source,
        mut headers: HeaderMap,
    ) -> Result<[u8; 32], Problem> {
        let rule = gateway.config.domain_for(&bucket.name, key);
        let home = Home { rule: &rule, key };
        let (sealing, body) =
            seal::seal(gateway, home, source.metadata, source.plaintext, None).await?;
        headers.extend(sealed_headers(&sealing.header)?);
        let stored = store(
            &bucket.upstream,
            target,
            headers,
            paced(body, self.pace.clone()),
            sealing.length,
            self.parts,
        )
        .await;
        let stored = sealing.ending.failure().map_or(stored, Err)?;
        let hash = sha256(&sealing.ending.verified()?)?;
        let located = Located {
            upstream: &bucket.upstream,
            target,
            version_id: stored.version_id.as_deref(),
            entity_tag: Some(&stored.entity_tag),
        };
        let read = read_all(gateway, self.permit, &located, home, &self.pace).await?;
        self.keep_if_same(bucket, target, &stored, read.sha256 == hash)
            .await?;
        Ok(hash)
    }

    /// What was read back and is another thing than what was sent is removed again.
    async fn keep_if_same(
        &self,
        bucket: &Bucket,
        target: &Target,
        stored: &Stored,
        is_same: bool,
    ) -> Result<(), Problem> {
        if is_same {
            return Ok(());
        }
        let request = UpstreamRequest::new(Method::DELETE, target.clone())
            .query(version_query(stored.version_id.as_deref()));
        bucket.upstream.call(request).await?;
        Err(Problem::Failed(Failure::new(
            "what the target holds, read back, is not what was sent; it was removed",
            RUN_AGAIN,
        )))
    }

    /// An object that this export does not know: the same, when a command was killed before it could note it, or somebody else's.
    async fn same_or_refused(
        &self,
        bucket: &Bucket,
        target: &Target,
        entry: &Entry,
    ) -> Result<[u8; 32], Failure> {
        let found = match &bucket.gateway {
            None => hash_of(bucket, target, None, &self.pace).await.ok(),
            Some(gateway) => {
                let rule = gateway.config.domain_for(&bucket.name, &entry.key);
                let home = Home {
                    rule: &rule,
                    key: &entry.key,
                };
                let located = Located {
                    upstream: &bucket.upstream,
                    target,
                    version_id: None,
                    entity_tag: None,
                };
                let read = read_all(gateway, self.permit, &located, home, &self.pace).await;
                read.ok().map(|read| read.sha256)
            }
        };
        if let (Some(found), Some(source)) = (found, self.open(entry).await?)
            && source.hash().await? == found
        {
            return Ok(found);
        }
        Err(Failure::new(
            "the target bucket holds another object under this key",
            "export to an empty bucket, or replace such objects with --overwrite",
        ))
    }
}

/// Why nothing was written.
enum Problem {
    /// There is an object already.
    Exists,
    Failed(Failure),
}

impl From<S3Error> for Problem {
    fn from(error: S3Error) -> Self {
        if error.status == StatusCode::PRECONDITION_FAILED {
            Self::Exists
        } else {
            Self::Failed(error.into())
        }
    }
}

/// SHA-256 of what lies at the target.
async fn hash_of(
    bucket: &Bucket,
    target: &Target,
    stored: Option<&Stored>,
    pace: &Pace,
) -> Result<[u8; 32], S3Error> {
    let mut request = UpstreamRequest::new(Method::GET, target.clone());
    if let Some(Stored {
        entity_tag,
        version_id,
    }) = stored
    {
        let tag: &EntityTag = entity_tag;
        request = request
            .query(version_query(version_id.as_deref()))
            .header(header::IF_MATCH, tag_value(tag)?);
    }
    let mut body = bucket.upstream.call(request).await?.into_parts().1;
    let mut hash = Sha256::new();
    while let Some(piece) = body.next().await? {
        hash.update(&piece);
        pace.bytes(piece.len()).await;
    }
    Ok(hash.finalize().into())
}
