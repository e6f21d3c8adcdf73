//! What `sealgate keys status` asks: key services about their keys, the configuration about quorums, the registry about wraps.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use sealgate_envelope::{
    KeyReference, Provider, WorkingKeyId,
    records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, registry_name},
};

use super::{
    Gateway,
    key_watch::{obstacle_of, obstacle_to_generating},
};
use crate::{config::Mode, error::S3Error};

/// Records of the registry that are read at once.
const CONCURRENCY: usize = 16;

/// Domains that are told apart: records name them, and whoever runs the storage can write records.
const DOMAINS_LIMIT: usize = 10_000;

/// What a key service said.
#[derive(Clone, Debug)]
pub(crate) struct KeyServiceFinding {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// The kind of service.
    pub(crate) provider: &'static str,
    /// The key's full name; `-` if it could not be asked for.
    pub(crate) key: String,
    /// What stands in its wraps, as far as it is known.
    pub(crate) reference: Option<(Provider, KeyReference)>,
    /// Why it cannot be used; `None` if it can.
    pub(crate) obstacle: Option<String>,
}

/// What the configuration asks for a domain, and whether that can be had now.
#[derive(Clone, Debug)]
pub(crate) struct DomainStatus {
    /// Its name, with placeholders; for buckets that no table is about, `DEPLOYMENT/{bucket}`.
    pub(crate) name: String,
    /// The names of its key services.
    pub(crate) key_services: Vec<String>,
    /// How many of them must wrap a new working key.
    pub(crate) required_wraps: usize,
    /// How many different keys can be used now.
    pub(crate) usable: usize,
    /// Whether that is enough.
    pub(crate) has_quorum: bool,
}

/// What registry records claim; nobody has verified them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegistryStatus {
    /// All records.
    pub(crate) records: usize,
    /// Those that are no records.
    pub(crate) unreadable: usize,
    /// By domain.
    pub(crate) domains: BTreeMap<String, DomainRecords>,
}

/// The records of one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DomainRecords {
    /// Working keys.
    pub(crate) count: usize,
    /// When the oldest was made, in milliseconds since 1970.
    pub(crate) oldest: u64,
    /// When the newest was made.
    pub(crate) newest: u64,
    /// Those without a wrap by each key service that the domain asks for.
    pub(crate) lacking: usize,
    /// Those with a wrap by a key that is not configured.
    pub(crate) foreign: usize,
}

impl Gateway {
    /// Asks every key service about its key, all at once. In write-only mode, whose principals may do nothing else, each makes a working key, which is
    /// dropped.
    pub(crate) async fn describe_key_services(&self) -> Vec<KeyServiceFinding> {
        let names = self.config.key_service_names.iter();
        let asked = names.zip(&self.key_services).map(async |(name, service)| {
            let provider = service.provider();
            let described = service.describe().await;
            let obstacle = match self.config.mode {
                Mode::ReadWrite => None,
                Mode::WriteOnly => Some(obstacle_to_generating(&**service).await),
            };
            let key = described
                .as_ref()
                .map_or_else(|_| "-".to_owned(), |found| found.key_name.clone());
            let reference = match &described {
                Ok(found) => Some(found.key_reference),
                Err(_) => service.key_reference().await.ok(),
            };
            KeyServiceFinding {
                name: name.clone(),
                provider: provider.name().unwrap_or("unknown"),
                key,
                reference: reference.map(|reference| (provider, reference)),
                obstacle: obstacle.unwrap_or_else(|| obstacle_of(described)),
            }
        });
        futures_util::future::join_all(asked).await
    }

    /// Every domain of the configuration, and whether it can have new working keys.
    pub(crate) fn domain_status(&self, found: &[KeyServiceFinding]) -> Vec<DomainStatus> {
        let status = self.config.sealing_policies().map(|(name, policy)| {
            let places = policy.places(found.len());
            let services = places.iter().filter_map(|place| found.get(*place));
            let mut keys: Vec<_> = services
                .clone()
                .filter(|service| service.obstacle.is_none())
                .map(|service| service.reference)
                .collect();
            keys.sort_by_key(|key| format!("{key:?}"));
            keys.dedup();
            DomainStatus {
                name,
                key_services: services.map(|service| service.name.clone()).collect(),
                required_wraps: policy.required_wraps,
                usable: keys.len(),
                has_quorum: keys.len() >= policy.required_wraps,
            }
        });
        status.collect()
    }

