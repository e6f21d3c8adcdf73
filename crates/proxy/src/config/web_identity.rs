//! `[[web_identity_provider]]`: others whose word is taken for who somebody is.

use std::collections::BTreeSet;
use std::sync::Arc;

use sealgate_access::web_identity::Provider;

use super::identity::checked_name;
use super::secret::Surroundings;
use super::table::{Table, Value, read_each};
use super::upstream::read_ca_file;
use super::web_address::{self, WebAddress};

/// The longest file of keys, in bytes.
const FILE_LIMIT: u64 = 256 * 1024;

/// The most providers, and the most subjects of one trust.
const COUNT_LIMIT: usize = 100;

/// An identity provider (OpenID Connect).
#[derive(Clone, Debug, PartialEq)]
pub struct WebIdentityProviderConfig {
    /// Its name in the configuration.
    pub name: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// What `aud` of its tokens may be; one of them.
    pub audiences: Vec<String>,
    /// What its tokens are verified with.
    pub keys: JwksConfig,
}

/// Where a provider's public keys are.
#[derive(Clone, Debug)]
pub enum JwksConfig {
    /// In a file, which was read with the configuration.
    File(Arc<Provider>),
    /// At a URL, asked again from time to time.
    Url(WebAddress),
}

/// A set that was read is compared by nothing: it is taken anew with each configuration.
impl PartialEq for JwksConfig {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Url(one), Self::Url(other)) if one == other)
    }
}

/// Which of a provider's people may assume a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustConfig {
    /// The provider's name.
    pub provider: String,
    /// What `sub` may be; `*` stands for any run of characters.
    subjects: Vec<String>,
}

impl TrustConfig {
    /// Whether it is about this subject.
    pub fn matches(&self, subject: &str) -> bool {
        self.subjects
            .iter()
            .any(|pattern| matches(pattern, subject))
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        // The first place is the best: it leaves the most for what follows.
        let Some((_, after)) = text.split_once(piece) else {
            return false;
        };
        text = after;
    }
    true
}

/// Reads all `[[web_identity_provider]]`.
pub(super) fn read_all(
    root: &mut Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<Vec<WebIdentityProviderConfig>> {
    let tables = root.tables("web_identity_provider");
    let count = tables.len();
    if count > COUNT_LIMIT {
        return root.problem(
            "too many identity providers",
            format!("name at most {COUNT_LIMIT}"),
        );
    }
    let mut names = BTreeSet::new();
    let providers: Vec<_> = tables
        .into_iter()
        .filter_map(|table| read(table, surroundings, &mut names))
        .collect();
    (providers.len() == count).then_some(providers)
}

fn read(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
    names: &mut BTreeSet<String>,
) -> Option<WebIdentityProviderConfig> {
    let name = table
        .require_text("name", "name = \"NAME\"")
        .and_then(|value| {
            let name = checked_name(&value, value.text()?)?;
            if names.insert(name.clone()) {
                return Some(name);
            }
            value.problem(
                "another provider has this name",
                "give each provider a name of its own",
            )
        });
    let issuer = table
        .require_text(
            "issuer",
            "issuer = \"https://issuer.example.org\", as tokens have it",
        )
        .and_then(|value| value.text().map(str::to_owned));
    let audiences = table
        .require("audiences", "audiences = [\"sealgate\"]")
        .and_then(|value| texts(&value));
    let file = table.take("jwks_file");
    let url = table.take("jwks_url");
    let ca_file = read_ca_file(&mut table, surroundings);
    let allow_plaintext = table.flag("allow_plaintext");
    let keys = match (file, url) {
        (Some(file), None) => {
            if !matches!(ca_file, Ok(None)) || allow_plaintext {
                table.problem::<()>(
                    "ca_file and allow_plaintext are about a jwks_url",
                    "remove them",
                );
            }
            let (issuer, audiences) = (issuer.as_deref(), audiences.as_deref());
            read_file(&file, issuer, audiences, surroundings)
        }
        (None, Some(url)) => {
            web_address::read(&table, &url, web_address::KEY_SET, allow_plaintext, ca_file.ok()?)
                .map(JwksConfig::Url)
        }
        _ => table.problem(
            "of jwks_file and jwks_url there has to be one",
            "name the provider's public keys by jwks_file = \"PATH\" or by jwks_url = \"https://…\"",
        ),
    };
    table.finish();
    Some(WebIdentityProviderConfig {
        name: name?,
        issuer: issuer?,
        audiences: audiences?,
        keys: keys?,
    })
}

fn texts(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.texts()?;
    if items.is_empty() || items.len() > COUNT_LIMIT {
        return value.problem(
            "names none, or too many",
            format!("name 1 to {COUNT_LIMIT}"),
        );
    }
    read_each(&items, |item| item.text().map(str::to_owned))
}

fn read_file(
    value: &Value<'_>,
    issuer: Option<&str>,
    audiences: Option<&[String]>,
    surroundings: Surroundings<'_>,
) -> Option<JwksConfig> {
    let path = surroundings.file(value, "name a JSON file with the provider's JWKS")?;
    let read = || {
        let length = std::fs::metadata(&path)
            .map_err(|error| error.to_string())?
            .len();
        if length > FILE_LIMIT {
            return Err(format!("longer than {FILE_LIMIT} bytes"));
        }
        std::fs::read_to_string(&path).map_err(|error| error.to_string())
    };
    let keys = read().and_then(|text| {
        Provider::new(
            issuer.unwrap_or("-"),
            audiences.unwrap_or(&["-".to_owned()]),
            &text,
        )
        .map_err(|error| error.to_string())
    });
    match keys {
        Ok(provider) => Some(JwksConfig::File(Arc::new(provider))),
        Err(error) => value.problem(
            format!("{}: {error}", path.display()),
            "put the provider's JWKS there: JSON with \"keys\"",
        ),
    }
}

/// Reads a `[[role.web_identity]]`.
pub(super) fn read_trust(
    mut table: Table<'_>,
    providers: &[WebIdentityProviderConfig],
) -> Option<TrustConfig> {
    let provider = table
        .require_text("provider", "provider = \"NAME\"")
        .and_then(|value| {
            let name = value.text()?;
            if providers.iter().any(|provider| provider.name == name) {
                return Some(name.to_owned());
            }
            value.problem(
                "there is no such provider",
                "name one of [[web_identity_provider]]",
            )
        });
    let subjects = table
        .require(
            "subjects",
            "subjects = [\"SUBJECT\"], as tokens have it in sub",
        )
        .and_then(|value| texts(&value));
    table.finish();
    Some(TrustConfig {
        provider: provider?,
        subjects: subjects?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_any_run_of_characters() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*b", "ab", true),
            ("a*b", "aab", true),
            ("ab*ba", "aba", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            ("a**c", "abc", true),
            ("*a*", "bab", true),
            ("*a*", "b", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn what_a_pattern_was_made_of_fits_it(pieces in prop::collection::vec("[ab]{0,3}", 1..5), runs in prop::collection::vec("[ab]{0,3}", 5)) {
            let text: String = pieces
                .iter()
                .zip(&runs)
                .enumerate()
                .map(|(place, (piece, run))| if place == 0 { piece.clone() } else { format!("{run}{piece}") })
                .collect();
            prop_assert!(matches(&pieces.join("*"), &text));
        }
    }
}
