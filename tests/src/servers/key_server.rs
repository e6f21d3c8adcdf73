//! The key server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{endpoint::Endpoint, environment, process::Process, servers::gateway::TlsFiles};

/// The alias of the key that the gateways of the rig use.
pub const KEY: &str = "alias/sealgate-tests";

/// The other region that it answers for, in which there are but replicas of multi-Region keys.
pub const REPLICA_REGION: &str = "eu-west-3";

/// The access key of the principal that may not decrypt.
const WRITER: &str = "AKIAWRITER";

/// The file with a line for each request, in the key server's directory.
const REQUEST_LOG: &str = "key-requests.jsonl";

/// A `sealgate-kms-mock` with its keys in one directory.
#[derive(Debug)]
pub struct KeyServer {
    /// Where it is, with credentials that may do everything.
    pub endpoint: Endpoint,
    process: Process,
    control: String,
    directory: PathBuf,
    tls: Option<TlsFiles>,
}

impl KeyServer {
    /// Starts the key server with its keys in a new directory below `directory`, and waits until it serves.
    ///
    /// # Errors
    /// If it has not been built or does not become ready.
    pub fn start(directory: &Path, tls: Option<TlsFiles>) -> Result<Self> {
        let endpoint = Endpoint {
            url: String::new(),
            access_key_id: "AKIAKEYSERVER".to_owned(),
            secret_access_key: "a secret of the key server".to_owned(),
            ca_file: tls.as_ref().map(|files| files.ca_file.clone()),
        };
        let (process, url, control) = launch(directory, "127.0.0.1:0", &endpoint, tls.as_ref())?;
        Ok(Self {
            endpoint: Endpoint { url, ..endpoint },
            process,
            control,
            directory: directory.to_owned(),
            tls,
        })
    }

    /// The same server, for a principal that may generate and encrypt, and nothing else.
    pub fn for_a_writer(&self) -> Endpoint {
        Endpoint {
            access_key_id: WRITER.to_owned(),
            ..self.endpoint.clone()
        }
    }

    /// Ends it as `kill -9` does. Nobody listens on its port until [`Self::start_again`].
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it anew on the same port with the same keys.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start_again(&mut self) -> Result<()> {
        let address = self.endpoint.authority().to_owned();
        let (process, _, control) =
            launch(&self.directory, &address, &self.endpoint, self.tls.as_ref())?;
        self.process = process;
        self.control = control;
        Ok(())
    }

    /// Sets the faults that strike its requests: a JSON list as its README has it.
    ///
    /// # Errors
    /// If it does not take them.
    pub fn set_faults(&self, faults: &serde_json::Value) -> Result<()> {
        let body = serde_json::json!({ "faults": faults }).to_string();
        let mut stream = TcpStream::connect(&self.control)?;
        write!(
            stream,
            "PUT /faults HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.control,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    }

    /// Every request that it has answered so far, as its request log has them.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn requests(&self) -> Result<Vec<serde_json::Value>> {
        let text = std::fs::read_to_string(self.directory.join(REQUEST_LOG))?;
        let lines = text.lines().map(serde_json::from_str);
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// How many requests for an operation succeeded so far.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn count(&self, operation: &str) -> Result<usize> {
        let requests = self.requests()?;
        let of_operation = |request: &&serde_json::Value| {
            request["operation"] == operation && request["outcome"] == "Success"
        };
        Ok(requests.iter().filter(of_operation).count())
    }
    /// Schedules the deletion of the rig's key, after which it opens nothing.
    ///
    /// # Errors
    /// What the server says.
    pub async fn schedule_deletion(&self) -> Result<()> {
        let client = self.endpoint.kms();
        let described = client.describe_key().key_id(KEY).send().await?;
        let key = described.key_metadata().context("no metadata")?.key_id();
        let deletion = client.schedule_key_deletion().key_id(key);
        deletion.pending_window_in_days(7).send().await?;
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }
}

fn launch(
    directory: &Path,
    address: &str,
    endpoint: &Endpoint,
    tls: Option<&TlsFiles>,
) -> Result<(Process, String, String)> {
    let mut command = Command::new(environment::own_program("sealgate-kms-mock")?);
    let principal = format!(
        "name=gateway,access-key-id={},secret=env:KEY_SERVER_SECRET,operations=*",
        endpoint.access_key_id
    );
    let writer = format!(
        "name=writer,access-key-id={WRITER},secret=env:KEY_SERVER_SECRET,operations=GenerateDataKey+Encrypt"
    );
    command
        .args(["--listen", address, "--principal", &principal])
        .args(["--principal", &writer])
        .args(["--create-alias", KEY])
        .args(["--replica-region", REPLICA_REGION])
        .args(["--control", "127.0.0.1:0"])
        .arg("--request-log")
        .arg(directory.join(REQUEST_LOG))
        .arg("--state-dir")
        .arg(directory.join("keys"))
        .env("KEY_SERVER_SECRET", &endpoint.secret_access_key);
    if let Some(files) = tls {
        command.arg("--tls-cert").arg(&files.certificate);
        command.arg("--tls-key").arg(&files.key);
    }
    let mut process = Process::start("key-server", &mut command, directory)?;
    let url = process.ready_url()?;
    let printed = process.printed();
    let control = printed
        .iter()
        .find_map(|line| line.strip_prefix("control http://"));
    let control = control.context("no control line")?.to_owned();
    Ok((process, url, control))
}
