//! The clients of key services, as the configuration describes them.

use std::{path::Path, sync::Arc};

use anyhow::Context;
#[cfg(feature = "pkcs11")]
use sealgate_envelope::key_service::pkcs11::{Pkcs11Configuration, Pkcs11Limits, Pkcs11Token};
#[cfg(feature = "vault")]
use sealgate_envelope::key_service::vault::{
    ClientCertificate, VaultConfiguration, VaultLimits, VaultLogin, VaultTransit,
};
use sealgate_envelope::key_service::{
    KeyService,
    aws::{AwsCredentials, AwsKms, AwsKmsConfiguration, AwsKmsLimits, TrustRoots},
    local::LocalKeyService,
};
use sealgate_envelope::secret_file::Passphrase;
use zeroize::Zeroizing;

#[cfg(feature = "vault")]
use crate::config::VaultLoginConfig;
use crate::config::{self, AwsKmsConfig, KeyServiceConfig, Pkcs11Config, VaultConfig};

/// The client of one key service. Nothing is asked of it yet, so it may be down.
pub(crate) async fn key_service(config: &KeyServiceConfig) -> anyhow::Result<Arc<dyn KeyService>> {
    match config {
        KeyServiceConfig::Local { file, passphrase } => {
            Ok(Arc::new(local(file, passphrase.as_ref()).await?))
        }
        KeyServiceConfig::AwsKms(config) => Ok(Arc::new(AwsKms::connect(aws_kms(config)?).await?)),
        KeyServiceConfig::VaultTransit(config) => vault_transit(config),
        KeyServiceConfig::Pkcs11(config) => pkcs11(config),
    }
}

/// Opens a key file. With a passphrase that takes a while, so it happens where it holds up nobody.
async fn local(
    file: &Path,
    passphrase: Option<&config::Secret>,
) -> anyhow::Result<LocalKeyService> {
    let file = file.to_owned();
    let passphrase = passphrase.cloned();
    tokio::task::spawn_blocking(move || open_local(&file, passphrase.as_ref()))
        .await
        .context("a thread ended by a fault of its own")?
}

/// Opens a key file, with the passphrase that the configuration names. Blocks.
pub(crate) fn open_local(
    file: &Path,
    passphrase: Option<&config::Secret>,
) -> anyhow::Result<LocalKeyService> {
    let passphrase = passphrase
        .map(|secret| Passphrase::new(Zeroizing::new(secret.expose().to_owned())))
        .transpose()?;
    anyhow::ensure!(
        file.exists(),
        "there is no file {}. If its key was destroyed with `sealgate keys shred`, remove its [[key_service]], and the [[domain]] that names it; else bring back the medium that it lies on. A new one, made with `sealgate key-file create FILE`, opens nothing of what the earlier key has sealed",
        file.display()
    );
    Ok(LocalKeyService::open_with(file, passphrase.as_ref())?)
}

fn aws_kms(config: &AwsKmsConfig) -> anyhow::Result<AwsKmsConfiguration> {
    let mut limits = AwsKmsLimits::default();
    limits.connect_timeout = config.timeouts.connect;
    limits.read_timeout = config.timeouts.read;
    limits.operation_timeout = config.timeouts.operation;
    // One attempt can't take longer than the whole operation, which the configuration may have made short.
    limits.attempt_timeout = limits.attempt_timeout.min(config.timeouts.operation);
    let mut settings = AwsKmsConfiguration::new(config.key.as_str())
        .region(config.region.as_str())
        .related_regions(config.related_regions.iter().map(String::as_str))
        .limits(limits);
    if let Some(endpoint) = &config.endpoint {
        settings = settings.endpoint(endpoint.to_string());
        if endpoint.scheme() == config::Scheme::Http {
            // The configuration has refused this for anything but loopback, or where it was not asked for in as many words.
            settings = settings.allow_plain_http();
        }
    }
    if let Some(path) = &config.ca_file {
        settings = settings.trust_roots(TrustRoots::Pem(read(path, "CA file")?));
    }
    Ok(match &config.credentials {
        config::CredentialSource::Static(pair) => settings.credentials(AwsCredentials::Static {
            access_key_id: pair.access_key_id.clone(),
            secret_access_key: Zeroizing::new(pair.secret_access_key.expose().to_owned()),
            session_token: pair
                .session_token
                .as_ref()
                .map(|token| Zeroizing::new(token.expose().to_owned())),
        }),
        config::CredentialSource::Chain { .. } => {
            settings.credentials(AwsCredentials::DefaultChain)
        }
    })
}

