//! `[listener]`: where clients connect, and under which host names buckets are found.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::binding::{self, TlsFiles};
use super::endpoint::{Scheme, parse_authority};
use super::secret::Surroundings;
use super::table::{Table, Value, read_each};

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
    /// The scheme that clients use where TLS ends in front of us; `None` where it is the listener's own.
    pub external_scheme: Option<Scheme>,
    /// Peers whose connections must begin with a PROXY protocol header; from any other, none is accepted.
    pub proxy_protocol: Vec<IpNet>,
    /// Proxies whose [`Self::forwarded_header`] is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where trusted proxies write the client's address.
    pub forwarded_header: ForwardedHeader,
}

impl ListenerConfig {
    /// Plaintext HTTP on an address, with nobody in front.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            base_domains: Vec::new(),
            external_hosts: Vec::new(),
            regions: None,
            external_scheme: None,
            proxy_protocol: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
        }
    }

    /// The scheme that clients use.
    pub fn client_scheme(&self) -> Scheme {
        match (self.external_scheme, &self.tls) {
            (Some(scheme), _) => scheme,
            (None, Some(_)) => Scheme::Https,
            (None, None) => Scheme::Http,
        }
    }
}

/// The header in which proxies say who asked them. Only one is read: a proxy that writes one of them passes the other on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` for the scheme.
    #[default]
    XForwardedFor,
}

/// Reads `[listener]`.
pub(super) fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<ListenerConfig> {
    let binding = binding::read(
        &mut table,
        surroundings,
        "address = \"127.0.0.1:8014\"",
        "clients would reach this address over plaintext HTTP",
        |_, address| Some(address),
    )?;
    let base_domains = read_hosts(table.take("base_domains"), PortRule::Refused);
    let external_hosts = read_hosts(table.take("external_hosts"), PortRule::Allowed);
    let regions = table.take("regions").map(|value| read_regions(&value));
    let external_scheme = match table.take("external_scheme") {
        Some(value) => value
            .choice(&[("http", Scheme::Http), ("https", Scheme::Https)])
            .and_then(|scheme| {
                if scheme == Scheme::Http && binding.has_tls {
                    return value.problem(
                        "clients can't use http where the listener speaks TLS",
                        "remove it, or remove tls",
                    );
                }
                Some(Some(scheme))
            }),
        None => Some(None),
    };
    let proxy_protocol = read_networks(table.take("proxy_protocol"));
    let trusted_proxies = read_networks(table.take("trusted_proxies"));
    let forwarded_header = match table.take("forwarded_header") {
        Some(value) if trusted_proxies.as_ref().is_some_and(Vec::is_empty) => value.problem(
            "nobody is trusted to write it",
            "name the proxies in trusted_proxies, or remove it",
        ),
        Some(value) => value.choice(&[
            ("forwarded", ForwardedHeader::Forwarded),
            ("x-forwarded-for", ForwardedHeader::XForwardedFor),
        ]),
        None => Some(ForwardedHeader::default()),
    };
    table.finish();
    let (address, tls) = binding.whole()?;
    Some(ListenerConfig {
        address,
        tls,
        base_domains: base_domains?,
        external_hosts: external_hosts?,
        regions: match regions {
            Some(regions) => Some(regions?),
            None => None,
        },
        external_scheme: external_scheme?,
        proxy_protocol: proxy_protocol?,
        trusted_proxies: trusted_proxies?,
        forwarded_header: forwarded_header?,
    })
}

fn read_networks(value: Option<Value<'_>>) -> Option<Vec<IpNet>> {
    let Some(value) = value else {
        return Some(Vec::new());
    };
    let networks = value.texts()?;
    read_each(&networks, |value| {
        let text = value.text()?;
        let network = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) if network.prefix_len() == 0 => value.problem(
                "that is everybody",
                "name the addresses of your own proxies: whoever is on this list can claim to be any client",
            ),
            Ok(network) => Some(network.trunc()),
            Err(_) => value.problem(
                "not an address or a network",
                "write an address such as \"10.0.0.5\", or a network such as \"10.0.0.0/8\" or \"fd00::/8\"",
            ),
        }
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
    read_each(&hosts, |value| match parse_authority(value.text()?) {
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
    })
}
