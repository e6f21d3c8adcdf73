//! What an operator has ordered for one domain, and how far it came.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::known::RecoveryFile;
use super::moment::Moment;
use super::plan::{ChosenKey, Plan, PlannedKey};
use crate::scan::key_name::KeyName;

/// What orders call themselves: a certificate is none, although the same key signs it.
pub(super) const TYPE: &str = "sealgate-shredding-order-v1";

/// Why an order of an earlier version is gone on with by a person alone.
pub(super) const EARLIER_VERSION: &str = "an earlier version of sealgate has written this order";

/// Bytes of an order's random id.
const ID_LENGTH: usize = 16;

/// The order to destroy one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) r#type: String,
    /// 32 random hexadecimal digits: an order that ended is known by it for ever.
    pub(super) id: String,
    pub(super) deployment: String,
    pub(super) domain: String,
    pub(super) ordered: Moment,
    pub(super) ordered_by: String,
    /// Before this, nothing is done.
    pub(super) not_before: Moment,
    pub(super) waiting_days: u8,
    pub(super) sample: u16,
    /// Key services beside those that the domain names, whose keys are to go, too.
    pub(super) also: Vec<String>,
    /// Buckets to look at beside those that the storage lists.
    pub(super) buckets: Vec<String>,
    /// Keys of which the operator has said that they are destroyed, with all copies.
    pub(super) stated: Vec<KeyName>,
    /// The file of the domain's recovery key, which is to be destroyed.
    pub(super) recovery_key: Option<PathBuf>,
    pub(super) without_gateways: bool,
    pub(super) certificate: PathBuf,
    /// The keys that were shown and confirmed: no others go.
    pub(super) keys: Vec<ChosenKey>,
    pub(super) progress: Progress,
}

/// How far it came. What is here has happened. Only what outlives a run stands here: that gateways dropped their keys and that
/// nothing opens is shown by the run that writes the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) plan: Option<Plan>,
    /// When the destruction of a key was asked for last, whatever came of it: it may be heard late.
    #[serde(default)]
    pub(super) asked: Option<Moment>,
    /// Why nothing more is destroyed before a person was shown what has become of each key, and has confirmed it.
    #[serde(default)]
    pub(super) needs_confirmation: Option<String>,
    /// What was shown to be confirmed last.
    #[serde(default)]
    pub(super) shown: Vec<String>,
    /// How often the order was written: the list beside the signing key knows it, too.
    #[serde(default)]
    pub(super) revision: u64,
    /// Versions of records, by the working key: written down before any of them is deleted, so that all are counted.
    pub(super) deleting: BTreeMap<String, BTreeSet<String>>,
}

