//! How to reach a key in the Transit engine, and how to log in there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::key_service::trust::{ClientCertificate, TrustRoots, has_scheme};

/// Limits on the time and the number of tries that one call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultLimits {
    /// For the TCP and TLS handshakes. Default 2 s.
    pub connect_timeout: Duration,
    /// For one try as a whole. Default 5 s.
    pub attempt_timeout: Duration,
    /// For a call with all its tries, the pauses between them and a login. Default 12 s.
    pub operation_timeout: Duration,
    /// Tries for a call, the first one counted. Default 3.
    pub attempts: u32,
    /// Before the first retry; it doubles with each, with jitter. Default 100 ms.
    pub initial_backoff: Duration,
    /// The longest pause between two tries. Default 2 s.
    pub max_backoff: Duration,
}

impl Default for VaultLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(12),
            attempts: 3,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
        }
    }
}

/// Who we are to the server. Tokens that can be renewed are renewed; what a login gave is replaced by another login when
/// it ends.
#[derive(Clone)]
#[non_exhaustive]
pub enum VaultLogin {
    /// A token that somebody else made.
    Token(Zeroizing<String>),
    /// A token in a file, read again when the server refuses it: what a Vault Agent writes.
    TokenFile(PathBuf),
    /// The AppRole method.
    AppRole {
        /// Where the method is mounted, usually `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The secret id.
        secret_id: Zeroizing<String>,
    },
    /// The Kubernetes method: the service account's token, which the cluster rotates, so the file is read at each login.
    Kubernetes {
        /// Where the method is mounted, usually `kubernetes`.
        mount: String,
        /// The role.
        role: String,
        /// The file with the service account's token.
        token_file: PathBuf,
    },
}

impl VaultLogin {
    /// The file in which Kubernetes puts the token of a pod's service account.
    pub const KUBERNETES_TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

    /// Whether the token is ours to replace when it ends or is refused.
    pub(super) fn can_log_in_again(&self) -> bool {
        !matches!(self, Self::Token(_))
    }
}

impl fmt::Debug for VaultLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => formatter.write_str("Token"),
            Self::TokenFile(path) => formatter.debug_tuple("TokenFile").field(path).finish(),
            Self::AppRole { mount, role_id, .. } => formatter
                .debug_struct("AppRole")
                .field("mount", mount)
                .field("role_id", role_id)
                .finish_non_exhaustive(),
            Self::Kubernetes {
                mount,
                role,
                token_file,
            } => formatter
                .debug_struct("Kubernetes")
                .field("mount", mount)
                .field("role", role)
                .field("token_file", token_file)
                .finish(),
        }
    }
}

/// A key in the Transit engine and how to reach it.
///
/// ```
/// use sealgate_envelope::key_service::vault::{VaultConfiguration, VaultLogin};
///
/// let login = VaultLogin::Token(String::from("hvs.…").into());
/// let configuration = VaultConfiguration::new("https://vault.internal:8200", "sealgate", login)
///     .namespace("storage");
/// # let _ = configuration;
/// ```
#[derive(Clone, Debug)]
pub struct VaultConfiguration {
    pub(super) address: String,
    pub(super) mount: String,
    pub(super) key: String,
    pub(super) namespace: Option<String>,
    pub(super) login: VaultLogin,
    pub(super) plain_http: bool,
    pub(super) trust_roots: TrustRoots,
    pub(super) client_certificate: Option<ClientCertificate>,
    pub(super) limits: VaultLimits,
}

impl VaultConfiguration {
    /// The key `key` of the engine mounted at `transit` on the server at `address`, scheme, host and port.
    ///
    /// The key must exist and be derived (`derived=true`): only then is a wrap bound to its domain.
    #[must_use]
    pub fn new(address: impl Into<String>, key: impl Into<String>, login: VaultLogin) -> Self {
        Self {
            address: address.into(),
            mount: "transit".to_owned(),
            key: key.into(),
            namespace: None,
            login,
            plain_http: false,
            trust_roots: TrustRoots::System,
            client_certificate: None,
            limits: VaultLimits::default(),
        }
    }

    /// Where the Transit engine is mounted. Default: `transit`.
    #[must_use]
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// The namespace of key and login (Vault Enterprise, OpenBao).
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Allows an address that begins with `http://`. Whoever can read that connection reads every working key.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Which certificate authorities to trust. Default: [`TrustRoots::System`].
    #[must_use]
    pub fn trust_roots(mut self, roots: TrustRoots) -> Self {
        self.trust_roots = roots;
        self
    }

