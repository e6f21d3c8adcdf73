//! Whose wraps are by which keys: what is looked at before a key is destroyed for one domain.
//!
//! Everything that is stored is either inside of the domain or outside of it: objects and uploads by their place, which the
//! configuration decides, registry records by the domain that they claim. What the storage hides is not seen.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use sealgate_envelope::{
    WorkingKeyId,
    records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, UnverifiedRegistryRecord, registry_prefix},
};

use super::{
    Item, Named, Trial,
    finding::Class,
    key_name::KeyName,
    patience::patiently,
    state::{read_upload, upload_names},
    structure::{Looked, look_at_header},
};
use crate::{error::S3Error, gateway::Gateway, state::RecordVersion};

/// Different keys that are told apart on either side. Whoever writes headers can name any.
const MAXIMUM_KEYS: usize = 10_000;

/// What is named of each kind; all of it is counted.
const EXAMPLES: usize = 5;

/// Things that have something in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many.
    pub(crate) count: u64,
    /// The first of them.
    pub(crate) examples: Vec<String>,
}

impl Found {
    pub(crate) fn add(&mut self, name: &str) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(name.to_owned());
        }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.examples.join(", "))?;
        let more = self.count.saturating_sub(self.examples.len() as u64);
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        Ok(())
    }
}

/// What one thing shows.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It is sealed; by whom its working key is wrapped.
    Sealed(Named),
    /// It is stored in the clear.
    Clear,
    /// It is gone, or says nothing of keys.
    Nothing,
    /// Nobody can tell.
    Unknown(String),
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// What is inside, by the keys that wrapped it.
    pub(crate) inside: BTreeMap<KeyName, Found>,
    /// What is outside.
    pub(crate) outside: BTreeMap<KeyName, Found>,
    /// Inside, and in the clear.
    pub(crate) clear: Found,
    /// Nobody can tell whose it is, or by whom it is wrapped.
    pub(crate) unknown: Found,
    /// Those of them that are not known to lie inside.
    pub(crate) unknown_outside: Found,
    /// Versions of registry records that could not be read.
    pub(crate) unread: Found,
    /// Versions of objects inside.
    pub(crate) objects_inside: u64,
    /// And outside.
    pub(crate) objects_outside: u64,
    /// Inside, where a key is named that refuses the wrap.
    pub(crate) disowned_inside: Found,
    /// The same outside.
    pub(crate) disowned_outside: Found,
    /// The records of working keys of which at least one version is inside.
    pub(crate) records: BTreeMap<WorkingKeyId, RecordVersions>,
}

/// All versions of the record of one working key.
#[derive(Debug, Default)]
pub(crate) struct RecordVersions {
    /// Those that claim the domain, as they were read.
    pub(crate) own: Vec<(RecordVersion, UnverifiedRegistryRecord)>,
    /// Those that claim another one, or cannot be read.
    pub(crate) foreign: Found,
}

impl Census {
    /// Takes in one more. `name` says what it is.
    pub(crate) fn add(&mut self, is_inside: bool, name: &str, seen: Seen) {
        match seen {
            Seen::Sealed(Named { keys, disowned }) => {
                let (side, unowned) = if is_inside {
                    (&mut self.inside, &mut self.disowned_inside)
                } else {
                    (&mut self.outside, &mut self.disowned_outside)
                };
                for key in keys {
                    if side.len() >= MAXIMUM_KEYS && !side.contains_key(&key) {
                        let shown = format!("{name}: one key of too many");
                        self.unknown.add(&shown);
                        if !is_inside {
                            self.unknown_outside.add(&shown);
                        }
                        continue;
                    }
                    side.entry(key).or_default().add(name);
                }
                for key in disowned {
                    unowned.add(&format!("{name}: {key}"));
                }
            }
            Seen::Clear if is_inside => self.clear.add(name),
            Seen::Clear | Seen::Nothing => {}
            Seen::Unknown(cause) => {
                let shown = format!("{name}: {cause}");
                self.unknown.add(&shown);
                if !is_inside {
                    self.unknown_outside.add(&shown);
                }
            }
        }
    }

    /// Goes through all versions of all registry records, and the records of open uploads.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed.
    pub(crate) async fn of_records(
        &mut self,
        gateway: &Gateway,
        trial: &Trial,
    ) -> Result<(), S3Error> {
        self.of_registry(gateway, trial).await?;
        self.of_uploads(gateway, trial).await
    }

