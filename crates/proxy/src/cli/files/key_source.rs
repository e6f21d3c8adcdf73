//! Where the keys of files come from.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::keyring::Keyring;

use crate::cli::kms;
use crate::cli::passphrase::PassphraseArgument;
use crate::config::{Config, KeyServiceConfig};
use crate::gateway;

/// Exactly one of a key file, a KMS key and a configuration.
#[derive(Debug, Args)]
// The group that clap derives has every field in it, and so would let --kms-endpoint exclude the key that it belongs to.
#[group(skip)]
#[command(group(ArgGroup::new("key_source").required(true).args(["key_file", "kms_key", "config"])))]
pub(in crate::cli) struct KeySource {
    /// A local key file; `sealgate key-file create` makes one
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    #[command(flatten)]
    passphrase: PassphraseArgument,

    /// A key in AWS KMS or a server like it: id, ARN or alias. Credentials: SEALGATE_KMS_ACCESS_KEY_ID and
    /// SEALGATE_KMS_SECRET_ACCESS_KEY, else as every AWS SDK finds them
    #[arg(long, value_name = "ID")]
    kms_key: Option<String>,

    /// The server of --kms-key, where it is not AWS's own
    // `requires` alone is void beside what --kms-key conflicts with.
    #[arg(long, value_name = "URL", requires = "kms_key", conflicts_with_all = ["key_file", "config"])]
    kms_endpoint: Option<String>,

    /// A configuration file, for the key services that it names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl KeySource {
    /// A keyring over these key services. Nothing is asked of them yet.
    pub(in crate::cli) async fn keyring(&self) -> anyhow::Result<Keyring> {
        let mut services = Vec::new();
        for config in self.key_services()? {
            services.push(gateway::key_service(&config).await?);
        }
        let mut services = services.into_iter();
        let first = services
            .next()
            .context("no key was named; use --key-file, --kms-key or --config")?;
        Ok(services
            .fold(Keyring::builder(first), |builder, service| {
                builder.key_service(service)
            })
            .build()?)
    }

    fn key_services(&self) -> anyhow::Result<Vec<KeyServiceConfig>> {
        if let Some(file) = &self.key_file {
            let passphrase = self
                .passphrase
                .for_file(file, LocalKeyService::is_sealed(file)?)?;
            return Ok(vec![KeyServiceConfig::Local {
                file: file.clone(),
                passphrase,
            }]);
        }
        if let Some(key) = &self.kms_key {
            let config = kms::config(key, self.kms_endpoint.as_deref(), &kms::process_environment)?;
            return Ok(vec![KeyServiceConfig::AwsKms(config)]);
        }
        match &self.config {
            Some(path) => Ok(Config::load(path)?.key_services),
            None => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        keys: KeySource,
    }

    fn is_accepted(flags: &[&str]) -> bool {
        CommandLine::try_parse_from([&["seal"], flags].concat()).is_ok()
    }

    #[test]
    fn one_source_is_named_and_its_server_with_it() {
        for flags in [
            ["--key-file", "k"].as_slice(),
            &["--kms-key", "alias/a"],
            &[
                "--kms-key",
                "alias/a",
                "--kms-endpoint",
                "http://127.0.0.1:1",
            ],
            &["--config", "sealgate.toml"],
            &["--key-file", "k", "--passphrase", "env:P"],
        ] {
            assert!(is_accepted(flags), "{flags:?}");
        }
    }

    #[test]
    fn no_source_and_two_sources_are_refused() {
        for flags in [
            [].as_slice(),
            &["--kms-endpoint", "http://127.0.0.1:1"],
            &["--key-file", "k", "--kms-key", "alias/a"],
            &["--key-file", "k", "--config", "sealgate.toml"],
            &["--key-file", "k", "--kms-endpoint", "http://127.0.0.1:1"],
        ] {
            assert!(!is_accepted(flags), "{flags:?}");
        }
    }
}
