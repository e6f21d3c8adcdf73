//! Keys and aliases, and the rules for changing them. Nothing here reads a clock or a disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::error::{ErrorCode, KmsError};
use crate::identifier::{KeyIdentifier, Realm, is_multi_region, not_found};
use crate::material::{Material, MaterialId};

/// Most keys that a server holds; the state is one file that is written at every change.
pub(crate) const MAX_KEYS: usize = 10_000;
/// Most rotations on demand of one key, as on AWS.
pub(crate) const MAX_ROTATIONS: usize = 25;
/// Most aliases that one key may have, as on AWS.
pub(crate) const MAX_ALIASES_PER_KEY: usize = 50;

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyState {
    Enabled,
    Disabled,
    /// Refuses all use until the date, then the key and its material are erased.
    PendingDeletion {
        deletion: OffsetDateTime,
        window_days: u8,
    },
}

/// A symmetric key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: Uuid,
    pub(crate) description: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created: OffsetDateTime,
    pub(crate) state: KeyState,
    /// What new ciphertexts are made with.
    pub(crate) current: Arc<Material>,
    /// What earlier ciphertexts were made with, oldest first; it opens them as before.
    pub(crate) earlier: Vec<Arc<Material>>,
    /// When each material but the first became the current one, oldest first: as many as there are earlier ones.
    pub(crate) rotations: Vec<OffsetDateTime>,
    /// The further regions that a multi-Region key is in.
    pub(crate) replicas: Vec<String>,
}

impl Key {
    /// Whether the key is there for requests of a region.
    pub(crate) fn is_in(&self, realm: &Realm) -> bool {
        !realm.of_replicas || self.replicas.contains(&realm.region)
    }

    pub(crate) fn material(&self, id: MaterialId) -> Option<&Material> {
        std::iter::once(&self.current)
            .chain(&self.earlier)
            .find(|material| material.id() == id)
            .map(AsRef::as_ref)
    }

    /// Refuses the use of a key that is not enabled.
    ///
    /// # Errors
    ///
    /// `DisabledException` or `KMSInvalidStateException`.
    pub(crate) fn check_usable(&self, realm: &Realm) -> Result<(), KmsError> {
        match self.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(KmsError::new(
                ErrorCode::Disabled,
                format!("{} is disabled.", realm.key_arn(self.id)),
            )),
            KeyState::PendingDeletion { .. } => Err(pending_deletion(realm, self.id)),
        }
    }

    /// Every material, oldest first, and when it became the current one; the first came with the key.
    pub(crate) fn materials(&self) -> impl Iterator<Item = (&Material, Option<OffsetDateTime>)> {
        let dates = std::iter::once(None).chain(self.rotations.iter().copied().map(Some));
        self.earlier
            .iter()
            .chain([&self.current])
            .map(AsRef::as_ref)
            .zip(dates)
    }

    fn is_deleted(&self, now: OffsetDateTime) -> bool {
        matches!(self.state, KeyState::PendingDeletion { deletion, .. } if deletion <= now)
    }
}

/// Another name of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Alias {
    pub(crate) target: Uuid,
    pub(crate) created: OffsetDateTime,
    pub(crate) updated: OffsetDateTime,
}

/// All keys and aliases of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    keys: BTreeMap<Uuid, Arc<Key>>,
    aliases: BTreeMap<String, Alias>,
}

impl Catalogue {
    pub(crate) fn new(keys: BTreeMap<Uuid, Arc<Key>>, aliases: BTreeMap<String, Alias>) -> Self {
        Self { keys, aliases }
    }

    pub(crate) fn keys(&self) -> &BTreeMap<Uuid, Arc<Key>> {
        &self.keys
    }

    pub(crate) fn aliases(&self) -> &BTreeMap<String, Alias> {
        &self.aliases
    }

