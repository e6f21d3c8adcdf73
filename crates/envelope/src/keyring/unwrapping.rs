//! Opens a working key by whatever wraps and key services there are, and sums up the failures if none works.

use std::sync::Arc;

use super::metered_service::MeteredService;
use super::registry::RegistryStore;
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::{
    EncryptionContext, UnwrapPermit, failure_of, key_service_error, revokes, serves_cached,
};
use crate::keys::WorkingKey;
use crate::records::RegistryRecord;
use crate::wrap::Wrap;

/// A working key, and wraps that are known to be genuine because they opened, or because its record says so.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) key: WorkingKey,
    pub(super) wraps: Vec<Wrap>,
}

/// The key services and the registry of a keyring.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) services: Vec<MeteredService>,
    pub(super) registry: Option<Arc<dyn RegistryStore>>,
    /// Whether wraps may be opened at all.
    pub(super) opens: bool,
}

impl Sources {
    /// Opens the working key of `context` by an inline wrap, else by one of its registry record (FORMAT.md section 11,
    /// step 2). Only key services that the configuration names are contacted, whatever the wraps say. `genuine` are wraps
    /// that opened this key before.
    ///
    /// # Errors
    ///
    /// The most telling failure of those that were met, see [`Failures`].
    pub(super) async fn unwrap(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        inline: &[Wrap],
        genuine: &[Wrap],
    ) -> Result<Opened> {
        let mut failures = Failures {
            genuine,
            worst: None,
        };
        if let Some(opened) = self.try_wraps(permit, context, inline, &mut failures).await {
            return Ok(opened);
        }
        match self
            .try_registry(permit, context, inline, &mut failures)
            .await
        {
            Ok(Some(opened)) => return Ok(opened),
            Ok(None) => {}
            Err(error) => failures.add(error),
        }
        Err(failures.into_error(context, inline.len()))
    }

    async fn try_wraps(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        wraps: &[Wrap],
        failures: &mut Failures<'_>,
    ) -> Option<Opened> {
        for wrap in wraps {
            for service in self
                .services
                .iter()
                .filter(|service| service.provider() == wrap.provider())
            {
                match service.opens(wrap.key_reference()).await {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => {
                        failures.add(error);
                        continue;
                    }
                }
                match service.unwrap(permit, context, wrap).await {
                    Ok(key) => {
                        let wraps = vec![wrap.clone()];
                        return Some(Opened { key, wraps });
                    }
                    Err(error) => failures.add_about(wrap, error),
                }
            }
        }
        None
    }

    async fn try_registry(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        inline: &[Wrap],
        failures: &mut Failures<'_>,
    ) -> Result<Option<Opened>> {
        let Some(registry) = &self.registry else {
            return Ok(None);
        };
        let Some(bytes) = registry.get(context.working_key_id()).await? else {
            return Ok(None);
        };
        let record = RegistryRecord::parse(&bytes, context.working_key_id())?;
        // Wraps that were tried a moment ago are not tried again.
        let untried: Vec<_> = record
            .wraps()
            .iter()
            .filter(|wrap| !inline.contains(wrap))
            .cloned()
            .collect();
        let Some(Opened { key, .. }) = self.try_wraps(permit, context, &untried, failures).await
        else {
            return Ok(None);
        };
        let wraps = record.verify(&key, context.domain())?.wraps;
        Ok(Some(Opened { key, wraps }))
    }
}

/// What went wrong with the wraps that were tried; the most telling failure wins.
///
/// A decision to take the key away outweighs an outage: one key service that is down must not hide that another one
/// refuses us. An outage outweighs everything about single wraps: with it over, another wrap may open.
#[derive(Debug, Default)]
struct Failures<'a> {
    genuine: &'a [Wrap],
    worst: Option<Error>,
}

impl Failures<'_> {
    /// Adds a failure of this wrap. Of a wrap that opened before, a refusal says that somebody took the key away; of any
    /// other it may just as well say that the wrap is forged.
    fn add_about(&mut self, wrap: &Wrap, error: Error) {
        let refused = matches!(
            failure_of(&error),
            Some(KeyServiceFailure::Refused | KeyServiceFailure::WrapWithdrawn)
        );
        if refused && self.genuine.contains(wrap) {
            self.add(key_service_error(
                KeyServiceFailure::KeyUnusable,
                &format!(
                    "a wrap that has opened before is refused now: {}",
                    error.detail()
                ),
            ));
        } else {
            self.add(error);
        }
    }

    fn add(&mut self, error: Error) {
        let outweighs = self
            .worst
            .as_ref()
            .is_none_or(|worst| Self::weight(&error) > Self::weight(worst));
        if outweighs {
            self.worst = Some(error);
        }
    }

    fn weight(error: &Error) -> u8 {
        match failure_of(error) {
            _ if revokes(error) => 4,
            _ if serves_cached(error) => 3,
            Some(
                KeyServiceFailure::Refused
                | KeyServiceFailure::WrapWithdrawn
                | KeyServiceFailure::NotConfigured,
            ) => 1,
            _ => 2,
        }
    }

    fn into_error(self, context: &EncryptionContext, inline: usize) -> Error {
        self.worst.unwrap_or_else(|| {
            key_service_error(
                KeyServiceFailure::NotConfigured,
                &format!(
                    "no configured key service has the key of working key {}: {inline} wraps came with the object, and the \
                     registry has no other; configure the key service that wrapped it",
                    context.working_key_id()
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(failures: &[KeyServiceFailure]) -> Option<KeyServiceFailure> {
        let mut sum = Failures::default();
        for failure in failures {
            sum.add(key_service_error(*failure, "x"));
        }
        sum.worst.as_ref().and_then(failure_of)
    }

    #[test]
    fn revocation_outweighs_outage_outweighs_refusal() {
        use KeyServiceFailure::{KeyUnusable, Malformed, Refused, Unavailable};
        assert_eq!(
            worst(&[Unavailable, KeyUnusable, Refused]),
            Some(KeyUnusable)
        );
        assert_eq!(worst(&[Refused, Malformed, Unavailable]), Some(Unavailable));
        assert_eq!(worst(&[Refused, Malformed]), Some(Malformed));
        assert_eq!(worst(&[]), None);
    }
}
