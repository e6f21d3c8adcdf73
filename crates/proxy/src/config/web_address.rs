//! Addresses of documents and hooks of others: scheme, host, port, path and query.

use std::fmt;
use std::path::PathBuf;

use super::endpoint::{self, Endpoint};
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

/// Reads one, and refuses plaintext over a network unless the table says `allow_plaintext = true`.
pub(super) fn read(
    table: &Table<'_>,
    value: &Value<'_>,
    allow_plaintext: bool,
    ca_file: Option<PathBuf>,
) -> Option<WebAddress> {
    let text = value.text()?;
    let start = text.find("://").map_or(0, |place| place + 3);
    let end = text
        .get(start..)
        .and_then(|rest| rest.find('/'))
        .map_or(text.len(), |place| start + place);
    let (server, path) = text.split_at_checked(end)?;
    let path = if path.is_empty() { "/" } else { path };
    let is_path = path.parse::<http::uri::PathAndQuery>().is_ok();
    let Some(endpoint) = Endpoint::parse(server).filter(|_| is_path) else {
        return value.problem(
            "not a URL",
            "write one such as \"https://hooks.example.org/path\"",
        );
    };
    endpoint::check_plaintext(table, value, &endpoint, allow_plaintext, ca_file.is_some())?;
    Some(WebAddress {
        endpoint,
        path: path.to_owned(),
        ca_file,
    })
}
