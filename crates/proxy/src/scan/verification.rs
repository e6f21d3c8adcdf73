//! Whether everything is well: of each object and of the gateway's own records.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::StatusCode;
use quick_cache::sync::Cache;
use sealgate_envelope::header::Header;

use super::{
    Item,
    checksums::Comparison,
    finding::{Class, Fault, Finding, fault},
    known_keys::KnownKeys,
    patience::{ATTEMPTS, pause_after},
    registry::Registry,
    structure::{Looked, check_key, look, target, version},
};
use crate::{
    error::S3Error,
    gateway::Gateway,
    migration::{Home, Located, Opened, Pace, PermitIssuer, open_sealed},
    object::version_query,
    state::recognition::{Sign, sign_of_state},
    upstream::UpstreamRequest,
};

/// How long keys that could not be had are not waited for again.
const KEYS_AWAY_MEMORY: Duration = Duration::from_secs(30);

/// Buckets of which it is remembered whether they are state buckets. They are gone through one after the other.
const REMEMBERED_BUCKETS: usize = 100;

/// A verification under way.
pub struct Verification {
    pub(super) gateway: Arc<Gateway>,
    pub(super) keys: KnownKeys,
    pub(super) registry: Registry,
    /// With which every byte is opened, if that is asked for.
    pub(super) permit: Option<PermitIssuer>,
    pace: Arc<Pace>,
    /// Until when keys that cannot be had are not waited for.
    keys_away_until: Mutex<Option<Instant>>,
    /// Which buckets with something in the clear are state buckets.
    signs_of_state: Cache<String, Option<Sign>>,
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
    /// It is a record in the state bucket of another deployment.
    OtherState,
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
            keys_away_until: Mutex::default(),
            signs_of_state: Cache::new(REMEMBERED_BUCKETS),
        })
    }

    /// The key services that were away when something was to be looked at, by name, and why.
    pub fn key_services_away(&self) -> Vec<(String, String)> {
        let names = &self.gateway.config.key_service_names;
        let away = self.keys.away().into_iter();
        away.filter_map(|(place, cause)| Some((names.get(place)?.clone(), cause)))
            .collect()
    }

    /// Whether keys were waited for in vain a moment ago. The keyring has its own patience with a service that is away; here it only matters that a
    /// million objects do not wait for it a million times.
    fn are_keys_away(&self) -> bool {
        let until = *self.keys_away_until();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn keys_away_until(&self) -> MutexGuard<'_, Option<Instant>> {
        let until = self.keys_away_until.lock();
        until.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a bucket is another deployment's state bucket.
    async fn sign_of_state(&self, bucket: &str) -> Result<Option<Sign>, S3Error> {
        let ask = sign_of_state(&self.gateway.upstream, bucket);
        self.signs_of_state.get_or_insert_async(bucket, ask).await
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
                if error.is_about_keys() {
                    *self.keys_away_until() = Instant::now().checked_add(KEYS_AWAY_MEMORY);
                }
                break error;
            }
            if error.is_about_keys() && self.are_keys_away() {
                break error;
            }
            pause_after(attempt).await;
            attempt += 1;
        };
        Checked::Faulty(vec![finding(fault(Class::NotChecked, &error))])
    }

    async fn attempt(&self, item: &Item) -> Result<Result<Checked, Vec<Fault>>, S3Error> {
        let (header, mut faults) = match look(&self.gateway, item).await? {
            Looked::Gone => return Ok(Ok(Checked::Gone)),
            Looked::Clear => return Ok(Ok(Checked::Clear)),
            Looked::Broken((Class::InTheClear, cause)) => {
                return Ok(match self.sign_of_state(&item.bucket).await? {
                    Some(Sign::Name) => Ok(Checked::OtherState),
                    Some(Sign::Record) => Err(vec![(Class::OtherState, cause)]),
                    None => Err(vec![(Class::InTheClear, cause)]),
                });
            }
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
                // Deleted since, or lost: the next look tells.
                Err(error) if error.status == StatusCode::NOT_FOUND => {
                    return Err(S3Error::precondition_failed());
                }
                Err(error)
                    if error.status == StatusCode::SERVICE_UNAVAILABLE
                        || error.status == StatusCode::PRECONDITION_FAILED =>
                {
                    if error.is_about_keys() {
                        self.keys
                            .note_away(header.wraps(), &error.to_string())
                            .await;
                    }
                    return Err(error);
                }
                // What the length says already is not said once more.
                Err(error) if faults.iter().any(|(class, _)| *class == Class::Length) => {
                    tracing::debug!(%error, "an object of a wrong length does not open");
                }
                Err(error)
                    if error.lacks_key
                        && faults.iter().any(|(class, _)| *class == Class::UnknownKey) =>
                {
                    tracing::debug!(%error, "an object of an unknown key does not open");
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
