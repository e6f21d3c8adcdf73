//! Where the keys of files come from.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use sealgate_envelope::keyring::Keyring;

use crate::cli::kms;
use crate::config::{Config, KeyServiceConfig};
use crate::gateway;

/// Exactly one of a key file, a KMS key and a configuration.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, args = ["key_file", "kms_key", "config"])]
pub(in crate::cli) struct KeySource {
    /// A local key file; `sealgate key-file create` makes one
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// A key in AWS KMS or a server like it: id, ARN or alias. Credentials: SEALGATE_KMS_ACCESS_KEY_ID and
    /// SEALGATE_KMS_SECRET_ACCESS_KEY, else as every AWS SDK finds them
    #[arg(long, value_name = "ID")]
    kms_key: Option<String>,

    /// The server of --kms-key, where it is not AWS's own
    #[arg(long, value_name = "URL", requires = "kms_key")]
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
            return Ok(vec![KeyServiceConfig::Local { file: file.clone() }]);
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
