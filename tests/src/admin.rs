//! The admin listener of a gateway, asked as load balancers and scrapers do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::free_port;
use crate::raw_http::RawAnswer;
use crate::servers::gateway::TlsFiles;
use crate::servers::{Devstore, Gateway, GatewaySettings, KeyServer};
use crate::tls_client::connect;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(100);

/// Where a gateway's admin listener is.
#[derive(Clone, Debug)]
pub struct AdminEndpoint {
    port: u16,
    tls: Option<TlsFiles>,
}

impl AdminEndpoint {
    /// A free port, with TLS where there are files for it.
    ///
    /// # Errors
    /// If the system has none.
    pub fn new(tls: Option<&TlsFiles>) -> Result<Self> {
        Ok(Self {
            port: free_port()?,
            tls: tls.cloned(),
        })
    }

    /// The table `[admin]` of the configuration.
    pub fn table(&self) -> String {
        let tls = self.tls.as_ref().map_or_else(String::new, |files| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            format!(
                "tls = {{ certificate = \"{certificate}\", key = \"{key}\"{} }}\n",
                files.more
            )
        });
        format!("\n[admin]\naddress = \"127.0.0.1:{}\"\n{tls}\n", self.port)
    }

    /// The URL of what it answers.
    pub fn url(&self, target: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}{target}", self.port)
    }

    /// One GET over a connection of its own.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub async fn get(&self, target: &str) -> Result<RawAnswer> {
        let asked = async {
            let address = format!("127.0.0.1:{}", self.port);
            match &self.tls {
                None => exchange(TcpStream::connect(address).await?, target).await,
                Some(files) => exchange(connect(&address, &files.ca_file).await?, target).await,
            }
        };
        tokio::time::timeout(ANSWER_LIMIT, asked)
            .await
            .context("no answer from the admin listener")?
    }

    /// What `/readyz` says: whether it is ready, and its document.
    ///
    /// # Errors
    /// If there is no answer that is JSON.
    pub async fn readiness(&self) -> Result<(bool, Value)> {
        let answer = self.get("/readyz").await?;
        Ok((answer.status == 200, serde_json::from_slice(&answer.body)?))
    }

    /// Waits until readiness is as wanted, and returns the last document.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub async fn until_ready(&self, wanted: bool, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let (ready, document) = self.readiness().await?;
            if ready == wanted {
                return Ok(document);
            }
            if Instant::now() > deadline {
                bail!("ready is not {wanted} within {limit:?}: {document:#}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A gateway with an admin listener, before an embedded storage and a key server of its own.
#[derive(Debug)]
pub struct Administered {
    /// The gateway.
    pub gateway: Gateway,
    /// Its admin listener, without TLS.
    pub admin: AdminEndpoint,
    _storage: Devstore,
    _key_server: KeyServer,
    _directory: TempDir,
}

impl Administered {
    /// Starts all of it. `more` are further tables, with the variables that they name in `environment`.
    ///
    /// # Errors
    /// If one of them does not become ready; with its last words.
    pub fn start(more: &str, environment: Vec<(String, String)>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let storage = Devstore::start(directory.path())?;
        let key_server = KeyServer::start(directory.path(), None)?;
        let admin = AdminEndpoint::new(None)?;
        let settings = GatewaySettings {
            more: format!("{}{more}\n", admin.table()),
            environment,
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        };
        Ok(Self {
            gateway: Gateway::start(settings, directory.path())?,
            admin,
            _storage: storage,
            _key_server: key_server,
            _directory: directory,
        })
    }
}

/// The check of this name in a document of `/readyz`.
pub fn check(document: &Value, name: &str) -> Value {
    let checks = document["checks"].as_array().cloned().unwrap_or_default();
    let found = checks.into_iter().find(|check| check["name"] == name);
    found.unwrap_or(Value::Null)
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    target: &str,
) -> Result<RawAnswer> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    RawAnswer::parse(&received, false)
}
