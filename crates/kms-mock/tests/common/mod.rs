//! What the integration tests share: an access key, and clients of the AWS SDK.

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Builder, Credentials, Region};

/// Access key id of the principal that may do everything.
pub(crate) const ACCESS_KEY: &str = "AKIAINTEGRATION";
/// Its secret.
pub(crate) const SECRET: &str = "integration/secret+of+a+test";

/// Settings of a client without retries, so that each test sees the first answer.
pub(crate) fn settings(endpoint: &str, access_key: &str, secret: &str) -> Builder {
    aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(access_key, secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(endpoint)
}

/// A client of the principal that may do everything.
pub(crate) fn client(endpoint: &str) -> Client {
    Client::from_conf(settings(endpoint, ACCESS_KEY, SECRET).build())
}
