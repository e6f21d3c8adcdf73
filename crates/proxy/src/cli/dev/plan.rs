//! From the flags and the environment to what is to be run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};

use super::DevArguments;
use super::embedded::Embedded;
use super::settings::Settings;
use crate::cli::kms::{self, DEFAULT_REGION, Environment};
use crate::config::{
    Addressing, AwsKmsConfig, ChecksumTrailer, ClientCredential, Config, CredentialSource,
    DEFAULT_LARGEST_COPY, IdentityConfig, KeyServiceConfig, KeyServiceTimeouts, LimitsConfig,
    ListenerConfig, LogConfig, Mode, StateConfig, StaticCredentials, UpstreamConfig,
    default_state_bucket, is_deployment_id,
};

/// The alias of the key in the embedded key server.
pub(super) const EMBEDDED_KEY: &str = "alias/sealgate-dev";

/// What is to be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) directory: PathBuf,
    pub(super) deployment: String,
    pub(super) listen: SocketAddr,
    pub(super) client: StaticCredentials,
    /// Whether the client's credentials came from the environment, so that the guide need not repeat them.
    pub(super) client_from_environment: bool,
    /// `None`: the embedded storage, with `storage` as its credentials.
    pub(super) upstream: Option<UpstreamConfig>,
    pub(super) storage: StaticCredentials,
    /// `None`: the embedded key server, with `key_service_credentials`.
    pub(super) key_service: Option<AwsKmsConfig>,
    pub(super) key_service_credentials: StaticCredentials,
}

/// Makes the plan, or says what does not fit.
pub(super) fn make(
    arguments: &DevArguments,
    settings: Settings,
    environment: Environment<'_>,
) -> anyhow::Result<Plan> {
    let deployment = arguments.deployment.clone().unwrap_or(settings.deployment);
    ensure!(
        is_deployment_id(&deployment),
        "--deployment: not a deployment id; use at most 64 of A-Z a-z 0-9 - _ ."
    );
    if !arguments.listen.ip().is_loopback() {
        tracing::warn!(address = %arguments.listen, "clients reach this address over plaintext HTTP; use `serve` with tls for more than a try");
    }
    let own_client = kms::pair(
        environment,
        "SEALGATE_ACCESS_KEY_ID",
        "SEALGATE_SECRET_ACCESS_KEY",
    )?;
    let upstream = match &arguments.upstream {
        Some(url) => Some(UpstreamConfig {
            endpoint: kms::endpoint(url).context("--upstream")?,
            region: kms::aws_region(environment),
            addressing: Addressing::Path,
            ca_file: None,
            client_certificate: None,
            largest_copy: DEFAULT_LARGEST_COPY,
            checksum_trailer: ChecksumTrailer::Auto,
            credentials: kms::aws_credentials(environment)?,
        }),
        None => None,
    };
    let key_service = match &arguments.kms_key {
        Some(key) => Some(kms::config(
            key,
            arguments.kms_endpoint.as_deref(),
            environment,
        )?),
        None => None,
    };
    Ok(Plan {
        directory: settings.directory,
        deployment,
        listen: arguments.listen,
        client_from_environment: own_client.is_some(),
        client: own_client.unwrap_or(settings.client),
        upstream,
        storage: settings.storage,
        key_service,
        key_service_credentials: settings.key_service,
    })
}

