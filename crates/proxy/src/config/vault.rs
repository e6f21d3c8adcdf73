//! `[[key_service]]` of type `vault-transit`: a key in the Transit engine of Vault or OpenBao.

use std::path::PathBuf;

use super::endpoint::{self, Endpoint, Scheme};
use super::key_service::{KeyServiceTimeouts, read_timeouts};
use super::problem::Noted;
use super::secret::{Secret, Surroundings};
use super::table::{Table, Value};
use super::upstream::read_ca_file;

/// A key in the Transit engine.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// The server.
    pub endpoint: Endpoint,
    /// Where the engine is mounted.
    pub mount: String,
    /// The key's name in the engine.
    pub key: String,
    /// The namespace of engine and login.
    pub namespace: Option<String>,
    /// Who we are there.
    pub login: VaultLoginConfig,
    /// PEM file of the only certificate authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// What is shown to a server that asks for a certificate.
    pub client_certificate: Option<ClientCertificateFiles>,
    /// How long to wait.
    pub timeouts: KeyServiceTimeouts,
}

/// How to get a token of the server.
#[derive(Clone, Debug)]
pub enum VaultLoginConfig {
    /// One that somebody else made.
    Token(Secret),
    /// A file that somebody else keeps current, such as a Vault Agent.
    TokenFile(PathBuf),
    /// By a role's id and its secret.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// The role.
        role_id: String,
        /// Its secret.
        secret_id: Secret,
    },
    /// By a service account of Kubernetes.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// The service account's token; `None` is where Kubernetes puts it.
        token_file: Option<PathBuf>,
    },
}

/// A certificate of our own, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificateFiles {
    /// The chain, the leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

#[derive(Clone, Copy)]
enum Method {
    Token,
    AppRole,
    Kubernetes,
}

/// Reads a `[[key_service]]` whose type has been taken.
pub(super) fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<VaultConfig> {
    let allow_plaintext = table.flag("allow_plaintext");
    let ca_file = read_ca_file(&mut table, surroundings);
    let has_ca_file = !matches!(ca_file, Ok(None));
    let endpoint = table
        .require_text("endpoint", "endpoint = \"https://vault.example.org:8200\"")
        .and_then(|value| endpoint::read(&table, &value, allow_plaintext, has_ca_file));
    let key = table
        .require_text("key", "key = \"NAME\", the name of a derived key")
        .and_then(|value| read_name(&value, false));
    let mount = read_path(&mut table, "mount", "transit");
    let namespace = table.take("namespace").map(|value| read_name(&value, true));
    let client_certificate = read_client_certificate(&mut table, endpoint.as_ref(), surroundings);
    let login = table
        .require(
            "login",
            "login = { method = \"approle\", role_id = \"ID\", secret_id = \"file:PATH\" }",
        )
        .and_then(|value| value.table())
        .and_then(|table| read_login(table, surroundings));
    let timeouts = read_timeouts(&mut table);
    table.finish();
    Some(VaultConfig {
        endpoint: endpoint?,
        mount: mount?,
        key: key?,
        namespace: match namespace {
            Some(namespace) => Some(namespace?),
            None => None,
        },
        login: login?,
        ca_file: ca_file.ok()?,
        client_certificate: client_certificate.ok()?,
        timeouts: timeouts?,
    })
}

