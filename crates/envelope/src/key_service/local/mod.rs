//! Working keys wrapped by a key in a file, for laptops and labs (FORMAT.md section 2, provider 4).
//!
//! Whoever reads the file and the storage reads everything: this gives up what sealgate is for, keys on another
//! machine. It is for files that one person seals, and for trying things out. A passphrase, which the file may be sealed
//! with, keeps out whoever gets hold of the file alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{
    DeletionManner, EncryptionContext, KeyAvailability, KeyDeletion, KeyDescription, KeyService,
    RewrapSource, UnwrapPermit, check_wrap_is_for, key_service_error, unix_milliseconds,
};
use crate::error::{Error, KeyServiceFailure, Result};
use crate::keys::{KEY_LENGTH, KeyReference, WorkingKey};
use crate::random::{OsRandom, Random, random_array};
use crate::secret_file::{self, Kind, Label, Passphrase, SecretFile};
use crate::suite::{Aead, Backend, NONCE_LENGTH, Suite, TAG_LENGTH, aead};
use crate::wrap::{Provider, Wrap};

/// Bytes of a key's random identifier.
const KEY_ID_LENGTH: usize = 16;

/// The file: its one label is the key's identifier.
pub(crate) const LOCAL_KEY: Kind = Kind {
    name: "sealgate-local-key",
    what: "local key file",
    overwriting: "; a key file is never overwritten: open it instead, or choose another path",
    labels: &[Label {
        what: "the key id, 32 lower-case hexadecimal digits,",
        is_valid: |word| {
            word.len() == 2 * KEY_ID_LENGTH && HEXLOWER.decode(word.as_bytes()).is_ok()
        },
    }],
};

/// The first byte of a blob.
const BLOB_VERSION: u8 = 1;
/// Version, nonce, ciphertext and tag.
const BLOB_LENGTH: usize = 1 + NONCE_LENGTH + KEY_LENGTH + TAG_LENGTH;

/// A key held in a file that only its owner can read.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sealgate_envelope::key_service::local::LocalKeyService;
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("sealgate.key");
/// let created = LocalKeyService::create(&path)?;
/// assert_eq!(LocalKeyService::open(&path)?.key_id(), created.key_id());
/// # Ok(())
/// # }
/// ```
pub struct LocalKeyService {
    path: PathBuf,
    is_destroyed: AtomicBool,
    key_id: String,
    key_reference: KeyReference,
    cipher: Box<dyn Aead>,
}

