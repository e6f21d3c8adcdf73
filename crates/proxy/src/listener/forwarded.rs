//! The client's address behind proxies that speak HTTP: `Forwarded` (RFC 7239) or `X-Forwarded-For`, believed only as far as the chain of
//! trusted proxies reaches.
//!
//! Each proxy appends whom it was asked by, so the list is walked from its end, and the first address that is no trusted proxy is the client;
//! what stands before it was written by that client, and can say anything. For the same reason elements are cut at commas from the right,
//! and not read as one list: an open quotation mark on the left must not swallow what a trusted proxy appended.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use super::limits::HOP_LIMIT;
use crate::config::{ForwardedHeader, Scheme};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who is believed, and which header they write.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// The networks of the proxies.
    pub trusted: Vec<IpNet>,
    /// The header that they write.
    pub header: ForwardedHeader,
}

/// The client as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// The scheme that it used, where a trusted proxy says so.
    pub scheme: Option<Scheme>,
}

impl Forwarding {
    /// The client of a request that arrived from `nearest`.
    pub fn client(&self, nearest: IpAddr, headers: &HeaderMap) -> Client {
        let mut client = Client {
            address: nearest,
            scheme: None,
        };
        if !contains(&self.trusted, nearest) {
            return client;
        }
        let name = match self.header {
            ForwardedHeader::Forwarded => FORWARDED,
            ForwardedHeader::XForwardedFor => {
                client.scheme = from_the_right(headers, &X_FORWARDED_PROTO)
                    .next()
                    .and_then(scheme);
                X_FORWARDED_FOR
            }
        };
        for element in from_the_right(headers, &name).take(HOP_LIMIT) {
            let (node, named_scheme) = match self.header {
                ForwardedHeader::Forwarded => read_element(element),
                ForwardedHeader::XForwardedFor => (element, None),
            };
            // `unknown` and obfuscated names end the walk: whoever stands before them is not known.
            let Some(address) = address(node) else { break };
            client.address = address;
            client.scheme = named_scheme.or(client.scheme);
            if !contains(&self.trusted, address) {
                break;
            }
        }
        client
    }
}

/// Whether an address is in one of the networks.
pub(super) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The elements of a list header, the last one first. One that is no text ends the list, and not the whole line with it: what a trusted proxy
/// appended to a client's bytes is on the same line.
fn from_the_right<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    lines
        .into_iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map_while(|element| std::str::from_utf8(element).ok())
        .map(str::trim)
}

/// The node and the scheme of one element of `Forwarded`; the node is empty where there is none.
fn read_element(element: &str) -> (&str, Option<Scheme>) {
    let (mut node, mut found) = ("", None);
    for pair in element.split(';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let value = unquoted(value.trim());
        match name.trim() {
            name if name.eq_ignore_ascii_case("for") => node = value,
            name if name.eq_ignore_ascii_case("proto") => found = scheme(value),
            _ => {}
        }
    }
    (node, found)
}

/// No address and no scheme needs an escape inside of its quotation marks.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

fn scheme(name: &str) -> Option<Scheme> {
    if name.eq_ignore_ascii_case("https") {
        Some(Scheme::Https)
    } else if name.eq_ignore_ascii_case("http") {
        Some(Scheme::Http)
    } else {
        None
    }
}

