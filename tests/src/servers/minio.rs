//! MinIO: the real storage.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::{
    endpoint::{BASE_DOMAIN, Endpoint},
    environment,
    process::{Process, START_LIMIT, free_port},
    servers::gateway::TlsFiles,
};

/// How long one answer to the question whether MinIO is ready may take.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// A MinIO on one directory.
#[derive(Debug)]
pub struct Minio {
    /// Where it is, with the credentials of its root user.
    pub endpoint: Endpoint,
    /// Its data, as it lies on the disk.
    pub data: PathBuf,
    /// The process.
    pub process: Process,
    directory: PathBuf,
    console: String,
}

/// What a MinIO is told beside its data and its port.
#[derive(Clone, Debug, Default)]
pub struct MinioSettings {
    /// TLS instead of plaintext.
    pub tls: Option<TlsFiles>,
}

impl Minio {
    /// Starts MinIO with its data in a new directory below `directory`, and waits until it serves.
    ///
    /// # Errors
    /// If the binary is missing or does not become ready.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_with(directory, &MinioSettings::default())
    }

    /// As [`Self::start`], with further settings.
    ///
    /// # Errors
    /// If the binary is missing or does not become ready.
    pub fn start_with(directory: &Path, settings: &MinioSettings) -> Result<Self> {
        let data = directory.join("minio");
        std::fs::create_dir_all(&data)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let console = format!("127.0.0.1:{}", free_port()?);
        let scheme = settings.tls.as_ref().map_or("http", |_| "https");
        let endpoint = Endpoint {
            url: format!("{scheme}://{address}"),
            access_key_id: "minio-root".to_owned(),
            secret_access_key: "minio-root-secret".to_owned(),
            ca_file: settings.tls.as_ref().map(|files| files.ca_file.clone()),
        };
        if let Some(files) = &settings.tls {
            // MinIO knows its files by these names.
            let certificates = certificates(directory);
            std::fs::create_dir_all(&certificates)?;
            std::fs::copy(&files.certificate, certificates.join("public.crt"))?;
            std::fs::copy(&files.key, certificates.join("private.key"))?;
        }
        let process = launch(directory, &endpoint, &console)?;
        Ok(Self {
            endpoint,
            data,
            process,
            directory: directory.to_owned(),
            console,
        })
    }

    /// Starts it anew on the same port with the same data, after it has ended.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = launch(&self.directory, &self.endpoint, &self.console)?;
        Ok(())
    }

    /// Waits until requests are answered, which the health page can't tell over TLS.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn answers(&self) -> Result<()> {
        let client = self.endpoint.s3()?;
        let deadline = Instant::now() + START_LIMIT;
        while let Err(error) = client.list_buckets().send().await {
            ensure!(
                Instant::now() < deadline,
                "MinIO does not answer: {error:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn certificates(directory: &Path) -> PathBuf {
    directory.join("minio-certificates")
}

fn launch(directory: &Path, endpoint: &Endpoint, console: &str) -> Result<Process> {
    let address = endpoint.authority();
    let tls = endpoint.ca_file.is_some();
    let mut command = Command::new(environment::minio()?);
    command
        .arg("server")
        .arg(directory.join("minio"))
        .args(["--address", address, "--console-address", console])
        .env_clear()
        .env("HOME", directory)
        .env("MINIO_CI_CD", "1")
        .env("MINIO_BROWSER", "off")
        .env("MINIO_UPDATE", "off")
        .env("MINIO_DOMAIN", BASE_DOMAIN)
        .env("MINIO_ROOT_USER", &endpoint.access_key_id)
        .env("MINIO_ROOT_PASSWORD", &endpoint.secret_access_key);
    if tls {
        command.arg("--certs-dir").arg(certificates(directory));
    }
    let mut process = Process::start("minio", &mut command, directory)?;
    let deadline = Instant::now() + START_LIMIT;
    while !is_ready(address, tls) {
        if process.has_ended()? || Instant::now() > deadline {
            bail!(
                "MinIO at {address} does not become ready\n{}\n{}",
                process.printed().join("\n"),
                process.last_words()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(process)
}

/// Asks for the buckets without a signature: MinIO refuses that once it knows its storage, and is unavailable before. Its health page says 200
/// sooner. Over TLS it is enough that somebody is there to refuse a request in plaintext.
fn is_ready(address: &str, tls: bool) -> bool {
    let ask = || -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PROBE_LIMIT))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| {
        answer.starts_with(b"HTTP/1.1 403") || (tls && answer.starts_with(b"HTTP/1.0 400"))
    })
}
