//! A KMS as flags and environment variables name it, for the commands that work without a configuration file.

use anyhow::{Context as _, bail, ensure};

use crate::config::{
    AwsKmsConfig, CredentialSource, Endpoint, KeyServiceTimeouts, Scheme, Secret, StaticCredentials,
};

/// The region where nothing names one.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// Looks up an environment variable that is not empty.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub(super) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The key `key`, at AWS or at `endpoint`. Credentials are those of `SEALGATE_KMS_*`, else those that every AWS SDK finds.
pub(super) fn config(
    key: &str,
    endpoint_url: Option<&str>,
    environment: Environment<'_>,
) -> anyhow::Result<AwsKmsConfig> {
    let own = pair(
        environment,
        "SEALGATE_KMS_ACCESS_KEY_ID",
        "SEALGATE_KMS_SECRET_ACCESS_KEY",
    )?;
    let credentials = match own {
        Some(own) => CredentialSource::Static(own),
        None => aws_credentials(environment)?,
    };
    Ok(AwsKmsConfig {
        key: key.to_owned(),
        endpoint: endpoint_url
            .map(endpoint)
            .transpose()
            .context("--kms-endpoint")?,
        region: region_of_arn(key).unwrap_or_else(|| aws_region(environment)),
        related_regions: Vec::new(),
        ca_file: None,
        credentials,
        timeouts: KeyServiceTimeouts::default(),
    })
}

/// The credentials that every AWS SDK finds: those of the environment, else whatever else the standard chain has.
pub(super) fn aws_credentials(environment: Environment<'_>) -> anyhow::Result<CredentialSource> {
    let Some(mut pair) = pair(environment, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")? else {
        return Ok(CredentialSource::Chain { profile: None });
    };
    pair.session_token = environment("AWS_SESSION_TOKEN").map(Secret::new);
    Ok(CredentialSource::Static(pair))
}

/// The region that every AWS SDK takes from the environment.
pub(super) fn aws_region(environment: Environment<'_>) -> String {
    let region = environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"));
    region.unwrap_or_else(|| DEFAULT_REGION.to_owned())
}

/// Both variables or neither: half a credential is a slip that would end in a signature error much later.
pub(super) fn pair(
    environment: Environment<'_>,
    id: &str,
    secret: &str,
) -> anyhow::Result<Option<StaticCredentials>> {
    match (environment(id), environment(secret)) {
        (Some(access_key_id), Some(value)) => Ok(Some(StaticCredentials {
            access_key_id,
            secret_access_key: Secret::new(value),
            session_token: None,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => bail!("{id} is set and {secret} is not; set both or neither"),
        (None, Some(_)) => bail!("{secret} is set and {id} is not; set both or neither"),
    }
}

/// The server at `url`, which is not reached in plaintext over a network.
pub(super) fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::parse(url).with_context(|| {
        format!("{url:?} is no server's address; write scheme, host and port alone, such as http://127.0.0.1:9000")
    })?;
    ensure!(
        endpoint.scheme() == Scheme::Https || endpoint.is_loopback(),
        "{url} is plaintext http to another machine; use https, or a configuration file with allow_plaintext = true"
    );
    Ok(endpoint)
}

/// The region in an ARN, which wins over the environment's: a request for the key must be signed for it.
fn region_of_arn(key: &str) -> Option<String> {
    key.strip_prefix("arn:")?
        .split(':')
        .nth(2)
        .filter(|region| !region.is_empty())
        .map(str::to_owned)
}
