//! The certificate: what was destroyed, from when that is final, and what was tried afterwards.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::document;
use super::fate;
use super::moment::Moment;
use super::order::Order;
use super::plan::{KeyState, Plan};
use super::signing::{PublicKey, SigningKey};
use crate::scan::key_name::KeyName;

/// What certificates call themselves.
const TYPE: &str = "sealgate-shredding-certificate-v1";

/// What it does not say, whoever reads it; each domain may have more.
const LIMITS: [&str; 5] = [
    "The storage and the key services were believed in what they listed and answered. What they hid was not seen.",
    "Recovery keys whose wraps were taken out of the registry before, and keys that had opened by a copy of a wrap that the storage kept and no longer shows, are not covered unless they stand among the keys.",
    "Keys are told apart by their full names. One of the same name at another place than the one given here (a server before a move, another token) is another key, and not covered.",
    "Other deployments, and files that were sealed with the same keys, were not looked at. What they have opens no more, either.",
    "Plaintext that clients have read before, and copies that they have made of it, are not covered.",
];

/// What objects are from now on, where every key was confirmed to be destroyed.
const CIPHERTEXT: &str = "Objects and their names are not deleted. Their content is ciphertext that no key of the configuration opens.";

/// The same where that is not so.
const MAYBE_CIPHERTEXT: &str = "Objects and their names are not deleted. Their content is ciphertext; that a key which is not confirmed opens none of it has not been shown.";

/// What is said where a key can still be brought back.
const NOT_FINAL_YET: &str = "Before the date from which it is final, whoever manages a key in its service can cancel its deletion. Of a key that is brought back, nothing here is true any more: ask its service on that date or later.";

/// A key that is gone, or going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DestroyedKey {
    /// Its `[[key_service]]`; none for a recovery key.
    pub(super) key_service: Option<String>,
    /// Provider and reference, as wraps name it.
    pub(super) key: KeyName,
    /// Its full name.
    pub(super) full_name: String,
    /// Where it lay.
    pub(super) place: String,
    /// What was done.
    pub(super) manner: String,
    /// When it was done.
    pub(super) done: Moment,
    /// From when nobody can take it back.
    pub(super) final_from: Moment,
    /// What may hold the key all the same.
    pub(super) not_covered: Option<String>,
}

/// Gateways that dropped their cached keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GatewaysFlushed {
    pub(super) done: Moment,
    /// Their ids.
    pub(super) gateways: Vec<String>,
}

/// Records of working keys that are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordsDeleted {
    /// Working keys.
    pub(super) working_keys: u64,
    /// Versions of their records, where the bucket keeps versions.
    pub(super) versions: u64,
}

/// Objects that opened before and do not now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectsTried {
    /// Versions of objects in the domain, before.
    pub(super) seen: u64,
    /// How many of them opened before, chosen at random.
    pub(super) opened_before: u64,
    /// How many of these were refused afterwards, for want of the key: by every wrap that they had before, whatever the storage
    /// shows by then.
    pub(super) refused_after: u64,
    /// How many of them have a wrap that nobody could try, since its key can be asked no more.
    #[serde(default)]
    pub(super) not_tried: u64,
    /// How many of them the storage does not have any more as they were.
    pub(super) deleted: u64,
}

/// What the run that writes the certificate has shown, after everything else: nothing of it is kept for another run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The keys whose services, or files, gave the answer that is written down.
    pub(super) asked: Vec<KeyName>,
    pub(super) settled: Moment,
    pub(super) gateways: GatewaysFlushed,
    pub(super) records: RecordsDeleted,
    pub(super) objects: ObjectsTried,
}

