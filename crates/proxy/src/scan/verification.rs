//! Whether everything is well: of each object and of the gateway's own records.

use std::sync::Arc;

use http::StatusCode;
use sealgate_envelope::header::Header;

use super::{
    Item,
    checksums::Comparison,
    finding::{Class, Fault, Finding, fault},
    known_keys::KnownKeys,
    registry::Registry,
    structure::{Looked, check_key, look, target, version},
};
use crate::{
    error::S3Error,
    gateway::Gateway,
    migration::{Home, Located, Opened, Pace, PermitIssuer, open_sealed},
    object::version_query,
    upstream::UpstreamRequest,
};

/// Attempts at an object that is replaced while it is looked at, or at a storage that fails.
const ATTEMPTS: u32 = 4;

/// The pause before the second attempt; it doubles with each.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// A verification under way.
pub struct Verification {
    pub(super) gateway: Arc<Gateway>,
    pub(super) keys: KnownKeys,
    pub(super) registry: Registry,
    /// With which every byte is opened, if that is asked for.
    pub(super) permit: Option<PermitIssuer>,
    pace: Arc<Pace>,
}

/// What became of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It is sealed, and nothing is wrong; with the bytes of plaintext that were verified.
    Well(u64),
    /// It is in the clear, where that is allowed.
    Clear,
    /// It was deleted meanwhile.
    Gone,
    /// What is wrong with it.
    Faulty(Vec<Finding>),
}

impl Verification {
    /// Prepares it. With `permit` every byte of every object is opened, and each record under its key; without, no key is asked for.
    pub fn prepare(
        gateway: Arc<Gateway>,
        permit: Option<PermitIssuer>,
        pace: Arc<Pace>,
    ) -> Arc<Self> {
        Arc::new(Self {
            keys: KnownKeys::of(&gateway.key_services),
            registry: Registry::new(gateway.state.clone()),
            gateway,
            permit,
            pace,
        })
    }

    /// Looks at one version of an object.
    pub async fn check(&self, item: &Item) -> Checked {
        let finding = |(class, cause): Fault| Finding {
            bucket: item.bucket.clone(),
            key: item.entry.key.clone(),
            version_id: item.entry.version_id.clone(),
            class,
            cause,
        };
        let mut attempt = 1;
        let error = loop {
            let error = match self.attempt(item).await {
                Ok(Ok(checked)) => return checked,
                Ok(Err(faults)) => {
                    return Checked::Faulty(faults.into_iter().map(finding).collect());
                }
                Err(error) => error,
            };
            let is_passing = error.status == StatusCode::SERVICE_UNAVAILABLE
                || error.status == StatusCode::PRECONDITION_FAILED;
            if attempt == ATTEMPTS || !is_passing {
                break error;
            }
            tokio::time::sleep(PAUSE * (1 << attempt)).await;
            attempt += 1;
        };
        Checked::Faulty(vec![finding(fault(Class::NotChecked, &error))])
    }

    async fn attempt(&self, item: &Item) -> Result<Result<Checked, Vec<Fault>>, S3Error> {
        let (header, mut faults) = match look(&self.gateway, item).await? {
            Looked::Gone => return Ok(Ok(Checked::Gone)),
            Looked::Clear => return Ok(Ok(Checked::Clear)),
            Looked::Broken(fault) => return Ok(Err(vec![fault])),
            Looked::Sealed(header, faults) => (header, faults),
        };
        faults.extend(self.check_key(item, &header).await?);
        let mut bytes = 0;
        if let Some(permit) = self.permit {
            match self.open(item, permit).await {
                Ok((length, wrong)) => {
                    bytes = length;
                    faults.extend(wrong.into_iter().map(|cause| (Class::Checksum, cause)));
                }
                Err(error) if error.status == StatusCode::NOT_FOUND => {
                    return Ok(Ok(Checked::Gone));
                }
                Err(error)
                    if error.status == StatusCode::SERVICE_UNAVAILABLE
                        || error.status == StatusCode::PRECONDITION_FAILED =>
                {
                    return Err(error);
                }
                // What the length says already is not said once more.
                Err(error) if faults.iter().any(|(class, _)| *class == Class::Length) => {
                    tracing::debug!(%error, "an object of a wrong length does not open");
                }
                Err(error) => faults.push(fault(Class::Damaged, &error)),
            }
        }
        Ok(if faults.is_empty() {
            Ok(Checked::Well(bytes))
        } else {
            Err(faults)
        })
    }

    async fn check_key(&self, item: &Item, header: &Header) -> Result<Vec<Fault>, S3Error> {
        let (bucket, key) = (&item.bucket, &item.entry.key);
        let rule = self.gateway.config.domain_for(bucket, key);
        check_key(&self.registry, &self.keys, &rule, header).await
    }

    /// Opens every byte of one version. Returns how many there are, and which of its checksums do not agree.
    async fn open(&self, item: &Item, permit: PermitIssuer) -> Result<(u64, Vec<String>), S3Error> {
        let gateway = &self.gateway;
        let target = target(item)?;
        let request = UpstreamRequest::new(http::Method::GET, target.clone())
            .query(version_query(version(item)));
        let answer = gateway.upstream.call(request).await?;
        let rule = gateway.config.domain_for(&item.bucket, &item.entry.key);
        let located = Located {
            upstream: &gateway.upstream,
            target: &target,
            version_id: version(item),
            entity_tag: None,
        };
        let home = Home {
            rule: &rule,
            key: &item.entry.key,
        };
        let Opened {
            object,
            length,
            mut plaintext,
        } = open_sealed(gateway, permit, &located, home, answer).await?;
        let record = if object.needs_commit_record() {
            let record = gateway.commits.record(&gateway.upstream, &target, &object);
            Some(record.await?)
        } else {
            None
        };
        let mut comparison = Comparison::new(&object, record.as_deref());
        let mut seen = 0;
        while let Some(piece) = plaintext.next().await? {
            comparison.update(&piece);
            seen += piece.len() as u64;
            self.pace.bytes(piece.len()).await;
        }
        if seen != length {
            return Err(S3Error::stored_data(format!(
                "it ends after {seen} of {length} bytes"
            )));
        }
        Ok((length, comparison.finish()))
    }
}
