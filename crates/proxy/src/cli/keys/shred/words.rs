//! What may be said anew of an order that is gone on with.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::known::RecoveryFile;
use super::order::Order;
use super::{Run, destroy, document, known, report};
use crate::scan::key_name::KeyName;

impl Run<'_> {
    /// What may be said anew of an order that is begun: where things lie now, and what the operator states.
    pub(super) async fn take_words(&self, order: &mut Order) -> anyhow::Result<()> {
        let arguments = self.arguments;
        let is_other = |given: &[String], ordered: &[String]| !given.is_empty() && given != ordered;
        if !order.is_begun()
            && (is_other(&arguments.also, &order.also)
                || is_other(&arguments.buckets, &order.buckets)
                || (arguments.recovery_key.is_some() && order.recovery_key.is_none()))
        {
            bail!(
                "an order of {} for {domain} waits for a confirmation, and was given without these --also, --bucket or --recovery-key: take it back with --cancel {domain}, and give it anew",
                order.ordered,
                domain = order.domain
            );
        }
        order.without_gateways |= arguments.without_gateways;
        self.take_statements(order).await?;
        let certificate = arguments.certificate.as_ref();
        if let Some(certificate) = certificate.map(std::path::absolute).transpose()?
            && certificate != order.certificate
        {
            document::try_place(&certificate).context("--certificate")?;
            order.certificate = certificate;
        }
        let recovery_key = arguments.recovery_key.as_ref();
        if let Some(path) = recovery_key.map(std::path::absolute).transpose()?
            && Some(&path) != order.recovery_key.as_ref()
        {
            let key = known::open_recovery(&path, &arguments.passphrase, &self.config);
            let key = key.with_context(|| format!(
                "--recovery-key names another place than {}. Where its file was overwritten already, that shows only there: bring the medium back to where it was",
                order.recovery_key.as_deref().unwrap_or(Path::new("none")).display()
            ))?;
            order.move_recovery_key(&path, &RecoveryFile::of(&key)?)?;
        }
        if !arguments.also.is_empty() || !arguments.buckets.is_empty() || arguments.after.is_some()
        {
            report::tell(
                "--also, --bucket and --after are those that the order was given with; what this command line says of them is passed over, and so are --waiting-days and --sample",
            );
        }
        Ok(())
    }

    /// That a key which the configuration has is not stated to be destroyed, unless it is one of the order: what has become of
    /// such a one is found out first.
    async fn take_statements(&self, order: &mut Order) -> anyhow::Result<()> {
        let new: Vec<_> = self
            .arguments
            .stated
            .iter()
            .filter(|key| !order.stated.contains(key))
            .cloned()
            .collect();
        let plan = order.plan_or_keys();
        if let (Some(key), false) = (new.iter().find(|key| !plan.has(key)), plan.is_whole()) {
            let keys: Vec<_> = plan
                .keys
                .iter()
                .map(|key| key.chosen.key.to_string())
                .collect();
            bail!(
                "--destroyed: the order is not for {key}, but for {}; of other keys nothing is needed any more",
                keys.join(", ")
            );
        }
        if new.iter().any(|key| !plan.has(key)) {
            let services = known::key_services(&self.config, Some(&plan.as_planned())).await?;
            for (service, name) in services.iter().zip(&self.config.key_service_names) {
                let reference = service.key_reference().await;
                let reference = reference.map_err(|error| destroy::detailed(&error))?;
                let key = KeyName::new(service.provider(), reference);
                ensure!(
                    plan.has(&key) || !new.contains(&key),
                    "{key} is said to be destroyed, and the key service {name} of the configuration has it: leave it out of --destroyed"
                );
            }
        }
        order.stated.extend(new);
        Ok(())
    }
}
