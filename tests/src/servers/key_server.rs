//! The key server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{endpoint::Endpoint, environment, process::Process, servers::gateway::TlsFiles};

/// The alias of the key that the gateways of the rig use.
pub const KEY: &str = "alias/sealgate-tests";

/// A `sealgate-kms-mock` with its keys in one directory.
#[derive(Debug)]
pub struct KeyServer {
    /// Where it is, with credentials that may do everything.
    pub endpoint: Endpoint,
    process: Process,
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
        let (process, url) = launch(directory, "127.0.0.1:0", &endpoint, tls.as_ref())?;
        Ok(Self {
            endpoint: Endpoint { url, ..endpoint },
            process,
            directory: directory.to_owned(),
            tls,
        })
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
        let (process, _) = launch(&self.directory, &address, &self.endpoint, self.tls.as_ref())?;
        self.process = process;
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
) -> Result<(Process, String)> {
    let mut command = Command::new(environment::own_program("sealgate-kms-mock")?);
    let principal = format!(
        "name=gateway,access-key-id={},secret=env:KEY_SERVER_SECRET,operations=*",
        endpoint.access_key_id
    );
    command
        .args(["--listen", address, "--principal", &principal])
        .args(["--create-alias", KEY])
        .arg("--state-dir")
        .arg(directory.join("keys"))
        .env("KEY_SERVER_SECRET", &endpoint.secret_access_key);
    if let Some(files) = tls {
        command.arg("--tls-cert").arg(&files.certificate);
        command.arg("--tls-key").arg(&files.key);
    }
    let mut process = Process::start("key-server", &mut command, directory)?;
    let url = process.ready_url()?;
    Ok((process, url))
}
