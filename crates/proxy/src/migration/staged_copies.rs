//! Names of staged copies in the state bucket, and which of them are there.
//!
//! ```text
//! migration/SHA-256 of the bucket/SHA-256 of the key/random          a sealed copy
//! migration/SHA-256 of the bucket/SHA-256 of the key/random.grants   the access control list of what it replaces, where that says something
//! ```
//!
//! Each attempt has a name of its own, so that two commands at once never touch each other's copies before one of them has won.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use crate::{error::S3Error, state::StateBucket};

/// What names begin with.
const PREFIX: &str = "migration/";

/// What the names of access control lists end with.
const GRANTS: &str = ".grants";

/// Names that a run looks at. Each is of one object that a killed command was about to replace.
const MAXIMUM_NAMES: usize = 100_000;

/// A copy whose key is gone is removed when it is older than this. Its command may still be running; and if it was not a client that has deleted
/// the object, somebody has this long to find out.
const MINIMUM_AGE: Duration = Duration::from_hours(24);

/// The staged copies of one bucket.
#[derive(Debug)]
pub(super) struct StagedCopies {
    prefix: String,
    /// Names, with their times.
    known: Mutex<BTreeMap<String, SystemTime>>,
}

impl StagedCopies {
    /// None are known yet.
    pub(super) fn of_bucket(bucket: &str) -> Self {
        Self {
            prefix: format!("{PREFIX}{}/", digits(bucket)),
            known: Mutex::default(),
        }
    }

    /// Asks which there are: what killed commands left, and what others are about to use.
    pub(super) async fn find(&self, state: &StateBucket) -> Result<(), S3Error> {
        let found = state.list(&self.prefix, MAXIMUM_NAMES).await?;
        self.known()
            .extend(found.into_iter().map(|entry| (entry.name, entry.modified)));
        Ok(())
    }

    /// A name for one more copy, which is known from now on.
    pub(super) fn new_name(&self, key: &str) -> Result<String, S3Error> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(S3Error::internal)?;
        let random = data_encoding::HEXLOWER.encode(&random);
        let name = format!("{}{}/{random}", self.prefix, digits(key));
        self.known().insert(name.clone(), SystemTime::now());
        Ok(name)
    }

    /// The copies of one object.
    pub(super) fn of_key(&self, key: &str) -> Vec<String> {
        let start = format!("{}{}", self.prefix, digits(key));
        let known = self.known();
        let names = known.range(start.clone()..).map(|(name, _)| name);
        names
            .take_while(|name| name.starts_with(&start))
            .filter(|name| !name.ends_with(GRANTS))
            .cloned()
            .collect()
    }

    /// Copies that are old enough to be given up.
    pub(super) fn old(&self) -> Vec<String> {
        let now = SystemTime::now();
        let is_old =
            |time: SystemTime| now.duration_since(time).is_ok_and(|age| age >= MINIMUM_AGE);
        let known = self.known();
        let old = known.iter().filter(|(_, modified)| is_old(**modified));
        old.map(|(name, _)| name.clone()).collect()
    }

    /// Deletes copies, each with what belongs to it.
    pub(super) async fn delete(
        &self,
        state: &StateBucket,
        copies: &[String],
    ) -> Result<(), S3Error> {
        if copies.is_empty() {
            return Ok(());
        }
        let both = copies.iter().flat_map(|name| [name.clone(), grants(name)]);
        let names: Vec<String> = both.collect();
        state.delete(&names).await?;
        let mut known = self.known();
        for name in &names {
            known.remove(name);
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, SystemTime>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the access control list lies that belongs to a copy.
pub(super) fn grants(name: &str) -> String {
    format!("{name}{GRANTS}")
}

fn digits(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_has_a_name_of_its_own_below_its_key() {
        let copies = StagedCopies::of_bucket("b");
        let names = [copies.new_name("k").unwrap(), copies.new_name("k").unwrap()];
        assert_ne!(names[0], names[1]);
        copies
            .known()
            .insert(grants(&names[0]), SystemTime::UNIX_EPOCH);
        copies.new_name("another").unwrap();
        let mut found = copies.of_key("k");
        found.sort();
        let mut expected = names.to_vec();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(copies.old(), [grants(&names[0])]);
        assert_ne!(StagedCopies::of_bucket("c").prefix, copies.prefix);
    }
}
