//! Addresses of servers: scheme, host, port, and nothing else.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::table::{Table, Value};

/// The scheme of an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plaintext HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The address of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    /// Lower case; an IPv6 address keeps its brackets.
    host: String,
    port: Option<u16>,
}

impl Endpoint {
    /// Reads `scheme://host` or `scheme://host:port`; one `/` may follow. `None` for anything else: a path, a query or
    /// user information would silently be ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = match text.split_once("://")? {
            ("http", authority) => (Scheme::Http, authority),
            ("https", authority) => (Scheme::Https, authority),
            _ => return None,
        };
        let (host, port) = parse_authority(authority.strip_suffix('/').unwrap_or(authority))?;
        Some(Self { scheme, host, port })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where none was written.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.default_port())
    }

    /// `host` or `host:port`, as a `Host` header has it: without the scheme's default port.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) if port != self.scheme.default_port() => format!("{}:{port}", self.host),
            _ => self.host.clone(),
        }
    }

    /// Whether the host is this machine by its form: `localhost`, a name below it (RFC 6761, section 6.3), or a loopback address. Names are
    /// not resolved.
    pub fn is_loopback(&self) -> bool {
        let is_local = self.host == "localhost" || self.host.ends_with(".localhost");
        is_local || self.address().is_some_and(|address| address.is_loopback())
    }

    /// The host as an IP address, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// Reads `host` or `host:port` into the host in lower case and the port.
pub(super) fn parse_authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of an IPv6 address in brackets is inside them where no port follows.
        Some((host, port)) if !port.contains(']') => {
            let number: u16 = port.parse().ok()?;
            // One spelling only: `parse` alone would let "+80" and "0080" through.
            (
                host,
                Some((number != 0 && port == number.to_string()).then_some(number)?),
            )
        }
        _ => (text, None),
    };
    let legal = match host.strip_prefix('[') {
        Some(address) => address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => is_host_name(host),
    };
    legal.then(|| (host.to_ascii_lowercase(), port))
}

/// Whether `host` is a name by RFC 1123 section 2.1, or an IPv4 address. Underscores occur in container networks.
fn is_host_name(host: &str) -> bool {
    let legal_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.len() <= 253 && host.split('.').all(legal_label)
}

/// Reads the endpoint in `value` and refuses plaintext over a network, unless the table says `allow_plaintext = true`.
pub(super) fn read(
    table: &Table<'_>,
    value: &Value<'_>,
    allow_plaintext: bool,
    has_ca_file: bool,
) -> Option<Endpoint> {
    let Some(endpoint) = Endpoint::parse(value.text()?) else {
        return value.problem(
            "not the address of a server",
            "write scheme, host and port alone, such as \"https://s3.example.org\" or \"http://127.0.0.1:9000\"",
        );
    };
    check_plaintext(table, value, &endpoint, allow_plaintext, has_ca_file)?;
    Some(endpoint)
}

/// Refuses plaintext over a network, unless the table says `allow_plaintext = true`.
pub(super) fn check_plaintext(
    table: &Table<'_>,
    value: &Value<'_>,
    endpoint: &Endpoint,
    allow_plaintext: bool,
    has_ca_file: bool,
) -> Option<()> {
    match endpoint.scheme {
        Scheme::Http if !endpoint.is_loopback() && !allow_plaintext => value.problem(
            "plaintext http to another machine",
            "use https, with ca_file if its certificate is of your own authority, or add allow_plaintext = true if the network is trusted",
        ),
        Scheme::Http if has_ca_file => {
            table.problem("ca_file contradicts an http endpoint", "use https, or remove ca_file")
        }
        Scheme::Https if allow_plaintext => {
            table.problem("allow_plaintext = true contradicts an https endpoint", "remove allow_plaintext")
        }
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_shown_without_default_port() {
        for (text, shown, port, loopback) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000", 9000, true),
            (
                "https://S3.Example.org/",
                "https://s3.example.org",
                443,
                false,
            ),
            (
                "https://s3.example.org:443",
                "https://s3.example.org",
                443,
                false,
            ),
            ("http://localhost", "http://localhost", 80, true),
            ("http://s3.localhost", "http://s3.localhost", 80, true),
            ("http://notlocalhost", "http://notlocalhost", 80, false),
            ("http://[::1]:9000", "http://[::1]:9000", 9000, true),
            ("http://[2001:db8::1]", "http://[2001:db8::1]", 80, false),
            ("http://minio_1:9000", "http://minio_1:9000", 9000, false),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(
                (endpoint.port(), endpoint.is_loopback()),
                (port, loopback),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_but_scheme_host_and_port_is_refused() {
        for text in [
            "s3.example.org",
            "ftp://host",
            "http://",
            "http://host/path",
            "http://user@host",
            "http://host?x",
            "http://host:",
            "http://host:0",
            "http://host:+80",
            "http://host:65536",
            "http://[::1",
            "http://::1",
            "http://a..b",
            "http://-a",
            "http://a b",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}
