//! Whether a wrap is by the key that it names: a name costs whoever writes headers nothing, so the key is asked.

use std::sync::Arc;

use quick_cache::sync::Cache;
use sealgate_envelope::{
    Domain, KeyServiceFailure, WorkingKeyId, Wrap,
    header::Header,
    key_service::{EncryptionContext, KeyService, failure_of},
    records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, registry_name},
    wrap::Provider,
};

use super::{
    key_name::KeyName,
    known_keys::{self, KnownKey, KnownKeys},
};
use crate::{config::DomainRule, error::S3Error, gateway::Gateway, migration::PermitIssuer};

/// Wraps whose trial is remembered: those of the working keys that sealed what a run looks at.
const REMEMBERED: usize = 100_000;

/// The keys that the wraps of one thing name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// These have wrapped it, or nobody here can tell that they have not.
    pub(crate) keys: Vec<KeyName>,
    /// These refuse the wraps that name them: another key of the same name made those, or nobody did.
    pub(crate) disowned: Vec<KeyName>,
}

impl From<Vec<KeyName>> for Named {
    fn from(keys: Vec<KeyName>) -> Self {
        Self {
            keys,
            disowned: Vec::new(),
        }
    }
}

/// Tries wraps by the keys that they name.
pub(crate) struct Trial {
    keys: Vec<Candidate>,
    /// The names of the domain that is to go.
    own: Vec<String>,
    permit: PermitIssuer,
    /// By the place of the key that was asked, too: two keys may have one name.
    tried: Cache<(usize, [u8; 32]), bool>,
}

struct Candidate {
    key: KnownKey,
    /// Its place in the configuration.
    place: usize,
    /// Whether it is to be destroyed.
    goes: bool,
}

impl Trial {
    /// Of the keys of all key services; `going` are the places of those that are to be destroyed, `own` the names of the domain.
    pub(crate) fn new(
        services: &[Arc<dyn KeyService>],
        own: &[String],
        going: &[usize],
        permit: PermitIssuer,
    ) -> Self {
        let KnownKeys(known) = KnownKeys::of(services);
        let keys = known.into_iter().enumerate();
        Self {
            keys: keys
                .map(|(place, key)| Candidate {
                    key,
                    place,
                    goes: going.contains(&place),
                })
                .collect(),
            own: own.to_vec(),
            permit,
            tried: Cache::new(REMEMBERED),
        }
    }

    /// The names of the domain that is to go.
    pub(crate) fn own(&self) -> &[String] {
        &self.own
    }

    /// The keys that wrapped something with a header, which lies in a place that this rule is about.
    ///
    /// # Errors
    ///
    /// Where a key that is to go cannot be asked: then nobody can tell.
    pub(crate) async fn of_header(
        &self,
        gateway: &Gateway,
        is_inside: bool,
        bucket: &str,
        rule: &DomainRule,
        header: &Header,
    ) -> Result<Named, S3Error> {
        let id = header.working_key_id();
        let mut domains = Vec::new();
        for name in std::iter::once(&rule.name).chain(&rule.former) {
            domains.push(Domain::new(name.as_str())?);
        }
        if !is_inside && self.names_one_that_goes(header.wraps()).await? {
            // Whatever its domain was, it must not be lost: also under names that the configuration has forgotten.
            let mut forgotten = vec![Domain::new(format!(
                "{}/{bucket}",
                gateway.config.deployment
            ))?];
            let name = registry_name(id);
            let record = gateway.state.get(&name, MAXIMUM_RECORD_LENGTH).await?;
            if let Some(bytes) = record
                && let Ok(record) = RegistryRecord::parse(&bytes, id)
            {
                forgotten.push(record.claimed_domain().clone());
            }
            // What was moved here from the domain that is to go is that domain's, and opens for nobody here.
            forgotten.retain(|domain| !self.own.iter().any(|own| own == domain.as_str()));
            domains.extend(forgotten);
        }
        self.of_wraps(is_inside, id, header.wraps(), &domains).await
    }

    /// The keys that made these wraps of a working key of one of the domains.
    ///
    /// # Errors
    ///
    /// Where a key that is to go cannot be asked: then nobody can tell.
    pub(crate) async fn of_wraps(
        &self,
        is_inside: bool,
        id: WorkingKeyId,
        wraps: &[Wrap],
        domains: &[Domain],
    ) -> Result<Named, S3Error> {
        let mut named = Named::default();
        for wrap in wraps {
            let name = KeyName::of(wrap);
            if self.made(is_inside, id, wrap, domains).await? {
                named.keys.push(name);
            } else {
                named.disowned.push(name);
            }
        }
        Ok(named)
    }

    async fn names_one_that_goes(&self, wraps: &[Wrap]) -> Result<bool, S3Error> {
        for wrap in wraps {
            for candidate in self.keys.iter().filter(|candidate| candidate.goes) {
                if candidate.key.made(wrap).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the key that a wrap names has made it. Outside of the domain only the keys that are to go are asked.
    async fn made(
        &self,
        is_inside: bool,
        id: WorkingKeyId,
        wrap: &Wrap,
        domains: &[Domain],
    ) -> Result<bool, S3Error> {
        let mut is_refused = false;
        for candidate in &self.keys {
            if !(candidate.goes || is_inside) {
                continue;
            }
            match candidate.key.made(wrap).await {
                Ok(true) => {}
                Err(error) if candidate.goes => return Err(error.into()),
                // One that stays, or is gone, and does not tell its name. The wrap is taken at its word.
                Ok(false) | Err(_) => continue,
            }
            match self.opens(candidate, is_inside, id, wrap, domains).await {
                Ok(false) => is_refused = true,
                Err(error) if candidate.goes => return Err(error),
                // A key that stays is not ours to use, perhaps. Then it is taken at the wrap's word.
                Ok(true) | Err(_) => return Ok(true),
            }
        }
        Ok(!is_refused)
    }

    async fn opens(
        &self,
        candidate: &Candidate,
        is_inside: bool,
        id: WorkingKeyId,
        wrap: &Wrap,
        domains: &[Domain],
    ) -> Result<bool, S3Error> {
        for domain in domains {
            let trial = (candidate.place, known_keys::digest(id, domain, wrap));
            let opened = if let Some(opened) = self.tried.get(&trial) {
                opened
            } else {
                let key = &candidate.key;
                let opened = self.attempt(key, is_inside, id, wrap, domain).await?;
                self.tried.insert(trial, opened);
                opened
            };
            if opened {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn attempt(
        &self,
        key: &KnownKey,
        is_inside: bool,
        id: WorkingKeyId,
        wrap: &Wrap,
        domain: &Domain,
    ) -> Result<bool, S3Error> {
        let permit = (self.permit)("whether a key has made a wrap that names it");
        let context = EncryptionContext::new(domain.clone(), id);
        let opened = key.service.unwrap(&permit, &context, wrap).await;
        let Err(error) = opened else { return Ok(true) };
        match failure_of(&error) {
            Some(KeyServiceFailure::Refused) => Ok(false),
            // AWS KMS says so of a ciphertext of another key, and also where a policy or a grant keeps us from using ours in
            // this context; Vault of a version that may come back. What lies outside must not be lost by that.
            Some(KeyServiceFailure::WrapWithdrawn)
                if is_inside && key.provider == Provider::AwsKms =>
            {
                Ok(false)
            }
            _ => Err(S3Error::from(error)),
        }
    }
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
