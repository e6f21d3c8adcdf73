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
