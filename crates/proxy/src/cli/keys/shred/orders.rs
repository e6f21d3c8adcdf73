//! The directory of orders, one signed file a domain, and the memory of those that ended.
//!
//! Neither lies in the state bucket: whoever runs the storage could put an order back there that was taken back, signed as it
//! is. The memory of ended orders lies beside the signing key and not in the directory, so that a directory which is restored
//! from a backup brings none of them back.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::document;
use super::moment::Moment;
use super::order::{self, Order};
use super::signing::{PublicKey, SigningKey, beside};

/// What the list of ended orders calls itself.
const ENDED_TYPE: &str = "sealgate-shredding-ended-v1";

/// The ending of the names of orders.
const EXTENSION: &str = "order";

/// What runs keep each other out with; without it a directory is none of orders.
const LOCK: &str = "lock";

/// Orders that a directory may hold.
const MAXIMUM_ORDERS: usize = 10_000;

/// Ended orders that one signing key remembers.
const MAXIMUM_ENDED: usize = 200_000;

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    CarriedOut,
    TakenBack,
    /// Some of its keys are gone for good, and others can be used.
    GivenUp,
    Replaced,
}

impl Ending {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CarriedOut => "carried out",
            Self::TakenBack => "taken back",
            Self::GivenUp => "given up",
            Self::Replaced => "replaced by another one",
        }
    }
}

/// An order that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) domain: String,
    pub(super) how: Ending,
    pub(super) at: Moment,
}

#[derive(Serialize, Deserialize)]
struct EndedList {
    r#type: String,
    /// Where an earlier list was lost: which of the orders from before had ended is not known.
    #[serde(default)]
    since: Option<Moment>,
    /// How often each order that has not ended was written, by its id: an older file of it was put back.
    #[serde(default)]
    written: BTreeMap<String, u64>,
    ended: Vec<Ended>,
}

impl EndedList {
    fn new(since: Option<Moment>) -> Self {
        Self {
            r#type: ENDED_TYPE.to_owned(),
            since,
            written: BTreeMap::new(),
            ended: Vec::new(),
        }
    }
}

/// What lies under the name of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is to be carried out.
    Order(Box<Order>),
    /// It ended before: somebody put its file back.
    Ended(Ended, PathBuf),
}

/// The directory of orders.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    directory: PathBuf,
    ended: PathBuf,
    deployment: String,
}

/// Keeps others from the same order; until it is dropped, or the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, and not looked at")] File);

