//! Sealing in a bucket with versions: the sealed object becomes a version of its own, and the one in the clear goes only when that was proven.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{
    Entry, Failure, Migration, Mode, Outcome,
    labels::{give_grants, grants},
    one::{Attempt, Original, Trouble, check, kept_checksum, sha256},
    preflight::{self, Versioning},
    seal::Home,
    verify::{Located, is_gone, read_all},
};
use crate::{
    body::Checksum,
    error::S3Error,
    object::{ClearHead, version_query},
    operation::named,
    upstream::{Target, UpstreamRequest},
};

impl Migration {
    /// The sealed object becomes the current version, and the clear one goes when that was read back.
    ///
    /// Where the answer to the write gets lost, another attempt finds the sealed version there, and [`Self::superseded`] proves it.
    pub(super) async fn add_version(&self, original: &Original<'_>) -> Result<Attempt, Trouble> {
        let upstream = &self.gateway.upstream;
        let Some((sealing, body)) = self.seal(original).await? else {
            return Ok(Attempt::Changed);
        };
        let headers = original.successor_headers(&sealing.header)?;
        let stored = self.store(&original.target, headers, body, &sealing).await;
        let stored = match stored {
            Err(error) if is_gone(&error) => return Ok(Attempt::Changed),
            stored => stored?,
        };
        let located = Located {
            upstream,
            target: &original.target,
            version_id: stored.version_id.as_deref(),
            entity_tag: Some(&stored.entity_tag),
        };
        let verified = sealing.ending.verified()?;
        let compared = match original.check(&verified) {
            Ok(()) => self.compare(&located, original, &sealing, &verified).await,
            Err(failure) => Err(failure.into()),
        };
        // The version `null`, from before the bucket had versions, is the one that an answer does not name.
        let clear = original.head.version_id.as_deref().unwrap_or("null");
        let stands_beside = stands_beside(stored.version_id.as_deref(), clear);
        if let Err(trouble) = compared {
            if stands_beside && is_conclusive(&trouble) {
                self.take_back(&original.target, stored.version_id.as_deref(), clear)
                    .await?;
            }
            return Err(trouble);
        }
        original
            .labels
            .restore_grants(upstream, &original.target, stored.version_id.as_deref())
            .await?;
        if !stands_beside {
            return Err(Trouble::Lasting(Failure::new(
                "it is sealed and was read back, but the storage made no version of its own for it, as it should in a bucket with versions",
                "see whether the bucket's versioning was suspended meanwhile; nothing has to be done for this object",
            )));
        }
        if !self.settings.keep_versions {
            self.delete_clear(&original.target, Some(clear)).await?;
        }
        Ok(Attempt::Done(Outcome::Sealed(original.head.length)))
    }

    /// Deletes a sealed version that is not what it should be, so that the clear one becomes the current one again, if that is still there.
    async fn take_back(
        &self,
        target: &Target,
        sealed: Option<&str>,
        clear: &str,
    ) -> Result<(), S3Error> {
        let is_there = self.look_at(target, Some(clear), HeaderMap::new()).await?;
        if is_there.is_some() {
            self.delete_version(target, sealed).await?;
        }
        Ok(())
    }

    /// The current version is sealed. The one that was listed as such may stand behind it by now, in the clear: where the answer to a write of ours
    /// got lost, where another command was faster, or where a client has written.
    pub(super) async fn superseded(
        &self,
        entry: &Entry,
        target: &Target,
        newer: Option<&str>,
    ) -> Result<Attempt, Trouble> {
        let sealed = Ok(Attempt::Done(Outcome::AlreadySealed));
        let (Some(listed), Some(newer)) = (entry.version_id.as_deref(), newer) else {
            return sealed;
        };
        if !entry.is_current || listed == newer {
            return sealed;
        }
        let upstream = &self.gateway.upstream;
        let head = ClearHead::fetch(upstream, target.clone(), Some(listed), checksum_mode()).await;
        let head = match head {
            Ok(Some(head)) => head,
            Ok(None) => return sealed,
            Err(error) if error.status == StatusCode::NOT_FOUND => return sealed,
            Err(error) => return Err(error.into()),
        };
        let older = Entry {
            is_current: false,
            newer: Some(newer.to_owned()),
            ..entry.clone()
        };
        self.old_version(&older, target.clone(), head).await
    }