impl Plan {
    /// The configuration that `serve` could have been started with.
    pub(super) fn config(&self, embedded: &Embedded) -> anyhow::Result<Config> {
        let upstream = match (&self.upstream, embedded.storage_endpoint()) {
            (Some(upstream), _) => upstream.clone(),
            (None, Some(url)) => UpstreamConfig {
                endpoint: kms::endpoint(&url)?,
                region: DEFAULT_REGION.to_owned(),
                addressing: Addressing::Path,
                ca_file: None,
                client_certificate: None,
                largest_copy: DEFAULT_LARGEST_COPY,
                checksum_trailer: ChecksumTrailer::Auto,
                credentials: CredentialSource::Static(self.storage.clone()),
            },
            (None, None) => bail!("there is neither an upstream nor an embedded storage"),
        };
        let key_service = match (&self.key_service, embedded.key_server_endpoint()) {
            (Some(key_service), _) => key_service.clone(),
            (None, Some(url)) => AwsKmsConfig {
                key: EMBEDDED_KEY.to_owned(),
                endpoint: Some(kms::endpoint(url)?),
                region: DEFAULT_REGION.to_owned(),
                related_regions: Vec::new(),
                ca_file: None,
                credentials: CredentialSource::Static(self.key_service_credentials.clone()),
                timeouts: KeyServiceTimeouts::default(),
            },
            (None, None) => bail!("there is neither a KMS nor an embedded key server"),
        };
        Ok(Config {
            anonymous: Vec::new(),
            policy: None,
            short_lived: Arc::default(),
            deployment: self.deployment.clone(),
            mode: Mode::default(),
            listener: ListenerConfig::at(self.listen),
            admin: None,
            upstream,
            state: StateConfig {
                bucket: default_state_bucket(&self.deployment),
                upstream: None,
            },
            key_service_names: vec!["1".to_owned()],
            key_services: vec![KeyServiceConfig::AwsKms(key_service)],
            recovery: None,
            sealing: LimitsConfig::default().sealing(),
            credentials: None,
            identities: vec![IdentityConfig {
                name: "dev".to_owned(),
                groups: Vec::new(),
                credentials: vec![ClientCredential {
                    access_key_id: self.client.access_key_id.clone(),
                    secret_access_key: self.client.secret_access_key.clone(),
                }],
                certificates: None,
                limits: None,
            }],
            domains: Vec::new(),
            migrating: Vec::new(),
            audit: None,
            grants: None,
            limits: LimitsConfig::default(),
            log: LogConfig::default(),
            files: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: DevArguments,
    }

    fn plan(flags: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Plan> {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::open(directory.path()).unwrap();
        let arguments = CommandLine::parse_from([&["dev"], flags].concat()).arguments;
        make(&arguments, settings, &|name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn access_key_id(source: &CredentialSource) -> Option<&str> {
        match source {
            CredentialSource::Static(pair) => Some(&pair.access_key_id),
            CredentialSource::Chain { .. } => None,
        }
    }

    const AWS: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "aws-id"),
        ("AWS_SECRET_ACCESS_KEY", "aws-secret"),
        ("AWS_REGION", "eu-west-1"),
    ];

    #[test]
    fn without_flags_everything_is_embedded() {
        let plan = plan(&[], &AWS).unwrap();
        assert!(
            plan.upstream.is_none() && plan.key_service.is_none() && !plan.client_from_environment
        );
        assert_eq!(plan.listen.to_string(), "127.0.0.1:8014");
    }

    #[test]
    fn the_upstream_takes_the_credentials_of_every_sdk() {
        let upstream = plan(&["--upstream", "http://127.0.0.1:9000"], &AWS)
            .unwrap()
            .upstream
            .unwrap();
        assert_eq!(
            (
                access_key_id(&upstream.credentials),
                upstream.region.as_str()
            ),
            (Some("aws-id"), "eu-west-1")
        );
        let upstream = plan(&["--upstream", "http://127.0.0.1:9000"], &[])
            .unwrap()
            .upstream
            .unwrap();
        assert_eq!(
            (
                access_key_id(&upstream.credentials),
                upstream.region.as_str()
            ),
            (None, DEFAULT_REGION)
        );
    }

    #[test]
    fn the_kms_prefers_credentials_of_its_own() {
        let flags = [
            "--kms-endpoint",
            "http://127.0.0.1:1",
            "--kms-key",
            "alias/a",
        ];
        let service = plan(&flags, &AWS).unwrap().key_service.unwrap();
        assert_eq!(access_key_id(&service.credentials), Some("aws-id"));
        let own = [
            ("SEALGATE_KMS_ACCESS_KEY_ID", "kms-id"),
            ("SEALGATE_KMS_SECRET_ACCESS_KEY", "kms-secret"),
        ];
        let service = plan(&flags, &[AWS.as_slice(), own.as_slice()].concat())
            .unwrap()
            .key_service
            .unwrap();
        assert_eq!(
            (access_key_id(&service.credentials), service.region.as_str()),
            (Some("kms-id"), "eu-west-1")
        );
        let arn = ["--kms-key", "arn:aws:kms:us-west-2:111122223333:key/x"];
        assert_eq!(
            plan(&arn, &AWS).unwrap().key_service.unwrap().region,
            "us-west-2"
        );
    }

    #[test]
    fn clients_may_bring_their_own_credentials() {
        let own = [
            ("SEALGATE_ACCESS_KEY_ID", "mine"),
            ("SEALGATE_SECRET_ACCESS_KEY", "my-secret"),
        ];
        let with = plan(&[], &own).unwrap();
        assert!(with.client_from_environment);
        assert_eq!(with.client.access_key_id, "mine");
        let error = plan(&[], &own[..1]).unwrap_err().to_string();
        assert!(
            error.contains("SEALGATE_SECRET_ACCESS_KEY is not"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_safe_or_makes_no_sense_is_refused() {
        let refusal = |flags: &[&str]| format!("{:#}", plan(flags, &[]).unwrap_err());
        assert!(refusal(&["--upstream", "http://storage:9000"]).contains("plaintext"));
        assert!(refusal(&["--upstream", "storage"]).contains("--upstream"));
        assert!(
            refusal(&["--kms-endpoint", "http://kms:1", "--kms-key", "k"]).contains("plaintext")
        );
        assert!(refusal(&["--deployment", "a/b"]).contains("--deployment"));
        assert!(
            CommandLine::try_parse_from(["dev", "--kms-endpoint", "http://127.0.0.1:1"]).is_err()
        );
    }
}