    /// The keys after a marker, in the order of their ids.
    pub(crate) fn keys_after(&self, marker: Option<Uuid>) -> impl Iterator<Item = &Arc<Key>> {
        let start = marker.map_or(Bound::Unbounded, Bound::Excluded);
        self.keys
            .range((start, Bound::Unbounded))
            .map(|(_, key)| key)
    }

    /// The aliases after a marker, in the order of their names; of one key, if one is given.
    pub(crate) fn aliases_after<'a>(
        &'a self,
        marker: Option<&'a str>,
        target: Option<Uuid>,
    ) -> impl Iterator<Item = (&'a str, &'a Alias)> {
        let start = marker.map_or(Bound::Unbounded, Bound::Excluded);
        self.aliases
            .range::<str, _>((start, Bound::Unbounded))
            .filter(move |(_, alias)| target.is_none_or(|target| alias.target == target))
            .map(|(name, alias)| (name.as_str(), alias))
    }

    /// The key with that id.
    ///
    /// # Errors
    ///
    /// `NotFoundException`.
    pub(crate) fn key(&self, id: Uuid, realm: &Realm) -> Result<&Arc<Key>, KmsError> {
        self.keys
            .get(&id)
            .filter(|key| key.is_in(realm))
            .ok_or_else(|| not_found(format!("Key '{}' does not exist", realm.key_arn(id))))
    }

    /// The key that a request names.
    ///
    /// # Errors
    ///
    /// `NotFoundException`.
    pub(crate) fn resolve(
        &self,
        identifier: &KeyIdentifier,
        realm: &Realm,
    ) -> Result<&Arc<Key>, KmsError> {
        match identifier {
            KeyIdentifier::Id(id) => self.key(*id, realm),
            KeyIdentifier::Alias(name) => {
                match self.aliases.get(name).filter(|_| !realm.of_replicas) {
                    Some(alias) => self.key(alias.target, realm),
                    None => Err(not_found(format!(
                        "Alias {} is not found.",
                        realm.alias_arn(name)
                    ))),
                }
            }
        }
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// `LimitExceededException` with [`MAX_KEYS`] keys.
    pub(crate) fn add_key(&mut self, key: Key) -> Result<(), KmsError> {
        if self.keys.len() >= MAX_KEYS {
            return Err(KmsError::new(
                ErrorCode::LimitExceeded,
                format!("this server holds at most {MAX_KEYS} keys"),
            ));
        }
        self.keys.insert(key.id, Arc::new(key));
        Ok(())
    }

    /// Adds an alias; its name has been checked.
    ///
    /// # Errors
    ///
    /// `NotFoundException` without the key, `KMSInvalidStateException` for a key that is to be deleted,
    /// `AlreadyExistsException` when the name is taken, `LimitExceededException` when the key has too many.
    pub(crate) fn add_alias(
        &mut self,
        name: &str,
        target: Uuid,
        realm: &Realm,
        now: OffsetDateTime,
    ) -> Result<(), KmsError> {
        if matches!(
            self.key(target, realm)?.state,
            KeyState::PendingDeletion { .. }
        ) {
            return Err(pending_deletion(realm, target));
        }
        if self.aliases.contains_key(name) {
            return Err(KmsError::new(
                ErrorCode::AlreadyExists,
                format!(
                    "An alias with the name {} already exists",
                    realm.alias_arn(name)
                ),
            ));
        }
        if self.aliases_after(None, Some(target)).count() >= MAX_ALIASES_PER_KEY {
            return Err(KmsError::new(
                ErrorCode::LimitExceeded,
                format!("a key has at most {MAX_ALIASES_PER_KEY} aliases"),
            ));
        }
        self.aliases.insert(
            name.to_owned(),
            Alias {
                target,
                created: now,
                updated: now,
            },
        );
        Ok(())
    }

    /// Removes an alias; the key stays as it is.
    ///
    /// # Errors
    ///
    /// `NotFoundException`.
    pub(crate) fn remove_alias(&mut self, name: &str, realm: &Realm) -> Result<(), KmsError> {
        match self.aliases.remove(name) {
            Some(_) => Ok(()),
            None => Err(not_found(format!(
                "Alias {} is not found.",
                realm.alias_arn(name)
            ))),
        }
    }

    /// Gives a key new material; what the earlier one made still opens.
    ///
    /// # Errors
    ///
    /// `NotFoundException`, `DisabledException`, `KMSInvalidStateException` for a key that is to be deleted, or
    /// `LimitExceededException` after [`MAX_ROTATIONS`].
    pub(crate) fn rotate(
        &mut self,
        id: Uuid,
        realm: &Realm,
        now: OffsetDateTime,
    ) -> Result<(), KmsError> {
        let key = self.key_mut(id, realm)?;
        key.check_usable(realm)?;
        if key.rotations.len() >= MAX_ROTATIONS {
            return Err(KmsError::new(
                ErrorCode::LimitExceeded,
                format!("a key is rotated on demand at most {MAX_ROTATIONS} times"),
            ));
        }
        let fresh = Arc::new(Material::generate(id)?);
        key.earlier.push(std::mem::replace(&mut key.current, fresh));
        key.rotations.push(now);
        Ok(())
    }

    /// Puts a replica of a multi-Region key into another region.
    ///
    /// # Errors
    ///
    /// `NotFoundException`, `DisabledException`, `KMSInvalidStateException` for a key that is to be deleted,
    /// `UnsupportedOperationException` for a key of one region, or `AlreadyExistsException`.
    pub(crate) fn replicate(
        &mut self,
        id: Uuid,
        realm: &Realm,
        replica: &Realm,
    ) -> Result<(), KmsError> {
        let key = self.key_mut(id, realm)?;
        key.check_usable(realm)?;
        if !is_multi_region(id) {
            return Err(KmsError::new(
                ErrorCode::UnsupportedOperation,
                format!("{} is not a multi-Region key.", realm.key_arn(id)),
            ));
        }
        if key.is_in(replica) {
            return Err(KmsError::new(
                ErrorCode::AlreadyExists,
                format!("{} exists already.", replica.key_arn(id)),
            ));
        }
        key.replicas.push(replica.region.clone());
        Ok(())
    }

    /// Enables or disables a key; a key that is so already stays so.
    ///
    /// # Errors
    ///
    /// `NotFoundException`, or `KMSInvalidStateException` for a key that is to be deleted.
    pub(crate) fn set_enabled(
        &mut self,
        id: Uuid,
        enabled: bool,
        realm: &Realm,
    ) -> Result<(), KmsError> {
        let key = self.key_mut(id, realm)?;
        if matches!(key.state, KeyState::PendingDeletion { .. }) {
            return Err(pending_deletion(realm, id));
        }
        key.state = if enabled {
            KeyState::Enabled
        } else {
            KeyState::Disabled
        };
        Ok(())
    }

    /// Sets the date of a key's deletion and answers it.
    ///
    /// # Errors
    ///
    /// `NotFoundException`, or `KMSInvalidStateException` for a key that is to be deleted already.
    pub(crate) fn schedule_deletion(
        &mut self,
        id: Uuid,
        window_days: u8,
        realm: &Realm,
        now: OffsetDateTime,
    ) -> Result<OffsetDateTime, KmsError> {
        let key = self.key_mut(id, realm)?;
        if matches!(key.state, KeyState::PendingDeletion { .. }) {
            return Err(pending_deletion(realm, id));
        }
        let deletion = now + Duration::days(i64::from(window_days));
        key.state = KeyState::PendingDeletion {
            deletion,
            window_days,
        };
        Ok(deletion)
    }

    /// Takes back a deletion; the key is disabled then, as on AWS.
    ///
    /// # Errors
    ///
    /// `NotFoundException`, or `KMSInvalidStateException` for a key that is not to be deleted.
    pub(crate) fn cancel_deletion(&mut self, id: Uuid, realm: &Realm) -> Result<(), KmsError> {
        let key = self.key_mut(id, realm)?;
        if !matches!(key.state, KeyState::PendingDeletion { .. }) {
            return Err(KmsError::new(
                ErrorCode::KmsInvalidState,
                format!("{} is not pending deletion.", realm.key_arn(id)),
            ));
        }
        key.state = KeyState::Disabled;
        Ok(())
    }

    /// Whether the date of a deletion has come.
    pub(crate) fn has_deleted(&self, now: OffsetDateTime) -> bool {
        self.keys.values().any(|key| key.is_deleted(now))
    }

    /// Erases keys whose date has come, with their aliases.
    pub(crate) fn erase_deleted(&mut self, now: OffsetDateTime) {
        self.keys.retain(|_, key| !key.is_deleted(now));
        let keys = &self.keys;
        self.aliases
            .retain(|_, alias| keys.contains_key(&alias.target));
    }

    fn key_mut(&mut self, id: Uuid, realm: &Realm) -> Result<&mut Key, KmsError> {
        self.keys
            .get_mut(&id)
            .filter(|key| key.is_in(realm))
            .map(Arc::make_mut)
            .ok_or_else(|| not_found(format!("Key '{}' does not exist", realm.key_arn(id))))
    }
}

