//! `[upstream]` and `[state]`: the storage that holds ciphertext, and the bucket that holds our records.

use std::path::PathBuf;

use super::endpoint::Endpoint;
use super::secret::Secret;

/// One S3 storage and how to reach it.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Scheme, host and port.
    pub endpoint: Endpoint,
    /// The region of the credential scope, for example `us-east-1`.
    pub region: String,
    /// Where the bucket's name goes.
    pub addressing: Addressing,
    /// PEM file of the only certificate authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// Whose requests these are.
    pub credentials: CredentialSource,
}

/// Where a request to the storage names the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://host/bucket/key`
    Path,
    /// `https://bucket.host/key`
    VirtualHost,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// Named by the configuration.
    Static(StaticCredentials),
    /// The standard AWS chain: environment, profile, web identity, container, instance role.
    Chain {
        /// The profile of the shared configuration files; `None` leaves the choice to `AWS_PROFILE`.
        profile: Option<String>,
    },
}

/// An access key that does not change while the process runs.
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret that signs.
    pub secret_access_key: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Where records of working keys and open uploads live (FORMAT.md sections 9 and 10).
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// The state bucket: refused to clients and left out of ListBuckets.
    pub bucket: String,
    /// The storage it is on, where that is not `[upstream]`.
    pub upstream: Option<UpstreamConfig>,
}
