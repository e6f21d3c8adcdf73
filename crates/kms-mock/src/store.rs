//! The keys of a running server: readers see one consistent catalogue, writers go one after the other to the disk.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use time::OffsetDateTime;

use crate::catalogue::Catalogue;
use crate::ciphertext::HeaderKey;
use crate::error::{KmsError, StartError};
use crate::identifier::Realm;
use crate::state_directory::StateDirectory;
use crate::state_file;

/// The catalogue of a running server, in memory and, with a state directory, on disk.
pub(crate) struct Store {
    realm: Realm,
    /// The further regions.
    replica_realms: Vec<Realm>,
    header_key: HeaderKey,
    catalogue: RwLock<Arc<Catalogue>>,
    /// Held for the whole of a change; the directory, unless the state is in memory alone.
    writer: Mutex<Option<StateDirectory>>,
}

impl Store {
    /// A store whose keys end with the process.
    ///
    /// # Errors
    ///
    /// [`StartError::Setting`] when the random generator fails.
    pub(crate) fn in_memory(realm: Realm) -> Result<Self, StartError> {
        Self::fresh(realm, None)
    }

    /// A store that keeps its state in a directory, which is created where it is missing.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the directory is in use or its state cannot be used, among others because it belongs to
    /// another account or region.
    pub(crate) fn in_directory(realm: Realm, path: &Path) -> Result<Self, StartError> {
        let directory = StateDirectory::open(path)?;
        let Some(bytes) = directory.load()? else {
            return Self::fresh(realm, Some(directory));
        };
        let refused = |reason| StartError::State {
            path: directory.state_path(),
            reason,
        };
        let state = state_file::read(&bytes).map_err(refused)?;
        if state.realm != realm {
            return Err(StartError::Setting(format!(
                "the state in {} belongs to account {} in region {}, the settings say account {} in region {}; ARNs and \
                 aliases would change, so give the former or another directory",
                path.display(),
                state.realm.account,
                state.realm.region,
                realm.account,
                realm.region
            )));
        }
        Ok(Self {
            realm,
            replica_realms: Vec::new(),
            header_key: state.header_key,
            catalogue: RwLock::new(Arc::new(state.catalogue)),
            writer: Mutex::new(Some(directory)),
        })
    }

    fn fresh(realm: Realm, directory: Option<StateDirectory>) -> Result<Self, StartError> {
        let failed = |error: KmsError| StartError::Setting(error.to_string());
        let store = Self {
            realm,
            replica_realms: Vec::new(),
            header_key: HeaderKey::generate().map_err(failed)?,
            catalogue: RwLock::default(),
            writer: Mutex::new(directory),
        };
        // Written at once: a blob must never depend on a header key that is not on disk, and a directory that cannot be
        // written to must not be found out by the first client.
        store.change(|_| Ok(())).map_err(failed)?;
        Ok(store)
    }

    /// The account and the region that keys are made in.
    pub(crate) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Answers for further regions, which hold replicas of multi-Region keys.
    pub(crate) fn answer_for(&mut self, regions: Vec<String>) {
        self.replica_realms = regions
            .into_iter()
            .map(|region| Realm {
                region,
                account: self.realm.account.clone(),
                of_replicas: true,
            })
            .collect();
    }

    /// One of the further regions.
    pub(crate) fn replica_realm(&self, region: &str) -> Option<&Realm> {
        self.replica_realms
            .iter()
            .find(|realm| realm.region == region)
    }

    /// What requests that are signed for a region are about.
    pub(crate) fn realm_of(&self, region: &str) -> Option<&Realm> {
        if self.realm.region == region {
            return Some(&self.realm);
        }
        self.replica_realm(region)
    }

    pub(crate) fn header_key(&self) -> &HeaderKey {
        &self.header_key
    }

    /// The catalogue as it is now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(
            &self
                .catalogue
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Erases keys whose date of deletion has come. Blocks on the disk when there are any.
    ///
    /// # Errors
    ///
    /// As [`Store::change`].
    pub(crate) fn erase_deleted(&self, now: OffsetDateTime) -> Result<(), KmsError> {
        if !self.catalogue().has_deleted(now) {
            return Ok(());
        }
        self.change(|catalogue| {
            catalogue.erase_deleted(now);
            Ok(())
        })
    }

    /// Makes a change: it is on disk before anybody sees it, and when it cannot be written nobody ever does. Blocks on
    /// the disk.
    ///
    /// # Errors
    ///
    /// What `change` answers, or `KMSInternalException` when the state cannot be written.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Catalogue) -> Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let directory = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Catalogue::clone(&self.catalogue());
        let answer = change(&mut next)?;
        if let Some(directory) = directory.as_ref() {
            let failed = |error: String| {
                tracing::error!(path = %directory.state_path().display(), error, "the state cannot be written");
                KmsError::internal("the state of the key server cannot be written; see its log")
            };
            let bytes = state_file::write(&self.realm, &self.header_key, &next).map_err(failed)?;
            directory
                .save(&bytes)
                .map_err(|error| failed(error.to_string()))?;
        }
        *self
            .catalogue
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn realm() -> Realm {
        Realm {
            region: "us-east-1".to_owned(),
            account: "111122223333".to_owned(),
            of_replicas: false,
        }
    }

    #[test]
    fn the_header_key_survives() {
        let directory = tempfile::tempdir().unwrap();
        let first = *Store::in_directory(realm(), directory.path())
            .unwrap()
            .header_key()
            .bytes();
        assert_eq!(
            Store::in_directory(realm(), directory.path())
                .unwrap()
                .header_key()
                .bytes(),
            &first
        );
    }

    #[test]
    fn another_region_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(Store::in_directory(realm(), directory.path()).unwrap());
        let other = Realm {
            region: "eu-west-1".to_owned(),
            ..realm()
        };
        assert!(matches!(
            Store::in_directory(other, directory.path()),
            Err(StartError::Setting(_))
        ));
    }

    #[test]
    fn a_failed_change_is_not_seen() {
        let store = Store::in_memory(realm()).unwrap();
        let answer: Result<(), _> = store.change(|catalogue| {
            catalogue.erase_deleted(OffsetDateTime::UNIX_EPOCH);
            Err(KmsError::new(ErrorCode::LimitExceeded, "no"))
        });
        assert_eq!(answer.unwrap_err().code(), ErrorCode::LimitExceeded);
        assert!(store.catalogue().keys().is_empty());
    }

    #[test]
    fn a_change_that_cannot_be_written_is_not_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kms");
        let store = Store::in_directory(realm(), &path).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(
            store.change(|_| Ok(())).unwrap_err().code(),
            ErrorCode::KmsInternal
        );
    }
}
