//! Where a server is and whose requests it takes: all that a client has to know.

use std::{path::PathBuf, process::Command};

use anyhow::Result;
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::tls::{TlsContext, TrustStore};

/// The region that all servers of the rig are told.
pub const REGION: &str = "us-east-1";

/// The domain below which storage and gateway find buckets in the host's name (tests/conformance/addressing.py has it too).
pub const BASE_DOMAIN: &str = "s3.localhost";

/// The longest that one request of the Rust client may take.
const REQUEST_LIMIT: std::time::Duration = std::time::Duration::from_mins(2);

/// An S3 server or a key server, and credentials for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub url: String,
    /// The access key's id.
    pub access_key_id: String,
    /// Its secret. It exists only as long as the test.
    pub secret_access_key: String,
    /// The certificate authority to trust, where the server speaks TLS.
    pub ca_file: Option<PathBuf>,
}

impl Endpoint {
    /// A client without retries, so that a test sees each answer.
    ///
    /// # Errors
    /// If the certificate authority can't be read.
    pub fn s3(&self) -> Result<Client> {
        let credentials = Credentials::new(
            &self.access_key_id,
            &self.secret_access_key,
            None,
            None,
            "test",
        );
        let mut trust = TrustStore::empty();
        if let Some(path) = &self.ca_file {
            trust = trust.with_pem_certificate(std::fs::read(path)?);
        }
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
                aws_smithy_http_client::tls::rustls_provider::CryptoMode::AwsLc,
            ))
            .tls_context(TlsContext::builder().with_trust_store(trust).build()?)
            .build_https();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.url)
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_timeout(REQUEST_LIMIT)
                    .build(),
            )
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
            .http_client(http)
            .build();
        Ok(Client::from_conf(config))
    }

    /// A client of a key server that speaks no TLS, with the SDK's own retries.
    pub fn kms(&self) -> aws_sdk_kms::Client {
        let (id, secret) = (&self.access_key_id, &self.secret_access_key);
        let settings = aws_sdk_kms::Config::builder()
            .behavior_version(aws_sdk_kms::config::BehaviorVersion::latest())
            .region(aws_sdk_kms::config::Region::new(REGION))
            .endpoint_url(&self.url)
            .credentials_provider(Credentials::new(id, secret, None, None, "test"))
            .build();
        aws_sdk_kms::Client::from_conf(settings)
    }

    /// The same place for somebody else, or for the same one with a wrong secret.
    #[must_use]
    pub fn with_credentials(&self, access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            ..self.clone()
        }
    }

    /// `127.0.0.1:PORT`
    pub fn authority(&self) -> &str {
        self.url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, authority)| authority)
    }

    /// Gives a program the credentials and the region as every SDK reads them, and nothing of the surroundings that it
    /// could read instead.
    pub fn describe_to(&self, command: &mut Command) {
        command
            .env("AWS_ACCESS_KEY_ID", &self.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_access_key)
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_PAGER", "")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_ENDPOINT_URL")
            .env_remove("AWS_ENDPOINT_URL_S3")
            .env_remove("AWS_ENDPOINT_URL_STS");
        match &self.ca_file {
            Some(path) => command.env("AWS_CA_BUNDLE", path),
            None => command.env_remove("AWS_CA_BUNDLE"),
        };
    }
}
