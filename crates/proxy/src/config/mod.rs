//! The configuration: one TOML file, read once, checked whole, turned into values that need no further checks.
//!
//! The annotated example `sealgate.example.toml` shows every key.

mod admin;
mod anonymous;
mod audit;
mod binding;
mod credentials;
mod difference;
mod domain;
mod domain_origin;
mod endpoint;
mod environment;
mod grants;
mod identity;
mod key_service;
mod limits;
mod listener;
mod log;
mod migrating;
mod mode;
mod policy;
mod problem;
mod quantity;
mod rates;
mod recovery;
mod referenced;
mod secret;
mod sessions;
mod table;
mod upstream;
mod vault;
mod web_address;
mod web_identity;

use std::path::Path;
use std::sync::Arc;

use sealgate_access::Engine;
use sealgate_envelope::keyring::SealingPolicy;
use toml::de::DeTable;

use self::problem::Report;
use self::table::Table;

pub use admin::AdminConfig;
pub use anonymous::{AnonymousAction, AnonymousConfig};
pub use audit::{AuditCommandsConfig, AuditConfig, AuditReceiverConfig, OnFailure};
pub use binding::{ClientAuthorities, TlsFiles};
pub use credentials::CredentialsConfig;
pub use difference::{differing_keys, is_live};
pub use domain::{CipherSuite, DomainConfig, DomainRule};
pub(crate) use domain_origin::{default_bucket, may_be_a_bucket};
pub use endpoint::{Endpoint, Scheme};
pub use grants::{GrantsConfig, NotifyConfig, RevocationSource};
pub use identity::{ClientCredential, IdentityConfig};
pub use key_service::{AwsKmsConfig, KeyServiceConfig, KeyServiceTimeouts, Pkcs11Config};
pub use limits::LimitsConfig;
pub use listener::{ForwardedHeader, ListenerConfig};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use migrating::MigratingConfig;
pub use mode::Mode;
pub use problem::{ConfigError, Problem};
pub(crate) use quantity::{parse_duration, parse_size};
pub use rates::{AddressConfig, RatesConfig};
pub use recovery::RecoveryConfig;
pub use referenced::{Fingerprint, ReferencedFile};
pub(crate) use secret::secret_of_reference;
pub use secret::{Secret, Surroundings};
pub(crate) use sessions::SHORTEST;
pub use sessions::{RoleConfig, SessionsConfig, ShortLivedConfig};
pub(crate) use upstream::is_default_state_bucket;
pub use upstream::{
    Addressing, ChecksumTrailer, CredentialSource, DEFAULT_LARGEST_COPY, StateConfig,
    StaticCredentials, UpstreamConfig, default_state_bucket,
};
pub use vault::{ClientCertificateFiles, VaultConfig, VaultLoginConfig};
pub use web_address::WebAddress;
pub use web_identity::{JwksConfig, TrustConfig, WebIdentityProviderConfig};

/// Everything that a gateway is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The deployment's id: part of every default domain, so it must never change while its data lives.
    pub deployment: String,
    /// Whether the key services may be asked to open working keys.
    pub mode: Mode,
    /// Where clients connect.
    pub listener: ListenerConfig,
    /// Where health and metrics are asked for, if anywhere.
    pub admin: Option<AdminConfig>,
    /// The storage of the data.
    pub upstream: UpstreamConfig,
    /// The place of our own records.
    pub state: StateConfig,
    /// The key services, at least one. The first makes working keys; the others wrap them as well.
    pub key_services: Vec<KeyServiceConfig>,
    /// Where access keys lie beside those of the identities, if anywhere.
    pub credentials: Option<CredentialsConfig>,
    /// The clients, at least one.
    pub identities: Vec<IdentityConfig>,
    /// Who gets credentials for a while.
    pub short_lived: Arc<ShortLivedConfig>,
    /// What may be read without a signature; usually nothing.
    pub anonymous: Vec<AnonymousConfig>,
    /// Who may do what; without it, every identity may do everything.
    pub policy: Option<Arc<Engine>>,
    /// The names of the key services, in the same order.
    pub key_service_names: Vec<String>,
    /// The offline recovery key, if there is one.
    pub recovery: Option<RecoveryConfig>,
    /// By whom the working keys of a domain are made that says nothing else.
    pub sealing: Arc<SealingPolicy>,
    /// Rules about domains, the first that matches counts.
    pub domains: Vec<DomainConfig>,
    /// Where objects that were never sealed are still served.
    pub migrating: Vec<MigratingConfig>,
    /// The log of decisions, if there is one.
    pub audit: Option<AuditConfig>,
    /// Break-glass grants, if there are any.
    pub grants: Option<Arc<GrantsConfig>>,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Logging.
    pub log: LogConfig,
    /// The files that it names.
    pub files: Vec<ReferencedFile>,
}

