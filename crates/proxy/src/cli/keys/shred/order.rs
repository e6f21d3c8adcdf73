//! What an operator has ordered for one domain, and how far it came.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::certificate::{GatewaysFlushed, ObjectsTried, RecordsDeleted};
use super::known::RecoveryFile;
use super::moment::Moment;
use super::plan::{ChosenKey, KeyState, Plan, PlannedKey};
use crate::scan::key_name::KeyName;

/// What orders call themselves: a certificate is none, although the same key signs it.
pub(super) const TYPE: &str = "sealgate-shredding-order-v1";

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

/// How far it came. What is here has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    pub(super) plan: Option<Plan>,
    /// When the destruction of a key was asked for last, whatever came of it: it may be heard late.
    #[serde(default)]
    pub(super) asked: Option<Moment>,
    /// Since when the key services refuse.
    pub(super) settled: Option<Moment>,
    pub(super) flushed: Option<GatewaysFlushed>,
    pub(super) objects: Option<ObjectsTried>,
    /// Versions of records, by the working key: written down before any of them is deleted, so that all are counted.
    pub(super) deleting: BTreeMap<String, BTreeSet<String>>,
    pub(super) records: Option<RecordsDeleted>,
    /// When nothing opened, with the records gone, too.
    pub(super) tried_again: Option<Moment>,
    pub(super) completed: Option<Moment>,
}

impl Progress {
    /// That of an order that is looked at anew: what was asked for before may be heard late all the same.
    pub(super) fn looked_at_again(&self, mut plan: Plan) -> Self {
        let earlier = self.plan.iter().flat_map(|plan| &plan.keys);
        let asked: Vec<_> = earlier.filter(|key| key.was_ever_asked()).collect();
        for key in &mut plan.keys {
            key.was_asked = asked.iter().any(|asked| asked.chosen.key == key.chosen.key);
        }
        Self {
            plan: Some(plan),
            asked: self.asked,
            // What was deleted before does not come back, either.
            deleting: self.deleting.clone(),
            ..Self::default()
        }
    }

    /// Begins again with what follows from the keys: one of them could be used again meanwhile, so whatever was cached, made
    /// or shown since then has to be dropped, deleted and shown again.
    pub(super) fn unsettle(&mut self) {
        self.settled = None;
        self.flushed = None;
        self.objects = None;
        self.records = None;
        self.tried_again = None;
        self.completed = None;
    }
}

/// How far an order came, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was done.
    Waiting,
    /// A key was refused, and nothing was done.
    Refused,
    /// Something was destroyed, or may have been.
    Begun,
}

impl Stage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Begun => "begun",
        }
    }
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

    /// Whether anything was destroyed, or may have been. Until then each run looks again, and the order can be taken back.
    pub(super) fn is_begun(&self) -> bool {
        self.stage() == Stage::Begun
    }

    pub(super) fn stage(&self) -> Stage {
        let Some(plan) = &self.progress.plan else {
            return Stage::Waiting;
        };
        let is_refused = |key: &PlannedKey| matches!(key.state, KeyState::Refused(_));
        if plan.is_begun() {
            Stage::Begun
        } else if plan.keys.iter().any(is_refused) {
            Stage::Refused
        } else {
            Stage::Waiting
        }
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
        let plan = self.progress.plan.as_mut().context("nothing is planned")?;
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