    /// Reads every record of the registry. Nothing is unwrapped, so nothing of it is verified.
    ///
    /// # Errors
    ///
    /// If the state bucket cannot be read.
    pub(crate) async fn registry_status(
        &self,
        found: &[KeyServiceFinding],
    ) -> anyhow::Result<RegistryStatus> {
        let ids = self.working_keys(None).await?;
        let mut status = RegistryStatus::default();
        let mut reads = stream::iter(ids)
            .map(|id| self.read_record(id))
            .buffer_unordered(CONCURRENCY);
        while let Some(record) = reads.next().await {
            let (id, bytes) = record?;
            status.records += 1;
            match RegistryRecord::parse(&bytes, id) {
                Ok(record) => {
                    let domain = record.claimed_domain().as_str().to_owned();
                    if status.domains.len() < DOMAINS_LIMIT || status.domains.contains_key(&domain)
                    {
                        let wanted = self.wanted(&domain, found);
                        let records = status.domains.entry(domain).or_default();
                        let wraps: Vec<_> = record
                            .wraps()
                            .iter()
                            .map(|wrap| (wrap.provider(), wrap.key_reference()))
                            .collect();
                        records.add(record.claimed_creation(), &wraps, &wanted, found);
                    }
                }
                Err(_) => status.unreadable += 1,
            }
        }
        Ok(status)
    }

    /// The keys that a domain asks for, as far as they are known.
    fn wanted(&self, domain: &str, found: &[KeyServiceFinding]) -> Vec<(Provider, KeyReference)> {
        let policy = self.config.sealing_of_domain(domain);
        let places = policy.map_or_else(
            || (0..found.len()).collect(),
            |policy| policy.places(found.len()),
        );
        places
            .iter()
            .filter_map(|place| found.get(*place)?.reference)
            .collect()
    }

    async fn read_record(&self, id: WorkingKeyId) -> Result<(WorkingKeyId, Vec<u8>), S3Error> {
        let bytes = self
            .state
            .get(&registry_name(id), MAXIMUM_RECORD_LENGTH)
            .await?;
        Ok((id, bytes.map(Vec::from).unwrap_or_default()))
    }
}

impl DomainRecords {
    fn add(
        &mut self,
        created: u64,
        wraps: &[(Provider, KeyReference)],
        wanted: &[(Provider, KeyReference)],
        found: &[KeyServiceFinding],
    ) {
        self.oldest = if self.count == 0 {
            created
        } else {
            self.oldest.min(created)
        };
        self.newest = self.newest.max(created);
        self.count += 1;
        self.lacking += usize::from(!wanted.iter().all(|key| wraps.contains(key)));
        // A wrap for recovery is nobody's to open here.
        let is_foreign = |wrap: &(Provider, KeyReference)| {
            wrap.0 != Provider::Recovery
                && !found.iter().any(|service| service.reference == Some(*wrap))
        };
        self.foreign += usize::from(wraps.iter().any(is_foreign));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_lack_a_wrap_and_those_with_a_foreign_one_are_counted() {
        let key = |value| (Provider::Local, KeyReference::from_bytes([value; 8]));
        let found = [1, 2].map(|value| KeyServiceFinding {
            name: value.to_string(),
            provider: "local",
            key: "k".to_owned(),
            reference: Some(key(value)),
            obstacle: None,
        });
        let mut records = DomainRecords::default();
        records.add(20, &[key(1), key(2)], &[key(1), key(2)], &found);
        records.add(10, &[key(1), key(9)], &[key(1), key(2)], &found);
        let recovery = (Provider::Recovery, KeyReference::from_bytes([7; 8]));
        records.add(30, &[key(1), recovery], &[key(1)], &found);
        assert_eq!(
            records,
            DomainRecords {
                count: 3,
                oldest: 10,
                newest: 30,
                lacking: 1,
                foreign: 1
            }
        );
    }
}
