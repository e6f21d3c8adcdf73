//! Vault, with the Transit engine: the core of the real one, in memory (tests/vault-dev).

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    environment,
    process::{Process, run_successfully},
    servers::gateway::TlsFiles,
};

/// The token that may do everything.
pub const ROOT_TOKEN: &str = "root-of-the-rig";

/// How long an administrator's request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// A Vault, administered with curl.
#[derive(Debug)]
pub struct Vault {
    /// Scheme, host and port.
    pub url: String,
    process: Process,
    tls: Option<TlsFiles>,
}

impl Vault {
    /// Starts a Vault that has no key yet, and waits until it serves.
    ///
    /// # Errors
    /// If the binary is missing or does not become ready.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_with(directory, None)
    }

    /// As [`Self::start`], with TLS: it shows these files' certificate, and wants one of the same authority from clients.
    ///
    /// # Errors
    /// If the binary is missing or does not become ready.
    pub fn start_with(directory: &Path, tls: Option<TlsFiles>) -> Result<Self> {
        let mut command = Command::new(environment::vault()?);
        command.args(["-root-token", ROOT_TOKEN]);
        if let Some(files) = &tls {
            command.arg("-tls-certificate").arg(&files.certificate);
            command.arg("-tls-key").arg(&files.key);
            command.arg("-tls-client-authority").arg(&files.ca_file);
        }
        let mut process = Process::start("vault", &mut command, directory)?;
        let url = process.ready_url()?;
        Ok(Self { url, process, tls })
    }

    /// An administrator's request; the answer's document, null where it has none.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--request",
                method,
            ])
            .args(["--header", &format!("X-Vault-Token: {ROOT_TOKEN}")])
            .args(["--data", &body.to_string()])
            .arg(format!("{}/v1/{path}", self.url));
        if let Some(files) = &self.tls {
            command.arg("--cacert").arg(&files.ca_file);
            command.arg("--cert").arg(&files.certificate);
            command.arg("--key").arg(&files.key);
        }
        let answer = run_successfully(&mut command, REQUEST_LIMIT)?;
        if answer.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&answer).with_context(|| format!("{path}: {answer}"))
    }

    /// As [`Self::request`], with POST.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn write(&self, path: &str, body: &Value) -> Result<Value> {
        self.request("POST", path, body)
    }

    /// Makes a derived key in the engine at `transit`.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn make_key(&self, name: &str) -> Result<()> {
        let key = serde_json::json!({ "type": "aes256-gcm96", "derived": true });
        self.write(&format!("transit/keys/{name}"), &key).map(drop)
    }

    /// The id of a new AppRole that may use the key as the documentation says, and a file with its secret id.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn make_role(
        &self,
        name: &str,
        key: &str,
        settings: &Value,
        directory: &Path,
    ) -> Result<(String, PathBuf)> {
        self.write_policy(name, key)?;
        let mut role = serde_json::json!({ "token_policies": name });
        if let (Some(role), Some(settings)) = (role.as_object_mut(), settings.as_object()) {
            role.extend(settings.clone());
        }
        let path = format!("auth/approle/role/{name}");
        self.write(&path, &role)?;
        let text = |answer: &Value, field: &str| -> Result<String> {
            let value = answer.pointer(&format!("/data/{field}"));
            Ok(value
                .and_then(Value::as_str)
                .context("no such field")?
                .to_owned())
        };
        let id = self.request("GET", &format!("{path}/role-id"), &Value::Null)?;
        let secret = self.write(&format!("{path}/secret-id"), &serde_json::json!({}))?;
        let file = directory.join(format!("{name}-secret-id"));
        std::fs::write(&file, text(&secret, "secret_id")?)?;
        Ok((text(&id, "role_id")?, file))
    }

    /// The policy that docs/configuration.md gives a gateway.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn write_policy(&self, name: &str, key: &str) -> Result<()> {
        let policy = format!(
            "path \"transit/datakey/plaintext/{key}\" {{ capabilities = [\"update\"] }}\n\
             path \"transit/encrypt/{key}\" {{ capabilities = [\"update\"] }}\n\
             path \"transit/decrypt/{key}\" {{ capabilities = [\"update\"] }}\n\
             path \"transit/rewrap/{key}\" {{ capabilities = [\"update\"] }}\n\
             path \"transit/keys/{key}\" {{ capabilities = [\"read\"] }}\n"
        );
        let document = serde_json::json!({ "policy": policy });
        self.request("PUT", &format!("sys/policies/acl/{name}"), &document)
            .map(drop)
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }
}
