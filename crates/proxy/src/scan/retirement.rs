//! What still depends on a key-encryption key: everything whose working key opens by no other key of the configuration.

use std::{collections::HashSet, sync::Arc};

use anyhow::Context as _;
use http::StatusCode;
use quick_cache::sync::Cache;
use sealgate_envelope::{
    Domain, KeyReference, Place, Provider, WorkingKey, WorkingKeyId, Wrap,
    header::Header,
    key_service::{EncryptionContext, UnwrapPermit},
    keyring::SealingPolicy,
    records::registry_name,
};
use time::OffsetDateTime;

use super::{
    Item,
    buckets::buckets_missing_from,
    finding::Class,
    known_keys::{self, KnownKey, KnownKeys},
    patience::patiently,
    registry::{Record, Registry},
    state::{read_upload, upload_names},
    structure::{Looked, look_at_header},
};
use crate::{
    config::DomainRule,
    credentials::{self, CredentialFile, Directory},
    error::S3Error,
    gateway::Gateway,
    migration::PermitIssuer,
};

/// Wraps whose opening is remembered. A run sees few: those of the working keys that sealed what it looks at.
const REMEMBERED: usize = 100_000;

/// What kind of thing may depend on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A version of an object.
    Object,
    /// An open upload.
    Upload,
    /// The registry record of a working key.
    Record,
    /// An access key in the directory of `[credentials]`.
    AccessKey,
}

/// Whether something depends on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependence {
    /// The key has no wrap of its working key.
    Unrelated,
    /// It has, and another key of the configuration opened the working key.
    OpensOtherwise,
    /// No other key service opens it.
    Depends {
        /// The working key.
        id: WorkingKeyId,
        /// Whether its record has a wrap for a recovery key. That may open it, and is no reason to let the key go: nobody can
        /// tell here, and it would be the only way in.
        has_recovery: bool,
    },
    /// Nobody can tell; with the cause.
    Unknown(String),
}

/// A search for what depends on one key, and the keys that would be left.
pub struct Retirement {
    gateway: Arc<Gateway>,
    provider: Provider,
    reference: KeyReference,
    going: KnownKey,
    /// The keys of all key services, in the order of the configuration.
    references: Vec<(Provider, KeyReference)>,
    others: Vec<KnownKey>,
    registry: Registry,
    permit: PermitIssuer,
    /// Whether a wrap opened, by its digest and context.
    opened: Cache<[u8; 32], bool>,
}

/// By what a key that was opened is proven to be the right one.
enum Proof<'a> {
    Record(&'a sealgate_envelope::records::UnverifiedRegistryRecord),
    Header(&'a Header, &'a str),
}

impl Proof<'_> {
    fn holds(&self, key: &WorkingKey, domain: &Domain) -> bool {
        match self {
            Self::Record(record) => (*record).clone().verify(key, domain).is_ok(),
            Self::Header(header, object_key) => Place::new(domain, object_key)
                .and_then(|place| header.open(key, place))
                .is_ok(),
        }
    }
}

