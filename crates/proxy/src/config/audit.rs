//! `[audit]`: the tamper-evident log of decisions.

use std::path::PathBuf;
use std::time::Duration;

use sealgate_audit::VerifyingKey;
use sealgate_audit::object_name::MIN_NAME_KEY;

use super::endpoint::{self, Endpoint};
use super::secret::{Secret, Surroundings};
use super::table::Table;
use super::upstream::read_ca_file;
use super::vault::{ClientCertificateFiles, read_certificate_files};

const MIB: u64 = 1024 * 1024;

/// Where the log is, and what happens where it can't be written.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// The directory of its files, of this gateway alone.
    pub directory: PathBuf,
    /// The key that signs checkpoints; its name is the name of the log.
    pub key: Secret,
    /// The key under which names of objects are hashed; `None` records the names.
    pub name_key: Option<Secret>,
    /// What becomes of requests that can't be recorded.
    pub on_failure: OnFailure,
    /// Bytes after which another file is begun.
    pub segment_size: u64,
    /// How old the oldest record gets that no checkpoint covers.
    pub checkpoint_interval: Duration,
    /// The other machine that has a copy, if there is one.
    pub receiver: Option<AuditReceiverConfig>,
    /// The log of commands that open keys; without it, they refuse to.
    pub commands: Option<AuditCommandsConfig>,
}

/// The log of commands, which is another one than the gateway's because a log has one writer.
#[derive(Clone, Debug)]
pub struct AuditCommandsConfig {
    /// The directory of its files.
    pub directory: PathBuf,
    /// The key that signs its checkpoints.
    pub key: Secret,
}

impl AuditConfig {
    /// The configuration of the log of commands: all but its place is as for the gateway's.
    pub fn for_commands(&self) -> Option<Self> {
        let commands = self.commands.as_ref()?;
        Some(Self {
            directory: commands.directory.clone(),
            key: commands.key.clone(),
            commands: None,
            // A command waits until the receiver has its record, and only what is signed is sent.
            checkpoint_interval: Duration::from_millis(10),
            ..self.clone()
        })
    }
}

/// Where records are sent.
#[derive(Clone, Debug)]
pub struct AuditReceiverConfig {
    /// The receiver; always https.
    pub endpoint: Endpoint,
    /// PEM file of the only certificate authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// What is shown to it.
    pub client_certificate: ClientCertificateFiles,
    /// What its countersignatures are verified with.
    pub public_key: VerifyingKey,
    /// Bytes of records that may wait for it.
    pub spool: u64,
    /// Bytes of records that it has and that are kept here all the same.
    pub keep: u64,
}

/// What becomes of requests that can't be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// They are refused.
    #[default]
    Deny,
    /// They go on; how many is recorded later.
    Allow,
}

/// Reads `[audit]`.
pub(super) fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<AuditConfig> {
    let directory = table
        .require_text("directory", "directory = \"audit\", of this gateway alone")
        .and_then(|value| value.text().map(|text| surroundings.path(text)));
    let key = table
        .require_text(
            "key",
            "key = \"file:audit.key\"; `sealgate audit keygen` makes one",
        )
        .and_then(|value| surroundings.secret(&value));
    let hashes = match table.take("object_names") {
        Some(value) => value.choice(&[("plain", false), ("hashed", true)]),
        None => Some(false),
    };
    let name_key = match table.take("name_key") {
        Some(value) => surroundings.secret(&value).and_then(|secret| {
            if secret.expose().len() < MIN_NAME_KEY {
                let fix = format!("use at least {MIN_NAME_KEY} random characters");
                return value.problem("too short to keep names from being guessed", fix);
            }
            Some(Some(secret))
        }),
        None => Some(None),
    };
    if let (Some(hashes), Some(name_key)) = (hashes, &name_key)
        && hashes != name_key.is_some()
    {
        table.problem::<()>(
            "object_names = \"hashed\" and name_key belong together",
            "give both, or neither",
        );
    }
    let on_failure = match table.take("on_failure") {
        Some(value) => value.choice(&[("deny", OnFailure::Deny), ("allow", OnFailure::Allow)]),
        None => Some(OnFailure::default()),
    };
    let segment_size = table.size("segment_size", 64 * MIB, MIB..=1024 * MIB);
    let checkpoint_interval = table.duration(
        "checkpoint_interval",
        Duration::from_secs(1),
        Duration::from_millis(10)..=Duration::from_mins(1),
    );
    let receiver = match table.take("receiver") {
        Some(value) => value
            .table()
            .and_then(|table| read_receiver(table, surroundings))
            .map(Some),
        None => Some(None),
    };
    let commands = match table.take("commands") {
        Some(value) => value.table().and_then(|table| {
            let own = read_commands(table, surroundings)?;
            if Some(&own.directory) == directory.as_ref() {
                return value.problem(
                    "the directory of the gateway's own log",
                    "name another directory: a log has one writer",
                );
            }
            Some(Some(own))
        }),
        None => Some(None),
    };
    table.finish();
    Some(AuditConfig {
        commands: commands?,
        directory: directory?,
        key: key?,
        name_key: name_key?,
        on_failure: on_failure?,
        segment_size: segment_size?,
        checkpoint_interval: checkpoint_interval?,
        receiver: receiver?,
    })
}

fn read_commands(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<AuditCommandsConfig> {
    let directory = table
        .require_text("directory", "directory = \"audit-commands\"")
        .and_then(|value| value.text().map(|text| surroundings.path(text)));
    let key = table
        .require_text(
            "key",
            "key = \"file:audit-commands.key\"; `sealgate audit keygen` makes one",
        )
        .and_then(|value| surroundings.secret(&value));
    table.finish();
    Some(AuditCommandsConfig {
        directory: directory?,
        key: key?,
    })
}

fn read_receiver(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<AuditReceiverConfig> {
    let ca_file = read_ca_file(&mut table, surroundings);
    let endpoint = table
        .require_text("endpoint", "endpoint = \"https://audit.example.org:8443\"")
        .and_then(|value| {
            if value.text()?.starts_with("http:") {
                return value.problem(
                    "records would travel unprotected",
                    "use https; the receiver speaks nothing else",
                );
            }
            endpoint::read(&table, &value, false, !matches!(ca_file, Ok(None)))
        });
    let client_certificate = table
        .require(
            "client_certificate",
            "client_certificate = { certificate = \"FILE\", key = \"FILE\" }",
        )
        .and_then(|value| value.table())
        .and_then(|table| read_certificate_files(table, surroundings));
    let public_key = table
        .require_text(
            "public_key",
            "public_key = \"NAME+ID+KEY\", which `sealgate audit keygen --receiver` printed",
        )
        .and_then(|value| match value.text()?.parse::<VerifyingKey>() {
            Ok(key) if key.purpose() == sealgate_audit::Purpose::Cosigner => Some(key),
            Ok(_) => value.problem(
                "the public key of a log and not of a receiver",
                "write what `sealgate audit keygen --receiver` printed",
            ),
            Err(error) => value.problem(
                error.to_string(),
                "write what `sealgate audit keygen --receiver` printed",
            ),
        });
    let spool = table.size("spool", 1024 * MIB, MIB..=1024 * 1024 * MIB);
    let keep = table.size("keep", 1024 * MIB, 0..=1024 * 1024 * MIB);
    table.finish();
    Some(AuditReceiverConfig {
        endpoint: endpoint?,
        ca_file: ca_file.ok()?,
        client_certificate: client_certificate?,
        public_key: public_key?,
        spool: spool?,
        keep: keep?,
    })
}