/// An address with or without port, an IPv6 address with or without brackets.
fn address(node: &str) -> Option<IpAddr> {
    let in_brackets = |node: &str| node.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = |node: &str| Some(node.parse::<SocketAddr>().ok()?.ip());
    let address = node
        .parse()
        .ok()
        .or_else(|| in_brackets(node))
        .or_else(|| with_port(node))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn forwarding(header: ForwardedHeader) -> Forwarding {
        Forwarding {
            trusted: ["10.0.0.0/8", "fd00::/8"]
                .map(|network| network.parse().unwrap())
                .to_vec(),
            header,
        }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn client(
        header: ForwardedHeader,
        nearest: &str,
        lines: &[(&'static str, &str)],
    ) -> (String, Option<Scheme>) {
        let found = forwarding(header).client(nearest.parse().unwrap(), &headers(lines));
        (found.address.to_string(), found.scheme)
    }

    fn by_list(nearest: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        client(ForwardedHeader::XForwardedFor, nearest, &lines).0
    }

    #[test]
    fn bytes_that_are_no_text_hide_nobody() {
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"\xff\xfe, 203.0.113.7, 10.0.0.2").unwrap();
        headers.append(X_FORWARDED_FOR, line);
        let nearest = "10.0.0.1".parse().unwrap();
        let found = forwarding(ForwardedHeader::XForwardedFor).client(nearest, &headers);
        assert_eq!(found.address.to_string(), "203.0.113.7");
    }

    #[test]
    fn only_the_chain_of_trusted_proxies_is_believed() {
        // Nobody in between, or nobody who is trusted.
        assert_eq!(by_list("198.51.100.1", &["203.0.113.7"]), "198.51.100.1");
        assert_eq!(by_list("10.0.0.1", &[]), "10.0.0.1");
        // One proxy, and two of them.
        assert_eq!(by_list("10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(
            by_list("10.0.0.1", &["203.0.113.7, 10.0.0.2"]),
            "203.0.113.7"
        );
        // What the client wrote itself stays unread.
        assert_eq!(
            by_list("10.0.0.1", &["127.0.0.1, 203.0.113.7", "10.0.0.2"]),
            "203.0.113.7"
        );
        assert_eq!(
            by_list("10.0.0.1", &["127.0.0.1", "203.0.113.7"]),
            "203.0.113.7"
        );
        // Nothing but trusted addresses: the first of them asked.
        assert_eq!(by_list("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        // A name that is none ends the walk.
        assert_eq!(
            by_list("10.0.0.1", &["203.0.113.7, unknown, 10.0.0.2"]),
            "10.0.0.2"
        );
    }

    #[test]
    fn addresses_come_in_many_forms() {
        for (written, read) in [
            ("203.0.113.7:4711", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
        ] {
            assert_eq!(by_list("fd00::1", &[written]), read);
        }
    }

    #[test]
    fn elements_of_forwarded_are_read_from_the_right() {
        let ask = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
            client(ForwardedHeader::Forwarded, "10.0.0.1", &lines)
        };
        let https = Some(Scheme::Https);
        assert_eq!(
            ask(&["For=\"[2001:db8::7]:4711\";Proto=https;by=10.0.0.1"]),
            ("2001:db8::7".into(), https)
        );
        assert_eq!(
            ask(&["for=203.0.113.7;proto=https, for=10.0.0.2;proto=http"]),
            ("203.0.113.7".into(), https)
        );
        // A client that leaves a quotation mark open hides nothing.
        assert_eq!(
            ask(&["for=\"127.0.0.1", "for=203.0.113.7; proto=http"]),
            ("203.0.113.7".into(), Some(Scheme::Http))
        );
        assert_eq!(ask(&["for=_hidden;proto=https"]), ("10.0.0.1".into(), None));
    }

    #[test]
    fn only_the_configured_header_counts() {
        let lines = [
            ("forwarded", "for=203.0.113.1;proto=https"),
            ("x-forwarded-for", "203.0.113.2"),
            ("x-forwarded-proto", "http, https"),
        ];
        assert_eq!(
            client(ForwardedHeader::Forwarded, "10.0.0.1", &lines),
            ("203.0.113.1".into(), Some(Scheme::Https))
        );
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines),
            ("203.0.113.2".into(), Some(Scheme::Https))
        );
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, "198.51.100.1", &lines),
            ("198.51.100.1".into(), None)
        );
    }

    proptest! {
        #[test]
        fn a_client_chooses_no_address_but_its_own(written in "[ -~]{0,60}", quoted: bool) {
            let own = "203.0.113.7";
            let appended = if quoted { format!("for=\"{own}:1\"") } else { format!("for={own}") };
            let found = client(
                ForwardedHeader::Forwarded,
                "10.0.0.1",
                &[("forwarded", &format!("{written}, {appended}"))],
            );
            prop_assert_eq!(found.0, own);
            prop_assert_eq!(by_list("10.0.0.1", &[&format!("{written}, {own}")]), own);
        }
    }
}
