//! `[listener]`: where clients connect, and under which host names buckets are found.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::endpoint::parse_authority;
use super::secret::Surroundings;
use super::table::{Table, Value};

/// Where clients connect.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key, or `None` for plaintext HTTP.
    pub tls: Option<TlsFiles>,
    /// Host names, in lower case and without port, below which the first label of a host is a bucket (virtual-host style).
    /// A host equal to one of them, or any other host, is path style.
    pub base_domains: Vec<String>,
    /// Hosts (`name` or `name:port`, in lower case) that clients may have signed instead of the one this gateway sees,
    /// because a load balancer in front rewrites the `Host` header.
    pub external_hosts: Vec<String>,
    /// Regions that clients may sign for; `None` accepts any.
    pub regions: Option<Vec<String>>,
}

/// PEM files of a TLS server.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Reads `[listener]`.
pub(super) fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<ListenerConfig> {
    let allow_plaintext = table.flag("allow_plaintext");
    let has_tls = table.take("tls");
    let tls = has_tls.as_ref().map(|value| {
        value
            .table()
            .and_then(|table| read_tls(table, surroundings))
    });
    let address = table.require_text("address", "address = \"127.0.0.1:8014\"").and_then(|value| {
        let address = read_address(&value)?;
        if tls.is_none() && !address.ip().is_loopback() && !allow_plaintext {
            return value.problem(
                "clients would reach this address over plaintext HTTP",
                "add tls = { certificate = \"FILE\", key = \"FILE\" }, or bind 127.0.0.1, or add allow_plaintext = true if the network is trusted",
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
    let base_domains = read_hosts(table.take("base_domains"), PortRule::Refused);
    let external_hosts = read_hosts(table.take("external_hosts"), PortRule::Allowed);
    let regions = table.take("regions").map(|value| read_regions(&value));
    table.finish();
    Some(ListenerConfig {
        address: address?,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        base_domains: base_domains?,
        external_hosts: external_hosts?,
        regions: match regions {
            Some(regions) => Some(regions?),
            None => None,
        },
    })
}

fn read_tls(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<TlsFiles> {
    let mut file = |key, example| {
        let value = table.require_text(key, example)?;
        surroundings.file(
            &value,
            "name a PEM file; relative paths start from the configuration's directory",
        )
    };
    let certificate = file("certificate", "certificate = \"FILE\"");
    let key = file("key", "key = \"FILE\"");
    table.finish();
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
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

fn read_regions(value: &Value<'_>) -> Option<Vec<String>> {
    let regions: Vec<String> = value
        .texts()?
        .iter()
        .filter_map(|value| value.text().map(str::to_owned))
        .collect();
    if regions.is_empty() || regions.iter().any(String::is_empty) {
        return value.problem(
            "names no region, so that nobody could sign",
            "write regions = [\"us-east-1\"], or leave it out to accept any",
        );
    }
    Some(regions)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PortRule {
    Allowed,
    Refused,
}

fn read_hosts(value: Option<Value<'_>>, ports: PortRule) -> Option<Vec<String>> {
    let Some(value) = value else {
        return Some(Vec::new());
    };
    let hosts = value.texts()?;
    let read = hosts
        .iter()
        .filter_map(|value| match parse_authority(value.text()?) {
            Some((_, Some(_))) if ports == PortRule::Refused => value.problem(
                "has a port",
                "write the host's name alone, such as \"s3.example.org\"",
            ),
            Some((host, Some(port))) => Some(format!("{host}:{port}")),
            Some((host, None)) => Some(host),
            None => value.problem(
                "not a host name",
                "write a name such as \"s3.example.org\", without scheme or path",
            ),
        });
    let read: Vec<String> = read.collect();
    (read.len() == hosts.len()).then_some(read)
}
