//! Addresses of documents and hooks of others: scheme, host, port, path and query.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use super::endpoint::{self, Endpoint, Scheme};
use super::table::{Table, Value};

/// A URL with path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress {
    /// The server.
    pub endpoint: Endpoint,
    /// Path and query, with their first slash.
    path: String,
    /// PEM file of the only certificate authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Display for WebAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.endpoint, self.path)
    }
}

impl WebAddress {
    /// Reads one that a command is given. Plaintext is for this machine alone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, ca_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let (endpoint, path) = split(text, &['/'])
            .context("is not a URL: write one such as https://gateway.example.org")?;
        ensure!(
            endpoint.scheme() == Scheme::Https || endpoint.is_loopback(),
            "is plaintext http to another machine: write https"
        );
        Ok(Self {
            endpoint,
            path,
            // The environment may name authorities for all that is https.
            ca_file,
        })
    }
}

/// Server and path; the path begins at the first of `ends`, if it has one.
fn split(text: &str, ends: &[char]) -> Option<(Endpoint, String)> {
    let start = text.find("://").map_or(0, |place| place + 3);
    let end = text
        .get(start..)
        .and_then(|rest| rest.find(ends))
        .map_or(text.len(), |place| start + place);
    let (server, path) = text.split_at_checked(end)?;
    let path = if path.is_empty() { "/" } else { path };
    path.parse::<http::uri::PathAndQuery>().ok()?;
    Some((Endpoint::parse(server)?, path.to_owned()))
}

/// What a URL may look like, and what is advised where it does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    ends: &'static [char],
    advice: &'static str,
}

/// Of a hook, or of a list that is fetched.
pub(super) const HOOK: Form = Form {
    ends: &['/'],
    advice: "write one such as \"https://hooks.example.org/path\"",
};

/// Of an identity provider's keys, whose URL may have a query and no path.
pub(super) const KEY_SET: Form = Form {
    ends: &['/', '?'],
    advice: "write it as the provider's discovery document has it, such as \"https://issuer.example.org/jwks.json\"",
};

/// Reads one, and refuses plaintext over a network unless the table says `allow_plaintext = true`.
pub(super) fn read(
    table: &Table<'_>,
    value: &Value<'_>,
    form: Form,
    allow_plaintext: bool,
    ca_file: Option<PathBuf>,
) -> Option<WebAddress> {
    let text = value.text()?;
    let Some((endpoint, path)) = split(text, form.ends) else {
        return value.problem("not a URL", form.advice);
    };
    endpoint::check_plaintext(table, value, &endpoint, allow_plaintext, ca_file.is_some())?;
    Some(WebAddress {
        endpoint,
        path,
        ca_file,
    })
}
