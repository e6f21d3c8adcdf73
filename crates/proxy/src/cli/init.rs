//! `sealgate init`: a configuration to start from, with a fresh deployment id.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::new_file::{self, COMMON};
use super::output;
use super::random::random_hex;

/// What the file is made from.
const TEMPLATE: &str = include_str!("init.toml");

/// Write a configuration to start from, with a fresh deployment id
///
/// An existing file is never overwritten. Back the new one up: its deployment id is part of what every object is bound
/// to, and can't be found out again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealgate init --output sealgate.toml")]
pub(super) struct InitArguments {
    /// Where to write it
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    output: PathBuf,
}

pub(super) fn run(arguments: &InitArguments) -> anyhow::Result<()> {
    let path = &arguments.output;
    let deployment = random_hex::<16>()?;
    write_new(
        path,
        &render(
            &deployment,
            &format!("SG{}", random_hex::<9>()?.to_uppercase()),
        ),
    )?;
    let path = path.display();
    output::line(&format!(
        "wrote {path} with deployment id {deployment}\n\
         back it up: under another deployment id, nothing that is stored will open\n\
         next: edit [upstream], [[key_service]] and [[identity]], set SEALGATE_APP_SECRET, then run\n  \
         sealgate check --config {path}"
    ))
}

fn render(deployment: &str, access_key_id: &str) -> String {
    TEMPLATE
        .replace("{deployment}", deployment)
        .replace("{access_key_id}", access_key_id)
}

fn write_new(path: &Path, content: &str) -> anyhow::Result<()> {
    new_file::write_new(path, COMMON, content.as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow!(
            "{} exists and is never overwritten: its deployment id may protect data; name another file with --output",
            path.display()
        ),
        _ => anyhow!("{}: {error}; name a file in a directory that you may write to with --output", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Surroundings};

    #[test]
    fn the_template_loads() {
        let environment =
            |name: &str| (name == "SEALGATE_APP_SECRET").then(|| "a-secret-of-the-app".to_owned());
        let surroundings = Surroundings {
            directory: Path::new("."),
            environment: &environment,
        };
        let config = Config::parse(&render("0123456789abcdef", "SGTEST"), surroundings).unwrap();
        assert_eq!(config.deployment, "0123456789abcdef");
        assert_eq!(config.identities[0].credentials[0].access_key_id, "SGTEST");
    }
}