/// The whole statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    r#type: String,
    /// The id of the order that it is about.
    order: String,
    deployment: String,
    domain: String,
    former_names: Vec<String>,
    /// The latest date of any key: from then on nobody can take anything back. None where a key is not confirmed.
    pub(super) final_from: Option<Moment>,
    ordered: Moment,
    ordered_by: String,
    completed: Moment,
    completed_by: String,
    keys: Vec<DestroyedKey>,
    /// Keys whose destruction is not confirmed to the end: nobody could find out what became of it, or whether it stood.
    #[serde(default)]
    pub(super) not_confirmed: Vec<String>,
    /// Keys that the operator has said to be destroyed; nothing here has shown it.
    destroyed_as_the_operator_states: Vec<KeyName>,
    /// The buckets that were looked at.
    buckets: Vec<String>,
    registry: RecordsDeleted,
    gateways: GatewaysFlushed,
    /// The operator has said that no gateway runs.
    #[serde(default)]
    no_gateway_as_the_operator_states: bool,
    objects: ObjectsTried,
    /// When nothing opened, for the last time: with the keys, the caches and the records gone.
    tried_again: Moment,
    not_covered: Vec<String>,
    sealgate: String,
}

impl Certificate {
    /// Of an order that was carried out, by what this run has shown.
    ///
    /// # Errors
    ///
    /// Where something of it was not.
    pub(super) fn of(order: &Order, shown: Shown, completed_by: &str) -> anyhow::Result<Self> {
        let plan = order.plan()?;
        let Verdict {
            confirmed: keys,
            not_confirmed,
        } = verdict(order, plan, &shown.asked)?;
        let Shown {
            settled,
            gateways,
            records,
            objects,
            ..
        } = shown;
        let latest = keys.iter().map(|key| key.final_from).max();
        ensure!(
            objects.refused_after + objects.not_tried == objects.opened_before
                && (objects.not_tried == 0 || !not_confirmed.is_empty()),
            "some objects were not shown to be refused"
        );
        let mut not_covered: Vec<String> = LIMITS.map(str::to_owned).to_vec();
        not_covered.push(
            if not_confirmed.is_empty() {
                CIPHERTEXT
            } else {
                MAYBE_CIPHERTEXT
            }
            .to_owned(),
        );
        let completed = Moment::now();
        if latest.is_some_and(|date| date > completed) {
            not_covered.push(NOT_FINAL_YET.to_owned());
        }
        not_covered.extend(plan.notes.iter().cloned());
        if objects.opened_before == 0 {
            not_covered.push(
                "No object of the domain was there to try: that nothing opens follows from the keys alone.".to_owned(),
            );
        }
        Ok(Self {
            r#type: TYPE.to_owned(),
            order: order.id.clone(),
            deployment: order.deployment.clone(),
            domain: order.domain.clone(),
            former_names: plan.names.get(1..).unwrap_or_default().to_vec(),
            final_from: latest.filter(|_| not_confirmed.is_empty()),
            ordered: order.ordered,
            ordered_by: order.ordered_by.clone(),
            completed,
            completed_by: completed_by.to_owned(),
            keys,
            not_confirmed,
            destroyed_as_the_operator_states: order.ever_stated(),
            buckets: plan.buckets.clone(),
            registry: records,
            no_gateway_as_the_operator_states: order.without_gateways
                && gateways.gateways.is_empty(),
            gateways,
            objects,
            tried_again: settled,
            not_covered,
            sealgate: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Writes it, with its signature beside it. One of the same order that is there already, since the run before was killed
    /// right afterwards, is taken for it.
    ///
    /// # Errors
    ///
    /// Where something else is there.
    pub(super) fn write(self, path: &Path, key: &SigningKey) -> anyhow::Result<Self> {
        if !path.exists() {
            document::write_with_signature(path, &document::encode(&self)?, key)?;
            return Ok(self);
        }
        match Self::read(path, &key.public()?) {
            Ok(written) if written.says_the_same(&self) => Ok(written),
            _ => bail!(
                "everything was done, and {} is something else than the certificate of it: move that away, and run this again",
                path.display()
            ),
        }
    }

    /// Whether another one of the same order says the same of the keys.
    fn says_the_same(&self, other: &Self) -> bool {
        self.order == other.order
            && self.keys == other.keys
            && self.not_confirmed == other.not_confirmed
            && self.final_from == other.final_from
    }

    /// Reads one whose signature verifies.
    pub(super) fn read(path: &Path, key: &PublicKey) -> anyhow::Result<Self> {
        let bytes = document::read_verified(path, key)?;
        let certificate: Self = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is signed and is no certificate of shredding that this version knows",
                path.display()
            )
        })?;
        ensure!(
            certificate.r#type == TYPE,
            "{} is signed and is no certificate of shredding",
            path.display()
        );
        Ok(certificate)
    }

