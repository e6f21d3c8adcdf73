//! Where a listener binds, and that nothing crosses a network there in plaintext unless the configuration says so in as many words.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::secret::Surroundings;
use super::table::{Table, Value};

/// PEM files of a TLS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// Whose certificates clients may show; `None` asks for none.
    pub clients: Option<ClientAuthorities>,
}

/// The certificates that a listener asks its clients for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthorities {
    /// PEM file of the only authorities whose certificates are taken.
    pub file: PathBuf,
    /// Whether a client without one is refused in the handshake.
    pub is_required: bool,
}

/// What the tables of all listeners have. What could not be read is a problem that was noted.
pub(super) struct Binding {
    address: Option<SocketAddr>,
    tls: Option<TlsFiles>,
    /// Whether there is a `tls`, of whatever kind.
    pub(super) has_tls: bool,
}

impl Binding {
    /// Address and TLS; none where one of them could not be read.
    pub(super) fn whole(self) -> Option<(SocketAddr, Option<TlsFiles>)> {
        let is_whole = self.tls.is_some() == self.has_tls;
        self.address
            .filter(|_| is_whole)
            .map(|address| (address, self.tls))
    }
}

/// Reads `address`, `tls` and `allow_plaintext`. `plaintext` says what a plaintext listener on a network would mean, `check` has the last word
/// about the address.
pub(super) fn read(
    table: &mut Table<'_>,
    surroundings: Surroundings<'_>,
    example: &str,
    plaintext: &str,
    check: impl FnOnce(&Value<'_>, SocketAddr) -> Option<SocketAddr>,
) -> Option<Binding> {
    let allow_plaintext = table.flag("allow_plaintext");
    let value = table.take("tls");
    let has_tls = value.is_some();
    let tls = value
        .and_then(|value| value.table())
        .and_then(|table| read_tls(table, surroundings));
    let address = table.require_text("address", example).and_then(|value| {
        let address = read_address(&value)?;
        if !has_tls && !address.ip().is_loopback() && !allow_plaintext {
            return value.problem(
                plaintext,
                "add tls = { certificate = \"FILE\", key = \"FILE\" }, or bind 127.0.0.1, or add allow_plaintext = true if the network is trusted",
            );
        }
        check(&value, address)
    });
    if allow_plaintext && has_tls {
        table.problem::<()>(
            "allow_plaintext = true contradicts tls",
            "remove one of them",
        )?;
    }
    Some(Binding {
        address,
        tls,
        has_tls,
    })
}

fn read_tls(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<TlsFiles> {
    let fix = "name a PEM file; relative paths start from the configuration's directory";
    let certificate = table
        .require_text("certificate", "certificate = \"FILE\"")
        .and_then(|value| surroundings.file(&value, fix));
    let key = table
        .require_text("key", "key = \"FILE\"")
        .and_then(|value| surroundings.secret_file(&value, fix));
    let authorities = table
        .take("client_ca")
        .map(|value| surroundings.file(&value, "name a PEM file of certificate authorities"));
    let is_required = match table.take("client_certificates") {
        Some(value) if authorities.is_none() => value.problem(
            "nobody's certificates are taken",
            "name the authorities with client_ca, or remove it",
        ),
        Some(value) => value.choice(&[("required", true), ("optional", false)]),
        None => Some(true),
    };
    table.finish();
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
        clients: if let Some(file) = authorities {
            Some(ClientAuthorities {
                file: file?,
                is_required: is_required?,
            })
        } else {
            is_required?;
            None
        },
    })
}

fn read_address(value: &Value<'_>) -> Option<SocketAddr> {
    let address = value.text()?.parse().ok();
    address.or_else(|| {
        value.problem(
            "not an address",
            "write an IP address and a port, such as \"127.0.0.1:8014\"",
        )
    })
}
