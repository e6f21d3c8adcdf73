//! Wraps of working keys, made anew in their registry records: how a deployment moves to other key-encryption keys.
//!
//! An object's header names its working key and carries at most two wraps of it. Once those open no more, the registry record
//! is asked. So what is written here moves every object to another KEK, and no object is touched.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use sealgate_envelope::{
    Provider, WorkingKey, WorkingKeyId, Wrap,
    key_service::{
        EncryptionContext, KeyService, RewrapSource, UnwrapPermit, recovery::RecoverySender,
    },
    keyring::registry::RegistryStore as _,
    records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, registry_name},
};

use super::Gateway;
use crate::state::S3Registry;

/// Working keys that one run goes through.
const MAXIMUM_WORKING_KEYS: usize = 4_000_000;

/// How records are rewrapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RewrapSettings {
    /// Replaces also the wraps that are there, by ones under the newest version of the same key.
    pub(crate) renews: bool,
    /// Writes nothing.
    pub(crate) dry_run: bool,
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewrapped {
    /// It has new wraps, or would have without a dry run.
    Written,
    /// It has a wrap of every key service that its domain asks for.
    UpToDate,
    /// Somebody else wrote it at the same time: another run looks at it again.
    Overtaken,
}

impl Gateway {
    /// Every working key of the registry, in the order of their identifiers, after the one given.
    pub(crate) async fn working_keys(
        &self,
        after: Option<WorkingKeyId>,
    ) -> anyhow::Result<Vec<WorkingKeyId>> {
        let registry = S3Registry::new(self.state.clone());
        registry
            .list(after, MAXIMUM_WORKING_KEYS)
            .await
            .map_err(|error| anyhow::anyhow!("{}", error.detail()))
    }

    /// Gives one record a wrap by every key service that its domain asks for. Each new wrap is opened again and compared
    /// before the record is written; wraps by other keys stay.
    ///
    /// # Errors
    ///
    /// What keeps the record from being rewrapped; it is as it was then.
    pub(crate) async fn rewrap(
        &self,
        permit: &UnwrapPermit,
        id: WorkingKeyId,
        settings: RewrapSettings,
    ) -> anyhow::Result<Rewrapped> {
        let name = registry_name(id);
        let Some((bytes, tag)) = self.state.get_tagged(&name, MAXIMUM_RECORD_LENGTH).await? else {
            return Ok(Rewrapped::Overtaken);
        };
        let found = RegistryRecord::parse(&bytes, id)?;
        // The claim chooses among what the configuration knows; the key service and the MAC confirm it below.
        let domain = found.claimed_domain().clone();
        let policy = self
            .config
            .sealing_of_domain(domain.as_str())
            .with_context(|| {
                format!("no [[domain]] has the name {domain}, so nobody says who is to wrap its keys; name it, or list it in former")
            })?;
        let places = policy.places(self.key_services.len());
        let wanted: Vec<_> = places
            .iter()
            .filter_map(|place| self.key_services.get(*place))
            .collect();
        let mut missing = false;
        for service in &wanted {
            missing |= existing(service, found.wraps()).await?.is_none();
        }
        let recovery = Recovery {
            sender: self.recovery.of_domain(domain.as_str()),
        };
        if !settings.renews && !missing && recovery.is_settled(found.wraps()) {
            return Ok(Rewrapped::UpToDate);
        }

        let key = self
            .keyring
            .opening_key(permit, id, found.wraps(), &domain)
            .await?;
        let record = found.verify(&key, &domain)?;
        if settings.dry_run {
            return Ok(Rewrapped::Written);
        }
        let context = EncryptionContext::new(domain, id);
        let mut wraps = Vec::with_capacity(record.wraps.len() + wanted.len());
        for service in &wanted {
            if existing(service, &wraps).await?.is_some() {
                // The same key by another name, or in another place.
                continue;
            }
            let old = existing(service, &record.wraps).await?;
            wraps.push(match old {
                Some(old) if !settings.renews => old.clone(),
                old => fresh(service, permit, &context, &key, old).await?,
            });
        }
        wraps.extend(recovery.wrap(&context, &key, &record.wraps, settings.renews)?);
        for old in record.wraps {
            if recovery.retires(&old) {
                continue;
            }
            let replaced = wraps.iter().any(|wrap| {
                wrap.provider() == old.provider() && wrap.key_reference() == old.key_reference()
            });
            if !replaced {
                wraps.push(old);
            }
        }
        let bytes = RegistryRecord {
            id,
            created: record.created,
            domain: context.domain().clone(),
            wraps,
        }
        .encode(&key)?;
        let written = self.state.replace(&name, bytes, &tag).await?;
        Ok(if written {
            Rewrapped::Written
        } else {
            Rewrapped::Overtaken
        })
    }
}

