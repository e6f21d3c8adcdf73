//! An object's head: what the upstream says of it, and what its header proves.

use http::{StatusCode, header};
use sealgate_envelope::{
    domain::{Domain, Place},
    header::{HEADER_METADATA_NAME, Header, OpenedHeader},
    key_service::UnwrapPermit,
    layout,
    object::Body,
    parts::ObjectLayout,
};
use sha2::{Digest, Sha256};

use crate::{
    config::DomainRule, error::S3Error, gateway::Gateway, operation::named, upstream::Answer,
};

/// What tells one version of an object from another. Two answers are about the same object only if all of it is equal: entity tags alone are
/// the provider's to choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamIdentity {
    /// The upstream's entity tag, as it sent it.
    pub entity_tag: String,
    /// The version, where the bucket has versions.
    pub version_id: Option<String>,
    /// Length of the whole sealed object.
    pub sealed_length: u64,
    /// SHA-256 of the header's text.
    pub header_digest: [u8; 32],
}

impl UpstreamIdentity {
    /// The query that pins a further request to this version; empty where there are no versions.
    pub fn version_query(&self) -> String {
        let mut query = String::new();
        if let Some(version_id) = self.version_id.as_deref() {
            crate::operation::append_query(&mut query, "versionId", version_id);
        }
        query
    }
}

/// The head of an answer, before any key is asked for.
#[derive(Debug)]
pub struct SealedHead {
    /// Which version the answer is about.
    pub identity: UpstreamIdentity,
    /// Its header, not yet authenticated.
    pub header: Header,
}

impl SealedHead {
    /// Reads identity and header of an answer to GET or HEAD. `asked_for` is the version that the request named: an answer need not repeat it,
    /// and MinIO's does not for the version `null`, but further requests have to name it again.
    ///
    /// # Errors
    ///
    /// When the answer is not that of a sealed object.
    pub fn read(answer: &Answer, asked_for: Option<&str>) -> Result<Self, S3Error> {
        let values: Vec<&str> = answer
            .headers()
            .get_all(HEADER_METADATA_NAME)
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        if values.is_empty() {
            return Err(S3Error::stored_data(
                "the object has no header: it was never sealed, or lost its metadata; what was in a bucket before the gateway, `sealgate migrate` seals",
            ));
        }
        let header = Header::from_metadata_values(values.iter().copied())?;
        if let Some(encoding) = answer.text(header::CONTENT_ENCODING)
            && !encoding.eq_ignore_ascii_case("identity")
        {
            return Err(S3Error::stored_data(format!(
                "the upstream transformed the object: Content-Encoding {encoding}"
            )));
        }
        let sealed_length = match answer.text(header::CONTENT_RANGE) {
            Some(range) => range
                .rsplit_once('/')
                .and_then(|(_, total)| total.parse().ok()),
            None => answer.content_length(),
        };
        let sealed_length = sealed_length.ok_or_else(|| {
            S3Error::stored_data("the upstream does not say how long the object is")
        })?;
        let entity_tag = answer
            .text(header::ETAG)
            .ok_or_else(|| S3Error::stored_data("the upstream gave the object no entity tag"))?;
        Ok(Self {
            identity: UpstreamIdentity {
                entity_tag: entity_tag.to_owned(),
                version_id: answer
                    .text(named("x-amz-version-id"))
                    .or(asked_for)
                    .map(str::to_owned),
                sealed_length,
                header_digest: Sha256::digest(values.concat().as_bytes()).into(),
            },
            header,
        })
    }

    /// Opens the header for the expected domain, or a former one, and the expected key, and checks the length against it.
    ///
    /// # Errors
    ///
    /// When the object does not belong here, was altered, or its working key cannot be had.
    pub async fn open(
        self,
        gateway: &Gateway,
        permit: &UnwrapPermit,
        rule: &DomainRule,
        key: &str,
    ) -> Result<SealedObject, S3Error> {
        let (opened, domain) = open_header(gateway, permit, rule, &self.header, key).await?;
        opened.check_sealed_length(self.identity.sealed_length)?;
        Ok(SealedObject {
            identity: self.identity,
            header: self.header,
            opened,
            domain,
        })
    }
}

/// Opens a header for the first of the expected domains that it belongs to.
///
/// # Errors
///
/// As [`SealedHead::open`].
pub async fn open_header(
    gateway: &Gateway,
    permit: &UnwrapPermit,
    rule: &DomainRule,
    header: &Header,
    key: &str,
) -> Result<(OpenedHeader, Domain), S3Error> {
    let mut failure: Option<S3Error> = None;
    for name in std::iter::once(&rule.name).chain(&rule.former) {
        let domain = Domain::new(name.as_str())?;
        match open_for(gateway, permit, &domain, header, key).await {
            Ok(opened) => return Ok((opened, domain)),
            // The first failure is about the current domain, so it says most; but while a key service is away nobody can tell that an object
            // belongs to none of the domains.
            Err(error) => {
                let away = error.status == StatusCode::SERVICE_UNAVAILABLE;
                if away || failure.is_none() {
                    failure = Some(error);
                }
            }
        }
    }
    Err(failure.unwrap_or_else(|| S3Error::internal("no domain is expected")))
}

async fn open_for(
    gateway: &Gateway,
    permit: &UnwrapPermit,
    domain: &Domain,
    header: &Header,
    key: &str,
) -> Result<OpenedHeader, S3Error> {
    let working_key = gateway
        .keyring
        .opening_key(permit, header.working_key_id(), header.wraps(), domain)
        .await?;
    Ok(header.open(&working_key, Place::new(domain, key)?)?)
}

/// An object whose header has been verified for the domain and key under which it was asked for.
#[derive(Debug, Clone)]
pub struct SealedObject {
    /// Which version it is.
    pub identity: UpstreamIdentity,
    /// Its header.
    pub header: Header,
    /// The opened header: secrets and metadata.
    pub opened: OpenedHeader,
    /// The domain that it opened for: the current one, or a former one.
    pub domain: Domain,
}

impl SealedObject {
    /// The plaintext length: authenticated for single objects, and what the length at the upstream means for multipart ones.
    ///
    /// # Errors
    ///
    /// When the length at the upstream is that of no sealed object.
    pub fn plaintext_length(&self) -> Result<u64, S3Error> {
        self.opened
            .body()
            .plaintext_length()
            .or_else(|| layout::plaintext_length(self.identity.sealed_length))
            .ok_or_else(|| {
                S3Error::stored_data(format!(
                    "{} bytes are the length of no sealed object",
                    self.identity.sealed_length
                ))
            })
    }

    /// How many parts the client made it of; none where it was a single PUT (S3 API, GetObject, `x-amz-mp-parts-count`).
    pub fn parts_count(&self, layout: &ObjectLayout) -> Option<usize> {
        (self.opened.body() == Body::Multipart).then(|| layout.parts().len())
    }
}
