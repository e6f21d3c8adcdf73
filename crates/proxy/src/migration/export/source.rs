//! One object, opened for export: verified while it streams, or, where its place is marked migrating, as it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sealgate_envelope::metadata::Metadata;

use super::{Export, journal::Line};
use crate::{
    body::Algorithm,
    entity_tag::EntityTag,
    error::S3Error,
    migration::{
        Entry, Failure, is_listed,
        one::sha256,
        seal::Home,
        verify::{Located, open_sealed},
    },
    object::{ClearHead, tags, version_query},
    object_key::ObjectKey,
    operation::{metadata_of_headers, metadata_to_answer},
    state::recognition::sign_of_state,
    transfer::{Plaintext, VerifiedPlaintext},
    upstream::{Answer, BodyFailure, RequestBody, Target, UpstreamRequest, empty_body},
    xml::labels::Tag,
};

/// User metadata of clients begins with this.
const USER_METADATA: &str = "x-amz-meta-";

/// The HTTP headers that describe an object's content.
const CONTENT: [header::HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
];

/// An object that is about to be read.
pub(super) struct Source {
    /// Its bytes, of which a SHA-256 is computed.
    pub(super) plaintext: Plaintext,
    /// Content headers and user metadata, as for a client.
    pub(super) headers: HeaderMap,
    /// The same, to be sealed.
    pub(super) metadata: Metadata,
    /// Its tags.
    pub(super) tags: Vec<Tag>,
    /// When it was written.
    pub(super) modified: Option<SystemTime>,
    /// The storage's tag.
    pub(super) entity_tag: EntityTag,
}

impl Export {
    /// Opens an object. None where it was deleted meanwhile.
    pub(super) async fn open(&self, entry: &Entry) -> Result<Option<Source>, Failure> {
        let gateway = &self.gateway;
        let bucket = self.settings.bucket.as_str();
        let key = ObjectKey::new(entry.key.as_str()).map_err(S3Error::from)?;
        let target = Target::object(bucket, key.to_wire());
        let version_id = entry.version_id.as_deref();
        let request =
            UpstreamRequest::new(Method::GET, target.clone()).query(version_query(version_id));
        let answer = match gateway.upstream.call(request).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => {
                if is_listed(&gateway.upstream, bucket, entry).await? {
                    return Err(Failure::new(
                        "the storage lists it, and says that it is not there",
                        "run the command again; if this stays, the storage has lost the object: restore it from a backup",
                    ));
                }
                return Ok(None);
            }
            answer => answer?,
        };
        let answer_headers = answer.headers().clone();
        let tags = tags::require(&gateway.upstream, &target, version_id, &answer_headers).await?;
        let modified = answer
            .text(header::LAST_MODIFIED)
            .and_then(|date| httpdate::parse_http_date(date).ok());
        let entity_tag = EntityTag::parse(answer.text(header::ETAG).unwrap_or_default());
        let mut headers = HeaderMap::new();
        let (plaintext, metadata) = if self.settings.as_stored {
            describe(&answer, &mut headers);
            let length = answer.content_length().ok_or_else(|| {
                S3Error::stored_data("the upstream does not say how long the object is")
            })?;
            (
                Plaintext::of_clear(answer.into_parts().1, length),
                Metadata::new(),
            )
        } else if let Some(head) = ClearHead::read(&answer, version_id)? {
            if !gateway.config.is_migrating(bucket, &entry.key) {
                if sign_of_state(&gateway.upstream, bucket).await?.is_some() {
                    return Err(Failure::new(
                        "it is not sealed, and lies in a bucket with records of working keys, which is the state bucket of another deployment",
                        "leave it alone, and export the buckets that hold data",
                    ));
                }
                return Err(Failure::new(
                    "it is not sealed, so nothing vouches for it",
                    "seal it with `sealgate migrate`, or mark it as [[migrating]] to export it as it is",
                ));
            }
            describe(&answer, &mut headers);
            let metadata = metadata_of_headers(&head.headers)?;
            let body = answer.into_parts().1;
            (Plaintext::of_clear(body, head.length), metadata)
        } else {
            let rule = gateway.config.domain_for(bucket, &entry.key);
            let home = Home {
                rule: &rule,
                key: &entry.key,
            };
            let located = Located {
                upstream: &gateway.upstream,
                target: &target,
                version_id,
                entity_tag: None,
            };
            let sealed = open_sealed(gateway, self.permit, &located, home, answer).await?;
            let mut metadata = sealed.object.opened.metadata().clone();
            metadata_to_answer(&metadata, &mut headers);
            let checksums: Vec<_> = metadata.checksums().collect();
            for checksum in checksums {
                metadata.remove(checksum.algorithm().metadata_name());
            }
            (
                Plaintext::of_object(sealed.plaintext, sealed.length),
                metadata,
            )
        };
        Ok(Some(Source {
            plaintext: plaintext.want(Algorithm::Sha256),
            headers,
            metadata,
            tags,
            modified,
            entity_tag,
        }))
    }
}

