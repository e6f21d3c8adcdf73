//! Which storage the commands for recovery read: one that the command line names, or that of a configuration.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::cli::export::{self, Place};
use crate::config::{
    CipherSuite, Config, DomainConfig, LimitsConfig, ListenerConfig, LogConfig, Mode, StateConfig,
    UpstreamConfig, default_state_bucket,
};

/// A URL for what is never contacted, because a configuration has to have one.
const NOWHERE: &str = "http://127.0.0.1:9";

#[derive(Clone, Debug, Args)]
pub(super) struct StorageArguments {
    /// The storage
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    endpoint: Option<String>,

    /// Its region
    #[arg(
        long,
        value_name = "NAME",
        default_value = "us-east-1",
        requires = "endpoint"
    )]
    region: String,

    /// The profile of the AWS configuration files with its credentials
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    profile: Option<String>,

    /// Allow an http:// endpoint on another machine
    #[arg(long, requires = "endpoint")]
    allow_plaintext: bool,

    /// The state bucket [default: the one that gateways of this deployment make]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    state_bucket: Option<String>,

    /// A configuration file, for its storage and its domains
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl StorageArguments {
    /// The configuration that was named, if one was.
    pub(super) fn load(&self) -> anyhow::Result<Option<Config>> {
        let config = self.config.as_deref().map(Config::load);
        Ok(config.transpose()?)
    }

    /// Whether no configuration says which places have domains of their own.
    pub(super) fn names_no_domains(&self) -> bool {
        self.config.is_none()
    }

    /// The state bucket's name, if the command line says it.
    pub(super) fn state_bucket(&self) -> Option<&str> {
        self.state_bucket.as_deref()
    }

    /// The configuration of a reader at this endpoint, without key services, clients and listener. `domain` names the domain of a bucket, and then
    /// its former ones.
    pub(super) fn without_file(
        &self,
        deployment: &str,
        bucket: &str,
        domain: &[String],
    ) -> anyhow::Result<Config> {
        let endpoint = self.endpoint.as_deref().context("name --endpoint")?;
        let upstream = export::upstream_at(&Place {
            endpoint,
            region: &self.region,
            profile: self.profile.as_deref(),
            allow_plaintext: self.allow_plaintext,
        })?;
        Ok(self.reader(deployment, bucket, domain, upstream))
    }

    /// As [`without_file`](Self::without_file), for a copy: there is no endpoint.
    pub(super) fn of_copy(
        &self,
        deployment: &str,
        bucket: &str,
        domain: &[String],
    ) -> anyhow::Result<Config> {
        if self.endpoint.is_some() {
            bail!("name --endpoint or --from-directory, not both");
        }
        let upstream = export::upstream_at(&Place {
            endpoint: NOWHERE,
            region: &self.region,
            profile: None,
            allow_plaintext: false,
        })?;
        Ok(self.reader(deployment, bucket, domain, upstream))
    }

    fn reader(
        &self,
        deployment: &str,
        bucket: &str,
        domain: &[String],
        upstream: UpstreamConfig,
    ) -> Config {
        let limits = LimitsConfig::default();
        let sealing = limits.sealing();
        let domains = domain.split_first().map(|(name, former)| DomainConfig {
            buckets: vec![bucket.to_owned()],
            prefix: String::new(),
            name: Some(name.clone()),
            former: former.to_vec(),
            suite: CipherSuite::Aes256Gcm,
            sealing: Arc::clone(&sealing),
            recovery: None,
        });
        Config {
            mode: Mode::ReadWrite,
            deployment: deployment.to_owned(),
            listener: ListenerConfig::at(([127, 0, 0, 1], 0).into()),
            admin: None,
            upstream,
            state: StateConfig {
                bucket: self
                    .state_bucket
                    .clone()
                    .unwrap_or_else(|| default_state_bucket(deployment)),
                upstream: None,
            },
            key_services: Vec::new(),
            key_service_names: Vec::new(),
            recovery: None,
            sealing,
            credentials: None,
            identities: Vec::new(),
            anonymous: Vec::new(),
            policy: None,
            short_lived: Arc::default(),
            domains: domains.into_iter().collect(),
            migrating: Vec::new(),
            audit: None,
            grants: None,
            limits,
            log: LogConfig::default(),
            files: Vec::new(),
        }
    }
}