/// The wrap for the offline recovery key, where the configuration has one.
///
/// Those for an earlier recovery key go with the same write: that key is lost, or somebody has it who should not. Copies that the storage's
/// provider kept are not called back by this. Without a recovery key in the configuration nothing is touched.
#[derive(Clone, Copy)]
struct Recovery<'a> {
    sender: Option<&'a RecoverySender>,
}

impl Recovery<'_> {
    fn is_current(self, wrap: &Wrap) -> bool {
        wrap.provider() == Provider::Recovery
            && self
                .sender
                .is_some_and(|sender| wrap.key_reference() == sender.key_reference())
    }

    fn retires(self, wrap: &Wrap) -> bool {
        self.sender.is_some() && wrap.provider() == Provider::Recovery && !self.is_current(wrap)
    }

    fn is_settled(self, wraps: &[Wrap]) -> bool {
        self.sender.is_none()
            || wraps.iter().any(|wrap| self.is_current(wrap))
                && !wraps.iter().any(|wrap| self.retires(wrap))
    }

    /// The one that is there, or a new one. It cannot be opened here, and so not be compared.
    fn wrap(
        self,
        context: &EncryptionContext,
        key: &WorkingKey,
        existing: &[Wrap],
        renews: bool,
    ) -> anyhow::Result<Option<Wrap>> {
        let Some(sender) = self.sender else {
            return Ok(None);
        };
        let current = existing.iter().find(|wrap| self.is_current(wrap));
        Ok(Some(match current {
            Some(current) if !renews => current.clone(),
            _ => sender.wrap(context, key)?,
        }))
    }
}

/// A wrap that the service opens: by its key, or by the same key in another place, as with multi-Region keys of AWS.
async fn existing<'a>(
    service: &Arc<dyn KeyService>,
    wraps: &'a [Wrap],
) -> anyhow::Result<Option<&'a Wrap>> {
    let own = service.key_reference().await?;
    let mut related = None;
    for wrap in wraps
        .iter()
        .filter(|wrap| wrap.provider() == service.provider())
    {
        if wrap.key_reference() == own {
            return Ok(Some(wrap));
        }
        if related.is_none() && service.opens(wrap.key_reference()).await? {
            related = Some(wrap);
        }
    }
    Ok(related)
}

/// A new wrap by this service, opened again and compared: what does not open now would be lost data later.
async fn fresh(
    service: &Arc<dyn KeyService>,
    permit: &UnwrapPermit,
    context: &EncryptionContext,
    key: &WorkingKey,
    old: Option<&Wrap>,
) -> anyhow::Result<Wrap> {
    // A wrap that was made in another place is not this one's to renew.
    let own = service.key_reference().await?;
    let wrap = match old.filter(|old| old.key_reference() == own) {
        Some(old) => service.rewrap(context, old, RewrapSource::SameKey).await?,
        None => service.wrap(context, key).await?,
    };
    let opened = service.unwrap(permit, context, &wrap).await?;
    ensure!(
        opened == *key,
        "the key service opened its own new wrap to another key; the record stays as it was"
    );
    Ok(wrap)
}