impl LocalKeyService {
    /// Makes a key file, mode 0600, and opens it. Blocks on the file system; returns when the key is on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the file exists (it is never overwritten) or cannot be made; [`Error::Machine`] without
    /// entropy.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::create_with(path, None)
    }

    /// As [`create`](Self::create), sealed with a passphrase if one is given. Blocks also for the time that deriving a key
    /// from the passphrase takes: a fraction of a second, and 64 MiB.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_with(path: impl AsRef<Path>, passphrase: Option<&Passphrase>) -> Result<Self> {
        let id: [u8; KEY_ID_LENGTH] = random_array(&mut OsRandom)?;
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        OsRandom.fill(key.as_mut_slice())?;
        let file = SecretFile {
            labels: vec![HEXLOWER.encode(&id)],
            key,
        };
        file.write_new(&LOCAL_KEY, path.as_ref(), passphrase)?;
        Self::from_file(&file, path.as_ref())
    }

    /// Opens a key file that is not sealed with a passphrase. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if it cannot be read, is not exactly one line of the format, or if its group or others have any
    /// access to it; the detail says how to mend that.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, None)
    }

    /// Opens a key file, with its passphrase if it is sealed with one. Blocks, for as long and with as much memory as the
    /// file asks for within the limits: see [`PassphraseCost`](crate::secret_file::PassphraseCost).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and if the passphrase is wrong, missing, or given for a file that is not sealed.
    pub fn open_with(path: impl AsRef<Path>, passphrase: Option<&Passphrase>) -> Result<Self> {
        let file = SecretFile::read(&LOCAL_KEY, path.as_ref(), passphrase)?;
        Self::from_file(&file, path.as_ref())
    }

    /// Whether the key file is sealed with a passphrase. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn is_sealed(path: impl AsRef<Path>) -> Result<bool> {
        secret_file::is_sealed(&LOCAL_KEY, path.as_ref())
    }

    /// Seals the key file anew: with another passphrase, for the first time, or, with `new` as `None`, not at all. The key
    /// stays the same, so everything that it sealed still opens; copies of the earlier file do, too. At any time there is
    /// the old file or the new one.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with) with `old`; if the file cannot be replaced, it is as it was.
    pub fn reseal(
        path: impl AsRef<Path>,
        old: Option<&Passphrase>,
        new: Option<&Passphrase>,
    ) -> Result<Self> {
        let file = SecretFile::read(&LOCAL_KEY, path.as_ref(), old)?;
        file.replace(&LOCAL_KEY, path.as_ref(), new)?;
        Self::from_file(&file, path.as_ref())
    }

    /// Overwrites the file of the key that has this identifier with zeros, and waits until they are on disk. The file stays,
    /// for [`remove_overwritten`](secret_file::remove_overwritten): between the two, whoever destroys it can write down how
    /// far he came. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the file has another key, or cannot be written.
    pub fn overwrite_file(path: impl AsRef<Path>, key_id: &str) -> Result<()> {
        secret_file::overwrite(&LOCAL_KEY, path.as_ref(), |labels| {
            labels.first().is_some_and(|label| label == key_id)
        })
    }

    /// Whether the file holds the key that has this identifier, whole. Blocks.
    #[must_use]
    pub fn is_in_file(path: impl AsRef<Path>, key_id: &str) -> bool {
        secret_file::is_of(&LOCAL_KEY, path.as_ref(), |labels| {
            labels.first().is_some_and(|label| label == key_id)
        })
    }

    /// Whether the file holds a key of this kind, whole, whichever it is. Blocks.
    #[must_use]
    pub fn is_key_file(path: impl AsRef<Path>) -> bool {
        secret_file::is_of(&LOCAL_KEY, path.as_ref(), |_| true)
    }

    fn from_file(file: &SecretFile, path: &Path) -> Result<Self> {
        let key_id = file.labels.first().cloned().unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            is_destroyed: AtomicBool::new(false),
            key_reference: KeyReference::of(Provider::Local, &key_id)?,
            cipher: aead(Suite::Aes256Gcm, Backend::default(), &file.key)?,
            key_id,
        })
    }

    /// The key's identifier, 32 lower-case hexadecimal digits; it is no secret.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    fn check_present(&self) -> Result<()> {
        if self.is_destroyed.load(Ordering::Acquire) {
            return Err(key_service_error(
                KeyServiceFailure::NotFound,
                &format!("local key {} was destroyed", self.key_id),
            ));
        }
        Ok(())
    }

    fn seal(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap> {
        self.check_present()?;
        let nonce: [u8; NONCE_LENGTH] = random_array(&mut OsRandom)?;
        let mut sealed = Zeroizing::new([0; KEY_LENGTH + TAG_LENGTH]);
        for (to, from) in sealed.iter_mut().zip(working_key.expose()) {
            *to = *from;
        }
        self.cipher.seal(
            &nonce,
            &context.to_associated_data()?,
            sealed.as_mut_slice(),
        )?;
        let blob = [&[BLOB_VERSION][..], &nonce, sealed.as_slice()].concat();
        Wrap::new(Provider::Local, self.key_reference, blob)
    }

    fn open_wrap(&self, context: &EncryptionContext, wrap: &Wrap) -> Result<WorkingKey> {
        check_wrap_is_for(Provider::Local, self.key_reference, wrap)?;
        self.check_present()?;
        let refused = |fault: &str| {
            key_service_error(
                KeyServiceFailure::Refused,
                &format!(
                    "local key {} does not open the wrap of working key {}: {fault}",
                    self.key_id,
                    context.working_key_id()
                ),
            )
        };
        let Some((&[BLOB_VERSION], rest)) = wrap.blob().split_first_chunk::<1>() else {
            return Err(refused("its blob is not of version 1"));
        };
        let Some((nonce, sealed)) = rest
            .split_first_chunk::<NONCE_LENGTH>()
            .filter(|_| wrap.blob().len() == BLOB_LENGTH)
        else {
            return Err(refused("its blob has not 61 bytes"));
        };
        let mut opened = Zeroizing::new(sealed.to_vec());
        let plaintext = self
            .cipher
            .open(nonce, &context.to_associated_data()?, opened.as_mut_slice())
            .map_err(|_| {
                refused("it was tampered with, or made for another domain or working key")
            })?;
        WorkingKey::from_slice(plaintext)
    }
}

impl fmt::Debug for LocalKeyService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalKeyService")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyService for LocalKeyService {
    fn provider(&self) -> Provider {
        Provider::Local
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.key_reference)
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        let working_key = WorkingKey::generate(&mut OsRandom)?;
        let wrap = self.seal(context, &working_key)?;
        Ok((working_key, wrap))
    }

    async fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap> {
        self.seal(context, working_key)
    }

    async fn unwrap(
        &self,
        _permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        self.open_wrap(context, wrap)
    }

    async fn rewrap(
        &self,
        context: &EncryptionContext,
        wrap: &Wrap,
        source: RewrapSource<'_>,
    ) -> Result<Wrap> {
        match source {
            RewrapSource::SameKey => {}
            RewrapSource::Key(name) if name == self.key_id => {}
            RewrapSource::Key(name) => {
                return Err(key_service_error(
                    KeyServiceFailure::Misconfigured,
                    &format!(
                        "local key {} cannot rewrap what key {name} wrapped; open it there and wrap it here",
                        self.key_id
                    ),
                ));
            }
        }
        let working_key = self.open_wrap(context, wrap)?;
        self.seal(context, &working_key)
    }

    async fn describe(&self) -> Result<KeyDescription> {
        self.check_present()?;
        Ok(KeyDescription::new(
            self.key_id.clone(),
            self.key_reference,
            KeyAvailability::Enabled,
        ))
    }

    /// Overwrites the file and removes it, at once. Other processes that have opened it keep the key until they end.
    async fn schedule_deletion(&self, _waiting_days: u8) -> Result<KeyDeletion> {
        self.check_present()?;
        let (path, key_id) = (self.path.clone(), self.key_id.clone());
        tokio::task::spawn_blocking(move || {
            Self::overwrite_file(&path, &key_id)?;
            secret_file::remove_overwritten(&path)
        })
        .await
        .map_err(|error| Error::machine(format!("a thread ended by itself: {error}")))??;
        self.is_destroyed.store(true, Ordering::Release);
        Ok(KeyDeletion {
            key_name: self.key_id.clone(),
            manner: DeletionManner::Overwritten,
            final_from: unix_milliseconds(),
        })
    }
}

#[cfg(test)]
mod tests;
