//! Where the keys of files come from.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::{ArgGroup, Args};
use sealgate_envelope::Domain;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::keyring::{Keyring, SealingPolicy};

use crate::cli::kms;
use crate::cli::passphrase::PassphraseArgument;
use crate::config::{Config, KeyServiceConfig, Mode};
use crate::gateway;
use crate::logging;

/// The most wraps in the header of a sealed file (FORMAT.md section 12).
pub(in crate::cli) const MAXIMUM_INLINE_WRAPS: usize = 2;

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
    /// The configuration that has the keys, by which the log begins; none where they are named by themselves.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub(in crate::cli) fn load(&self) -> anyhow::Result<Option<Config>> {
        let Some(path) = &self.config else {
            return Ok(None);
        };
        let config = Config::load(path)?;
        logging::start_for_command(config.log)?;
        Ok(Some(config))
    }

    /// A keyring over the key services of the configuration, or else over the key that is named, which opens. Nothing is asked of them yet.
    ///
    /// # Errors
    ///
    /// Also for a configuration that is write-only.
    pub(in crate::cli) async fn keyring(&self, config: Option<Config>) -> anyhow::Result<Keyring> {
        let services = match config {
            Some(config) => {
                config.require_decryption()?;
                config.key_services
            }
            None => self.key_services()?,
        };
        keyring_over(services, Mode::ReadWrite).await
    }

    /// As [`keyring`](Self::keyring), with what a configuration says of the domain's working keys.
    ///
    /// # Errors
    ///
    /// Also for a domain that requires more wraps than a sealed file carries: there is no registry behind a file.
    pub(in crate::cli) async fn sealing_keyring(
        &self,
        config: Option<Config>,
        domain: &Domain,
    ) -> anyhow::Result<(Keyring, Option<Arc<SealingPolicy>>)> {
        let Some(config) = config else {
            return Ok((Box::pin(self.keyring(None)).await?, None));
        };
        let policy = config
            .sealing_of_domain(domain.as_str())
            .unwrap_or_else(|| Arc::clone(&config.sealing));
        ensure!(
            policy.required_wraps <= MAXIMUM_INLINE_WRAPS,
            "the configuration requires {} wraps of each working key of the domain {domain}, and a sealed file carries at most {MAXIMUM_INLINE_WRAPS}; name another --domain, or use --key-file or --kms-key",
            policy.required_wraps
        );
        let keyring = keyring_over(config.key_services, config.mode).await?;
        Ok((keyring, Some(policy)))
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
        Ok(Vec::new())
    }
}

/// A keyring without a registry.
///
/// # Errors
///
/// For a key service that cannot be used as it is configured.
pub(in crate::cli) async fn keyring_over(
    configurations: Vec<KeyServiceConfig>,
    mode: Mode,
) -> anyhow::Result<Keyring> {
    let mut services = Vec::new();
    for config in configurations {
        services.push(gateway::key_service(&config).await?);
    }
    let mut services = services.into_iter();
    let first = services
        .next()
        .context("no key was named; use --key-file, --kms-key or --config")?;
    let builder = services.fold(Keyring::builder(first), |builder, service| {
        builder.key_service(service)
    });
    let builder = match mode {
        Mode::ReadWrite => builder,
        // Its principals may open nothing, not even what they have just made.
        Mode::WriteOnly => builder.write_only(),
    };
    Ok(builder.build()?)
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