    /// Goes through all versions of all registry records.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed.
    pub(crate) async fn of_registry(
        &mut self,
        gateway: &Gateway,
        trial: &Trial,
    ) -> Result<(), S3Error> {
        let mut all: BTreeMap<WorkingKeyId, RecordVersions> = BTreeMap::new();
        let mut vanished = HashSet::new();
        for version in gateway.state.versions(registry_prefix()).await? {
            let Some(id) = working_key(&version) else {
                continue;
            };
            let bytes = patiently(|| gateway.state.get_version(&version, MAXIMUM_RECORD_LENGTH));
            let parsed = match bytes.await {
                Ok(None) => {
                    vanished.insert((version.name, version.version_id));
                    continue;
                }
                Ok(Some(bytes)) => {
                    RegistryRecord::parse(&bytes, id).map_err(|error| error.detail().to_owned())
                }
                Err(error) => {
                    self.unread.add(&format!("{}: {error}", version.name));
                    Err(error.to_string())
                }
            };
            let name = version.name.clone();
            let versions = all.entry(id).or_default();
            match parsed {
                Ok(record) => {
                    let domain = record.claimed_domain().clone();
                    let is_inside = trial.own().iter().any(|name| name == domain.as_str());
                    let shown = format!("{name} of the domain {}", domain.as_str());
                    let wraps = record.wraps();
                    let seen = patiently(|| {
                        trial.of_wraps(is_inside, id, wraps, std::slice::from_ref(&domain))
                    });
                    let seen = told(seen.await.map(Seen::Sealed));
                    self.add(is_inside, &shown, seen);
                    if is_inside {
                        versions.own.push((version, record));
                    } else {
                        versions.foreign.add(domain.as_str());
                    }
                }
                Err(cause) => {
                    versions.foreign.add(&cause);
                    self.add(false, &name, Seen::Unknown(cause));
                }
            }
        }
        // Deleted meanwhile, or kept from us?
        if !vanished.is_empty() {
            for version in gateway.state.versions(registry_prefix()).await? {
                if vanished.contains(&(version.name.clone(), version.version_id)) {
                    let cause = "the storage lists it, and says that it is not there";
                    self.unread.add(&format!("{}: {cause}", version.name));
                    self.add(false, &version.name, Seen::Unknown(cause.to_owned()));
                }
            }
        }
        all.retain(|_, versions| !versions.own.is_empty());
        self.records = all;
        Ok(())
    }

    async fn of_uploads(&mut self, gateway: &Gateway, trial: &Trial) -> Result<(), S3Error> {
        for name in upload_names(gateway).await? {
            match patiently(|| read_upload(gateway, &name)).await {
                Ok(None) => {}
                Ok(Some(Ok(record))) => {
                    let claim = record.claim();
                    let (bucket, key) = (claim.bucket.as_str(), claim.object_key.as_str());
                    let rule = gateway.config.domain_for(bucket, key);
                    let is_inside = trial.own().contains(&rule.name);
                    let header = record.header();
                    let named =
                        patiently(|| trial.of_header(gateway, is_inside, bucket, &rule, header));
                    let seen = told(named.await.map(Seen::Sealed));
                    self.add(is_inside, &format!("the upload of {bucket}/{key}"), seen);
                }
                Ok(Some(Err((_, cause)))) => self.add(false, &name, Seen::Unknown(cause)),
                Err(error) => self.add(false, &name, Seen::Unknown(error.to_string())),
            }
        }
        Ok(())
    }
}

/// The working key that a record is about, by its name.
pub(crate) fn working_key(version: &RecordVersion) -> Option<WorkingKeyId> {
    version.name.strip_prefix(registry_prefix())?.parse().ok()
}

/// What the header of one version shows, and whether it lies inside.
pub(crate) async fn look(gateway: &Arc<Gateway>, trial: &Trial, item: &Item) -> (bool, Seen) {
    let rule = gateway.config.domain_for(&item.bucket, &item.entry.key);
    let is_inside = trial.own().contains(&rule.name);
    let seen = match patiently(|| look_at_header(gateway, item)).await {
        Ok(Looked::Gone) => Seen::Nothing,
        Ok(Looked::Clear | Looked::Broken((Class::InTheClear, _))) => Seen::Clear,
        Ok(Looked::Sealed(header, _)) => {
            let named =
                patiently(|| trial.of_header(gateway, is_inside, &item.bucket, &rule, &header));
            told(named.await.map(Seen::Sealed))
        }
        Ok(Looked::Broken((_, cause))) => Seen::Unknown(cause),
        Err(error) => Seen::Unknown(error.to_string()),
    };
    (is_inside, seen)
}

/// Where nobody can tell, the cause.
fn told(seen: Result<Seen, S3Error>) -> Seen {
    seen.unwrap_or_else(|error| Seen::Unknown(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_few_and_keys_are_bounded() {
        let mut census = Census::default();
        let key = |number: usize| -> Named {
            vec![format!("local {number:016x}").parse().unwrap()].into()
        };
        for number in 0..MAXIMUM_KEYS + 3 {
            census.add(false, "x", Seen::Sealed(key(number)));
        }
        assert_eq!(census.outside.len(), MAXIMUM_KEYS);
        assert_eq!(census.unknown.count, 3);
        for number in 0..9 {
            census.add(true, &number.to_string(), Seen::Sealed(key(1)));
        }
        let found = census.inside.values().next().unwrap();
        assert_eq!(found.to_string(), "0, 1, 2, 3, 4 and 4 more");
        census.add(false, "there", Seen::Clear);
        census.add(true, "here", Seen::Clear);
        assert_eq!(census.clear.examples, ["here"]);
    }
}
