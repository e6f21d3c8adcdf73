//! Bounds by the address that requests come from.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;

use super::{Excess, Share};
use crate::config::{AddressConfig, RatesConfig};

/// Addresses that are known at once, in each of two tables. Each takes about 300 bytes, so both take some 40 MB when they are full.
const ADDRESSES: usize = 64 * 1024;

/// Networks of IPv6 this long are one client: whoever has one has all addresses in it.
const IPV6_PREFIX: u32 = 64;

/// The state of all addresses. An address that was forgotten begins anew.
pub(crate) struct Addresses {
    config: AddressConfig,
    began: Instant,
    shares: Cache<IpAddr, Arc<Share>>,
    failures: Cache<IpAddr, Arc<Failures>>,
}

/// The failed signatures of one address.
struct Failures {
    limiter: DefaultDirectRateLimiter,
    /// Until when nothing of it is looked at, in milliseconds since `began`.
    until: AtomicU64,
}

impl Addresses {
    pub(crate) fn new(config: AddressConfig) -> Self {
        Self {
            config,
            began: Instant::now(),
            shares: Cache::new(ADDRESSES),
            failures: Cache::new(ADDRESSES),
        }
    }

    pub(crate) fn config(&self) -> AddressConfig {
        self.config
    }

    /// The share of an address; none where addresses have no bounds.
    pub(crate) fn share(&self, address: IpAddr) -> Option<Arc<Share>> {
        if self.config.rates == RatesConfig::default() {
            return None;
        }
        let client = client(address);
        if let Some(known) = self.shares.get(&client) {
            return Some(known);
        }
        let new = Arc::new(Share::new(self.config.rates));
        let found = self
            .shares
            .get_or_insert_with(&client, || Ok::<_, std::convert::Infallible>(new));
        found.ok()
    }

    /// Whether a request of this address is looked at.
    ///
    /// # Errors
    /// Too many signatures of it were wrong.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<(), Excess> {
        let Some(failures) = self.failures.get(&client(address)) else {
            return Ok(());
        };
        let until = Duration::from_millis(failures.until.load(Ordering::Relaxed));
        match until.checked_sub(self.began.elapsed()) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(Excess {
                bound: "failed_signatures_per_minute",
                wait,
            }),
        }
    }

    /// Counts a signature that was wrong.
    pub(crate) fn failed(&self, address: IpAddr) {
        let Some(rate) = NonZeroU32::new(self.config.failed_signatures_per_minute) else {
            return;
        };
        let new = || {
            Ok::<_, std::convert::Infallible>(Arc::new(Failures {
                limiter: RateLimiter::direct(Quota::per_minute(rate)),
                until: AtomicU64::new(0),
            }))
        };
        let Ok(failures) = self.failures.get_or_insert_with(&client(address), new);
        if let Err(not_until) = failures.limiter.check() {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            let until = (self.began.elapsed() + wait).as_millis();
            // At least one, so that it is later than now.
            let until = u64::try_from(until).unwrap_or(u64::MAX).saturating_add(1);
            failures.until.store(until, Ordering::Relaxed);
        }
    }
}

/// Whom an address stands for.
pub(crate) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let kept = u128::MAX << (128 - IPV6_PREFIX);
            Ipv6Addr::from_bits(address.to_bits() & kept).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(failed: u32) -> Addresses {
        Addresses::new(AddressConfig {
            rates: RatesConfig {
                requests_per_second: 1,
                ..RatesConfig::default()
            },
            failed_signatures_per_minute: failed,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_is_held_back_and_no_other() {
        let addresses = addresses(3);
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..3 {
            addresses.failed(bad);
            assert!(addresses.admit(bad).is_ok());
        }
        addresses.failed(bad);
        let excess = addresses.admit(bad).unwrap_err();
        assert!(excess.wait > Duration::ZERO && excess.wait <= Duration::from_mins(1));
        assert!(addresses.admit(good).is_ok());
        assert!(addresses.share(bad).unwrap().begin().is_ok());
        assert!(addresses.share(bad).unwrap().begin().is_err());
        assert!(addresses.share(good).unwrap().begin().is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let addresses = addresses(1);
        for host in 1..=2 {
            addresses.failed(address(&format!("2001:db8::{host}")));
        }
        assert!(addresses.admit(address("2001:db8::ffff:1")).is_err());
        assert!(addresses.admit(address("2001:db8:0:1::1")).is_ok());
        assert_eq!(client(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn no_number_of_addresses_fills_the_memory() {
        let addresses = addresses(1);
        for number in 0..u32::try_from(2 * ADDRESSES).unwrap() {
            addresses.failed(IpAddr::from(number.to_be_bytes()));
        }
        assert!(addresses.failures.len() <= ADDRESSES);
    }
}
