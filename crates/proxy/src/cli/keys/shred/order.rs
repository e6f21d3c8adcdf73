//! What an operator has ordered, and how far it came: one signed file a domain, in a directory of the operator's own.
//!
//! Not in the state bucket: whoever runs the storage could put an order back there that was cancelled, signed as it is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::certificate::{DestroyedKey, GatewaysFlushed, ObjectsTried, RecordsDeleted};
use super::document;
use super::moment::Moment;
use super::signing::{PublicKey, SigningKey};
use crate::scan::key_name::KeyName;

/// What orders call themselves: a certificate is none, although the same key signs it.
const TYPE: &str = "sealgate-shredding-order-v1";

/// The ending of their names.
const EXTENSION: &str = "order";

/// Orders that a directory may hold.
const MAXIMUM_ORDERS: usize = 10_000;

/// The order to destroy one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    r#type: String,
    pub(super) deployment: String,
    pub(super) domain: String,
    pub(super) ordered: Moment,
    pub(super) ordered_by: String,
    /// Before this, nothing is done.
    pub(super) not_before: Moment,
    pub(super) waiting_days: u8,
    pub(super) sample: u16,
    /// Keys of which the operator has said that they are destroyed, with all copies.
    pub(super) stated: Vec<KeyName>,
    /// The file of the domain's recovery key, which is to be destroyed.
    pub(super) recovery_key: Option<PathBuf>,
    pub(super) without_gateways: bool,
    pub(super) certificate: PathBuf,
    pub(super) progress: Progress,
}

/// How far it came. What is here has happened, except for keys, which are noted before, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    pub(super) plan: Option<Plan>,
    pub(super) flushed: Option<GatewaysFlushed>,
    pub(super) records: Option<RecordsDeleted>,
    pub(super) objects: Option<ObjectsTried>,
    pub(super) completed: Option<Moment>,
}

/// What is destroyed, as it was found before anything was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// All names of the domain, the present one first.
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<PlannedKey>,
    /// Working keys of the domain that had a record.
    pub(super) working_keys: u64,
    pub(super) objects: u64,
    pub(super) sample: Vec<SampledObject>,
}

/// A key that is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedKey {
    /// Its `[[key_service]]`; none for the recovery key.
    pub(super) key_service: Option<String>,
    pub(super) key: KeyName,
    /// Its full name in its service.
    pub(super) full_name: String,
    /// Set before its destruction is asked for: what is not found then may be gone by that.
    pub(super) is_begun: bool,
    pub(super) destroyed: Option<DestroyedKey>,
}

/// One version of an object that opened before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SampledObject {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version_id: Option<String>,
    pub(super) size: u64,
}

impl Order {
    /// Whether anything may have been destroyed.
    pub(super) fn is_begun(&self) -> bool {
        let plan = self.progress.plan.as_ref();
        plan.is_some_and(|plan| plan.keys.iter().any(|key| key.is_begun))
    }

    /// One for which nothing has been done.
    pub(super) fn new(
        deployment: &str,
        domain: &str,
        ordered: Moment,
        not_before: Moment,
        certificate: PathBuf,
    ) -> Self {
        Self {
            r#type: TYPE.to_owned(),
            deployment: deployment.to_owned(),
            domain: domain.to_owned(),
            ordered,
            ordered_by: String::new(),
            not_before,
            waiting_days: 30,
            sample: 20,
            stated: Vec::new(),
            recovery_key: None,
            without_gateways: false,
            certificate,
            progress: Progress::default(),
        }
    }
}

/// The directory of orders.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    directory: PathBuf,
    deployment: String,
}

/// Keeps others from the same order; until it is dropped, or the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, and not looked at")] File);

