//! One object, or one version of one: what it is, and what to do with it.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sealgate_envelope::{
    header::{HEADER_METADATA_NAME, Header},
    object::Body,
};

use super::{
    Entry, Failure, Migration, Mode, Outcome,
    body::paced,
    labels::Labels,
    preflight::Versioning,
    report::RUN_AGAIN,
    seal::{self, Home, Sealing},
    store::{Stored, store},
    verify::{Located, Read, read_all},
    versions::checksum_mode,
};
use crate::{
    body::{Algorithm, Checksum},
    config::DomainRule,
    entity_tag::EntityTag,
    error::S3Error,
    object::{ClearHead, SealedHead, version_query},
    object_key::ObjectKey,
    operation::{metadata_of_headers, named},
    transfer::{Plaintext, VerifiedPlaintext},
    upstream::{Answer, RequestBody, Target, UpstreamRequest},
};

/// Attempts at an object that changes while it is worked on, or at a storage that fails.
const ATTEMPTS: u32 = 4;

/// The pause before the second attempt; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);

/// Storage classes whose objects cannot be read at once, so that nothing written there could be verified.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// An object in the clear that is about to be sealed.
pub(super) struct Original<'a> {
    pub(super) key: &'a str,
    pub(super) target: Target,
    pub(super) rule: DomainRule,
    pub(super) head: ClearHead,
    pub(super) labels: Labels,
    /// The checksum that the storage keeps of all its bytes, if there is one of an algorithm that is known here.
    checksum: Option<Checksum>,
}

impl Original<'_> {
    pub(super) fn home(&self) -> Home<'_> {
        Home {
            rule: &self.rule,
            key: self.key,
        }
    }

    /// The headers of the sealed object that takes its place, if it is still there.
    pub(super) fn successor_headers(&self, header: &Header) -> Result<HeaderMap, S3Error> {
        let mut headers = sealed_headers(header)?;
        headers.extend(self.labels.headers.clone());
        headers.insert(header::IF_MATCH, tag_value(&self.head.entity_tag)?);
        Ok(headers)
    }

    /// Whether what was read is what the storage has said of it.
    pub(super) fn check(&self, verified: &VerifiedPlaintext) -> Result<(), Failure> {
        check(self.checksum.as_ref(), verified)
    }
}

/// Whether what was read has the checksum that the storage keeps, if there is one.
pub(super) fn check(kept: Option<&Checksum>, verified: &VerifiedPlaintext) -> Result<(), Failure> {
    let Some(expected) = kept else {
        return Ok(());
    };
    let found = verified.checksum(expected.algorithm());
    if found.is_some_and(|found| found.value() == expected.value()) {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "what the storage sent does not have the {} that it keeps with the object",
            expected.algorithm().name()
        ),
        "the object is damaged where it lies: restore it from a backup; nothing was changed",
    ))
}

/// The header, as it is stored, and the content type that the storage sees.
pub(super) fn sealed_headers(header: &Header) -> Result<HeaderMap, S3Error> {
    let text = HeaderValue::from_str(&header.to_text()).map_err(S3Error::internal)?;
    Ok(HeaderMap::from_iter([
        (named(HEADER_METADATA_NAME), text),
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
    ]))
}

/// A tag as a condition carries it.
pub(super) fn tag_value(tag: &EntityTag) -> Result<HeaderValue, S3Error> {
    HeaderValue::from_str(&tag.to_string()).map_err(S3Error::internal)
}

/// What lies under a key.
pub(super) enum Found {
    Clear(Box<ClearHead>),
    /// With all headers of the answer.
    Sealed(Box<SealedHead>, HeaderMap),
}

impl Found {
    fn read(answer: &Answer, asked_for: Option<&str>) -> Result<Self, S3Error> {
        if let Some(head) = ClearHead::read(answer, asked_for)? {
            return Ok(Self::Clear(Box::new(head)));
        }
        let head = SealedHead::read(answer, asked_for)?;
        Ok(Self::Sealed(Box::new(head), answer.headers().clone()))
    }

    /// The version that this is, where the bucket has versions.
    pub(super) fn version_id(&self) -> Option<&str> {
        match self {
            Self::Clear(head) => head.version_id.as_deref(),
            Self::Sealed(head, _) => head.identity.version_id.as_deref(),
        }
    }
}

/// How one attempt ended.
pub(super) enum Attempt {
    Done(Outcome),
    /// The object is not any more what it was when the attempt began.
    Changed,
}