/// Takes over what describes an object in an answer: content headers and user metadata.
fn describe(answer: &Answer, headers: &mut HeaderMap) {
    for (name, value) in answer.headers() {
        if describes(name) {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// Whether a header describes an object: its content, or what a client wanted to say of it.
pub(in crate::migration) fn describes(name: &HeaderName) -> bool {
    CONTENT.contains(name) || name.as_str().starts_with(USER_METADATA)
}

impl Source {
    /// The journal's line of this object, its hash not known yet.
    pub(super) fn line(&self, entry: &Entry, target: String) -> Line {
        let headers = self.headers.iter().map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), text)
        });
        let tags = self.tags.iter();
        Line {
            key: entry.key.clone(),
            version_id: entry.version_id.clone(),
            is_current: entry.is_current,
            target,
            entity_tag: self.entity_tag.opaque().to_owned(),
            size: self.plaintext.length(),
            sha256: String::new(),
            last_modified: self.modified.map(httpdate::fmt_http_date),
            headers: headers.collect::<BTreeMap<_, _>>(),
            tags: tags
                .map(|tag| (tag.key.clone(), tag.value.clone()))
                .collect(),
        }
    }

    /// Reads all of it and keeps nothing but the hash.
    pub(super) async fn hash(mut self) -> Result<[u8; 32], S3Error> {
        while self.plaintext.next().await?.is_some() {}
        sha256(&self.plaintext.verified()?)
    }
}

/// How sending a plaintext ended.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Option<Result<VerifiedPlaintext, S3Error>>>>);

impl Sent {
    fn set(&self, ending: Result<VerifiedPlaintext, S3Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
    }

    /// What was wrong with the plaintext, if that is why sending it failed.
    pub(super) fn failure(&self) -> Option<S3Error> {
        let ending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ending.as_ref()?.as_ref().err().cloned()
    }

    /// The hash of what was sent.
    pub(super) fn sha256(&self) -> Result<[u8; 32], S3Error> {
        let ending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unfinished = || S3Error::internal("the target answered before it had the whole body");
        sha256(
            ending
                .as_ref()
                .ok_or_else(unfinished)?
                .as_ref()
                .map_err(Clone::clone)?,
        )
    }
}

/// The plaintext as a body. Its last bytes are released only when all of it was verified, so a target that was promised the length gets an
/// object or none.
pub(super) async fn into_body(mut plaintext: Plaintext) -> Result<(RequestBody, Sent), S3Error> {
    let sent = Sent::default();
    if plaintext.length() == 0 {
        // No connection asks for the bytes of an empty body, and so nothing would verify it.
        while plaintext.next().await?.is_some() {}
        sent.set(plaintext.verified());
        return Ok((empty_body(), sent));
    }
    let state = (plaintext.length(), plaintext, sent.clone());
    let pieces = stream::try_unfold(state, |(mut missing, mut plaintext, sent)| async move {
        if missing == 0 {
            return Ok(None);
        }
        match next(&mut plaintext, &mut missing, &sent).await {
            Ok(piece) => Ok(piece.map(|piece| (Frame::data(piece), (missing, plaintext, sent)))),
            Err(error) => {
                let failure = BodyFailure::from(error.to_string());
                sent.set(Err(error));
                Err(failure)
            }
        }
    });
    Ok((StreamBody::new(pieces).boxed_unsync(), sent))
}

/// The next piece, so many bytes before the end. The hash is known before the last one leaves, because afterwards nobody asks any more.
async fn next(
    plaintext: &mut Plaintext,
    missing: &mut u64,
    sent: &Sent,
) -> Result<Option<Bytes>, S3Error> {
    let piece = plaintext.next().await?;
    let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
    *missing = missing.saturating_sub(length);
    if *missing == 0 && piece.is_some() {
        while plaintext.next().await?.is_some() {}
        sent.set(plaintext.verified());
    }
    Ok(piece)
}
