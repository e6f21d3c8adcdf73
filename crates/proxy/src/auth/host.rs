//! The host that a client signed, which need not be the one that reached us.

use http::header::HOST;
use http::request::Parts;

use super::authenticate::AuthSettings;
use super::error::AuthError;
use super::limits::MAX_HOST_LENGTH;

/// Every form of the host that a signature may cover, the received one first.
///
/// Clients disagree about whether a default port belongs in it, so each is tried with and without; a terminator in front of us may have
/// replaced the received one, so the configured external names are tried too.
///
/// # Errors
/// No host, more than one, or one that is not plausible.
pub(super) fn signed_forms(
    parts: &Parts,
    settings: &AuthSettings,
) -> Result<Vec<String>, AuthError> {
    let mut forms = Vec::with_capacity(2 + 2 * settings.external_hosts.len());
    let external = settings.external_hosts.iter().map(String::as_str);
    for host in std::iter::once(received(parts)?).chain(external) {
        let other = with_or_without_port(host, settings.default_port);
        for form in std::iter::once(host.to_owned()).chain(other) {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    Ok(forms)
}

/// The other way to write a host whose port is the default; none where it has another port.
fn with_or_without_port(host: &str, default_port: u16) -> Option<String> {
    let default_port = format!(":{default_port}");
    match host.strip_suffix(&default_port) {
        Some(bare) => Some(bare.to_owned()),
        None => (!has_port(host)).then(|| format!("{host}{default_port}")),
    }
}

/// The `Host` header, or the authority of an HTTP/2 request. It is proven only by a signature that covers it.
///
/// # Errors
/// No host, more than one, or one that is not plausible.
pub(super) fn received(parts: &Parts) -> Result<&str, AuthError> {
    let mut headers = parts.headers.get_all(HOST).iter();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = match (headers.next(), authority) {
        (Some(header), authority) => {
            let header = header
                .to_str()
                .map_err(|_| AuthError::invalid_request("The Host header must be ASCII."))?;
            if headers.next().is_some()
                || authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(header))
            {
                return Err(AuthError::invalid_request(
                    "The request names more than one host.",
                ));
            }
            header
        }
        (None, Some(authority)) => authority,
        (None, None) => {
            return Err(AuthError::invalid_request(
                "Missing required header for this request: Host",
            ));
        }
    };
    if host.is_empty() || host.len() > MAX_HOST_LENGTH {
        return Err(AuthError::invalid_request(format!(
            "The Host header must have 1 to {MAX_HOST_LENGTH} characters."
        )));
    }
    Ok(host)
}

/// Whether a port follows the name; the colons of a bracketed IPv6 address are none.
fn has_port(host: &str) -> bool {
    host.rsplit_once(']')
        .map_or(host, |(_, rest)| rest)
        .contains(':')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn forms(uri: &str, hosts: &[&str], settings: &AuthSettings) -> Result<Vec<String>, AuthError> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        signed_forms(&request.body(()).unwrap().into_parts().0, settings)
    }

    fn settings(default_port: u16) -> AuthSettings {
        AuthSettings {
            default_port,
            ..AuthSettings::default()
        }
    }

    #[test]
    fn rule_03_only_the_default_port_may_come_and_go() {
        assert_eq!(
            forms("/", &["a.example"], &settings(80)).unwrap(),
            ["a.example", "a.example:80"]
        );
        assert_eq!(
            forms("/", &["a.example:80"], &settings(80)).unwrap(),
            ["a.example:80", "a.example"]
        );
        assert_eq!(
            forms("/", &["a.example:443"], &settings(80)).unwrap(),
            ["a.example:443"]
        );
        assert_eq!(
            forms("/", &["a.example:9000"], &settings(443)).unwrap(),
            ["a.example:9000"]
        );
        assert_eq!(
            forms("/", &["[::1]"], &settings(443)).unwrap(),
            ["[::1]", "[::1]:443"]
        );
        assert_eq!(
            forms("/", &["[::1]:9000"], &settings(443)).unwrap(),
            ["[::1]:9000"]
        );
    }

    #[test]
    fn external_names_are_tried_too() {
        let settings = AuthSettings {
            external_hosts: vec!["s3.example".to_owned(), "s3.example:8443".to_owned()],
            ..settings(443)
        };
        assert_eq!(
            forms("/", &["10.0.0.1:9000"], &settings).unwrap(),
            [
                "10.0.0.1:9000",
                "s3.example",
                "s3.example:443",
                "s3.example:8443"
            ]
        );
        assert_eq!(
            forms("/", &["s3.example:443"], &settings).unwrap(),
            ["s3.example:443", "s3.example", "s3.example:8443"]
        );
    }

    #[test]
    fn there_is_exactly_one_host() {
        let settings = settings(80);
        assert_eq!(
            forms("http://a.example:9000/", &[], &settings).unwrap(),
            ["a.example:9000"]
        );
        assert!(forms("http://A.example:9000/", &["a.example:9000"], &settings).is_ok());
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a", "b"][..]),
            ("/", &[""][..]),
            ("http://a.example/", &["b.example"][..]),
        ] {
            assert!(
                matches!(
                    forms(uri, hosts, &settings),
                    Err(AuthError::InvalidRequest { .. })
                ),
                "{uri} {hosts:?}"
            );
        }
        assert!(forms("/", &["a".repeat(MAX_HOST_LENGTH).as_str()], &settings).is_ok());
        assert!(forms("/", &["a".repeat(MAX_HOST_LENGTH + 1).as_str()], &settings).is_err());
    }

    #[test]
    fn the_received_host_is_known_where_there_is_one() {
        let parts = |host: &str| {
            let request = Request::builder().header(HOST, host).body(());
            request.unwrap().into_parts().0
        };
        let received = |host| super::super::received_host(&parts(host)).map(str::to_owned);
        assert_eq!(received("a.example").as_deref(), Some("a.example"));
        assert_eq!(received(""), None);
    }
}