impl Orders {
    pub(super) fn of(directory: &Path, signing_key: &Path, deployment: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            ended: beside(signing_key, ".ended"),
            deployment: deployment.to_owned(),
        }
    }

    /// Whether there is a directory of orders.
    pub(super) fn exist(&self) -> bool {
        self.directory.join(LOCK).exists()
    }

    /// Keeps other runs out of a directory that is there. Nothing is made.
    ///
    /// # Errors
    ///
    /// Where there is none: a run in another working directory must not report that nothing is ordered.
    pub(super) fn lock(&self) -> anyhow::Result<Lock> {
        self.require()?;
        self.take_lock(OpenOptions::new().write(true))
    }

    fn require(&self) -> anyhow::Result<()> {
        let shown = self.directory.display();
        let directory = std::path::absolute(&self.directory);
        let directory = directory.as_deref().unwrap_or(&self.directory).display();
        ensure!(
            self.exist(),
            "there is no directory of orders {directory}: name it with --orders, since {shown} counts from the working directory; the first order makes it"
        );
        Ok(())
    }

    /// The same, unless another run is at work there: for what only looks.
    pub(super) fn lock_if_free(&self) -> anyhow::Result<Option<Lock>> {
        self.require()?;
        self.try_lock(OpenOptions::new().write(true))
    }

    /// Makes the directory where there is none, for its owner alone, and the list of ended orders; keeps other runs out.
    pub(super) fn create(&self, key: &SigningKey, since: Option<Moment>) -> anyhow::Result<Lock> {
        let shown = self.directory.display();
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&self.directory)
            .with_context(|| format!("the directory {shown} cannot be made"))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = self.take_lock(&options)?;
        self.begin(key, since)?;
        Ok(lock)
    }

    /// Makes the list of ended orders, if there is none and no order that could stand in it. `since` is there unless the signing
    /// key is new: orders that it has signed up to then may have ended, and come back from a backup of the directory.
    pub(super) fn begin(&self, key: &SigningKey, since: Option<Moment>) -> anyhow::Result<()> {
        if !self.ended.exists() && !self.are_any()? {
            let list = EndedList::new(since);
            document::write_signed(&self.ended, &list, key)?;
        }
        Ok(())
    }

    /// Makes a new list of ended orders where it was lost. Orders from before of which nothing is destroyed count as taken back
    /// from then on, since any of them may have been; those of which something may be need a confirmation.
    ///
    /// # Errors
    ///
    /// Where there is a list.
    pub(super) fn begin_again(&self, key: &SigningKey) -> anyhow::Result<()> {
        ensure!(
            !self.ended.exists(),
            "there is a list of ended orders, {}; if it is that of another signing key, move it away",
            self.ended.display()
        );
        let list = EndedList::new(Some(Moment::now()));
        document::write_signed(&self.ended, &list, key)
    }

    /// Whether there is any order.
    pub(super) fn are_any(&self) -> anyhow::Result<bool> {
        Ok(!self.paths()?.is_empty())
    }

    fn take_lock(&self, options: &OpenOptions) -> anyhow::Result<Lock> {
        self.try_lock(options)?.with_context(|| {
            format!(
                "another `sealgate keys shred` is at work in {}; `--list` shows how far it came",
                self.directory.display()
            )
        })
    }

    fn try_lock(&self, options: &OpenOptions) -> anyhow::Result<Option<Lock>> {
        let shown = self.directory.display();
        let file = options.open(self.directory.join(LOCK));
        let file = file.with_context(|| format!("{shown} cannot be written"))?;
        Ok(file.try_lock().is_ok().then(|| Lock(file)))
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

    /// Writes an order, or how far it came; first that there is a newer one than those before.
    pub(super) fn save(&self, order: &mut Order, key: &SigningKey) -> anyhow::Result<()> {
        let mut list = self.ended(&key.public()?)?;
        let written = list.written.entry(order.id.clone()).or_default();
        *written = order.progress.revision.max(*written) + 1;
        order.progress.revision = *written;
        document::write_signed(&self.ended, &list, key)?;
        document::write_signed(&self.path(&order.domain), order, key)
    }

    /// The order for a domain.
    ///
    /// # Errors
    ///
    /// Where it was not signed by this key, or is about something else.
    pub(super) fn load(&self, domain: &str, key: &PublicKey) -> anyhow::Result<Option<Stored>> {
        let path = self.path(domain);
        if !path.exists() {
            // An order that cannot be ended is not to be begun.
            if self.ended.exists() || self.are_any()? {
                self.ended(key)?;
            }
            return Ok(None);
        }
        let ended = self.ended(key)?;
        self.read(&path, &ended, key).map(Some)
    }

    fn read(&self, path: &Path, list: &EndedList, key: &PublicKey) -> anyhow::Result<Stored> {
        let mut order: Order = document::read_signed(path, key)?;
        let shown = path.display();
        ensure!(
            order.r#type == order::TYPE,
            "{shown} is signed, and no order"
        );
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
        if let Some(ended) = list.ended.iter().find(|ended| ended.id == order.id) {
            return Ok(Stored::Ended(ended.clone(), path.to_owned()));
        }
        let written = list.written.get(&order.id).copied();
        match list.since.filter(|since| order.ordered <= *since) {
            Some(since) if written.is_none() => {
                if !order.is_begun() {
                    let ended = Ended {
                        id: order.id,
                        domain: order.domain,
                        how: Ending::TakenBack,
                        at: since,
                    };
                    return Ok(Stored::Ended(ended, path.to_owned()));
                }
                order.distrust(&format!(
                    "the list of ended orders was lost at {since}, so it may have ended before"
                ));
            }
            // By an earlier version, which did not always write down of which key it had asked.
            _ if written.is_none() && order.progress.revision == 0 => {
                order.mark(order::EARLIER_VERSION);
                if order.progress.asked.is_some() || order.is_begun() {
                    order.distrust(order::EARLIER_VERSION);
                }
            }
            _ if written != Some(order.progress.revision) => {
                order.distrust("its file is not the newest one: the directory of orders, or the list of ended ones, was restored, or a run was killed");
            }
            _ => {}
        }
        Ok(Stored::Order(Box::new(order)))
    }

    fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let shown = self.directory.display();
        let mut paths = Vec::new();
        let entries = fs::read_dir(&self.directory);
        for entry in entries.with_context(|| format!("{shown} cannot be read"))? {
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
        Ok(paths)
    }

    /// All of them; each that is none with the reason.
    pub(super) fn all(&self, key: &PublicKey) -> anyhow::Result<Vec<anyhow::Result<Stored>>> {
        let paths = self.paths()?;
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let ended = self.ended(key)?;
        Ok(paths
            .iter()
            .map(|path| self.read(path, &ended, key))
            .collect())
    }

    /// The list of ended orders.
    ///
    /// # Errors
    ///
    /// Where there is none: then nobody can tell which of the orders that are there ended.
    fn ended(&self, key: &PublicKey) -> anyhow::Result<EndedList> {
        let shown = self.ended.display();
        ensure!(
            self.ended.exists(),
            "the list of ended orders {shown} is missing, so nobody can tell which of the orders in {} were taken back or carried out: put it back beside the signing key. If it is lost, `sealgate keys shred --new-ended-list` begins another one: orders of which something may be destroyed need a confirmation then, and the others count as taken back",
            self.directory.display()
        );
        let list: EndedList = document::read_signed(&self.ended, key)?;
        ensure!(
            list.r#type == ENDED_TYPE,
            "{shown} is signed, and no list of ended orders"
        );
        Ok(list)
    }

    /// The last order for this domain that was carried out, where the list of ended orders is there.
    pub(super) fn carried_out(
        &self,
        domain: &str,
        key: &PublicKey,
    ) -> anyhow::Result<Option<Ended>> {
        if !self.ended.exists() {
            return Ok(None);
        }
        let ended = self.ended(key)?.ended;
        let mut last_first = ended.into_iter().rev();
        Ok(last_first.find(|ended| ended.domain == domain && ended.how == Ending::CarriedOut))
    }

    /// Ends an order: it is remembered first, and then its file goes.
    pub(super) fn end(&self, order: &Order, how: Ending, key: &SigningKey) -> anyhow::Result<()> {
        self.remember(order, how, key)?;
        let path = self.path(&order.domain);
        fs::remove_file(&path)
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .with_context(|| format!("{} cannot be removed", path.display()))
    }

    /// Puts an order in the place of an earlier one for the same domain. The earlier one ends first: whatever happens in between,
    /// it does not come back.
    pub(super) fn replace(
        &self,
        earlier: &Order,
        order: &mut Order,
        key: &SigningKey,
    ) -> anyhow::Result<()> {
        self.remember(earlier, Ending::Replaced, key)?;
        self.save(order, key)
    }

    fn remember(&self, order: &Order, how: Ending, key: &SigningKey) -> anyhow::Result<()> {
        let mut list = self.ended(&key.public()?)?;
        list.written.remove(&order.id);
        let ended = &mut list.ended;
        if ended.iter().any(|ended| ended.id == order.id) {
            return Ok(());
        }
        if ended.len() >= MAXIMUM_ENDED {
            bail!(
                "{} remembers {MAXIMUM_ENDED} orders, and takes no more: give further orders with another signing key",
                self.ended.display()
            );
        }
        ended.push(Ended {
            id: order.id.clone(),
            domain: order.domain.clone(),
            how,
            at: Moment::now(),
        });
        document::write_signed(&self.ended, &list, key)
    }
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
