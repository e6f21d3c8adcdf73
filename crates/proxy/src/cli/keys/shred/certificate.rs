//! The certificate: what was destroyed, from when that is final, and what was tried afterwards.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::document;
use super::moment::Moment;
use super::order::Order;
use super::plan::{KeyState, Plan, PlannedKey};
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
    /// Of an order that was carried out.
    ///
    /// # Errors
    ///
    /// Where something of it was not.
    pub(super) fn of(order: &Order, completed_by: &str) -> anyhow::Result<Self> {
        let progress = &order.progress;
        let plan = progress.plan.as_ref().context("nothing was planned")?;
        let keys = destroyed(order, plan)?;
        let settled = progress.settled.context("no key service was waited for")?;
        ensure!(
            keys.iter().all(|key| key.done <= settled),
            "a key was destroyed after gateways were told to drop theirs"
        );
        let completed = progress.completed.context("it is not completed")?;
        let latest = keys.iter().map(|key| key.final_from).max();
        let objects = progress.objects.clone().context("no object was tried")?;
        let not_confirmed = not_confirmed(plan);
        ensure!(
            objects.refused_after + objects.not_tried == objects.opened_before
                && (objects.not_tried == 0 || !not_confirmed.is_empty()),
            "some objects were not shown to be refused"
        );
        let gateways = progress.flushed.clone().context("no gateway was flushed")?;
        // What was destroyed here needs no statement.
        let mut stated = order.stated.clone();
        stated.retain(|stated| !keys.iter().any(|key| key.key == *stated));
        let mut not_covered: Vec<String> = LIMITS.map(str::to_owned).to_vec();
        not_covered.push(
            if not_confirmed.is_empty() {
                CIPHERTEXT
            } else {
                MAYBE_CIPHERTEXT
            }
            .to_owned(),
        );
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
            destroyed_as_the_operator_states: stated,
            buckets: plan.buckets.clone(),
            registry: progress
                .records
                .clone()
                .context("the registry still has records")?,
            no_gateway_as_the_operator_states: order.without_gateways
                && gateways.gateways.is_empty(),
            gateways,
            objects,
            tried_again: progress.tried_again.context("it was not tried once more")?,
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
            Ok(written) if written.order == self.order => Ok(written),
            _ => bail!(
                "everything was done, and {} is something else than the certificate of it: move that away, and run this again",
                path.display()
            ),
        }
    }

    /// That of this order, where it was written already and the run was killed before the order was ended.
    pub(super) fn written(order: &Order, key: &SigningKey) -> anyhow::Result<Option<Self>> {
        if order.progress.completed.is_none() || !order.certificate.exists() {
            return Ok(None);
        }
        let written = Self::read(&order.certificate, &key.public()?);
        Ok(written.ok().filter(|written| written.order == order.id))
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

/// The keys that were destroyed here; those that the operator has said to be destroyed stand elsewhere.
fn destroyed(order: &Order, plan: &Plan) -> anyhow::Result<Vec<DestroyedKey>> {
    ensure!(!plan.keys.is_empty(), "no key was planned");
    let mut keys = Vec::new();
    for key in &plan.keys {
        match &key.state {
            KeyState::Destroyed(destroyed) => keys.push(destroyed.clone()),
            KeyState::OutOfReach(destroyed) if order.stated.contains(&key.chosen.key) => {
                keys.push(destroyed.clone());
            }
            KeyState::Stated if order.stated.contains(&key.chosen.key) => {}
            _ => bail!("{} was not destroyed", key.chosen.full_name),
        }
    }
    Ok(keys)
}

/// What is said of keys of which nobody knows what has become.
fn not_confirmed(plan: &Plan) -> Vec<String> {
    let said = plan.keys.iter().filter_map(|PlannedKey { chosen, state, .. }| {
        let what = match state {
            KeyState::Stated => "its destruction was planned, nothing has shown what became of it, and the operator states that it is destroyed, with all copies".to_owned(),
            KeyState::OutOfReach(destroyed) => format!(
                "its destruction was confirmed at {}, final from {}; since then its service could be asked no more, so nothing has shown that this was not taken back, and the operator states that it is destroyed, with all copies",
                destroyed.done, destroyed.final_from
            ),
            _ => return None,
        };
        Some(format!(
            "{}: {} ({}) at {}: {what}. That objects were refused shows nothing of what this key has wrapped",
            chosen.service(), chosen.full_name, chosen.key, chosen.place
        ))
    });
    said.collect()
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