/// The longest configuration that is read, in bytes.
const CONFIG_FILE_LIMIT: u64 = 1024 * 1024;

/// The longest deployment id, in bytes: with a slash and a bucket's name it must fit into a domain.
const DEPLOYMENT_LIMIT: usize = 64;

impl Config {
    /// The storage of the state bucket, and the table that describes it.
    pub(crate) fn state_upstream(&self) -> (&'static str, &UpstreamConfig) {
        match &self.state.upstream {
            Some(own) => ("[state.upstream]", own),
            None => ("[upstream]", &self.upstream),
        }
    }

    /// Reads the file at `path` and the secrets that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line, key and fix.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with_text(path).map(|(config, _)| config)
    }

    /// As [`Self::load`], with the text that was read, which holds no secrets.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_text(path: &Path) -> Result<(Self, String), ConfigError> {
        let text = read_file(path).map_err(|cause| ConfigError {
            file: Some(path.to_owned()),
            problems: vec![Problem {
                line: None,
                key: String::new(),
                message: cause,
                fix: "name a configuration file; `sealgate init` writes one".to_owned(),
            }],
        })?;
        let surroundings = Surroundings {
            directory: path.parent().unwrap_or(Path::new("")),
            environment: &|name| std::env::var(name).ok(),
        };
        match Self::parse(&text, surroundings) {
            Ok(config) => Ok((config, text)),
            Err(error) => Err(ConfigError {
                file: Some(path.to_owned()),
                problems: error.problems,
            }),
        }
    }

    /// Reads a configuration from text.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line, key and fix. Where the text is no TOML, only that.
    pub fn parse(text: &str, surroundings: Surroundings<'_>) -> Result<Self, ConfigError> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let report = Report::new(text);
        if !errors.is_empty() {
            for error in errors {
                // The message alone: the error's `Display` quotes the line, which may hold a secret.
                let message = format!("not TOML: {}", error.message());
                report.add(
                    &error.span().unwrap_or_default(),
                    "",
                    message,
                    "correct the line",
                );
            }
            return Err(ConfigError {
                file: None,
                problems: report.into_problems(),
            });
        }
        let config = read(Table::root(document.get_ref(), &report), surroundings);
        let files = report.files();
        let problems = report.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(Config { files, ..config }),
            _ => Err(ConfigError {
                file: None,
                problems,
            }),
        }
    }

    /// The domain of an object: that of the first `[[domain]]` that matches, else `<deployment>/<bucket>`.
    ///
    /// `key` is the decoded object key (FORMAT.md section 3); for a whole bucket it is empty.
    pub fn domain_for(&self, bucket: &str, key: &str) -> DomainRule {
        domain::resolve(self, bucket, key)
    }

    /// For a command that opens what is stored.
    ///
    /// # Errors
    ///
    /// When the configuration is of a gateway that may not.
    pub(crate) fn require_decryption(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.mode == Mode::ReadWrite,
            "the configuration is write-only, so this command can open nothing with it; name one that may decrypt with --config"
        );
        Ok(())
    }

    /// The place of the `[[key_service]]` of this name among all of them.
    pub(crate) fn key_service_place(&self, name: &str) -> Option<usize> {
        self.key_service_names
            .iter()
            .position(|known| known == name)
    }

    /// By whom the working keys of each `[[domain]]` are made, with a name for people, and those of what no table is about.
    pub(crate) fn sealing_policies(&self) -> impl Iterator<Item = (String, &Arc<SealingPolicy>)> {
        domain::sealing_policies(self)
    }

    /// By whom the working keys of a domain are made, found by the domain's name; `None` for a name that no place has or had.
    pub(crate) fn sealing_of_domain(&self, name: &str) -> Option<Arc<SealingPolicy>> {
        domain::sealing_of(self, name)
    }

    /// For which offline key the working keys of a domain are wrapped, found by the domain's name.
    pub(crate) fn recovery_of_domain(&self, name: &str) -> Option<&RecoveryConfig> {
        domain::recovery_of(self, name)
    }

    /// Whether an object that has no sealed header is served as it is: a `[[migrating]]` covers it.
    pub fn is_migrating(&self, bucket: &str, key: &str) -> bool {
        self.migrating.iter().any(|table| table.covers(bucket, key))
    }

    /// Whether a bucket may hold such objects.
    pub fn has_migrating_keys(&self, bucket: &str) -> bool {
        self.migrating.iter().any(|table| table.touches(bucket))
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > CONFIG_FILE_LIMIT {
        return Err(format!(
            "longer than {CONFIG_FILE_LIMIT} bytes, so it is no configuration"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn read(mut root: Table<'_>, surroundings: Surroundings<'_>) -> Option<Config> {
    let deployment = root
        .require_text(
            "deployment",
            "deployment = \"ID\"; `sealgate init` makes one",
        )
        .and_then(|value| checked_deployment(&value));
    let mode = mode::read(root.take("mode"));
    let listener = root
        .require("listener", "[listener] with address = \"127.0.0.1:8014\"")
        .and_then(|value| value.table())
        .and_then(|table| listener::read(table, surroundings));
    let admin = match root.take("admin") {
        Some(value) => value
            .table()
            .and_then(|table| admin::read(table, surroundings, listener.as_ref()))
            .map(Some),
        None => Some(None),
    };
    let upstream = root
        .require("upstream", "[upstream] with endpoint and region")
        .and_then(|value| value.table())
        .and_then(|table| upstream::read(table, surroundings));
    let state = match root.take("state") {
        Some(value) => value.table().and_then(|table| {
            upstream::read_state(Some(table), deployment.as_deref(), surroundings)
        }),
        None => upstream::read_state(None, deployment.as_deref(), surroundings),
    };
    let key_services = key_service::read_all(&mut root, surroundings);
    let recovery = match root.take("recovery") {
        Some(value) => value
            .table()
            .and_then(|table| recovery::read(table, surroundings))
            .map(Some),
        None => Some(None),
    };
    let limits = match root.take("limits") {
        Some(value) => value.table().and_then(limits::read),
        None => Some(LimitsConfig::default()),
    };
    let key_service_names = key_services
        .as_ref()
        .map(|(names, _)| names.as_slice())
        .unwrap_or_default();
    let sealing = domain::default_sealing(limits.as_ref(), key_service_names, &root);
    let credentials = match root.take("credentials") {
        Some(value) => value
            .table()
            .and_then(|table| credentials::read(table, mode, surroundings))
            .map(Some),
        None => Some(None),
    };
    let has_directory = !matches!(credentials, Some(None));
    let identities = identity::read_all(&mut root, surroundings, listener.as_ref(), has_directory);
    let short_lived = sessions::read(
        &mut root,
        deployment.as_deref(),
        identities.as_deref().unwrap_or_default(),
        surroundings,
    );
    let anonymous = anonymous::read_all(&mut root);
    let policy = match root.take("policy") {
        Some(value) => policy::read(
            &value,
            identities.as_deref().unwrap_or_default(),
            short_lived.as_ref().map_or(&[], |found| &found.roles),
            anonymous.as_ref().is_some_and(|rules| !rules.is_empty()),
            surroundings,
        )
        .map(Some),
        None => Some(None),
    };
    let grants = match root.take("grants") {
        Some(value) => value
            .table()
            .and_then(|table| {
                let known = short_lived.as_ref();
                let people = grants::People {
                    identities: identities.as_deref(),
                    roles: known.map_or(&[], |found| &found.roles),
                    providers: known.map_or(&[], |found| &found.providers),
                    // Where one of them is wrong, that is the problem to tell.
                    has_sessions: known.is_none_or(|found| found.sessions.is_some()),
                    has_policy: !matches!(policy, Some(None)),
                };
                grants::read(table, deployment.as_deref(), &people, surroundings)
            })
            .map(|grants| Some(Arc::new(grants))),
        None => Some(None),
    };
    let defaults = domain::Defaults {
        key_services: key_service_names,
        sealing: &sealing,
        recovery: recovery.as_ref().and_then(Option::as_ref),
    };
    let domains = domain::read_all(&mut root, defaults, surroundings);
    if let (Some(deployment), Some(rules)) = (&deployment, &domains) {
        domain::check_names(&root, deployment, rules, defaults);
    }
    let has_recovery = |domains: &Vec<DomainConfig>| {
        let of_domains = domains.iter().any(|domain| domain.recovery.is_some());
        of_domains || matches!(recovery, Some(Some(_)))
    };
    if let (Some(deployment), Some(domains)) = (&deployment, &domains) {
        credentials::check_domains(&root, deployment, domains);
    }
    if domains.as_ref().is_some_and(has_recovery) {
        check_room_for_recovery(&root, key_service_names.len());
    }
    let migrating = migrating::read_all(&mut root);
    let audit = match root.take("audit") {
        Some(value) => value
            .table()
            .and_then(|table| audit::read(table, surroundings))
            .map(Some),
        None => Some(None),
    };
    let log = match root.take("log") {
        Some(value) => value.table().and_then(log::read),
        None => Some(LogConfig::default()),
    };
    root.finish();
    let (key_service_names, key_services) = key_services?;
    Some(Config {
        deployment: deployment?,
        mode: mode?,
        listener: listener?,
        admin: admin?,
        upstream: upstream?,
        state: state?,
        key_service_names,
        key_services,
        recovery: recovery?,
        sealing,
        credentials: credentials?,
        identities: identities?,
        short_lived: Arc::new(short_lived?),
        anonymous: anonymous?,
        policy: policy?,
        domains: domains?,
        migrating: migrating?,
        audit: audit?,
        grants: grants?,
        limits: limits?,
        log: log?,
        files: Vec::new(),
    })
}

/// A registry record has room for one wrap of the recovery key beside those of the key services.
fn check_room_for_recovery(root: &Table<'_>, key_services: usize) {
    if key_services >= key_service::KEY_SERVICES_LIMIT {
        root.problem::<()>(
            "there is no room for a recovery key beside so many key services",
            format!("keep at most {}", key_service::KEY_SERVICES_LIMIT - 1),
        );
    }
}

fn checked_deployment(value: &table::Value<'_>) -> Option<String> {
    let deployment = value.text()?;
    if is_deployment_id(deployment) {
        return Some(deployment.to_owned());
    }
    value.problem(
        "not a deployment id",
        format!("use at most {DEPLOYMENT_LIMIT} of A-Z a-z 0-9 - _ .; `sealgate init` makes one"),
    )
}

/// Whether `text` may be a deployment's id: 1 to 64 of `A-Z a-z 0-9 - _ .`.
pub fn is_deployment_id(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=DEPLOYMENT_LIMIT).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod tests;