    /// An older version in the clear.
    pub(super) async fn old_version(
        &self,
        entry: &Entry,
        target: Target,
        head: ClearHead,
    ) -> Result<Attempt, Trouble> {
        if self.settings.mode == Mode::Check {
            return Ok(Attempt::Done(Outcome::ClearVersion));
        }
        if self.settings.keep_versions {
            self.settle_grants(entry, &target, &head).await?;
            return Ok(Attempt::Done(Outcome::ClearVersion));
        }
        let is_same = self.is_sealed_in_the_next(entry, &target, &head).await?;
        if !(is_same || self.settings.delete_clear_versions) {
            return Ok(Attempt::Done(Outcome::ClearVersion));
        }
        // Where what stood before it was deleted since it was listed, this is the object.
        let current = self.look_at(&target, None, HeaderMap::new()).await?;
        let is_current = current.is_some_and(|current| {
            current.version_id().unwrap_or("null") == head.version_id.as_deref().unwrap_or("null")
        });
        if is_current {
            return self.seal_current(&entry.key, target, head).await;
        }
        if self.settings.mode == Mode::Seal {
            if let Some(newer) = entry.newer.as_deref().filter(|_| is_same)
                && let Some(grants) = self.missing_grants(&target, &head, newer).await?
            {
                give_grants(&self.gateway.upstream, &target, Some(newer), grants).await?;
            }
            self.delete_clear(&target, head.version_id.as_deref())
                .await?;
        }
        Ok(Attempt::Done(Outcome::Removed))
    }

    /// Gives the grants of a version in the clear, which stays, to its sealed one, if a command was killed before it did. Most versions in the clear
    /// have none that say anything, so that neither of the two has to be read.
    async fn settle_grants(
        &self,
        entry: &Entry,
        target: &Target,
        head: &ClearHead,
    ) -> Result<(), Trouble> {
        if self.settings.mode != Mode::Seal {
            return Ok(());
        }
        if let Some(newer) = entry.newer.as_deref()
            && let Some(grants) = self.missing_grants(target, head, newer).await?
            && self.is_sealed_in_the_next(entry, target, head).await?
        {
            give_grants(&self.gateway.upstream, target, Some(newer), grants).await?;
        }
        Ok(())
    }

    /// The grants of a version in the clear, if they say something and the newer version has none.
    async fn missing_grants(
        &self,
        target: &Target,
        head: &ClearHead,
        newer: &str,
    ) -> Result<Option<bytes::Bytes>, S3Error> {
        let upstream = &self.gateway.upstream;
        let Some(document) = grants(upstream, target, head.version_id.as_deref()).await? else {
            return Ok(None);
        };
        let given = grants(upstream, target, Some(newer)).await?;
        Ok(given.is_none().then_some(document))
    }