fn pending_deletion(realm: &Realm, id: Uuid) -> KmsError {
    KmsError::new(
        ErrorCode::KmsInvalidState,
        format!("{} is pending deletion.", realm.key_arn(id)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn realm() -> Realm {
        Realm {
            region: "us-east-1".to_owned(),
            account: "111122223333".to_owned(),
            of_replicas: false,
        }
    }

    fn catalogue(keys: u8) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for byte in 1..=keys {
            let id = Uuid::from_bytes([byte; 16]);
            let current = Arc::new(Material::generate(id).unwrap());
            let (description, tags, earlier) = (String::new(), Vec::new(), Vec::new());
            catalogue
                .add_key(Key {
                    id,
                    description,
                    tags,
                    created: NOW,
                    state: KeyState::Enabled,
                    current,
                    earlier,
                    rotations: Vec::new(),
                    replicas: Vec::new(),
                })
                .unwrap();
        }
        catalogue
    }

    fn code<T: std::fmt::Debug>(result: Result<T, KmsError>) -> ErrorCode {
        result.unwrap_err().code()
    }

    #[test]
    fn life_of_a_key() {
        let (mut catalogue, realm, id) = (catalogue(1), realm(), Uuid::from_bytes([1; 16]));
        catalogue.set_enabled(id, false, &realm).unwrap();
        assert_eq!(
            code(catalogue.key(id, &realm).unwrap().check_usable(&realm)),
            ErrorCode::Disabled
        );
        catalogue.set_enabled(id, true, &realm).unwrap();
        catalogue
            .key(id, &realm)
            .unwrap()
            .check_usable(&realm)
            .unwrap();
        assert_eq!(
            code(catalogue.cancel_deletion(id, &realm)),
            ErrorCode::KmsInvalidState
        );

        catalogue.add_alias("alias/a", id, &realm, NOW).unwrap();
        let date = catalogue.schedule_deletion(id, 7, &realm, NOW).unwrap();
        assert_eq!(date, NOW + Duration::days(7));
        assert_eq!(
            code(catalogue.key(id, &realm).unwrap().check_usable(&realm)),
            ErrorCode::KmsInvalidState
        );
        assert_eq!(
            code(catalogue.set_enabled(id, true, &realm)),
            ErrorCode::KmsInvalidState
        );
        assert_eq!(
            code(catalogue.schedule_deletion(id, 7, &realm, NOW)),
            ErrorCode::KmsInvalidState
        );
        assert_eq!(
            code(catalogue.add_alias("alias/b", id, &realm, NOW)),
            ErrorCode::KmsInvalidState
        );
        assert!(!catalogue.has_deleted(date - Duration::SECOND));

        let mut cancelled = catalogue.clone();
        cancelled.cancel_deletion(id, &realm).unwrap();
        assert_eq!(cancelled.key(id, &realm).unwrap().state, KeyState::Disabled);

        assert!(catalogue.has_deleted(date));
        catalogue.erase_deleted(date);
        assert_eq!(code(catalogue.key(id, &realm)), ErrorCode::NotFound);
        assert!(catalogue.aliases().is_empty());
    }

    #[test]
    fn rotations_keep_what_was_before_and_are_limited() {
        let (mut catalogue, realm, id) = (catalogue(1), realm(), Uuid::from_bytes([1; 16]));
        let first = catalogue.key(id, &realm).unwrap().current.id();
        for number in 0..MAX_ROTATIONS {
            let now = NOW + Duration::seconds(i64::try_from(number).unwrap());
            catalogue.rotate(id, &realm, now).unwrap();
        }
        assert_eq!(
            code(catalogue.rotate(id, &realm, NOW)),
            ErrorCode::LimitExceeded
        );
        let key = Arc::clone(catalogue.key(id, &realm).unwrap());
        assert!(key.material(first).is_some());
        let materials: Vec<_> = key
            .materials()
            .map(|(one, date)| (one.id(), date))
            .collect();
        assert_eq!(materials.len(), MAX_ROTATIONS + 1);
        assert_eq!(materials[0], (first, None));
        assert_eq!(materials[1].1, Some(NOW));
        assert_eq!(materials[MAX_ROTATIONS].0, key.current.id());

        catalogue.set_enabled(id, false, &realm).unwrap();
        assert_eq!(code(catalogue.rotate(id, &realm, NOW)), ErrorCode::Disabled);
        catalogue.schedule_deletion(id, 7, &realm, NOW).unwrap();
        assert_eq!(
            code(catalogue.rotate(id, &realm, NOW)),
            ErrorCode::KmsInvalidState
        );
    }

    #[test]
    fn aliases() {
        let (mut catalogue, realm, id) = (catalogue(2), realm(), Uuid::from_bytes([2; 16]));
        catalogue.add_alias("alias/a", id, &realm, NOW).unwrap();
        let by_alias = KeyIdentifier::Alias("alias/a".to_owned());
        assert_eq!(catalogue.resolve(&by_alias, &realm).unwrap().id, id);
        assert_eq!(
            code(catalogue.add_alias("alias/a", id, &realm, NOW)),
            ErrorCode::AlreadyExists
        );
        assert_eq!(
            code(catalogue.add_alias("alias/b", Uuid::nil(), &realm, NOW)),
            ErrorCode::NotFound
        );
        let mut without = catalogue.clone();
        without.remove_alias("alias/a", &realm).unwrap();
        assert_eq!(
            code(without.resolve(&by_alias, &realm)),
            ErrorCode::NotFound
        );
        assert_eq!(
            code(without.remove_alias("alias/a", &realm)),
            ErrorCode::NotFound
        );
        for number in 1..MAX_ALIASES_PER_KEY {
            catalogue
                .add_alias(&format!("alias/{number}"), id, &realm, NOW)
                .unwrap();
        }
        assert_eq!(
            code(catalogue.add_alias("alias/more", id, &realm, NOW)),
            ErrorCode::LimitExceeded
        );
        assert_eq!(
            catalogue
                .aliases_after(None, Some(Uuid::from_bytes([1; 16])))
                .count(),
            0
        );
    }

    #[test]
    fn pages_go_on_after_the_marker() {
        let catalogue = catalogue(5);
        let first: Vec<Uuid> = catalogue
            .keys_after(None)
            .take(2)
            .map(|key| key.id)
            .collect();
        let rest: Vec<Uuid> = catalogue
            .keys_after(first.last().copied())
            .map(|key| key.id)
            .collect();
        assert_eq!(
            [first, rest].concat(),
            catalogue.keys().keys().copied().collect::<Vec<_>>()
        );
    }
}
