//! Whether objects open: before, so that it means something that they do not afterwards.

use std::sync::Arc;

use anyhow::anyhow;
use http::{Method, StatusCode};
use sealgate_envelope::key_service::failure_of;
use sealgate_envelope::{Domain, KeyServiceFailure, Place};

use super::order::SampledObject;
use crate::cli::permit;
use crate::gateway::Gateway;
use crate::object::{SealedHead, version_query};
use crate::object_key::ObjectKey;
use crate::upstream::{Target, UpstreamRequest};

/// What became of an attempt to open an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Its header opened: so would its content.
    Opened,
    /// Every key that wrapped its working key is gone, or refuses for good.
    Refused,
    /// It is not there any more.
    Deleted,
    /// Nobody can tell; with the cause.
    Unknown(String),
}

/// Tries to open the header of one version, by every key service of the gateway and the registry.
pub(super) async fn open(gateway: &Arc<Gateway>, object: &SampledObject) -> Opening {
    match attempt(gateway, object).await {
        Ok(opening) => opening,
        Err(error) => Opening::Unknown(format!("{error:#}")),
    }
}

async fn attempt(gateway: &Arc<Gateway>, object: &SampledObject) -> anyhow::Result<Opening> {
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
    let header = SealedHead::read(&answer, version)?.header;
    let rule = gateway.config.domain_for(&object.bucket, &object.key);
    let permit = permit::for_command("sealgate keys shred");
    let mut unknown = None;
    for name in std::iter::once(&rule.name).chain(&rule.former) {
        let domain = Domain::new(name.as_str())?;
        let opened = gateway
            .keyring
            .opening_key(&permit, header.working_key_id(), header.wraps(), &domain)
            .await;
        match opened {
            Ok(key) => {
                let place = Place::new(&domain, object.key.as_str())?;
                match header.open(&key, place) {
                    Ok(_) => return Ok(Opening::Opened),
                    Err(error) => unknown = Some(error.detail().to_owned()),
                }
            }
            Err(error) if refuses_for_good(&error) => {}
            Err(error) => unknown = Some(error.detail().to_owned()),
        }
    }
    Ok(unknown.map_or(Opening::Refused, Opening::Unknown))
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
mod tests {
    use sealgate_envelope::key_service::key_service_error;

    use super::*;

    #[test]
    fn what_is_away_or_denied_to_us_is_not_gone() {
        let good = |failure| refuses_for_good(&key_service_error(failure, "x"));
        assert!(good(KeyServiceFailure::KeyUnusable) && good(KeyServiceFailure::NotFound));
        for failure in [
            KeyServiceFailure::Unavailable,
            KeyServiceFailure::Throttled,
            KeyServiceFailure::Denied,
            KeyServiceFailure::Malformed,
            KeyServiceFailure::Misconfigured,
        ] {
            assert!(!good(failure), "{failure:?}");
        }
    }
}