    /// Whether the next newer version is the same, sealed: then a command was killed between writing it and removing this one, or its answer got
    /// lost. Every byte of both is read.
    async fn is_sealed_in_the_next(
        &self,
        entry: &Entry,
        target: &Target,
        head: &ClearHead,
    ) -> Result<bool, Trouble> {
        let Some(newer) = entry.newer.as_deref() else {
            return Ok(false);
        };
        let upstream = &self.gateway.upstream;
        let request =
            UpstreamRequest::new(Method::HEAD, target.clone()).query(version_query(Some(newer)));
        let answer = match upstream.call(request).await {
            // Deleted since it was listed.
            Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(false),
            answer => answer?,
        };
        let same_length = answer
            .content_length()
            .and_then(sealgate_envelope::layout::plaintext_length)
            == Some(head.length);
        if !same_length || ClearHead::read(&answer, Some(newer))?.is_some() {
            return Ok(false);
        }
        let rule = self.rule(&entry.key);
        let located = Located {
            upstream,
            target,
            version_id: Some(newer),
            entity_tag: None,
        };
        let home = Home {
            rule: &rule,
            key: &entry.key,
        };
        let sealed = read_all(&self.gateway, self.permit, &located, home, &self.pace).await?;
        let Some(mut plaintext) = self.open(target, head).await? else {
            return Ok(false);
        };
        let kept = kept_checksum(&head.headers);
        if let Some(algorithm) = kept.as_ref().map(Checksum::algorithm) {
            plaintext = plaintext.want(algorithm);
        }
        while let Some(piece) = plaintext.next().await? {
            self.pace.bytes(piece.len()).await;
        }
        let verified = plaintext.verified()?;
        check(kept.as_ref(), &verified)?;
        Ok(sha256(&verified)? == sealed.sha256)
    }

    /// Deletes a version in the clear of what is sealed, or was given up.
    async fn delete_clear(&self, target: &Target, version_id: Option<&str>) -> Result<(), Trouble> {
        match self.delete_version(target, version_id).await {
            Err(error) if error.status.is_server_error() => Err(error.into()),
            Err(error) => Err(Trouble::Lasting(Failure::new(
                format!(
                    "it is sealed, and a version of it in the clear cannot be deleted: {error}"
                ),
                "if a retention or a legal hold keeps it, run the command again when that has ended",
            ))),
            Ok(()) => Ok(()),
        }
    }

    async fn delete_version(
        &self,
        target: &Target,
        version_id: Option<&str>,
    ) -> Result<(), S3Error> {
        // Without an id a delete marker would be set, and the object be gone for clients.
        let version_id = version_id
            .ok_or_else(|| S3Error::internal("a version of a versioned bucket has no id"))?;
        let upstream = &self.gateway.upstream;
        if version_id == "null" {
            // The one version that a write can replace, as soon as versions are suspended.
            let versioning = preflight::versioning(upstream, &self.settings.bucket).await?;
            if versioning != Versioning::Enabled {
                return Err(S3Error::invalid_request(
                    "The versioning of the bucket was suspended meanwhile, so that this could be what a client has just written.",
                ));
            }
        }
        let request = UpstreamRequest::new(Method::DELETE, target.clone())
            .query(version_query(Some(version_id)));
        upstream.call(request).await.map(drop)
    }
}

/// Asks the storage for the checksums that it keeps.
pub(super) fn checksum_mode() -> HeaderMap {
    let enabled = HeaderValue::from_static("ENABLED");
    HeaderMap::from_iter([(named("x-amz-checksum-mode"), enabled)])
}

/// Whether an error is about what was read back, and not only about who should have sent it.
fn is_conclusive(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Passing(error) => error.status != StatusCode::SERVICE_UNAVAILABLE,
        Trouble::Lasting(_) => true,
    }
}

/// Whether a write made a version beside the one in the clear. Where it did not, the two have one id, and deleting either deletes the only copy:
/// what the configuration of a bucket says of its versions is the storage's word.
fn stands_beside(stored: Option<&str>, clear: &str) -> bool {
    stored.is_some_and(|stored| stored != "null" && stored != clear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_replaced_the_clear_one_does_not_stand_beside_it() {
        assert!(stands_beside(Some("v2"), "v1"));
        assert!(stands_beside(Some("v2"), "null"));
        for stored in [None, Some("null"), Some("v1")] {
            assert!(!stands_beside(stored, "v1"), "{stored:?}");
        }
        assert!(!stands_beside(Some("null"), "null"));
    }

    #[test]
    fn a_storage_that_is_away_says_nothing_about_what_it_holds() {
        let away = Trouble::from(S3Error::slow_down("x"));
        assert!(!is_conclusive(&away));
        assert!(is_conclusive(&Trouble::from(S3Error::stored_data("x"))));
    }
}