impl Order {
    /// One for which nothing has been done.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub(super) fn new(
        deployment: &str,
        domain: &str,
        ordered: Moment,
        not_before: Moment,
        certificate: PathBuf,
    ) -> anyhow::Result<Self> {
        let mut id = [0; ID_LENGTH];
        getrandom::fill(&mut id).context("the system has no randomness")?;
        Ok(Self {
            r#type: TYPE.to_owned(),
            id: HEXLOWER.encode(&id),
            deployment: deployment.to_owned(),
            domain: domain.to_owned(),
            ordered,
            ordered_by: String::new(),
            not_before,
            waiting_days: 30,
            sample: 20,
            also: Vec::new(),
            buckets: Vec::new(),
            stated: Vec::new(),
            recovery_key: None,
            without_gateways: false,
            certificate,
            keys: Vec::new(),
            progress: Progress::default(),
        })
    }

    /// Whether it lies in the directory of orders.
    pub(super) fn is_written(&self) -> bool {
        self.progress.revision > 0
    }

    /// Whether anything was destroyed, or may have been. Until then each run looks again, and the order can be taken back.
    pub(super) fn is_begun(&self) -> bool {
        self.progress.plan.as_ref().is_some_and(Plan::is_begun)
    }

    /// Whether its time has not come, and nothing is gone by it.
    pub(super) fn waits(&self) -> bool {
        let is_whole = self.progress.plan.as_ref().is_none_or(Plan::is_whole);
        is_whole && self.not_before > Moment::now()
    }

    /// Whether `--domain` goes on with it once a person has confirmed it. What may be destroyed in part comes to its end only when
    /// its time has come: until then no confirmation could hold.
    pub(super) fn can_be_confirmed(&self) -> bool {
        if self.is_begun() {
            !self.waits()
        } else {
            self.progress.needs_confirmation.is_some()
        }
    }

    /// How far it came, in a word.
    pub(super) fn stage(&self) -> &'static str {
        if self.progress.needs_confirmation.is_some() {
            "needs-confirmation"
        } else if self.is_begun() {
            "begun"
        } else {
            "waiting"
        }
    }

    /// The keys of which the operator has stated at any time that they are destroyed, whatever was found out since.
    pub(super) fn ever_stated(&self) -> Vec<KeyName> {
        let keys = self.progress.plan.iter().flat_map(|plan| &plan.keys);
        let earlier = keys.filter(|key| key.was_stated).map(|key| &key.chosen.key);
        let all: BTreeSet<_> = self.stated.iter().chain(earlier).cloned().collect();
        all.into_iter().collect()
    }

    /// From now on only a person goes on with it. The first cause stands.
    pub(super) fn mark(&mut self, cause: impl Into<String>) {
        self.progress
            .needs_confirmation
            .get_or_insert_with(|| cause.into());
    }

    /// As one of which any key may have been asked for: nothing tells how far it really came.
    pub(super) fn distrust(&mut self, cause: &str) {
        self.mark(cause);
        let mut plan = self.plan_or_keys();
        for key in &mut plan.keys {
            key.may_have_been_asked = true;
        }
        self.progress.plan = Some(plan);
    }

    /// What is planned; before the first look of a run, the keys that the order is for.
    pub(super) fn plan_or_keys(&self) -> Plan {
        self.progress.plan.clone().unwrap_or_else(|| Plan {
            keys: self.keys.iter().cloned().map(PlannedKey::new).collect(),
            ..Plan::default()
        })
    }

    /// A plan of another look, with what was asked for and stated before.
    pub(super) fn looked_at_again(&mut self, mut plan: Plan) {
        for earlier in self.progress.plan.iter().flat_map(|plan| &plan.keys) {
            for key in &mut plan.keys {
                if key.chosen.key == earlier.chosen.key {
                    key.was_asked |= earlier.was_asked_for();
                    key.may_have_been_asked |= earlier.may_have_been_asked;
                    key.was_stated |= earlier.was_stated;
                }
            }
        }
        self.progress.plan = Some(plan);
    }

    /// Whether the file says what was looked at before anything was destroyed.
    pub(super) fn was_looked_at(&self) -> bool {
        let plan = self.progress.plan.as_ref();
        plan.is_some_and(|plan| !plan.names.is_empty())
    }

    pub(super) fn plan(&self) -> anyhow::Result<&Plan> {
        self.progress.plan.as_ref().context("nothing is planned")
    }

    /// Notes that the file of the recovery key, which is to be destroyed, lies elsewhere now.
    ///
    /// # Errors
    ///
    /// Where the order is for another recovery key, or none.
    pub(super) fn move_recovery_key(
        &mut self,
        path: &Path,
        found: &RecoveryFile,
    ) -> anyhow::Result<()> {
        let chosen = found.chosen(path);
        let mut plan = self.plan_or_keys();
        let key = plan
            .keys
            .iter_mut()
            .find(|key| key.chosen.key == chosen.key);
        let key = key.with_context(|| {
            format!(
                "{} holds the recovery key {}, and the order is not for it",
                path.display(),
                chosen.key
            )
        })?;
        key.chosen = chosen.clone();
        if self.progress.plan.is_some() {
            self.progress.plan = Some(plan);
        }
        if let Some(ordered) = self.keys.iter_mut().find(|key| key.key == chosen.key) {
            *ordered = chosen;
        }
        self.recovery_key = Some(path.to_owned());
        Ok(())
    }

    pub(super) fn planned(&mut self, place: usize) -> anyhow::Result<&mut PlannedKey> {
        let plan = self.progress.plan.as_mut();
        let key = plan.and_then(|plan| plan.keys.get_mut(place));
        key.context("nothing is planned")
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