    /// For people.
    pub(super) fn as_text(&self) -> String {
        let final_from = match self.final_from {
            Some(date) => format!("final from {date}"),
            None => "NOT CONFIRMED for every key, so from when it is final is not said".to_owned(),
        };
        let mut text = format!(
            "domain {} of deployment {}\n{final_from}\nordered {} by {}, completed {} by {}",
            self.domain,
            self.deployment,
            self.ordered,
            self.ordered_by,
            self.completed,
            self.completed_by
        );
        for key in &self.not_confirmed {
            let _ = write!(text, "\nnot confirmed: {key}");
        }
        for key in &self.keys {
            // Writing to a String never fails.
            let _ = write!(
                text,
                "\n{}: {} ({}) at {}: {} {}, final from {}",
                key.key_service.as_deref().unwrap_or("recovery key"),
                key.full_name,
                key.key,
                key.place,
                key.manner,
                key.done,
                key.final_from
            );
        }
        for key in &self.destroyed_as_the_operator_states {
            let _ = write!(text, "\n{key}: destroyed, as the operator states");
        }
        let _ = write!(
            text,
            "\nlooked at: {}\nregistry: {} working keys, {} versions of records deleted\ngateways that dropped their keys: {}\nobjects: {} seen, {} opened before, {} of them refused afterwards, {} not tried, {} deleted meanwhile; tried for the last time {}",
            self.buckets.join(", "),
            self.registry.working_keys,
            self.registry.versions,
            self.gateways.gateways.len(),
            self.objects.seen,
            self.objects.opened_before,
            self.objects.refused_after,
            self.objects.not_tried,
            self.objects.deleted,
            self.tried_again
        );
        if self.no_gateway_as_the_operator_states {
            text.push_str(
                "\nno gateway runs, as the operator states: none was asked to drop its keys",
            );
        }
        let survivors = self.keys.iter().filter_map(|key| key.not_covered.as_ref());
        for limit in self.not_covered.iter().chain(survivors) {
            let _ = write!(text, "\nnot covered: {limit}");
        }
        text
    }
}

/// What is said of the keys.
struct Verdict {
    confirmed: Vec<DestroyedKey>,
    not_confirmed: Vec<String>,
}

/// Confirmed is a key that was asked for in this run, and of which nobody has ever stated anything.
fn verdict(order: &Order, plan: &Plan, asked: &[KeyName]) -> anyhow::Result<Verdict> {
    ensure!(!plan.keys.is_empty(), "no key was planned");
    let stated = order.ever_stated();
    let (mut confirmed, mut not_confirmed) = (Vec::new(), Vec::new());
    for key in &plan.keys {
        let chosen = &key.chosen;
        match &key.state {
            KeyState::Destroyed(destroyed)
                if asked.contains(&chosen.key) && !stated.contains(&chosen.key) =>
            {
                confirmed.push(destroyed.clone());
            }
            KeyState::Destroyed(_) | KeyState::ByWord(_) if stated.contains(&chosen.key) => {
                not_confirmed.push(format!(
                    "{}: {} ({}) at {}: {}. The operator has stated that it is destroyed, with all copies. That objects were refused shows nothing of what this key has wrapped",
                    chosen.service(),
                    chosen.full_name,
                    chosen.key,
                    chosen.place,
                    fate::history(key)
                ));
            }
            _ => bail!("{} was not shown to be destroyed", chosen.full_name),
        }
    }
    for key in stated.iter().filter(|key| !plan.has(key)) {
        not_confirmed.push(format!(
            "{key}: it is no key of the order, and the operator has stated that it is destroyed, with all copies"
        ));
    }
    Ok(Verdict {
        confirmed,
        not_confirmed,
    })
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
