//! `[admin]`: where health and metrics are asked for.

use std::net::SocketAddr;

use super::binding::{self, TlsFiles};
use super::listener::ListenerConfig;
use super::secret::Surroundings;
use super::table::Table;

/// The admin listener. It serves no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key, or `None` for plaintext HTTP.
    pub tls: Option<TlsFiles>,
}

/// Reads `[admin]`.
pub(super) fn read(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
    listener: Option<&ListenerConfig>,
) -> Option<AdminConfig> {
    let binding = binding::read(
        &mut table,
        surroundings,
        "address = \"127.0.0.1:9001\"",
        "health and metrics would cross the network over plaintext HTTP",
        |value, address| {
            if address.port() != 0 && listener.is_some_and(|listener| listener.address == address) {
                return value.problem(
                    "this is the address of [listener], where clients connect",
                    "choose another port",
                );
            }
            Some(address)
        },
    )?;
    table.finish();
    let (address, tls) = binding.whole()?;
    Some(AdminConfig { address, tls })
}
