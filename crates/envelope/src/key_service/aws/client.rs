//! Builds the SDK's client: transport, trust, credentials, timeouts and the retry budget.

use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader};
use aws_credential_types::Credentials;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{Region, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::bounded_client::bounded;
use super::configuration::{AwsCredentials, AwsKmsConfiguration, AwsKmsLimits};
use crate::error::{Error, Result};
use crate::key_service::trust::{TrustRoots, authorities};

/// Where no region is configured but an endpoint and fixed credentials are: the request must be signed for some region.
const REGION_FOR_CUSTOM_ENDPOINTS: &str = "us-east-1";

/// Idle connections are closed soon, because their buffers hold the last answer, and that may be a key.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn build(configuration: &AwsKmsConfiguration) -> Result<Client> {
    let (region, credentials) = identity(configuration).await?;
    let mut settings = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(credentials)
        .http_client(http_client(configuration)?)
        .timeout_config(timeouts(configuration.limits))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(configuration.limits.attempts)
                .with_initial_backoff(configuration.limits.initial_backoff)
                .with_max_backoff(configuration.limits.max_backoff),
        )
        .retry_partition(
            RetryPartition::custom("sealgate-kms")
                .token_bucket(
                    TokenBucket::builder()
                        .capacity(configuration.limits.retry_budget)
                        .build(),
                )
                .build(),
        );
    settings.set_endpoint_url(configuration.endpoint.clone());
    Ok(Client::from_conf(settings.build()))
}

async fn identity(
    configuration: &AwsKmsConfiguration,
) -> Result<(Region, SharedCredentialsProvider)> {
    let stated_region = configuration.stated_region().map(Region::new);
    match &configuration.credentials {
        AwsCredentials::Static {
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let region = stated_region
                .or_else(|| {
                    configuration
                        .endpoint
                        .is_some()
                        .then(|| Region::from_static(REGION_FOR_CUSTOM_ENDPOINTS))
                })
                .ok_or_else(no_region)?;
            let credentials = Credentials::new(
                access_key_id,
                secret_access_key.as_str(),
                session_token.as_deref().cloned(),
                None,
                "sealgate-configuration",
            );
            Ok((region, SharedCredentialsProvider::new(credentials)))
        }
        AwsCredentials::DefaultChain => {
            let mut loader: ConfigLoader = aws_config::defaults(BehaviorVersion::latest())
                .http_client(https_client(TlsContext::default()))
                .timeout_config(timeouts(configuration.limits));
            if let Some(region) = stated_region {
                loader = loader.region(region);
            }
            let shared = loader.load().await;
            let region = shared
                .region()
                .cloned()
                .or_else(|| {
                    configuration
                        .endpoint
                        .is_some()
                        .then(|| Region::from_static(REGION_FOR_CUSTOM_ENDPOINTS))
                })
                .ok_or_else(no_region)?;
            let credentials = shared.credentials_provider().ok_or_else(|| {
                Error::misuse("the AWS credential chain is empty; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role",
                )
            })?;
            Ok((region, credentials))
        }
    }
}

fn no_region() -> Error {
    Error::misuse(
        "no AWS region for the KMS; name one in the configuration, use the key's full ARN, or set AWS_REGION",
    )
}

fn timeouts(limits: AwsKmsLimits) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(limits.connect_timeout)
        .read_timeout(limits.read_timeout)
        .operation_attempt_timeout(limits.attempt_timeout)
        .operation_timeout(limits.operation_timeout)
        .build()
}

fn http_client(configuration: &AwsKmsConfiguration) -> Result<SharedHttpClient> {
    if !configuration.uses_tls() {
        let client = aws_smithy_http_client::Builder::new()
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build_http();
        return Ok(bounded(client));
    }
    let trust_store = match &configuration.trust_roots {
        TrustRoots::System => TrustStore::default(),
        TrustRoots::Pem(pem) => {
            authorities("the KMS", pem)?;
            TrustStore::empty().with_pem_certificate(pem.as_slice())
        }
    };
    let context = TlsContext::builder()
        .with_trust_store(trust_store)
        .build()
        .map_err(|error| Error::misuse(format!("TLS for the KMS cannot be set up: {error}")))?;
    Ok(https_client(context))
}

fn https_client(context: TlsContext) -> SharedHttpClient {
    let client = aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https();
    bounded(client)
}
