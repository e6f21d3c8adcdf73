//! Whether objects open: before, so that it means something that they do not afterwards.
//!
//! Afterwards two things are tried. The wraps that an object had before, which the order keeps: so neither our own deletion of
//! its record nor what the storage shows by then makes the proof. And the object as it is stored now.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use http::{Method, StatusCode};
use sealgate_envelope::key_service::{EncryptionContext, KeyService, failure_of};
use sealgate_envelope::records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, registry_name};
use sealgate_envelope::{Domain, KeyServiceFailure, Place, Wrap};

use super::certificate::ObjectsTried;
use super::destroy::detailed;
use super::plan::{KeptWrap, Plan, SampledObject, StoredVersion};
use crate::cli::permit;
use crate::gateway::Gateway;
use crate::object::{SealedHead, version_query};
use crate::object_key::ObjectKey;
use crate::scan::key_name::KeyName;
use crate::upstream::{Target, UpstreamRequest};

/// What the permits of this command say.
const COMMAND: &str = "sealgate keys shred";

/// What became of an attempt to open an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Its header opened: so would its content.
    Opened(Box<SampledObject>),
    /// Every key that wrapped its working key is gone, or refuses for good.
    Refused,
    /// It is not there any more.
    Deleted,
    /// Something else is there: it has no header of ours.
    Replaced(String),
    /// Nobody can tell; with the cause.
    Unknown(String),
}

/// Tries to open the header of one version, by every key service of the gateway and the registry.
pub(super) async fn open(gateway: &Arc<Gateway>, version: &StoredVersion) -> Opening {
    match attempt(gateway, version).await {
        Ok(opening) => opening,
        Err(error) => Opening::Unknown(format!("{error:#}")),
    }
}

async fn attempt(gateway: &Arc<Gateway>, object: &StoredVersion) -> anyhow::Result<Opening> {
    let key = ObjectKey::new(object.key.as_str()).map_err(|error| anyhow!("{error}"))?;
    let target = Target::object(object.bucket.as_str(), key.to_wire());
    let version = object.version_id.as_deref();
    let request = UpstreamRequest::new(Method::HEAD, target).query(version_query(version));
    let answer = match gateway.upstream.call(request).await {
        Err(error)
            if matches!(
                error.status,
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
            ) =>
        {
            return Ok(Opening::Deleted);
        }
        answer => answer?,
    };
    let header = match SealedHead::read(&answer, version) {
        Ok(head) => head.header,
        Err(error) => return Ok(Opening::Replaced(error.to_string())),
    };
    let rule = gateway.config.domain_for(&object.bucket, &object.key);
    let permit = permit::for_shredding(COMMAND);
    let id = header.working_key_id();
    let mut unknown = None;
    for name in std::iter::once(&rule.name).chain(&rule.former) {
        let domain = Domain::new(name.as_str())?;
        let opened = gateway
            .keyring
            .opening_key(&permit, id, header.wraps(), &domain)
            .await;
        match opened {
            Ok(key) => {
                let place = Place::new(&domain, object.key.as_str())?;
                match header.open(&key, place) {
                    Ok(_) => {
                        let mut wraps = header.wraps().to_vec();
                        let name = registry_name(id);
                        let record = gateway.state.get(&name, MAXIMUM_RECORD_LENGTH).await?;
                        if let Some(bytes) = record {
                            wraps.extend_from_slice(RegistryRecord::parse(&bytes, id)?.wraps());
                        }
                        return Ok(Opening::Opened(Box::new(SampledObject {
                            version: object.clone(),
                            domain: name_of(&domain),
                            working_key: id.to_string(),
                            wraps: wraps.iter().map(KeptWrap::of).collect(),
                        })));
                    }
                    Err(error) => unknown = Some(error.detail().to_owned()),
                }
            }
            Err(error) if refuses_for_good(&error) => {}
            Err(error) => unknown = Some(error.detail().to_owned()),
        }
    }
    Ok(unknown.map_or(Opening::Refused, Opening::Unknown))
}

fn name_of(domain: &Domain) -> String {
    domain.as_str().to_owned()
}

/// That neither the kept wraps of the sample open nor what is stored.
///
/// # Errors
///
/// Where something opens, or nobody can tell.
pub(super) async fn refused(gateway: &Arc<Gateway>, plan: &Plan) -> anyhow::Result<ObjectsTried> {
    let not_asked: Vec<KeyName> = plan.not_asked();
    let (mut refused, mut not_tried, mut deleted) = (0, 0, 0);
    for object in &plan.sample {
        let shown = format!("{}/{}", object.version.bucket, object.version.key);
        let kept = try_kept_wraps(&gateway.key_services, object, &not_asked).await;
        match kept.with_context(|| format!("whether {shown} still opens cannot be found out"))? {
            Kept::Opens => bail!("{shown} still opens"),
            Kept::Refused => refused += 1,
            Kept::NotTried => not_tried += 1,
        }
        match open(gateway, &object.version).await {
            Opening::Refused => {}
            // The wraps that it had refuse, whatever is put in its place.
            Opening::Deleted | Opening::Replaced(_) => deleted += 1,
            Opening::Opened(_) => bail!("{shown} still opens"),
            Opening::Unknown(cause) => {
                bail!("whether {shown} still opens cannot be found out: {cause}")
            }
        }
    }
    Ok(ObjectsTried {
        seen: plan.objects,
        opened_before: plan.sample.len() as u64,
        refused_after: refused,
        not_tried,
        deleted,
    })
}

/// What became of the wraps that an object had when it opened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// One of them opens.
    Opens,
    /// Each of them was tried, and refused.
    Refused,
    /// Of one, the key can be asked no more.
    NotTried,
}

/// Tries the wraps that an object had when it opened before.
async fn try_kept_wraps(
    services: &[Arc<dyn KeyService>],
    object: &SampledObject,
    not_asked: &[KeyName],
) -> anyhow::Result<Kept> {
    let domain = Domain::new(object.domain.as_str())?;
    let context = EncryptionContext::new(domain, object.working_key.parse()?);
    let permit = permit::for_shredding(COMMAND);
    let mut tried = 0;
    let mut are_all_tried = true;
    for kept in &object.wraps {
        let wrap: Wrap = kept.wrap()?;
        if not_asked.contains(&KeyName::of(&wrap)) {
            are_all_tried = false;
            continue;
        }
        for service in services {
            if service.provider() != wrap.provider() {
                continue;
            }
            let opened = match service.opens(wrap.key_reference()).await {
                Ok(false) => continue,
                Ok(true) => service.unwrap(&permit, &context, &wrap).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(_) => return Ok(Kept::Opens),
                Err(error) if refuses_for_good(&error) => tried += 1,
                Err(error) => return Err(detailed(&error)),
            }
        }
    }
    if !are_all_tried {
        return Ok(Kept::NotTried);
    }
    ensure!(
        tried > 0,
        "no key service of the configuration has made one of its wraps"
    );
    Ok(Kept::Refused)
}

/// Whether the error says that the key is gone, and not only away or out of reach for us.
pub(super) fn refuses_for_good(error: &sealgate_envelope::Error) -> bool {
    matches!(
        failure_of(error),
        Some(
            KeyServiceFailure::KeyUnusable
                | KeyServiceFailure::NotFound
                | KeyServiceFailure::NotConfigured
                | KeyServiceFailure::Refused
                | KeyServiceFailure::WrapWithdrawn
        )
    )
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
