//! Whose wraps are by which keys: what is looked at before a key is destroyed for one domain.
//!
//! Everything that is stored is either inside of the domain or outside of it: objects and uploads by their place, which the
//! configuration decides, registry records by the domain that they claim. What the storage hides is not seen.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use sealgate_envelope::{
    WorkingKeyId, Wrap,
    records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, registry_prefix},
};

use super::{
    Item,
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
    Sealed(Vec<KeyName>),
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
    /// Versions of objects inside.
    pub(crate) objects_inside: u64,
    /// And outside.
    pub(crate) objects_outside: u64,
    /// Working keys of the domain that have a record.
    pub(crate) records: HashSet<WorkingKeyId>,
}

impl Census {
    /// Takes in one more. `name` says what it is.
    pub(crate) fn add(&mut self, is_inside: bool, name: &str, seen: Seen) {
        match seen {
            Seen::Sealed(keys) => {
                let side = if is_inside {
                    &mut self.inside
                } else {
                    &mut self.outside
                };
                for key in keys {
                    if side.len() >= MAXIMUM_KEYS && !side.contains_key(&key) {
                        self.unknown.add(&format!("{name}: one key of too many"));
                        continue;
                    }
                    side.entry(key).or_default().add(name);
                }
            }
            Seen::Clear if is_inside => self.clear.add(name),
            Seen::Clear | Seen::Nothing => {}
            Seen::Unknown(cause) => self.unknown.add(&format!("{name}: {cause}")),
        }
    }

    /// Goes through all versions of all registry records, and the records of open uploads. `own` are the domain's names.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed.
    pub(crate) async fn of_records(
        &mut self,
        gateway: &Gateway,
        own: &[String],
    ) -> Result<(), S3Error> {
        for version in gateway.state.versions(registry_prefix()).await? {
            let name = version.name.clone();
            let Some(id) = working_key(&version) else {
                continue;
            };
            let bytes = patiently(|| gateway.state.get_version(&version, MAXIMUM_RECORD_LENGTH));
            match bytes.await {
                Ok(None) => {}
                Ok(Some(bytes)) => match RegistryRecord::parse(&bytes, id) {
                    Ok(record) => {
                        let domain = record.claimed_domain().as_str();
                        let is_inside = own.iter().any(|name| name == domain);
                        if is_inside {
                            self.records.insert(id);
                        }
                        let shown = format!("{name} of the domain {domain}");
                        self.add(is_inside, &shown, sealed(record.wraps()));
                    }
                    Err(error) => {
                        self.add(false, &name, Seen::Unknown(error.detail().to_owned()));
                    }
                },
                Err(error) => self.add(false, &name, Seen::Unknown(error.to_string())),
            }
        }
        for name in upload_names(gateway).await? {
            match patiently(|| read_upload(gateway, &name)).await {
                Ok(None) => {}
                Ok(Some(Ok(record))) => {
                    let claim = record.claim();
                    let is_inside = is_inside(gateway, own, &claim.bucket, &claim.object_key);
                    let shown = format!("the upload of {}/{}", claim.bucket, claim.object_key);
                    self.add(is_inside, &shown, sealed(record.header().wraps()));
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

/// Whether a place is of a domain with one of these names.
pub(crate) fn is_inside(gateway: &Gateway, own: &[String], bucket: &str, key: &str) -> bool {
    let rule = gateway.config.domain_for(bucket, key);
    own.contains(&rule.name)
}

/// What the header of one version shows.
pub(crate) async fn look(gateway: &Arc<Gateway>, item: &Item) -> Seen {
    match patiently(|| look_at_header(gateway, item)).await {
        Ok(Looked::Gone) => Seen::Nothing,
        Ok(Looked::Clear | Looked::Broken((Class::InTheClear, _))) => Seen::Clear,
        Ok(Looked::Sealed(header, _)) => sealed(header.wraps()),
        Ok(Looked::Broken((_, cause))) => Seen::Unknown(cause),
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

fn sealed(wraps: &[Wrap]) -> Seen {
    Seen::Sealed(wraps.iter().map(KeyName::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_few_and_keys_are_bounded() {
        let mut census = Census::default();
        let key = |number: usize| vec![format!("local {number:016x}").parse().unwrap()];
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