impl Retirement {
    /// Prepares the search. `key_service` is the name of one of the configuration, whose key is to go.
    ///
    /// # Errors
    ///
    /// When there is no such key service, or one does not tell the name of its key: then nobody can tell whose wraps are whose.
    pub async fn prepare(
        gateway: Arc<Gateway>,
        key_service: &str,
        permit: PermitIssuer,
    ) -> anyhow::Result<Arc<Self>> {
        let names = &gateway.config.key_service_names;
        let Some(place) = gateway.config.key_service_place(key_service) else {
            anyhow::bail!(
                "no [[key_service]] has the name {key_service}; there are {}",
                names.join(", ")
            );
        };
        let KnownKeys(mut keys) = KnownKeys::of(&gateway.key_services);
        let mut references = Vec::with_capacity(keys.len());
        for (key, name) in keys.iter().zip(names) {
            let reference = key.service.key_reference().await.with_context(|| {
                format!(
                    "the key service {name} does not tell the name of its key, so nobody can tell which wraps are its own; see that it can be reached, and run the command again"
                )
            })?;
            references.push((key.provider, reference));
        }
        let (provider, reference) = references
            .get(place)
            .copied()
            .context("a key service without a key")?;
        let going = keys.remove(place);
        // A key that two key services have goes from both.
        let mut same = references
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place)
            .map(|(_, other)| *other == (provider, reference));
        keys.retain(|_| !same.next().unwrap_or_default());
        Ok(Arc::new(Self {
            registry: Registry::new(gateway.state.clone()),
            provider,
            reference,
            going,
            references,
            others: keys,
            permit,
            opened: Cache::new(REMEMBERED),
            gateway,
        }))
    }

    /// The key, as it stands in wraps.
    pub fn reference(&self) -> String {
        let provider = self.provider.name().unwrap_or("unknown");
        format!("{provider} {}", self.reference)
    }

    /// Domains for which no new working key could be made without the key, as the configuration stands.
    pub fn domains_left_alone(&self) -> Vec<String> {
        let config = &self.gateway.config;
        let is_short = |policy: &SealingPolicy| {
            is_short(policy, &self.references, (self.provider, self.reference))
        };
        let mut names = Vec::new();
        if is_short(&config.sealing) {
            names.push("every domain that names no key services".to_owned());
        }
        for rule in config.domains.iter().filter(|rule| is_short(&rule.sealing)) {
            let unnamed = || format!("the domains of {}", rule.buckets.join(", "));
            names.push(rule.name.clone().unwrap_or_else(unnamed));
        }
        names
    }

    /// Buckets that the configuration names and that are not among these.
    pub fn buckets_missing_from(&self, walked: &[String]) -> Vec<String> {
        buckets_missing_from(&self.gateway.config, walked)
    }

    /// Whether a version of an object depends on the key.
    pub async fn of_object(&self, item: &Item) -> Dependence {
        told(patiently(|| self.try_object(item)).await)
    }

    async fn try_object(&self, item: &Item) -> Result<Dependence, S3Error> {
        let header = match look_at_header(&self.gateway, item).await? {
            Looked::Gone | Looked::Clear | Looked::Broken((Class::InTheClear, _)) => {
                return Ok(Dependence::Unrelated);
            }
            Looked::Sealed(header, _) => header,
            Looked::Broken((_, cause)) => return Ok(Dependence::Unknown(cause)),
        };
        let key = &item.entry.key;
        let rule = self.gateway.config.domain_for(&item.bucket, key);
        self.of_header(&header, &rule, key).await
    }

    async fn of_header(
        &self,
        header: &Header,
        rule: &DomainRule,
        object_key: &str,
    ) -> Result<Dependence, S3Error> {
        let id = header.working_key_id();
        let record = self.registry.record(id).await?;
        let wraps = [header.wraps(), record.wraps()];
        if !self.is_wrapped_by_it(wraps).await? {
            return Ok(Dependence::Unrelated);
        }
        let mut domains = Vec::new();
        for name in std::iter::once(&rule.name).chain(&rule.former) {
            domains.push(Domain::new(name.as_str())?);
        }
        if let Record::Present(record) = &record
            && domains.contains(record.claimed_domain())
        {
            let domain = record.claimed_domain();
            if self
                .any_opens(id, domain, record.wraps(), &Proof::Record(record))
                .await?
            {
                return Ok(Dependence::OpensOtherwise);
            }
        }
        for domain in &domains {
            let proof = Proof::Header(header, object_key);
            if self.any_opens(id, domain, header.wraps(), &proof).await? {
                return Ok(Dependence::OpensOtherwise);
            }
        }
        Ok(Dependence::Depends {
            id,
            has_recovery: has_recovery(record.wraps()),
        })
    }

    /// Goes through the registry and the open uploads. `on_seen` hears of each.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed.
    pub async fn of_records(
        &self,
        mut on_seen: impl FnMut(Kind, &str, Dependence),
    ) -> anyhow::Result<()> {
        for id in self.gateway.working_keys(None).await? {
            let dependence = told(patiently(|| self.of_record(id)).await);
            on_seen(Kind::Record, &registry_name(id), dependence);
        }
        for name in upload_names(&self.gateway).await? {
            let dependence = told(patiently(|| self.of_upload(&name)).await);
            on_seen(Kind::Upload, &name, dependence);
        }
        Ok(())
    }

    /// Goes through the directory of access keys, if there is one. `on_seen` hears of each.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub async fn of_access_keys(
        &self,
        mut on_seen: impl FnMut(Kind, &str, Dependence),
    ) -> anyhow::Result<()> {
        let config = &self.gateway.config;
        let Some(credentials) = &config.credentials else {
            return Ok(());
        };
        let directory = Directory::new(&credentials.directory);
        let files = tokio::task::spawn_blocking(move || directory.read_all()).await??;
        let domain = credentials::domain(&config.deployment)?;
        let now = OffsetDateTime::now_utc();
        for (id, file) in files {
            let dependence = match file {
                Err(cause) => Dependence::Unknown(cause),
                Ok(file) if !file.state(now).works() => Dependence::Unrelated,
                Ok(file) => told(patiently(|| self.of_access_key(&domain, &file)).await),
            };
            on_seen(Kind::AccessKey, &format!("the access key {id}"), dependence);
        }
        Ok(())
    }

    async fn of_access_key(
        &self,
        domain: &Domain,
        file: &CredentialFile,
    ) -> Result<Dependence, S3Error> {
        // Its working key is in no registry: the wraps of the header are all that there are.
        let (header, object_key) = credentials::header(domain, file)?;
        if !self.is_wrapped_by_it([header.wraps(), &[]]).await? {
            return Ok(Dependence::Unrelated);
        }
        let id = header.working_key_id();
        let proof = Proof::Header(&header, &object_key);
        let opens = self.any_opens(id, domain, header.wraps(), &proof).await?;
        Ok(if opens {
            Dependence::OpensOtherwise
        } else {
            Dependence::Depends {
                id,
                has_recovery: has_recovery(header.wraps()),
            }
        })
    }

    async fn of_record(&self, id: WorkingKeyId) -> Result<Dependence, S3Error> {
        let record = match self.registry.record(id).await? {
            Record::Missing => return Ok(Dependence::Unrelated),
            Record::Damaged(cause) => {
                return Ok(Dependence::Unknown(cause.as_ref().to_owned()));
            }
            Record::Present(record) => record,
        };
        if !self.is_wrapped_by_it([record.wraps(), &[]]).await? {
            return Ok(Dependence::Unrelated);
        }
        let domain = record.claimed_domain();
        let proof = Proof::Record(&record);
        let opens = self.any_opens(id, domain, record.wraps(), &proof).await?;
        Ok(if opens {
            Dependence::OpensOtherwise
        } else {
            Dependence::Depends {
                id,
                has_recovery: has_recovery(record.wraps()),
            }
        })
    }

    async fn of_upload(&self, name: &str) -> Result<Dependence, S3Error> {
        match read_upload(&self.gateway, name).await? {
            None => Ok(Dependence::Unrelated),
            Some(Err((_, cause))) => Ok(Dependence::Unknown(cause)),
            Some(Ok(record)) => {
                let claim = record.claim();
                let rule = self
                    .gateway
                    .config
                    .domain_for(&claim.bucket, &claim.object_key);
                self.of_header(record.header(), &rule, &claim.object_key)
                    .await
            }
        }
    }

    /// Whether one of the wraps is by the key that is to go.
    async fn is_wrapped_by_it(&self, wraps: [&[Wrap]; 2]) -> Result<bool, S3Error> {
        for wrap in wraps.into_iter().flatten() {
            if self.going.made(wrap).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether one of the wraps is by a key that is left, and really opens. A wrap is the storage's word; the key that it gives is proven.
    async fn any_opens(
        &self,
        id: WorkingKeyId,
        domain: &Domain,
        wraps: &[Wrap],
        proof: &Proof<'_>,
    ) -> Result<bool, S3Error> {
        let mut away = None;
        for wrap in wraps {
            for key in &self.others {
                if !key.made(wrap).await? {
                    continue;
                }
                match self.opens(key, id, domain, wrap, proof).await {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(error) => away = Some(error),
                }
            }
        }
        // While a key service is away nobody can tell that nothing else opens.
        away.map_or(Ok(false), Err)
    }

    async fn opens(
        &self,
        key: &KnownKey,
        id: WorkingKeyId,
        domain: &Domain,
        wrap: &Wrap,
        proof: &Proof<'_>,
    ) -> Result<bool, S3Error> {
        let digest = known_keys::digest(id, domain, wrap);
        if let Some(opened) = self.opened.get(&digest) {
            return Ok(opened);
        }
        let permit: UnwrapPermit = (self.permit)("whether another key opens it");
        let context = EncryptionContext::new(domain.clone(), id);
        let opened = match key.service.unwrap(&permit, &context, wrap).await {
            Ok(opened) => {
                if !proof.holds(&opened, domain) {
                    // It may be the header or the record that is damaged, so nothing is remembered of the wrap.
                    return Ok(false);
                }
                true
            }
            Err(error) => {
                let error = S3Error::from(error);
                if error.status == StatusCode::SERVICE_UNAVAILABLE {
                    return Err(error);
                }
                false
            }
        };
        self.opened.insert(digest, opened);
        Ok(opened)
    }
}

/// Where nobody can tell, the cause.
fn told(outcome: Result<Dependence, S3Error>) -> Dependence {
    outcome.unwrap_or_else(|error| Dependence::Unknown(error.to_string()))
}

fn has_recovery(wraps: &[Wrap]) -> bool {
    let mut wraps = wraps.iter();
    wraps.any(|wrap| wrap.provider() == Provider::Recovery)
}

/// Whether too few keys are left to wrap a new working key when one goes. `keys` are those of all key services, in their order.
fn is_short(
    policy: &SealingPolicy,
    keys: &[(Provider, KeyReference)],
    going: (Provider, KeyReference),
) -> bool {
    // One key by two names is one key.
    let left: HashSet<_> = policy
        .places(keys.len())
        .iter()
        .filter_map(|place| keys.get(*place))
        .filter(|key| **key != going)
        .collect();
    left.len() < policy.required_wraps.max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_domain_is_short_when_its_own_key_goes_and_not_when_another_does() {
        let keys = ["rest", "bob", "carol"].map(|name| {
            (
                Provider::AwsKms,
                KeyReference::of(Provider::AwsKms, name).unwrap(),
            )
        });
        let policy = |places: Option<Vec<usize>>| SealingPolicy {
            key_services: places,
            required_wraps: 1,
            soft_age: Duration::from_secs(1),
            hard_age: Duration::from_secs(2),
        };
        for going in 0..3 {
            for own in 0..3 {
                let policy = policy(Some(vec![own]));
                assert_eq!(is_short(&policy, &keys, keys[going]), own == going);
            }
            assert!(!is_short(&policy(None), &keys, keys[going]));
        }
        let twice = [keys[0], keys[0]];
        assert!(is_short(&policy(None), &twice, keys[0]));
    }
}
