//! `[credentials]`: the directory of the access keys that `sealgate credentials` makes.

use std::path::PathBuf;

use super::domain::DomainConfig;
use super::mode::Mode;
use super::secret::Surroundings;
use super::table::Table;
use crate::credentials::RESERVED_DOMAINS;

/// Where access keys lie beside those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsConfig {
    /// The directory, the same for the commands and for all gateways.
    pub directory: PathBuf,
}

pub(super) fn read(
    mut table: Table<'_>,
    mode: Option<Mode>,
    surroundings: Surroundings<'_>,
) -> Option<CredentialsConfig> {
    let directory = table
        .require_text("directory", "directory = \"credentials\"")
        .and_then(|value| Some(surroundings.path(value.text()?)));
    if mode == Some(Mode::WriteOnly) {
        table.problem::<()>(
            "a write-only gateway may open nothing by its key services, so it could not open the secrets in this directory",
            "remove [credentials] here, and name the secrets by [[identity.credential]] with \"file:PATH\", or by SEALGATE_ACCESS_KEY_ID and SEALGATE_SECRET_ACCESS_KEY_FILE in the environment",
        );
    }
    table.finish();
    Some(CredentialsConfig {
        directory: directory?,
    })
}

/// Secrets of access keys are sealed for a domain of their own, so that no object can ever pass for one.
pub(super) fn check_domains(root: &Table<'_>, deployment: &str, domains: &[DomainConfig]) {
    let reserved = format!("{deployment}{RESERVED_DOMAINS}");
    let names = domains
        .iter()
        .flat_map(|domain| domain.name.iter().chain(&domain.former));
    for name in names.filter(|name| name.starts_with(&reserved)) {
        root.problem::<()>(
            format!("a [[domain]] has the name {name:?}, and what begins with {reserved:?} is for the gateway itself"),
            "give it another name",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::tests::{GOOD, parse};

    fn with(more: &str) -> Result<Config, String> {
        parse(&format!("{GOOD}\n{more}")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_identity_may_have_its_access_keys_in_the_directory_alone() {
        let more = "[credentials]\ndirectory = \"keys\"\n[[identity]]\nname = \"other\"\n";
        let config = with(more).unwrap();
        assert!(config.identities[1].credentials.is_empty());
        let place = config.credentials.unwrap().directory;
        assert_eq!(place, std::path::Path::new("/nonexistent/keys"));
        let error = with("[[identity]]\nname = \"other\"\n").unwrap_err();
        assert!(
            error.contains("has no credential") && error.contains("[credentials]"),
            "{error}"
        );
    }

    #[test]
    fn a_write_only_gateway_is_told_where_secrets_go_instead() {
        let text = format!("mode = \"write-only\"\n{GOOD}\n[credentials]\ndirectory = \"keys\"\n");
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("credentials: a write-only gateway"),
            "{error}"
        );
        assert!(error.contains("SEALGATE_SECRET_ACCESS_KEY_FILE"), "{error}");
    }

    #[test]
    fn no_object_is_of_the_domain_of_access_keys() {
        for name in ["test-1/:credentials", "test-1/:{bucket}"] {
            for key in ["name = ", "former = "] {
                let value = match key {
                    "name = " => format!("\"{name}\""),
                    _ => format!("[\"{name}\"]"),
                };
                let error =
                    with(&format!("[[domain]]\nbuckets = [\"b\"]\n{key}{value}\n")).unwrap_err();
                assert!(error.contains("for the gateway itself"), "{error}");
            }
        }
        assert!(with("[[domain]]\nbuckets = [\"b\"]\nname = \"test-1/b:c\"\n").is_ok());
    }
}
