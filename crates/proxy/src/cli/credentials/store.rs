//! What the commands share: the directory, and the key that secrets are sealed under.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sealgate_envelope::key_service::UnwrapPermit;
use sealgate_envelope::keyring::Keyring;
use sealgate_envelope::{Domain, WorkingKey, WorkingKeyId, Wrap};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::super::files::{MAXIMUM_INLINE_WRAPS, keyring_over};
use crate::config::{Config, Mode};
use crate::credentials::{
    self, CredentialFile, Directory, Moment, Place, SealingKey, Turn, new_secret,
};
use crate::gateway::{self, now_in_milliseconds};

/// The most access keys of one identity that work at once.
const IDENTITY_LIMIT: usize = 16;

/// How long it is remembered that an access key has ended. No session lives so long.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// A directory, and what seals in it.
pub(super) struct Store {
    directory: Directory,
    config: Config,
}

/// A new access key. The secret exists here and, sealed, in the file.
pub(super) struct Made {
    pub(super) file: CredentialFile,
    pub(super) secret: Zeroizing<String>,
}

/// What secrets are sealed under: a working key with its wraps.
pub(super) struct Sealing {
    domain: Domain,
    id: WorkingKeyId,
    key: Arc<WorkingKey>,
    wraps: Vec<Wrap>,
}

impl Store {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let config = Config::load(path)?;
        let place = config.credentials.as_ref().with_context(|| {
            format!(
                "{} has no [credentials]: add it with directory = \"credentials\", the same for all gateways, and restart them",
                path.display()
            )
        })?;
        Ok(Self {
            directory: Directory::new(&place.directory),
            config,
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Requires an identity of the configuration: what it may do stands there.
    pub(super) fn require_identity(&self, name: &str) -> anyhow::Result<()> {
        let mut identities = self.config.identities.iter();
        ensure!(
            identities.any(|identity| identity.name == name),
            "the configuration has no identity {name:?}: add [[identity]] with name = {name:?}; what it may do is said there and in [policy]"
        );
        Ok(())
    }

    /// Requires an access key of this directory, whether or not its file can be read.
    pub(super) fn require(&self, access_key_id: &str) -> anyhow::Result<()> {
        let mut identities = self.config.identities.iter();
        let has = |credential: &crate::config::ClientCredential| {
            credential.access_key_id == access_key_id
        };
        if identities.any(|identity| identity.credentials.iter().any(has)) {
            bail!(
                "the access key {access_key_id} stands in the configuration or in the environment: change it there"
            );
        }
        // It becomes the name of a file.
        let is_a_name = access_key_id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte));
        ensure!(
            is_a_name && !access_key_id.is_empty() && !access_key_id.starts_with('.'),
            "not an access key id; `sealgate credentials list` shows them"
        );
        ensure!(
            self.directory.has(access_key_id),
            "there is no access key {access_key_id} in {}; `sealgate credentials list` shows them",
            self.directory.path().display()
        );
        Ok(())
    }

