//! Every number that bounds a keyring, each with its reason.

use std::time::Duration;

use crate::error::{Error, Result};

/// Ages, counts and pauses of a [`Keyring`](super::Keyring).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyringLimits {
    /// A working key of this age is replaced at its next use. Default 24 h: calls scale with days, not with objects.
    pub sealing_soft_age: Duration,
    /// A working key of this age seals nothing any more, even if no new one can be made. Default 72 h, so that writes
    /// survive a weekend without the key service.
    pub sealing_hard_age: Duration,
    /// How long a caller waits for the replacement of a key that may still be used. Default 2 s: a slow key service
    /// does not stop writes.
    pub renewal_patience: Duration,
    /// Pause after a failed attempt to make a working key. Default 5 s.
    pub renewal_pause: Duration,
    /// Domains whose sealing key is kept at the same time. Default 10,000.
    pub sealing_domains: usize,
    /// How many wraps, by different key services, a new working key must have. Default 1; at most as many as there are
    /// key services.
    pub required_wraps: usize,
    /// Working keys kept for reading. Default 10,000, about 2 MiB.
    pub cached_keys: usize,
    /// Age at which a cached working key is unwrapped anew. Default 1 h: this bounds how long a revocation takes.
    pub cache_age: Duration,
    /// How long beyond `cache_age` a cached key serves while the key service is down or throttles. Default 4 h; zero
    /// turns it off.
    pub outage_grace: Duration,
    /// How long a refused or impossible unwrap is remembered. Default 10 s: forged headers cannot drain the key service,
    /// and a mended key works again soon.
    pub refusal_memory: Duration,
    /// How long an unwrap that failed by an outage or throttling is remembered. Default 2 s.
    pub outage_memory: Duration,
    /// Failed unwraps remembered at the same time. Default 4,096.
    pub remembered_failures: usize,
    /// Different wraps that may be refused within `refusal_memory`. Beyond it, opening a working key that never opened
    /// here fails as throttled, without a call. Default 1,000: a hundred calls a second are all that forged headers get.
    pub recent_refusals: usize,
    /// Calls to key services for reading at the same time. Default 64.
    pub concurrent_unwraps: usize,
    /// Distinct unwraps under way or waiting for their turn; beyond it, opening fails as throttled. Default 1,024.
    pub pending_unwraps: usize,
}

impl Default for KeyringLimits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_hours(1);
        Self {
            sealing_soft_age: HOUR * 24,
            sealing_hard_age: HOUR * 72,
            renewal_patience: Duration::from_secs(2),
            renewal_pause: Duration::from_secs(5),
            sealing_domains: 10_000,
            required_wraps: 1,
            cached_keys: 10_000,
            cache_age: HOUR,
            outage_grace: HOUR * 4,
            refusal_memory: Duration::from_secs(10),
            outage_memory: Duration::from_secs(2),
            remembered_failures: 4_096,
            recent_refusals: 1_000,
            concurrent_unwraps: 64,
            pending_unwraps: 1_024,
        }
    }
}

impl KeyringLimits {
    /// Checks that the numbers can work together, for a keyring with so many key services.
    pub(super) fn check(&self, key_services: usize) -> Result<()> {
        if self.sealing_hard_age < self.sealing_soft_age || self.sealing_soft_age.is_zero() {
            return Err(Error::misuse(
                "the soft age of working keys must be above zero and at most the hard age",
            ));
        }
        let counts = [
            ("sealing_domains", self.sealing_domains),
            ("required_wraps", self.required_wraps),
            ("cached_keys", self.cached_keys),
            ("remembered_failures", self.remembered_failures),
            ("recent_refusals", self.recent_refusals),
            ("concurrent_unwraps", self.concurrent_unwraps),
            ("pending_unwraps", self.pending_unwraps),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(Error::misuse(format!(
                    "the keyring's limit {name} must be at least 1"
                )));
            }
        }
        if self.concurrent_unwraps > MAXIMUM_CONCURRENT_UNWRAPS {
            return Err(Error::misuse(format!(
                "the keyring's limit concurrent_unwraps must be at most {MAXIMUM_CONCURRENT_UNWRAPS}"
            )));
        }
        if self.required_wraps > key_services {
            return Err(Error::misuse(format!(
                "{} wraps are required of each working key, but only {key_services} key services are configured",
                self.required_wraps
            )));
        }
        Ok(())
    }
}

/// More simultaneous calls than any key service's quota per second would be of no use.
const MAXIMUM_CONCURRENT_UNWRAPS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_by_name() {
        let good = KeyringLimits::default();
        good.check(1).unwrap();
        let hour = Duration::from_hours(1);
        for (bad, part) in [
            (
                KeyringLimits {
                    sealing_hard_age: hour,
                    ..good
                },
                "soft age",
            ),
            (
                KeyringLimits {
                    sealing_soft_age: Duration::ZERO,
                    ..good
                },
                "soft age",
            ),
            (
                KeyringLimits {
                    cached_keys: 0,
                    ..good
                },
                "cached_keys",
            ),
            (
                KeyringLimits {
                    required_wraps: 2,
                    ..good
                },
                "2 wraps",
            ),
            (
                KeyringLimits {
                    concurrent_unwraps: usize::MAX,
                    ..good
                },
                "concurrent_unwraps",
            ),
        ] {
            let error = bad.check(1).unwrap_err();
            assert!(error.detail().contains(part), "{error:?}");
        }
    }
}
