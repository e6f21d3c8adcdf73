//! The configuration: one TOML file, read once, checked whole, turned into values that need no further checks.
//!
//! The annotated example `sealgate.example.toml` shows every key.

mod domain;
mod endpoint;
mod identity;
mod key_service;
mod limits;
mod listener;
mod log;
mod secret;
mod upstream;

pub use domain::{CipherSuite, DomainConfig, DomainRule};
pub use endpoint::{Endpoint, Scheme};
pub use identity::{ClientCredential, IdentityConfig};
pub use key_service::{AwsKmsConfig, KeyServiceConfig, KeyServiceTimeouts};
pub use limits::LimitsConfig;
pub use listener::{ListenerConfig, TlsFiles};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use secret::Secret;
pub use upstream::{Addressing, CredentialSource, StateConfig, StaticCredentials, UpstreamConfig};

/// Everything that a gateway is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The deployment's id: part of every default domain, so it must never change while its data lives.
    pub deployment: String,
    /// Where clients connect.
    pub listener: ListenerConfig,
    /// The storage of the data.
    pub upstream: UpstreamConfig,
    /// The place of our own records.
    pub state: StateConfig,
    /// The key services, at least one. The first makes working keys; the others wrap them as well.
    pub key_services: Vec<KeyServiceConfig>,
    /// The clients, at least one.
    pub identities: Vec<IdentityConfig>,
    /// Rules about domains, the first that matches counts.
    pub domains: Vec<DomainConfig>,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Logging.
    pub log: LogConfig,
}

impl Config {
    /// The domain of an object: that of the first `[[domain]]` that matches, else `<deployment>/<bucket>`.
    ///
    /// `key` is the decoded object key (FORMAT.md section 3); for a whole bucket it is empty.
    pub fn domain_for(&self, bucket: &str, key: &str) -> DomainRule {
        domain::resolve(&self.deployment, &self.domains, bucket, key)
    }
}