    /// The certificate to show to a server that asks for one.
    #[must_use]
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(certificate);
        self
    }

    /// Timeouts and retries.
    #[must_use]
    pub fn limits(mut self, limits: VaultLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The key's name as references are made of it (FORMAT.md section 2): namespace, mount and key, joined by slashes.
    /// The server's address is no part of it, so that a cluster may be reached by another name.
    pub(super) fn key_name(&self) -> String {
        let mut name = String::new();
        if let Some(namespace) = &self.namespace {
            name.push_str(namespace);
            name.push('/');
        }
        name.push_str(&self.mount);
        name.push('/');
        name.push_str(&self.key);
        name
    }

    /// Checks what can be checked without the network.
    pub(super) fn check(&self) -> Result<()> {
        let plain = has_scheme(&self.address, "http://");
        if !plain && !has_scheme(&self.address, "https://") {
            return Err(Error::misuse(format!(
                "the Vault address {:?} must begin with https:// (or http://)",
                self.address
            )));
        }
        if plain && !self.plain_http {
            return Err(Error::misuse(format!(
                "the Vault address {:?} is not encrypted and working keys would cross it in the clear; use https://, or \
                 allow plain http explicitly for a server on this machine",
                self.address
            )));
        }
        if plain && self.client_certificate.is_some() {
            return Err(Error::misuse(
                "a client certificate for Vault needs an https:// address",
            ));
        }
        check_path("mount", &self.mount)?;
        if let Some(namespace) = &self.namespace {
            check_path("namespace", namespace)?;
        }
        check_path("key", &self.key)?;
        if self.key.contains('/') {
            return Err(Error::misuse(
                "a key of the Transit engine has no slash in its name; the part before it belongs to `mount` or `namespace`",
            ));
        }
        match &self.login {
            VaultLogin::AppRole { mount, .. } | VaultLogin::Kubernetes { mount, .. } => {
                check_path("login mount", mount)?;
            }
            VaultLogin::Token(_) | VaultLogin::TokenFile(_) => {}
        }
        if self.limits.attempts == 0 {
            return Err(Error::misuse(
                "the number of attempts for a Vault call must be at least 1",
            ));
        }
        if self.limits.attempt_timeout.is_zero()
            || self.limits.operation_timeout < self.limits.attempt_timeout
        {
            return Err(Error::misuse(
                "the operation timeout of Vault must be at least the attempt timeout, and both above zero",
            ));
        }
        Ok(())
    }
}

/// The longest mount, namespace or key name.
const PATH_LIMIT: usize = 255;

/// Refuses what would name another path of the server's interface than it seems to.
fn check_path(what: &str, path: &str) -> Result<()> {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let segments = || path.split('/');
    if path.len() <= PATH_LIMIT
        && path.bytes().all(legal)
        && segments().all(|segment| !matches!(segment, "" | "." | ".."))
    {
        return Ok(());
    }
    Err(Error::misuse(format!(
        "the Vault {what} {path:?} must be 1 to {PATH_LIMIT} of A-Z a-z 0-9 - _ . and single slashes between them"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> VaultLogin {
        VaultLogin::Token(Zeroizing::new("hush-hush".to_owned()))
    }

    fn refusal(configuration: &VaultConfiguration) -> String {
        let error = configuration.check().unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Caller);
        error.to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let at = |address| VaultConfiguration::new(address, "k", token());
        assert!(refusal(&at("vault:8200")).contains("https://"));
        assert!(refusal(&at("http://127.0.0.1:8200")).contains("not encrypted"));
        at("HTTP://127.0.0.1:8200")
            .allow_plain_http()
            .check()
            .unwrap();
        let https = || at("https://vault:8200");
        https()
            .mount("kv/transit")
            .namespace("a/b")
            .check()
            .unwrap();
        for mount in ["", "/transit", "transit/", "a//b", "../sys", "a b", "a?b"] {
            assert!(refusal(&https().mount(mount)).contains("mount"), "{mount}");
        }
        let key = VaultConfiguration::new("https://vault:8200", "keys/other", token());
        assert!(refusal(&key).contains("slash"));
        let none = VaultLimits {
            attempts: 0,
            ..VaultLimits::default()
        };
        assert!(refusal(&https().limits(none)).contains("at least 1"));
    }

    #[test]
    fn the_name_of_a_key_has_no_server_in_it() {
        let configuration = VaultConfiguration::new("https://vault:8200", "sealgate", token());
        assert_eq!(configuration.key_name(), "transit/sealgate");
        assert_eq!(
            configuration.namespace("team/a").mount("keys").key_name(),
            "team/a/keys/sealgate"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let role = VaultLogin::AppRole {
            mount: "approle".to_owned(),
            role_id: "role".to_owned(),
            secret_id: Zeroizing::new("hush-hush".to_owned()),
        };
        for login in [token(), role] {
            let shown = format!("{:?}", VaultConfiguration::new("https://v", "k", login));
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
}
