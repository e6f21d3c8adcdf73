//! Reading back what was written: every byte decrypted, and compared by hash with what was read before.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sealgate_envelope::{header::Header, opener::Opener};
use sha2::{Digest, Sha256};

use super::{Pace, PermitIssuer, seal::Home};
use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    gateway::Gateway,
    object::{SealedHead, SealedObject, version_query},
    transfer::{OpeningStream, RegionCheck},
    upstream::{Answer, Target, Upstream, UpstreamRequest},
};

/// An object whose every byte was decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    /// SHA-256 of its plaintext.
    pub(super) sha256: [u8; 32],
    /// Length of its plaintext.
    pub(super) length: u64,
    /// Its header.
    pub(super) header: Header,
    /// The storage's tag.
    pub(super) entity_tag: EntityTag,
}

/// One version of an object, wherever it lies.
#[derive(Debug, Clone)]
pub(crate) struct Located<'a> {
    /// The storage.
    pub(crate) upstream: &'a Upstream,
    /// Where it lies.
    pub(crate) target: &'a Target,
    /// Which version; the current one where there is none.
    pub(crate) version_id: Option<&'a str>,
    /// The tag that it must have.
    pub(crate) entity_tag: Option<&'a EntityTag>,
}

/// A sealed object about to be read.
pub(crate) struct Opened {
    /// The object.
    pub(crate) object: SealedObject,
    /// Length of its plaintext.
    pub(crate) length: u64,
    /// All of it; its end means that the commit region has verified too.
    pub(crate) plaintext: OpeningStream,
}

/// Opens the answer to a GET of a whole sealed object.
///
/// # Errors
///
/// Whatever does not verify before the first segment.
pub(crate) async fn open_sealed(
    gateway: &Gateway,
    permit: PermitIssuer,
    located: &Located<'_>,
    home: Home<'_>,
    answer: Answer,
) -> Result<Opened, S3Error> {
    let permit = permit("an object that a command reads back, exports or verifies");
    let object = SealedHead::read(&answer, None)?
        .open(gateway, &permit, home.rule, home.key)
        .await?;
    let layout = object
        .layout(&gateway.commits, located.upstream, located.target)
        .await?;
    let opener = Opener::new(object.opened.secrets(), layout.plan_all()?)?;
    let region = RegionCheck {
        secrets: object.opened.secrets().clone(),
        sealed_length: object.identity.sealed_length,
    };
    Ok(Opened {
        length: layout.plaintext_length(),
        plaintext: OpeningStream::new(answer.into_parts().1, opener, 0, Some(region)),
        object,
    })
}

/// Decrypts every byte of a sealed object, its commit region included.
///
/// # Errors
///
/// Whatever does not verify; `PreconditionFailed` where another version lies there.
pub(super) async fn read_all(
    gateway: &Gateway,
    permit: PermitIssuer,
    located: &Located<'_>,
    home: Home<'_>,
    pace: &Pace,
) -> Result<Read, S3Error> {
    let mut headers = HeaderMap::new();
    if let Some(tag) = located.entity_tag {
        let value = HeaderValue::from_str(&tag.to_string()).map_err(S3Error::internal)?;
        headers.insert(header::IF_MATCH, value);
    }
    let request = UpstreamRequest::new(Method::GET, located.target.clone())
        .query(version_query(located.version_id))
        .headers(headers);
    let answer = located.upstream.call(request).await?;
    let Opened {
        object,
        length: expected,
        mut plaintext,
    } = open_sealed(gateway, permit, located, home, answer).await?;
    let mut hash = Sha256::new();
    let mut length = 0;
    while let Some(piece) = plaintext.next().await? {
        hash.update(&piece);
        length += piece.len() as u64;
        pace.bytes(piece.len()).await;
    }
    if length != expected {
        return Err(S3Error::stored_data(
            "a sealed object ended before its length was reached",
        ));
    }
    Ok(Read {
        sha256: hash.finalize().into(),
        length,
        header: object.header,
        entity_tag: EntityTag::parse(&object.identity.entity_tag),
    })
}

/// Whether an error means that the object is not the one that was asked for any more: replaced, or deleted.
pub(super) fn is_gone(error: &S3Error) -> bool {
    matches!(
        error.status,
        StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND
    )
}
