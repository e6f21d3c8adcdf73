//! `[[key_service]]`: who holds the key-encryption keys.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::upstream::CredentialSource;

/// One key service and the key in it that wraps working keys.
#[derive(Clone, Debug)]
pub enum KeyServiceConfig {
    /// AWS KMS, or a server that speaks its protocol.
    AwsKms(AwsKmsConfig),
    /// A key in a local file (FORMAT.md section 2), for laptops and tests.
    Local {
        /// The key file.
        file: PathBuf,
    },
}

/// A key in AWS KMS.
#[derive(Clone, Debug)]
pub struct AwsKmsConfig {
    /// Key id, key ARN, alias name or alias ARN.
    pub key: String,
    /// The server, where it is not AWS's own for the region.
    pub endpoint: Option<Endpoint>,
    /// The region of requests and of their signatures.
    pub region: String,
    /// PEM file of the only certificate authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// Whose requests these are.
    pub credentials: CredentialSource,
    /// How long to wait.
    pub timeouts: KeyServiceTimeouts,
}

/// How long a key service may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyServiceTimeouts {
    /// For one connection to be made.
    pub connect: Duration,
    /// For the first byte of one answer.
    pub read: Duration,
    /// For the whole operation, retries included.
    pub operation: Duration,
}

impl Default for KeyServiceTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), read: Duration::from_secs(5), operation: Duration::from_secs(15) }
    }
}
