//! Nothing that a client writes itself in front of what trusted proxies append makes it another client.
#![no_main]

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header::HeaderName};
use libfuzzer_sys::fuzz_target;
use sealgate::config::ForwardedHeader;
use sealgate::listener::forwarded::{Client, Forwarding};

const NEAREST: &str = "10.0.0.1";

fn client(kind: ForwardedHeader, lines: &[&str]) -> Option<Client> {
    let forwarding = Forwarding {
        trusted: vec!["10.0.0.0/8".parse().expect("a network")],
        header: kind,
    };
    let name = match kind {
        ForwardedHeader::Forwarded => "forwarded",
        ForwardedHeader::XForwardedFor => "x-forwarded-for",
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let value = HeaderValue::from_str(line).ok()?;
        headers.append(HeaderName::from_static(name), value);
    }
    Some(forwarding.client(NEAREST.parse().expect("an address"), &headers))
}

fuzz_target!(|input: (bool, &str)| {
    let (is_list, text) = input;
    let (kind, appended) = if is_list {
        (ForwardedHeader::XForwardedFor, "203.0.113.7, 10.0.0.2")
    } else {
        let elements = "for=203.0.113.7;proto=https, for=\"10.0.0.2:4711\"";
        (ForwardedHeader::Forwarded, elements)
    };
    let honest = client(kind, &[appended]).expect("text");
    assert_eq!(
        honest.address,
        "203.0.113.7".parse::<IpAddr>().expect("an address")
    );
    let in_front = format!("{text}, {appended}");
    for lines in [&[in_front.as_str()][..], &[text, appended]] {
        if let Some(forged) = client(kind, lines) {
            assert_eq!(forged, honest, "{lines:?}");
        }
    }
    // Alone it may say anything, and be cut anywhere.
    if let Some(alone) = client(kind, &[text]) {
        let nearest: IpAddr = NEAREST.parse().expect("an address");
        assert!(alone.address == nearest || !text.is_empty());
    }
});