fn read_login(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<VaultLoginConfig> {
    let method = table
        .require(
            "method",
            "method = \"token\", method = \"approle\" or method = \"kubernetes\"",
        )?
        .choice(&[
            ("token", Method::Token),
            ("approle", Method::AppRole),
            ("kubernetes", Method::Kubernetes),
        ])?;
    let login = match method {
        Method::Token => read_token(&mut table, surroundings),
        Method::AppRole => {
            let mount = read_path(&mut table, "mount", "approle");
            let role_id = table
                .require_text("role_id", "role_id = \"ID\" or \"env:NAME\"")
                .and_then(|value| surroundings.text_or_reference(&value));
            let secret_id = table
                .require_text("secret_id", "secret_id = \"env:NAME\" or \"file:PATH\"")
                .and_then(|value| surroundings.secret(&value));
            mount
                .zip(role_id)
                .zip(secret_id)
                .map(|((mount, role_id), secret_id)| VaultLoginConfig::AppRole {
                    mount,
                    role_id,
                    secret_id,
                })
        }
        Method::Kubernetes => {
            let mount = read_path(&mut table, "mount", "kubernetes");
            let role = table
                .require_text("role", "role = \"NAME\"")
                .and_then(|value| value.text().map(str::to_owned));
            let token_file = table.take("token_file").map(|value| {
                surroundings.file(&value, "name the file with the service account's token")
            });
            let token_file = match token_file {
                Some(None) => None,
                Some(file) => Some(file),
                None => Some(None),
            };
            mount
                .zip(role)
                .zip(token_file)
                .map(|((mount, role), token_file)| VaultLoginConfig::Kubernetes {
                    mount,
                    role,
                    token_file,
                })
        }
    };
    table.finish();
    login
}

fn read_token(table: &mut Table<'_>, surroundings: Surroundings<'_>) -> Option<VaultLoginConfig> {
    let fix = "give one of token = \"env:NAME\", read once, and token_file = \"PATH\", read again when the server refuses the token";
    match (table.take("token"), table.take("token_file")) {
        (Some(token), None) => surroundings.secret(&token).map(VaultLoginConfig::Token),
        (None, Some(file)) => surroundings
            .file(&file, "name the file that the token is written to")
            .map(VaultLoginConfig::TokenFile),
        (Some(_), Some(_)) => table.problem("token contradicts token_file", fix),
        (None, None) => table.problem("the token is missing", fix),
    }
}

/// Reads `client_certificate`, which needs an endpoint with TLS.
pub(super) fn read_client_certificate(
    table: &mut Table<'_>,
    endpoint: Option<&Endpoint>,
    surroundings: Surroundings<'_>,
) -> Result<Option<ClientCertificateFiles>, Noted> {
    let Some(value) = table.take("client_certificate") else {
        return Ok(None);
    };
    if endpoint.is_some_and(|endpoint| endpoint.scheme() == Scheme::Http) {
        table.problem::<()>(
            "client_certificate contradicts an http endpoint",
            "use https, or remove client_certificate",
        );
    }
    let files = value
        .table()
        .and_then(|table| read_certificate_files(table, surroundings));
    files.map(Some).ok_or(Noted)
}

pub(super) fn read_certificate_files(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<ClientCertificateFiles> {
    let fix = "certificate = \"FILE\", PEM, the leaf first";
    let certificate = table
        .require_text("certificate", fix)
        .and_then(|value| surroundings.file(&value, fix));
    let fix = "key = \"FILE\", PEM";
    let key = table
        .require_text("key", fix)
        .and_then(|value| surroundings.secret_file(&value, fix));
    table.finish();
    Some(ClientCertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn read_path(table: &mut Table<'_>, key: &'static str, default: &str) -> Option<String> {
    match table.take(key) {
        Some(value) => read_name(&value, true),
        None => Some(default.to_owned()),
    }
}

/// A name in the server's paths: what would mean another path than it seems to is refused, as the client does again.
fn read_name(value: &Value<'_>, slashes: bool) -> Option<String> {
    let name = value.text()?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let legal_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(legal);
    if name.split('/').all(legal_segment) && (slashes || !name.contains('/')) {
        return Some(name.to_owned());
    }
    value.problem(
        "not a name of Vault",
        if slashes {
            "write letters, digits, hyphens, underscores and dots, with single slashes between them"
        } else {
            "write letters, digits, hyphens, underscores and dots; the part before a slash belongs to mount or namespace"
        },
    )
}