#[cfg(not(feature = "pkcs11"))]
fn pkcs11(_: &Pkcs11Config) -> anyhow::Result<Arc<dyn KeyService>> {
    anyhow::bail!("this build knows no PKCS#11; build it with --features pkcs11")
}

#[cfg(feature = "pkcs11")]
fn pkcs11(config: &Pkcs11Config) -> anyhow::Result<Arc<dyn KeyService>> {
    let limits = Pkcs11Limits {
        operation_timeout: config.timeout,
        ..Pkcs11Limits::default()
    };
    let settings = Pkcs11Configuration::new(
        config.module.as_path(),
        config.token.as_str(),
        config.key.as_str(),
        Zeroizing::new(config.pin.expose().to_owned()),
    );
    Ok(Arc::new(Pkcs11Token::new(settings.limits(limits))?))
}

#[cfg(not(feature = "vault"))]
fn vault_transit(_: &VaultConfig) -> anyhow::Result<Arc<dyn KeyService>> {
    anyhow::bail!("this build knows no Vault; build it with --features vault")
}

#[cfg(feature = "vault")]
fn vault_transit(config: &VaultConfig) -> anyhow::Result<Arc<dyn KeyService>> {
    let secret = |secret: &config::Secret| Zeroizing::new(secret.expose().to_owned());
    let login = match &config.login {
        VaultLoginConfig::Token(token) => VaultLogin::Token(secret(token)),
        VaultLoginConfig::TokenFile(file) => VaultLogin::TokenFile(file.clone()),
        VaultLoginConfig::AppRole {
            mount,
            role_id,
            secret_id,
        } => VaultLogin::AppRole {
            mount: mount.clone(),
            role_id: role_id.clone(),
            secret_id: secret(secret_id),
        },
        VaultLoginConfig::Kubernetes {
            mount,
            role,
            token_file,
        } => VaultLogin::Kubernetes {
            mount: mount.clone(),
            role: role.clone(),
            token_file: token_file
                .clone()
                .unwrap_or_else(|| VaultLogin::KUBERNETES_TOKEN_FILE.into()),
        },
    };
    let limits = VaultLimits {
        connect_timeout: config.timeouts.connect,
        attempt_timeout: config.timeouts.read,
        operation_timeout: config.timeouts.operation,
        ..VaultLimits::default()
    };
    let mut settings =
        VaultConfiguration::new(config.endpoint.to_string(), config.key.as_str(), login)
            .mount(config.mount.as_str())
            .limits(limits);
    if let Some(namespace) = &config.namespace {
        settings = settings.namespace(namespace.as_str());
    }
    if config.endpoint.scheme() == config::Scheme::Http {
        // Refused by the configuration, as above.
        settings = settings.allow_plain_http();
    }
    if let Some(path) = &config.ca_file {
        settings = settings.trust_roots(TrustRoots::Pem(read(path, "CA file")?));
    }
    if let Some(files) = &config.client_certificate {
        settings = settings.client_certificate(ClientCertificate {
            chain: read(&files.certificate, "client certificate")?,
            key: read(&files.key, "key of the client certificate")?.into(),
        });
    }
    Ok(Arc::new(VaultTransit::connect(settings)?))
}

fn read(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read the {what} {}", path.display()))
}
