//! `[[key_service]]`: who holds the key-encryption keys.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::{self, Endpoint};
use super::secret::{Secret, Surroundings};
use super::table::{Table, read_each};
use super::upstream::{CredentialSource, read_ca_file, read_credentials, read_region};
use super::vault::{self, VaultConfig};

/// One key service and the key in it that wraps working keys.
#[derive(Clone, Debug)]
pub enum KeyServiceConfig {
    /// AWS KMS, or a server that speaks its protocol.
    AwsKms(AwsKmsConfig),
    /// The Transit engine of Vault or OpenBao.
    VaultTransit(VaultConfig),
    /// A key in a PKCS#11 token.
    Pkcs11(Pkcs11Config),
    /// A key in a local file (FORMAT.md section 2), for laptops and tests.
    Local {
        /// The key file.
        file: PathBuf,
        /// What it is sealed with, if it is.
        passphrase: Option<Secret>,
    },
}

/// A key in AWS KMS.
#[derive(Clone, Debug)]
pub struct AwsKmsConfig {
    /// Key id, key ARN, alias name or alias ARN.
    pub key: String,
    /// The server, where it is not AWS's own for the region.
    pub endpoint: Option<Endpoint>,
    /// The region of requests and of their signatures.
    pub region: String,
    /// The other regions of a multi-Region key whose wraps this one opens.
    pub related_regions: Vec<String>,
    /// PEM file of the only certificate authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// Whose requests these are.
    pub credentials: CredentialSource,
    /// How long to wait.
    pub timeouts: KeyServiceTimeouts,
}

/// A key in a PKCS#11 token.
#[derive(Clone, Debug)]
pub struct Pkcs11Config {
    /// The shared library of the token's vendor.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label.
    pub key: String,
    /// What logs in.
    pub pin: Secret,
    /// For the whole operation.
    pub timeout: Duration,
}

/// How long a key service may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyServiceTimeouts {
    /// For one connection to be made.
    pub connect: Duration,
    /// For the first byte of one answer.
    pub read: Duration,
    /// For the whole operation, retries included.
    pub operation: Duration,
}

impl Default for KeyServiceTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(5),
            operation: Duration::from_secs(15),
        }
    }
}

/// The most key services: a working key's registry record holds that many wraps (FORMAT.md section 12).
pub(super) const KEY_SERVICES_LIMIT: usize = 16;

/// The shortest and the longest time that a key service may be given.
const TIMEOUT_BOUNDS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_mins(5);

#[derive(Clone, Copy)]
enum Kind {
    AwsKms,
    VaultTransit,
    Pkcs11,
    Local,
}

/// The longest name of a key service.
const NAME_LIMIT: usize = 64;

