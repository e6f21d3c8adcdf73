//! An object in the clear becomes a sealed one on its way from one place of a storage to another.

use bytes::BytesMut;
use sealgate_envelope::{
    domain::{Domain, Place},
    header::{Header, HeaderBuilder, SealedHeader},
    layout,
    metadata::Metadata,
    object::{Body, PartId},
    random::OsRandom,
    sealer::Sealer,
};

use crate::{
    body::Algorithm,
    config::DomainRule,
    error::S3Error,
    gateway::{Gateway, now_in_milliseconds},
    operation::{checksum_to_sealed, commit_region, of_keyring},
    transfer::{Plaintext, SealedBody, SealingStream, Trailing, VerifiedPlaintext},
    upstream::{RequestBody, full_body},
};

/// Where a sealed object will stand in the end, which its header is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home<'a> {
    /// The domain.
    pub(crate) rule: &'a DomainRule,
    /// The decoded key.
    pub(crate) key: &'a str,
}

/// A sealed object in the making.
pub(super) struct Sealing {
    /// Its header.
    pub(super) header: Header,
    /// Its length.
    pub(super) length: u64,
    /// How reading its plaintext ended.
    pub(super) ending: Ending,
}

/// What was read of the plaintext.
pub(super) enum Ending {
    /// All of it was read before the first byte is sent.
    Known(Box<VerifiedPlaintext>),
    /// Known when the body was sent.
    Streamed(SealedBody),
}

impl Ending {
    /// What is known of the plaintext once the body was sent to its end.
    ///
    /// # Errors
    ///
    /// What was wrong with the plaintext, or that the end was not reached.
    pub(super) fn verified(&self) -> Result<VerifiedPlaintext, S3Error> {
        match self {
            Self::Known(verified) => Ok(**verified),
            Self::Streamed(body) => body.verified(),
        }
    }

    /// What was wrong with the plaintext, if that is why the write failed.
    pub(super) fn failure(&self) -> Option<S3Error> {
        match self {
            Self::Known(_) => None,
            Self::Streamed(body) => body.failure(),
        }
    }
}

/// Seals all of `source` for its home. With `checksum`, that one is kept with the object, else a CRC-64/NVMe. Small objects are sealed in memory
/// and say so, as those of PutObject; readers then need no commit record.
///
/// # Errors
///
/// Metadata that does not fit, keys that cannot be had, or a source that breaks.
pub(super) async fn seal(
    gateway: &Gateway,
    home: Home<'_>,
    metadata: Metadata,
    source: Plaintext,
    checksum: Option<Algorithm>,
) -> Result<(Sealing, RequestBody), S3Error> {
    let length = source.length();
    let sealed_length = layout::sealed_length(length)
        .ok_or_else(|| S3Error::invalid_argument("The object is too large to be sealed."))?;
    let source = source.want(Algorithm::Sha256);
    let kept = checksum.unwrap_or(Algorithm::Crc64Nvme);
    let source = source.want(kept);
    if length <= gateway.config.limits.small_object {
        return seal_small(gateway, home, metadata, source, kept, sealed_length).await;
    }
    let body = Body::Single {
        plaintext_length: length,
    };
    let sealed = header(gateway, home, metadata, body).await?;
    let secrets = sealed.secrets.clone();
    let trailing: Trailing = Box::new(move |verified: &VerifiedPlaintext| {
        commit_region(&secrets, verified.checksum(kept).as_ref())
    });
    let sealer = Sealer::new(&sealed.secrets, PartId::single(sealed.secrets.object_id()))?;
    let (body, outcome) = SealingStream::new(source, sealer, Some(trailing)).into_body();
    let sealing = Sealing {
        header: sealed.header,
        length: sealed_length,
        ending: Ending::Streamed(outcome),
    };
    Ok((sealing, body))
}

async fn seal_small(
    gateway: &Gateway,
    home: Home<'_>,
    mut metadata: Metadata,
    mut source: Plaintext,
    kept: Algorithm,
    sealed_length: u64,
) -> Result<(Sealing, RequestBody), S3Error> {
    let length = source.length();
    let mut plaintext = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    while let Some(piece) = source.next().await? {
        plaintext.extend_from_slice(&piece);
    }
    let verified = source.verified()?;
    if let Some(checksum) = verified.checksum(kept) {
        metadata.insert_checksum(&checksum_to_sealed(&checksum)?)?;
    }
    let body = Body::Verified {
        plaintext_length: length,
    };
    let sealed = header(gateway, home, metadata, body).await?;
    let mut bytes = Vec::with_capacity(usize::try_from(sealed_length).unwrap_or_default());
    let mut sealer = Sealer::new(&sealed.secrets, PartId::single(sealed.secrets.object_id()))?;
    sealer.push(&plaintext, &mut bytes)?;
    sealer.finish(&mut bytes)?;
    bytes.extend_from_slice(&commit_region(&sealed.secrets, None)?);
    let sealing = Sealing {
        header: sealed.header,
        length: sealed_length,
        ending: Ending::Known(Box::new(verified)),
    };
    Ok((sealing, full_body(bytes)))
}

/// A fresh header under the current working key of the home's domain.
pub(super) async fn header(
    gateway: &Gateway,
    home: Home<'_>,
    metadata: Metadata,
    body: Body,
) -> Result<SealedHeader, S3Error> {
    let domain = Domain::new(home.rule.name.as_str())?;
    let key = gateway
        .keyring
        .sealing_key_under(&home.rule.sealing, &domain)
        .await?;
    let builder = HeaderBuilder::new(
        Place::new(&domain, home.key)?,
        of_keyring(&key),
        now_in_milliseconds(),
    )
    .metadata(metadata)
    .suite(home.rule.suite.into());
    Ok(builder.seal(body, &mut OsRandom)?)
}
