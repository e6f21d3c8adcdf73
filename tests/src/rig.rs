//! Storage, key server and gateway together, for one test.

use std::{ops::AsyncFnOnce, pin::Pin, time::Duration};

use anyhow::{Context, Result, anyhow};
use aws_sdk_s3::Client;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    certificates, environment,
    servers::{
        Gateway, GatewaySettings, KeyServer, Minio, gateway::TlsFiles, minio::MinioSettings,
    },
};

/// MinIO, a key server and one gateway. More gateways may join.
#[derive(Debug)]
pub struct Rig {
    /// The gateway in front.
    pub gateway: Gateway,
    /// The storage behind.
    pub minio: Minio,
    /// The key server.
    pub key_server: KeyServer,
    tls: Option<TlsFiles>,
    // The last field: the directory goes when the processes have ended.
    directory: TempDir,
}

impl Rig {
    /// Starts all three.
    ///
    /// # Errors
    /// If one of them does not become ready; with its last words.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// As [`Self::start`], with further tables in the gateway's configuration.
    ///
    /// # Errors
    /// If one of them does not become ready; with its last words.
    pub fn start_with(configuration: &str) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, None, configuration)
    }

    /// As [`Self::start_with`], with TLS everywhere: towards clients, the storage and the key server.
    ///
    /// # Errors
    /// If one of them does not become ready; with its last words.
    pub fn start_with_tls(configuration: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let files = certificates::make(directory.path())?;
        Self::start_in(directory, Some(files), configuration)
    }

    fn start_in(directory: TempDir, tls: Option<TlsFiles>, configuration: &str) -> Result<Self> {
        let minio = Minio::start_with(directory.path(), &MinioSettings { tls: tls.clone() })?;
        let key_server = KeyServer::start(directory.path(), tls.clone())?;
        let settings = GatewaySettings {
            tls: tls.clone(),
            more: configuration.to_owned(),
            ..GatewaySettings::new(&minio.endpoint, &key_server.endpoint)
        };
        let gateway = Gateway::start(settings, directory.path())?;
        Ok(Self {
            gateway,
            minio,
            key_server,
            tls,
            directory,
        })
    }

    /// One more gateway of the same deployment.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn another_gateway(&self) -> Result<Gateway> {
        self.gateway_with_more("")
    }

    /// A gateway with other settings in the rig's directory.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn gateway_with(&self, settings: GatewaySettings) -> Result<Gateway> {
        Gateway::start(settings, self.directory.path())
    }

    /// One more gateway of the same deployment, with more in its configuration.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn gateway_with_more(&self, more: &str) -> Result<Gateway> {
        self.gateway_with(GatewaySettings {
            tls: self.tls.clone(),
            more: more.to_owned(),
            ..GatewaySettings::new(&self.minio.endpoint, &self.key_server.endpoint)
        })
    }

    /// One more gateway of the same deployment, of another version where there is one ([`environment::other_version`]).
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn gateway_of_other_version(&self, more: &str) -> Result<Gateway> {
        self.gateway_with(GatewaySettings {
            program: Some(environment::other_version()?),
            tls: self.tls.clone(),
            more: more.to_owned(),
            ..GatewaySettings::new(&self.minio.endpoint, &self.key_server.endpoint)
        })
    }

    /// A directory for the test's own files.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// A client of the gateway, and one of the storage behind it, with a new bucket that both see.
    ///
    /// # Errors
    /// If the bucket can't be made.
    pub async fn clients(&self, bucket: &str) -> Result<(Client, Client)> {
        let through = self.gateway.endpoint.s3()?;
        through
            .create_bucket()
            .bucket(bucket)
            .send()
            .await
            .context("the bucket can't be made")?;
        Ok((through, self.minio.endpoint.s3()?))
    }

    /// The ends of the servers' logs, for the message of a failure.
    pub fn last_words(&self) -> String {
        format!(
            "{}\n{}\n{}",
            self.gateway.process.last_words(),
            self.key_server.last_words(),
            self.minio.process.last_words()
        )
    }
}

/// As [`with_rig`], with further tables in the gateway's configuration.
///
/// # Errors
/// Whatever the test says, or that it took too long.
pub fn with_rig_of<'a, F>(
    configuration: &'a str,
    limit: Duration,
    test: F,
) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>
where
    F: AsyncFnOnce(&mut Rig) -> Result<()> + 'a,
{
    on_rig(move || Rig::start_with(configuration), limit, test)
}

/// As [`with_rig_of`], with TLS everywhere: towards clients, the storage and the key server.
///
/// # Errors
/// Whatever the test says, or that it took too long.
pub fn with_tls_rig_of<'a, F>(
    configuration: &'a str,
    limit: Duration,
    test: F,
) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>
where
    F: AsyncFnOnce(&mut Rig) -> Result<()> + 'a,
{
    on_rig(move || Rig::start_with_tls(configuration), limit, test)
}

fn on_rig<'a, F>(
    start: impl FnOnce() -> Result<Rig> + 'a,
    limit: Duration,
    test: F,
) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>
where
    F: AsyncFnOnce(&mut Rig) -> Result<()> + 'a,
{
    // In a box, because the futures of SDKs are too large for the stack of a test's thread.
    Box::pin(async move {
        let mut rig = start()?;
        let outcome = bounded(limit, test(&mut rig)).await;
        outcome.map_err(|error| anyhow!("{error:#}\n\n{}", rig.last_words()))
    })
}

/// Runs a test on a fresh rig. It ends after `limit` at the latest; where it fails, the logs of the servers are shown.
///
/// # Errors
/// Whatever the test says, or that it took too long.
pub fn with_rig<'a, F>(limit: Duration, test: F) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>
where
    F: AsyncFnOnce(&mut Rig) -> Result<()> + 'a,
{
    with_rig_of("", limit, test)
}

/// Ends a test that takes too long with an error. In a box, for the reason that [`with_rig`] has.
pub fn bounded<'a>(
    limit: Duration,
    test: impl Future<Output = Result<()>> + 'a,
) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
    Box::pin(async move {
        tokio::time::timeout(limit, test)
            .await
            .unwrap_or_else(|_| Err(anyhow!("the test took longer than {limit:?}")))
    })
}

/// SHA-256 in hexadecimal digits, to compare what is too long to print.
pub fn fingerprint(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The name of the state bucket, as a client of the storage finds it.
///
/// # Errors
/// If there is none.
pub async fn state_bucket(bare: &Client) -> Result<String> {
    let buckets = bare.list_buckets().send().await?;
    let mut names = buckets.buckets().iter().filter_map(|bucket| bucket.name());
    let state = names.find(|name| name.starts_with("sealgate-state-"));
    Ok(state.context("no state bucket")?.to_owned())
}

/// The body of an object.
///
/// # Errors
/// If it can't be had whole.
pub async fn get(client: &Client, bucket: &str, key: &str) -> Result<Vec<u8>> {
    let answer = client
        .get_object()
        .bucket(bucket)
        .key(key)
        .send()
        .await
        .with_context(|| format!("GET {key}"))?;
    let body = answer
        .body
        .collect()
        .await
        .with_context(|| format!("the body of {key}"))?;
    Ok(body.to_vec())
}

/// Stores an object.
///
/// # Errors
/// If it is refused.
pub async fn put(client: &Client, bucket: &str, key: &str, body: &[u8]) -> Result<()> {
    client
        .put_object()
        .bucket(bucket)
        .key(key)
        .body(body.to_vec().into())
        .send()
        .await
        .with_context(|| format!("PUT {key}"))?;
    Ok(())
}
