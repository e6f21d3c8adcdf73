//! `[admin]`: where health and metrics are asked for.

use std::net::SocketAddr;

use super::listener::{ListenerConfig, TlsFiles, read_address, read_tls};
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
    let allow_plaintext = table.flag("allow_plaintext");
    let tls = table.take("tls").map(|value| {
        value
            .table()
            .and_then(|table| read_tls(table, surroundings))
    });
    let address = table
        .require_text("address", "address = \"127.0.0.1:9001\"")
        .and_then(|value| {
            let address = read_address(&value)?;
            if tls.is_none() && !address.ip().is_loopback() && !allow_plaintext {
                return value.problem(
                    "health and metrics would cross the network over plaintext HTTP",
                    "add tls = { certificate = \"FILE\", key = \"FILE\" }, or bind 127.0.0.1, or add allow_plaintext = true if the network is trusted",
                );
            }
            if address.port() != 0 && listener.is_some_and(|listener| listener.address == address) {
                return value.problem(
                    "this is the address of [listener], where clients connect",
                    "choose another port",
                );
            }
            Some(address)
        });
    if allow_plaintext && tls.is_some() {
        table.problem::<()>(
            "allow_plaintext = true contradicts tls",
            "remove one of them",
        )?;
    }
    table.finish();
    Some(AdminConfig {
        address: address?,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
    })
}
