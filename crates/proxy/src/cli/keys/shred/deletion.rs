//! The registry records of a domain whose keys are gone, deleted; and what is said of those that did not go as they were found.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::records::{MAXIMUM_RECORD_LENGTH, registry_name};

use super::carry_out::{ROUNDS, Work};
use super::certificate::RecordsDeleted;
use super::order::Order;
use super::records;
use crate::cli::permit;
use crate::gateway::Gateway;
use crate::scan::Trial;
use crate::scan::census::Census;
use crate::scan::key_name::KeyName;

impl Work<'_> {
    /// Deletes the domain's records until a listing shows none.
    pub(super) async fn delete_records(&self, order: &mut Order) -> anyhow::Result<RecordsDeleted> {
        let gateway = self.gateway(order).await?;
        let (living, living_keys) = self.living(order, &gateway).await?;
        let trial = Trial::new(&living, &order.plan()?.names, &[], permit::for_shredding);
        for _ in 0..ROUNDS {
            let mut census = Census::default();
            census.of_registry(&gateway, &trial).await?;
            let found = records::to_delete(&census, order.plan()?, &order.stated, &living_keys)?;
            if found.versions.is_empty() {
                self.note_missing(order, &gateway, &found.left).await?;
                let deleted = &order.progress.deleting;
                let records = RecordsDeleted {
                    working_keys: deleted.len() as u64,
                    versions: deleted.values().map(|ids| ids.len() as u64).sum(),
                };
                self.save(order)?;
                return Ok(records);
            }
            records::note(&mut order.progress.deleting, &found.versions);
            self.save(order)?;
            gateway.state.delete_versions(&found.versions).await?;
        }
        bail!(
            "new registry records of the domain come all the time; stop the gateway that writes them, and run this again"
        )
    }

    /// The key services whose keys are not those of the order, and the names of these keys.
    async fn living(
        &self,
        order: &Order,
        gateway: &Gateway,
    ) -> anyhow::Result<(Vec<Arc<dyn KeyService>>, Vec<KeyName>)> {
        let plan = order.plan()?;
        let (mut living, mut keys) = (Vec::new(), Vec::new());
        let named = gateway
            .key_services
            .iter()
            .zip(&self.config.key_service_names);
        for (service, name) in named {
            if plan.keys.iter().any(|key| key.is_of(name)) {
                continue;
            }
            living.push(Arc::clone(service));
            if let Ok(reference) = service.key_reference().await {
                keys.push(KeyName::new(service.provider(), reference));
            }
        }
        Ok((living, keys))
    }

    /// What the certificate says of records that did not go as they were found.
    async fn note_missing(
        &self,
        order: &mut Order,
        gateway: &Gateway,
        left: &[String],
    ) -> anyhow::Result<()> {
        let missing = records::never_seen(order.plan()?, &order.progress.deleting)?;
        let names = order.plan()?.names.clone();
        let mut replaced = Vec::new();
        for id in &missing {
            let name = registry_name(*id);
            let kept = gateway.state.get(&name, MAXIMUM_RECORD_LENGTH).await?;
            ensure!(
                !kept
                    .as_ref()
                    .is_some_and(|bytes| records::claims_one_of(bytes, *id, &names)),
                "the storage has {name} and does not list it; find out what is wrong with it (deleting it there helps), and run this again"
            );
            if kept.is_some() {
                replaced.push(name);
            }
        }
        let plan = order.progress.plan.as_mut().context("nothing is planned")?;
        let mut note = |text: String| {
            if !plan.notes.contains(&text) {
                plan.notes.push(text);
            }
        };
        if !missing.is_empty() {
            note(format!(
                "{} of the {} registry records that were verified were not there any more when they were to be deleted: somebody else has deleted them, or hides them",
                missing.len(),
                plan.records.len()
            ));
        }
        if !replaced.is_empty() {
            note(format!(
                "In the place of {} registry records that were verified lies something else by now, which somebody else has put there, and which was left: {}",
                replaced.len(),
                replaced
                    .iter()
                    .take(5)
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        if !left.is_empty() {
            let shown: Vec<&str> = left.iter().take(5).map(String::as_str).collect();
            note(format!(
                "{} registry records that claim the domain came since it was looked at, and not only the destroyed keys are named by them; they were left: {}",
                left.len(),
                shown.join(", ")
            ));
        }
        Ok(())
    }
}
