//! `[limits.per_identity]` and `[limits.per_address]`: what one of many clients may have.

use super::table::Table;

/// Bounds of one identity or one address; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RatesConfig {
    /// Requests that may begin in a second, and as many at once.
    pub requests_per_second: u32,
    /// Bytes of bodies in a second, both directions together; what is more goes slower.
    pub bytes_per_second: u32,
    /// Requests at once.
    pub concurrent_requests: usize,
}

/// Bounds of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressConfig {
    /// As for an identity.
    pub rates: RatesConfig,
    /// Wrong signatures and unknown access keys in a minute, and as many at once; beyond, nothing of the address is looked at. 0: no bound.
    pub failed_signatures_per_minute: u32,
}

impl Default for AddressConfig {
    fn default() -> Self {
        Self {
            rates: RatesConfig::default(),
            failed_signatures_per_minute: 600,
        }
    }
}

/// The least number of bytes a second: a piece of a body has to fit into one second.
const LEAST_BYTES: u64 = 1 << 20;

/// The most, so that it fits into what counts it.
const MOST_BYTES: u64 = 4095 << 20;

/// Reads `[limits.per_identity]`.
pub(super) fn read_identity(mut table: Table<'_>) -> Option<RatesConfig> {
    let rates = read(&mut table);
    table.finish();
    rates
}

/// Reads `[limits.per_address]`.
pub(super) fn read_address(mut table: Table<'_>) -> Option<AddressConfig> {
    let rates = read(&mut table);
    let default = AddressConfig::default().failed_signatures_per_minute;
    let failed = count(&mut table, "failed_signatures_per_minute", default);
    table.finish();
    Some(AddressConfig {
        rates: rates?,
        failed_signatures_per_minute: failed?,
    })
}

fn read(table: &mut Table<'_>) -> Option<RatesConfig> {
    let requests_per_second = count(table, "requests_per_second", 0);
    let bytes = table.size("bytes_per_second", 0, 0..=MOST_BYTES);
    let bytes = match bytes {
        Some(1..LEAST_BYTES) => table.problem(
            "bytes_per_second is less than one piece of a body",
            "write at least \"1 MiB\", or \"0 B\" for no bound",
        ),
        bytes => bytes,
    };
    let concurrent_requests = table.count("concurrent_requests", 0, 0..=65_536);
    Some(RatesConfig {
        requests_per_second: requests_per_second?,
        bytes_per_second: u32::try_from(bytes?).ok()?,
        concurrent_requests: concurrent_requests?,
    })
}

fn count(table: &mut Table<'_>, key: &'static str, default: u32) -> Option<u32> {
    let default = usize::try_from(default).unwrap_or_default();
    u32::try_from(table.count(key, default, 0..=1_000_000)?).ok()
}