impl Migration {
    /// Does what there is to do for one entry of the listing.
    pub(super) async fn process(&self, entry: &Entry) -> Result<Outcome, Failure> {
        let mut attempt = 1;
        loop {
            let outcome = match self.attempt(entry).await {
                Ok(Attempt::Done(outcome)) => return Ok(outcome),
                Ok(Attempt::Changed) => Err(Failure::new(
                    "it is being written again and again",
                    RUN_AGAIN,
                )),
                Err(Trouble::Passing(error)) => Err(Failure::from(error)),
                Err(Trouble::Lasting(failure)) => return Err(failure),
            };
            if attempt == ATTEMPTS {
                return outcome;
            }
            tokio::time::sleep(PAUSE * (1 << attempt)).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, entry: &Entry) -> Result<Attempt, Trouble> {
        let key = ObjectKey::new(entry.key.as_str()).map_err(S3Error::from)?;
        let target = Target::object(self.settings.bucket.as_str(), key.to_wire());
        // The current version is found by the key alone: it may have become another one since it was listed.
        let version_id = entry.version_id.as_deref().filter(|_| !entry.is_current);
        let Some(found) = self.look_at(&target, version_id, checksum_mode()).await? else {
            return Ok(Attempt::Done(Outcome::Gone));
        };
        let head = match found {
            Found::Clear(head) => *head,
            Found::Sealed(head, _) => return self.already_sealed(entry, &target, &head).await,
        };
        if !entry.is_current {
            return self.old_version(entry, target, head).await;
        }
        if self.settings.mode == Mode::Check {
            return Ok(Attempt::Done(Outcome::Clear(head.length)));
        }
        self.seal_current(&entry.key, target, head).await
    }

    /// A sealed object, by whomever.
    async fn already_sealed(
        &self,
        entry: &Entry,
        target: &Target,
        head: &SealedHead,
    ) -> Result<Attempt, Trouble> {
        if self.versioning != Versioning::Off {
            return self
                .superseded(entry, target, head.identity.version_id.as_deref())
                .await;
        }
        if self.settings.mode == Mode::Seal {
            self.settle(&entry.key, target, head).await?;
        }
        Ok(Attempt::Done(Outcome::AlreadySealed))
    }

    /// The current version, which is in the clear.
    pub(super) async fn seal_current(
        &self,
        key: &str,
        target: Target,
        head: ClearHead,
    ) -> Result<Attempt, Trouble> {
        refuse(&head)?;
        let version_id = head.version_id.as_deref();
        let labels =
            Labels::read(&self.gateway.upstream, &target, version_id, &head.headers).await?;
        let original = Original {
            key,
            target,
            rule: self.rule(key),
            checksum: kept_checksum(&head.headers),
            head,
            labels,
        };
        if self.settings.mode == Mode::DryRun {
            let body = Body::Single {
                plaintext_length: original.head.length,
            };
            let metadata = metadata_of_headers(&original.head.headers)?;
            seal::header(&self.gateway, original.home(), metadata, body).await?;
            return Ok(Attempt::Done(Outcome::Sealed(original.head.length)));
        }
        if self.versioning == Versioning::Enabled {
            self.add_version(&original).await
        } else {
            self.replace(&original).await
        }
    }

    /// Reads the object and seals it. None where it was replaced meanwhile.
    pub(super) async fn seal(
        &self,
        original: &Original<'_>,
    ) -> Result<Option<(Sealing, RequestBody)>, Trouble> {
        let metadata = metadata_of_headers(&original.head.headers)?;
        let Some(plaintext) = self.open(&original.target, &original.head).await? else {
            return Ok(None);
        };
        let kept = original.checksum.as_ref().map(Checksum::algorithm);
        let (sealing, body) =
            seal::seal(&self.gateway, original.home(), metadata, plaintext, kept).await?;
        Ok(Some((sealing, paced(body, self.pace.clone()))))
    }

    /// Writes a sealed object; what was wrong with its source says more than the connection that broke because of it.
    pub(super) async fn store(
        &self,
        target: &Target,
        headers: HeaderMap,
        body: RequestBody,
        sealing: &Sealing,
    ) -> Result<Stored, S3Error> {
        let stored = store(
            &self.gateway.upstream,
            target,
            headers,
            body,
            sealing.length,
            self.parts(),
        )
        .await;
        sealing.ending.failure().map_or(stored, Err)
    }

    /// Opens an object in the clear. None where it was replaced meanwhile.
    pub(super) async fn open(
        &self,
        target: &Target,
        head: &ClearHead,
    ) -> Result<Option<Plaintext>, S3Error> {
        let answer = head
            .read_back(
                &self.gateway.upstream,
                Method::GET,
                target.clone(),
                "",
                HeaderMap::new(),
            )
            .await?;
        Ok(answer.map(|answer| {
            Plaintext::of_clear(answer.into_parts().1, head.length).want(Algorithm::Sha256)
        }))
    }

    /// Reads a sealed object back, every byte, and compares it with what was read before.
    pub(super) async fn compare(
        &self,
        located: &Located<'_>,
        original: &Original<'_>,
        sealing: &Sealing,
        verified: &VerifiedPlaintext,
    ) -> Result<(), Trouble> {
        let read = read_all(
            &self.gateway,
            self.permit,
            located,
            original.home(),
            &self.pace,
        )
        .await?;
        let expected = Read {
            sha256: sha256(verified)?,
            length: original.head.length,
            header: sealing.header.clone(),
            entity_tag: read.entity_tag.clone(),
        };
        if read == expected {
            return Ok(());
        }
        Err(Trouble::Lasting(Failure::new(
            "the sealed object, read back, is not what was read before",
            "look for a fault of the storage or of this machine's memory; the object in the clear was kept",
        )))
    }

    /// What lies under a key now, or is a version of it; none where there is nothing.
    pub(super) async fn look_at(
        &self,
        target: &Target,
        version_id: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Option<Found>, S3Error> {
        let request = UpstreamRequest::new(Method::HEAD, target.clone())
            .query(version_query(version_id))
            .headers(headers);
        let answer = match self.gateway.upstream.call(request).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(None),
            answer => answer?,
        };
        Found::read(&answer, version_id).map(Some)
    }

    pub(super) fn rule(&self, key: &str) -> DomainRule {
        self.gateway.config.domain_for(&self.settings.bucket, key)
    }
}

/// What went wrong with one attempt.
pub(super) enum Trouble {
    /// Worth another attempt.
    Passing(S3Error),
    /// Not.
    Lasting(Failure),
}

impl From<S3Error> for Trouble {
    fn from(error: S3Error) -> Self {
        // 409: another conditional write of the same key was under way.
        let passes = error.status.is_server_error() || error.status == StatusCode::CONFLICT;
        if passes && error.status != StatusCode::NOT_IMPLEMENTED {
            Self::Passing(error)
        } else {
            Self::Lasting(error.into())
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Lasting(failure)
    }
}

/// The SHA-256 of what was read.
pub(super) fn sha256(verified: &VerifiedPlaintext) -> Result<[u8; 32], S3Error> {
    let checksum = verified
        .checksum(Algorithm::Sha256)
        .ok_or_else(|| S3Error::internal("a SHA-256 was not computed"))?;
    checksum.value().try_into().map_err(S3Error::internal)
}

/// Refuses what cannot be sealed, or not be verified.
fn refuse(head: &ClearHead) -> Result<(), Failure> {
    let class = head
        .headers
        .get("x-amz-storage-class")
        .and_then(|class| class.to_str().ok())
        .unwrap_or("STANDARD");
    if ARCHIVES.contains(&class) {
        return Err(Failure::new(
            format!("it is in the storage class {class}, where nothing can be read back at once"),
            "restore it, copy it into another storage class, and run the command again",
        ));
    }
    if head.headers.contains_key("x-amz-missing-meta") {
        return Err(Failure::new(
            "the storage does not show all of its user metadata",
            "rewrite its metadata in printable ASCII, and run the command again",
        ));
    }
    if head
        .headers
        .contains_key("x-amz-server-side-encryption-customer-algorithm")
    {
        return Err(Failure::new(
            "it is encrypted with a key of the client's own",
            "read it with that key, and upload it through the gateway",
        ));
    }
    Ok(())
}

/// The checksum of the whole object that the storage keeps.
pub(super) fn kept_checksum(headers: &HeaderMap) -> Option<Checksum> {
    let is_composite = headers
        .get("x-amz-checksum-type")
        .is_some_and(|kind| kind != "FULL_OBJECT");
    if is_composite {
        return None;
    }
    Algorithm::ALL.into_iter().find_map(|algorithm| {
        let text = headers.get(algorithm.header_name())?.to_str().ok()?;
        Checksum::from_base64(algorithm, text)
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn head(pairs: &[(&'static str, &'static str)]) -> ClearHead {
        ClearHead {
            entity_tag: EntityTag::strong("x"),
            version_id: None,
            length: 1,
            last_modified: SystemTime::UNIX_EPOCH,
            headers: pairs
                .iter()
                .map(|(name, value)| (named(name), HeaderValue::from_static(value)))
                .collect(),
        }
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        assert!(refuse(&head(&[])).is_ok());
        assert!(refuse(&head(&[("x-amz-storage-class", "STANDARD_IA")])).is_ok());
        assert!(refuse(&head(&[("x-amz-storage-class", "DEEP_ARCHIVE")])).is_err());
        assert!(refuse(&head(&[("x-amz-missing-meta", "1")])).is_err());
    }

    #[test]
    fn only_checksums_of_the_whole_object_are_kept() {
        let crc = ("x-amz-checksum-crc32", "AAAAAA==");
        assert!(kept_checksum(&head(&[crc]).headers).is_some());
        assert!(
            kept_checksum(&head(&[crc, ("x-amz-checksum-type", "FULL_OBJECT")]).headers).is_some()
        );
        assert!(
            kept_checksum(&head(&[crc, ("x-amz-checksum-type", "COMPOSITE")]).headers).is_none()
        );
        assert!(kept_checksum(&head(&[("x-amz-checksum-crc32", "AAAAAA==-2")]).headers).is_none());
    }

    #[test]
    fn a_storage_that_fails_is_tried_again_and_a_refusal_is_not() {
        let passing = Trouble::from(S3Error::slow_down("x"));
        assert!(matches!(passing, Trouble::Passing(_)));
        let lasting = Trouble::from(S3Error::access_denied("x"));
        assert!(matches!(lasting, Trouble::Lasting(_)));
    }
}