/// Reads all `[[key_service]]`, with their names: without `name` it is the place among them, counted from 1.
pub(super) fn read_all(
    root: &mut Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<(Vec<String>, Vec<KeyServiceConfig>)> {
    let tables = root.tables("key_service");
    if tables.is_empty() {
        return root.problem(
            "there is no key service",
            "add [[key_service]] with type = \"aws-kms\", key and region, with type = \"vault-transit\", endpoint, key and login, with type = \"pkcs11\", module, token, key and pin, or with type = \"local\" and file",
        );
    }
    let count = tables.len();
    if count > KEY_SERVICES_LIMIT {
        return root.problem(
            "too many key services",
            format!("keep at most {KEY_SERVICES_LIMIT}"),
        );
    }
    let mut names = Vec::new();
    let services: Vec<_> = tables
        .into_iter()
        .filter_map(|mut table| {
            let name = read_name(&mut table, &names);
            names.push(name.unwrap_or_else(|| (names.len() + 1).to_string()));
            read(table, surroundings)
        })
        .collect();
    (services.len() == count).then_some((names, services))
}

fn read_name(table: &mut Table<'_>, taken: &[String]) -> Option<String> {
    let value = table.take("name")?;
    let name = value.text()?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    // A number alone could be the place of another one that has no name.
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    if name.len() > NAME_LIMIT || !name.bytes().all(legal) || is_number {
        return value.problem(
            "not a name of a key service",
            format!("use at most {NAME_LIMIT} letters, digits, dots, hyphens and underscores, not digits alone"),
        );
    }
    if taken.iter().any(|taken| taken == name) {
        return value.problem("another key service has this name", "give each its own");
    }
    Some(name.to_owned())
}

fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<KeyServiceConfig> {
    let kind = table
        .require(
            "type",
            "type = \"aws-kms\", type = \"vault-transit\", type = \"pkcs11\" or type = \"local\"",
        )?
        .choice(&[
            ("aws-kms", Kind::AwsKms),
            ("vault-transit", Kind::VaultTransit),
            ("pkcs11", Kind::Pkcs11),
            ("local", Kind::Local),
        ])?;
    match kind {
        Kind::AwsKms => read_aws_kms(table, surroundings).map(KeyServiceConfig::AwsKms),
        Kind::VaultTransit => vault::read(table, surroundings).map(KeyServiceConfig::VaultTransit),
        Kind::Pkcs11 => read_pkcs11(table, surroundings).map(KeyServiceConfig::Pkcs11),
        Kind::Local => {
            // Whether it is there shows when it is opened: after a shredding it is not, and the other key services are there.
            let file = table
                .require_text("file", "file = \"FILE\"")
                .and_then(|value| Some(surroundings.path(value.text()?)));
            let passphrase = table
                .take("passphrase")
                .map(|value| surroundings.secret(&value));
            table.finish();
            Some(KeyServiceConfig::Local {
                file: file?,
                passphrase: match passphrase {
                    Some(passphrase) => Some(passphrase?),
                    None => None,
                },
            })
        }
    }
}

fn read_aws_kms(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<AwsKmsConfig> {
    let allow_plaintext = table.flag("allow_plaintext");
    let key = table
        .require_text("key", "key = \"arn:aws:kms:REGION:ACCOUNT:key/ID\"")
        .and_then(|value| value.text().map(str::to_owned));
    let ca_file = read_ca_file(&mut table, surroundings);
    let has_ca_file = !matches!(ca_file, Ok(None));
    let endpoint_value = table.take("endpoint");
    let endpoint = endpoint_value
        .as_ref()
        .map(|value| endpoint::read(&table, value, allow_plaintext, has_ca_file));
    if endpoint.is_none() && allow_plaintext {
        table.problem::<()>(
            "allow_plaintext = true contradicts AWS's own endpoint",
            "remove allow_plaintext",
        );
    }
    let region = match table.take("region") {
        Some(value) => read_region(&value),
        None => key.as_deref().and_then(region_of_key).or_else(|| {
            let fix = "add region = \"us-east-1\", or name the key by its ARN";
            key.as_ref().and_then(|_| {
                table.problem(
                    "the region is missing and the key's name does not have it",
                    fix,
                )
            })
        }),
    };
    let related_regions = match table.take("related_regions") {
        Some(value) => value
            .texts()
            .and_then(|regions| read_each(&regions, read_region)),
        None => Some(Vec::new()),
    };
    let credentials = read_credentials(&mut table, surroundings);
    let timeouts = read_timeouts(&mut table);
    table.finish();
    let endpoint = match endpoint {
        Some(endpoint) => Some(endpoint?),
        None => None,
    };
    Some(AwsKmsConfig {
        key: key?,
        endpoint,
        region: region?,
        related_regions: related_regions?,
        ca_file: ca_file.ok()?,
        credentials: credentials?,
        timeouts: timeouts?,
    })
}

fn read_pkcs11(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<Pkcs11Config> {
    let module = table
        .require_text("module", "module = \"/usr/lib/VENDOR/libpkcs11.so\"")
        .and_then(|value| {
            surroundings.file(&value, "name the PKCS#11 module of the token's vendor")
        });
    let token = table
        .require_text("token", "token = \"LABEL\"")
        .and_then(|value| value.text().map(str::to_owned));
    let key = table
        .require_text("key", "key = \"LABEL\"")
        .and_then(|value| value.text().map(str::to_owned));
    let pin = table
        .require_text("pin", "pin = \"file:PATH\" or \"env:NAME\"")
        .and_then(|value| surroundings.secret(&value));
    let timeout = table.duration(
        "timeout",
        KeyServiceTimeouts::default().operation,
        TIMEOUT_BOUNDS,
    );
    table.finish();
    Some(Pkcs11Config {
        module: module?,
        token: token?,
        key: key?,
        pin: pin?,
        timeout: timeout?,
    })
}

/// Reads `timeouts`.
pub(super) fn read_timeouts(table: &mut Table<'_>) -> Option<KeyServiceTimeouts> {
    let default = KeyServiceTimeouts::default();
    let Some(value) = table.take("timeouts") else {
        return Some(default);
    };
    let mut table = value.table()?;
    let connect = table.duration("connect", default.connect, TIMEOUT_BOUNDS);
    let read = table.duration("read", default.read, TIMEOUT_BOUNDS);
    let operation = table.duration("operation", default.operation, TIMEOUT_BOUNDS);
    if let (Some(read), Some(operation)) = (read, operation)
        && read > operation
    {
        table.problem::<()>(
            "read is longer than operation",
            "make operation at least as long as read",
        );
    }
    table.finish();
    Some(KeyServiceTimeouts {
        connect: connect?,
        read: read?,
        operation: operation?,
    })
}

/// The region in an ARN (`arn:partition:kms:region:account:resource`).
fn region_of_key(key: &str) -> Option<String> {
    let mut elements = key.split(':');
    (elements.next() == Some("arn")).then_some(())?;
    elements
        .nth(2)
        .filter(|region| !region.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_its_region() {
        assert_eq!(
            region_of_key("arn:aws:kms:eu-west-1:111122223333:key/x").as_deref(),
            Some("eu-west-1")
        );
        for key in ["alias/x", "1234abcd", "arn:aws:kms", "arn:aws:kms::1:key/x"] {
            assert_eq!(region_of_key(key), None, "{key}");
        }
    }
}
