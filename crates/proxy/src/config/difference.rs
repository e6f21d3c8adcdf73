//! Which keys of two configurations differ. Texts are compared, which hold no secrets; whether a file that a key names has changed is another
//! question.

use toml::{Table, Value};

/// Keys that take effect while a gateway runs; a key below one of them does, too.
const LIVE: [&str; 13] = [
    "grants",
    "identity",
    "limits.concurrent_requests",
    "limits.per_address",
    "limits.per_identity",
    "limits.unsigned_requests",
    "listener.tls",
    "log.level",
    "admin.tls",
    "policy",
    "role",
    "sessions",
    "web_identity_provider",
];

/// Whether a change of this key takes effect while a gateway runs.
pub fn is_live(key: &str) -> bool {
    let is_below = |live: &str| {
        key.strip_prefix(live)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    LIVE.iter().any(|live| is_below(live))
}

/// The keys whose values differ, in the order of the first. Tables in lists are one key.
pub fn differing_keys(one: &str, other: &str) -> Vec<String> {
    // Both were read before; what is no TOML was refused then.
    let read = |text: &str| text.parse::<Table>().unwrap_or_default();
    let mut found = Vec::new();
    compare("", &read(one), &read(other), &mut found);
    found
}

fn compare(path: &str, one: &Table, other: &Table, found: &mut Vec<String>) {
    let only_other = other.iter().filter(|(key, _)| !one.contains_key(*key));
    for (key, _) in one.iter().chain(only_other) {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        match (one.get(key), other.get(key)) {
            (Some(Value::Table(one)), Some(Value::Table(other))) => {
                compare(&path, one, other, found);
            }
            // A table that came or went: what is in it decides whether that can wait.
            (Some(Value::Table(table)), None) | (None, Some(Value::Table(table))) => {
                compare(&path, table, &Table::new(), found);
            }
            (one, other) if one == other => {}
            _ => found.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_with_their_tables() {
        let one = "a = 1\n[listener]\naddress = \"x\"\ntls = { key = \"k\" }\n[[identity]]\nname = \"n\"\n[log]\n";
        let other = "a = 1\n[listener]\naddress = \"y\"\ntls = { key = \"l\" }\n[[identity]]\nname = \"m\"\n[limits]\nb = 2\n[log]\n";
        assert_eq!(
            differing_keys(one, other),
            [
                "identity",
                "listener.address",
                "listener.tls.key",
                "limits.b"
            ]
        );
        assert!(differing_keys(one, one).is_empty());
    }

    #[test]
    fn keys_below_a_live_one_are_live() {
        for key in [
            "identity",
            "identity[0].credential[1].secret_access_key",
            "listener.tls.key",
            "log.level",
            "policy.rule",
            "policy.files[0]",
        ] {
            assert!(is_live(key), "{key}");
        }
        for key in [
            "log.format",
            "listener.tlsx",
            "upstream.region",
            "limits",
            "limits.connections",
            "limits.connections_per_address",
        ] {
            assert!(!is_live(key), "{key}");
        }
    }
}