impl Orders {
    pub(super) fn of(directory: &Path, deployment: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            deployment: deployment.to_owned(),
        }
    }

    /// Makes the directory, for its owner alone, and keeps other runs out.
    pub(super) fn lock(&self) -> anyhow::Result<Lock> {
        let shown = self.directory.display();
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&self.directory)
            .with_context(|| format!("the directory {shown} cannot be made"))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options
            .open(self.directory.join("lock"))
            .with_context(|| format!("{shown} cannot be written"))?;
        ensure!(
            file.try_lock().is_ok(),
            "another `sealgate keys shred` is at work in {shown}"
        );
        Ok(Lock(file))
    }

    fn path(&self, domain: &str) -> PathBuf {
        let readable: String = domain
            .chars()
            .map(|character| {
                if character.is_ascii_alphanumeric() {
                    character
                } else {
                    '-'
                }
            })
            .take(64)
            .collect();
        let digest = Sha256::digest(domain);
        let digest = HEXLOWER.encode(digest.get(..4).unwrap_or_default());
        self.directory
            .join(format!("{readable}-{digest}.{EXTENSION}"))
    }

    /// Writes an order, or how far it came.
    pub(super) fn save(&self, order: &Order, key: &SigningKey) -> anyhow::Result<()> {
        document::write_signed(&self.path(&order.domain), order, key)
    }

    /// The order for a domain.
    ///
    /// # Errors
    ///
    /// Where it was not signed by this key, or is about something else.
    pub(super) fn load(&self, domain: &str, key: &PublicKey) -> anyhow::Result<Option<Order>> {
        let path = self.path(domain);
        if !path.exists() {
            return Ok(None);
        }
        self.read(&path, key).map(Some)
    }

    fn read(&self, path: &Path, key: &PublicKey) -> anyhow::Result<Order> {
        let order: Order = document::read_signed(path, key)?;
        let shown = path.display();
        ensure!(order.r#type == TYPE, "{shown} is signed, and no order");
        ensure!(
            order.deployment == self.deployment,
            "{shown} is of deployment {}, the configuration of {}",
            order.deployment,
            self.deployment
        );
        ensure!(
            self.path(&order.domain) == path,
            "{shown} is about the domain {}: it was copied from elsewhere",
            order.domain
        );
        Ok(order)
    }

    /// All of them; each that is none with the reason.
    pub(super) fn all(&self, key: &PublicKey) -> anyhow::Result<Vec<anyhow::Result<Order>>> {
        let shown = self.directory.display();
        let mut paths = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("{shown} cannot be read"))?,
        };
        for entry in entries {
            let path = entry
                .with_context(|| format!("{shown} cannot be read"))?
                .path();
            if path
                .extension()
                .is_some_and(|extension| extension == EXTENSION)
            {
                paths.push(path);
            }
            ensure!(paths.len() <= MAXIMUM_ORDERS, "{shown} has too many orders");
        }
        paths.sort();
        Ok(paths.iter().map(|path| self.read(path, key)).collect())
    }

    /// Forgets an order.
    pub(super) fn remove(&self, domain: &str) -> anyhow::Result<()> {
        let path = self.path(domain);
        fs::remove_file(&path)
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .with_context(|| format!("{} cannot be removed", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(domain: &str) -> Order {
        let at = Moment::from_milliseconds;
        Order::new("rig", domain, at(1_000), at(2_000), PathBuf::from("c.json"))
    }

    #[test]
    fn an_order_counts_only_as_it_was_signed_for_its_own_domain() {
        let directory = tempfile::tempdir().unwrap();
        let orders = Orders::of(&directory.path().join("orders"), "rig");
        let _lock = orders.lock().unwrap();
        assert!(orders.lock().unwrap_err().to_string().contains("at work"));
        let path = directory.path().join("key");
        let (key, _) = SigningKey::open_or_create(&path).unwrap();
        let public = key.public().unwrap();
        assert_eq!(orders.load("acme/alice", &public).unwrap(), None);
        orders.save(&order("acme/alice"), &key).unwrap();
        assert_eq!(
            orders.load("acme/alice", &public).unwrap(),
            Some(order("acme/alice"))
        );

        // Somebody brings it forward, means another domain, or signs it by himself.
        let file = orders.path("acme/alice");
        let signed = fs::read_to_string(&file).unwrap();
        // The signature comes first.
        let first = if signed.starts_with('A') { 'B' } else { 'A' };
        for altered in [
            signed.replace("1970-01-01T00:00:02Z", "1970-01-01T00:00:00Z"),
            signed.replace("acme/alice", "acme/bob"),
            format!("{first}{}", &signed[1..]),
            String::new(),
        ] {
            fs::write(&file, altered).unwrap();
            assert!(orders.load("acme/alice", &public).is_err());
            assert!(orders.all(&public).unwrap().iter().all(Result::is_err));
        }
        fs::write(&file, &signed).unwrap();
        fs::copy(&file, orders.path("acme/bob")).unwrap();
        assert!(orders.load("acme/bob", &public).is_err(), "a copy");
        let (other, _) = SigningKey::open_or_create(&directory.path().join("other")).unwrap();
        orders.save(&order("acme/bob"), &other).unwrap();
        assert!(orders.load("acme/bob", &public).is_err(), "another key");
        orders.remove("acme/bob").unwrap();
        let elsewhere = Orders::of(&directory.path().join("orders"), "other");
        assert!(
            elsewhere.load("acme/alice", &public).is_err(),
            "another deployment"
        );
        assert_eq!(orders.all(&public).unwrap().len(), 1);
    }
}