    /// What the file of an access key says.
    pub(super) fn find(&self, access_key_id: &str) -> anyhow::Result<CredentialFile> {
        self.require(access_key_id)?;
        self.directory
            .read(access_key_id)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("the file of {access_key_id} can't be read"))
    }

    /// Requires room for one more access key of an identity.
    pub(super) fn require_room(&self, identity: &str) -> anyhow::Result<()> {
        let now = OffsetDateTime::now_utc();
        let files = self.directory.read_all()?;
        let works = |file: &&CredentialFile| file.identity == identity && file.state(now).works();
        let count = files.values().flatten().filter(works).count();
        ensure!(
            count < IDENTITY_LIMIT,
            "{identity} has {IDENTITY_LIMIT} access keys that work, which is the most: revoke one that nobody uses"
        );
        Ok(())
    }

    /// Makes an access key; nothing is written yet.
    pub(super) fn make(
        sealing: &Sealing,
        identity: &str,
        access_key_id: String,
        lifetime: Option<Duration>,
    ) -> anyhow::Result<Made> {
        let secret = new_secret()?;
        let place = Place {
            domain: &sealing.domain,
            identity,
            access_key_id: &access_key_id,
        };
        let key = SealingKey {
            id: sealing.id,
            key: &sealing.key,
            wraps: &sealing.wraps,
        };
        let sealed = credentials::seal(key, place, &secret, now_in_milliseconds())?;
        let created = Moment::now();
        let mut file = CredentialFile::new(identity, access_key_id, created, sealed);
        file.expires = lifetime.map(|lifetime| Moment(created.0 + lifetime));
        Ok(Made { file, secret })
    }

    /// What secrets are sealed under: the working key of the newest access key, so that gateways unwrap few; a new one where that cannot be
    /// opened or lacks wraps that are required by now.
    pub(super) async fn sealing(&self, permit: &UnwrapPermit) -> anyhow::Result<Sealing> {
        let policy = &self.config.sealing;
        ensure!(
            policy.required_wraps <= MAXIMUM_INLINE_WRAPS,
            "the configuration requires {} wraps of each working key, and the file of an access key carries at most {MAXIMUM_INLINE_WRAPS}; lower limits.required_wraps and let [[domain]] tables require more",
            policy.required_wraps
        );
        let keyring = keyring_over(self.config.key_services.clone(), Mode::ReadWrite).await?;
        let domain = credentials::domain(&self.config.deployment)?;
        if let Some(sealing) = self.present(&keyring, permit, &domain).await? {
            return Ok(sealing);
        }
        let made = keyring
            .sealing_key_under(policy, &domain)
            .await
            .context("no key could be made for the secret")?;
        let id = made.id();
        let wraps = made.inline_wraps().to_vec();
        // As gateways will have it: a secret that nobody could open is not handed out.
        let key = keyring
            .opening_key(permit, id, &wraps, &domain)
            .await
            .context("the key that was made for the secret does not open")?;
        Ok(Sealing {
            domain,
            id,
            key,
            wraps,
        })
    }

    /// The working key of the newest access key, if it was used within the time for which working keys seal, by what its header proves, and has the
    /// wraps that a new one would have. What files say beside that is nobody's word.
    async fn present(
        &self,
        keyring: &Keyring,
        permit: &UnwrapPermit,
        domain: &Domain,
    ) -> anyhow::Result<Option<Sealing>> {
        let files = self.directory.read_all()?;
        let newest = files
            .values()
            .flatten()
            .filter(|file| file.secret.is_some())
            .max_by_key(|file| file.created);
        let Some(newest) = newest else {
            return Ok(None);
        };
        let used = match credentials::used_key(keyring, permit, domain, newest).await {
            Ok(used) => used,
            Err(error) => {
                tracing::debug!(%error, "the working key of the newest access key is not used again");
                return Ok(None);
            }
        };
        let age = now_in_milliseconds().checked_sub(used.sealed);
        let longest = self.config.limits.working_key_lifetime.as_millis();
        if age.is_none_or(|age| u128::from(age) > longest) {
            return Ok(None);
        }
        let places = self.config.sealing.places(self.config.key_services.len());
        for place in places.iter().take(MAXIMUM_INLINE_WRAPS) {
            let Some(service) = self.config.key_services.get(*place) else {
                return Ok(None);
            };
            let service = gateway::key_service(service).await?;
            let provider = service.provider();
            let Ok(reference) = service.key_reference().await else {
                return Ok(None);
            };
            let mut wraps = used.wraps.iter();
            if !wraps.any(|wrap| wrap.provider() == provider && wrap.key_reference() == reference) {
                return Ok(None);
            }
        }
        Ok(Some(Sealing {
            domain: domain.clone(),
            id: used.id,
            key: used.key,
            wraps: used.wraps,
        }))
    }
}

/// Removes what is left of access keys that ended long ago.
pub(super) fn forget_the_ended(directory: &Directory, turn: &Turn<'_>) {
    let now = OffsetDateTime::now_utc();
    let Ok(files) = directory.read_all() else {
        return;
    };
    for file in files.values().flatten() {
        let is_old = file
            .ended(now)
            .is_some_and(|ended| now - ended > REMEMBERED);
        if is_old && let Err(error) = turn.remove(&file.access_key_id) {
            tracing::warn!(%error, access_key_id = file.access_key_id, "the file of an access key that has ended can't be removed");
        }
    }
}
