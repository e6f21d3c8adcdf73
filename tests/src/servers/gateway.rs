//! The gateway itself: `sealgate serve` with a configuration file.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

use crate::{
    endpoint::{BASE_DOMAIN, Endpoint, REGION},
    environment,
    process::{self, Process},
    servers::key_server::KEY,
};

/// Certificate, key and the authority that vouches for them, as PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// What clients trust.
    pub ca_file: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Further keys of the gateway's table, each with a comma before it.
    pub more: String,
}

/// What a gateway is told.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Another `sealgate` than the one that was built with the test.
    pub program: Option<PathBuf>,
    /// The deployment's id.
    pub deployment: String,
    /// The upstream.
    pub storage: Endpoint,
    /// The key server.
    pub key_server: Endpoint,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// TLS towards clients.
    pub tls: Option<TlsFiles>,
    /// Further lines above all tables.
    pub top: String,
    /// What stands in the place of the `[[key_service]]` at `key_server`.
    pub key_service: Option<String>,
    /// Further variables of the environment.
    pub environment: Vec<(String, String)>,
    /// Further lines of `[listener]`.
    pub listener: String,
    /// Further lines of `[upstream]`.
    pub upstream: String,
    /// Further tables of the configuration.
    pub more: String,
}

impl GatewaySettings {
    /// The usual settings for these two servers.
    pub fn new(storage: &Endpoint, key_server: &Endpoint) -> Self {
        Self {
            program: None,
            deployment: "rig".to_owned(),
            storage: storage.clone(),
            key_server: key_server.clone(),
            port: 0,
            tls: None,
            top: String::new(),
            key_service: None,
            environment: Vec::new(),
            listener: String::new(),
            upstream: String::new(),
            more: String::new(),
        }
    }

    fn configuration(&self, client: &Endpoint) -> Result<String> {
        let mut text = String::new();
        let Self {
            program: _,
            deployment,
            storage,
            key_server,
            port,
            tls,
            top,
            key_service,
            environment: _,
            listener,
            upstream,
            more,
        } = self;
        writeln!(text, "deployment = \"{deployment}\"\n{top}\n")?;
        writeln!(
            text,
            "[listener]\naddress = \"127.0.0.1:{port}\"\nbase_domains = [\"{BASE_DOMAIN}\"]"
        )?;
        if let Some(files) = tls {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            writeln!(
                text,
                "tls = {{ certificate = \"{certificate}\", key = \"{key}\"{} }}",
                files.more
            )?;
        }
        writeln!(text, "{listener}\n[upstream]\n{upstream}")?;
        describe_server(&mut text, storage, "UPSTREAM_SECRET")?;
        if let Some(other) = key_service {
            writeln!(text, "\n{other}")?;
        } else {
            writeln!(
                text,
                "\n[[key_service]]\ntype = \"aws-kms\"\nkey = \"{KEY}\""
            )?;
            describe_server(&mut text, key_server, "KEY_SERVER_SECRET")?;
        }
        writeln!(text, "\n[[identity]]\nname = \"client\"\n")?;
        writeln!(
            text,
            "[[identity.credential]]\naccess_key_id = \"{}\"\nsecret_access_key = \"env:CLIENT_SECRET\"\n",
            client.access_key_id
        )?;
        text.push_str(more);
        Ok(text)
    }
}

fn describe_server(text: &mut String, server: &Endpoint, secret: &str) -> Result<()> {
    writeln!(
        text,
        "endpoint = \"{}\"\nregion = \"{REGION}\"\ncredentials = {{ access_key_id = \"{}\", secret_access_key = \"env:{secret}\" }}",
        server.url, server.access_key_id
    )?;
    if let Some(path) = &server.ca_file {
        writeln!(text, "ca_file = \"{}\"", path.display())?;
    }
    Ok(())
}

/// A `sealgate serve`.
#[derive(Debug)]
pub struct Gateway {
    /// Where it is, with the credentials of its one client.
    pub endpoint: Endpoint,
    /// The process.
    pub process: Process,
    /// Its configuration file.
    pub configuration: PathBuf,
    settings: GatewaySettings,
    directory: PathBuf,
}

impl Gateway {
    /// Writes the configuration to `directory`, starts the gateway, and waits until it serves.
    ///
    /// # Errors
    /// If it has not been built or does not become ready.
    pub fn start(settings: GatewaySettings, directory: &Path) -> Result<Self> {
        let mut endpoint = Endpoint {
            url: String::new(),
            access_key_id: "SGCLIENT".to_owned(),
            secret_access_key: "a-secret-of-the-client".to_owned(),
            ca_file: settings.tls.as_ref().map(|files| files.ca_file.clone()),
        };
        let configuration = directory.join(format!("gateway-{}.toml", process::free_port()?));
        std::fs::write(&configuration, settings.configuration(&endpoint)?)?;
        let mut command = program("serve", &configuration, &settings, &endpoint)?;
        let mut process = Process::start("gateway", &mut command, directory)?;
        endpoint.url = process.ready_url()?;
        Ok(Self {
            endpoint,
            process,
            configuration,
            settings,
            directory: directory.to_owned(),
        })
    }

    /// Starts it anew with the same configuration, after it has ended. It is where it was if the settings name a port.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = self.command("serve")?;
        self.process = Process::start("gateway", &mut command, &self.directory)?;
        self.endpoint.url = self.process.ready_url()?;
        Ok(())
    }

    /// Another command of `sealgate` with the same configuration, such as `gc` or `keys rewrap`. Arguments may follow.
    ///
    /// # Errors
    /// If the program has not been built.
    pub fn command(&self, name: &str) -> Result<Command> {
        program(name, &self.configuration, &self.settings, &self.endpoint)
    }
}

/// Runs a command that prints a report with `--json`. Returns whether its exit status was 0, the report, and what it said on standard error.
///
/// # Errors
/// If it takes too long.
pub fn report(command: &mut Command, limit: Duration) -> Result<(bool, Value, String)> {
    let output = process::run(command.arg("--json"), limit)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Where it was refused before it began, there is none.
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Ok((output.status.success(), report, said))
}

fn program(
    name: &str,
    configuration: &Path,
    settings: &GatewaySettings,
    client: &Endpoint,
) -> Result<Command> {
    let program = match &settings.program {
        Some(program) => program.clone(),
        None => environment::own_program("sealgate")?,
    };
    let mut command = Command::new(program);
    command
        .args(name.split(' '))
        .arg("--config")
        .arg(configuration)
        .env("UPSTREAM_SECRET", &settings.storage.secret_access_key)
        .env("KEY_SERVER_SECRET", &settings.key_server.secret_access_key)
        .env("CLIENT_SECRET", &client.secret_access_key)
        .envs(settings.environment.iter().cloned());
    Ok(command)
}
