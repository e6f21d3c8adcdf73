//! `[upstream]` and `[state]`: the storage that holds ciphertext, and the bucket that holds our records.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::endpoint::{self, Endpoint};
use super::problem::Noted;
use super::secret::{Secret, Surroundings};
use super::table::{Table, Value};
use super::vault::{ClientCertificateFiles, read_client_certificate};

/// One S3 storage and how to reach it.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Scheme, host and port.
    pub endpoint: Endpoint,
    /// The region of the credential scope, for example `us-east-1`.
    pub region: String,
    /// Where the bucket's name goes.
    pub addressing: Addressing,
    /// PEM file of the only certificate authorities to trust; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// What is shown to a storage that asks for a certificate.
    pub client_certificate: Option<ClientCertificateFiles>,
    /// Whose requests these are.
    pub credentials: CredentialSource,
    /// Bytes of ciphertext that are copied in one request; longer objects are copied in parts.
    pub largest_copy: u64,
    /// How the storage verifies what arrives.
    pub checksum_trailer: ChecksumTrailer,
}

/// What goes to the storage with every body, so that it verifies the ciphertext that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumTrailer {
    /// What a probe at the start shows that it verifies.
    Auto,
    /// Nothing.
    Never,
    /// CRC-64/NVMe, without a probe.
    Crc64Nvme,
    /// CRC-32C, without a probe.
    Crc32c,
}

/// The least and the most that a part of an upload may hold (S3 User Guide, "Multipart upload limits"), and so a copied range.
const COPY_LENGTHS: RangeInclusive<u64> = 5 << 20..=DEFAULT_LARGEST_COPY;

/// What S3 copies in one request (S3 API, CopyObject).
pub const DEFAULT_LARGEST_COPY: u64 = 5 << 30;

/// Where a request to the storage names the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://host/bucket/key`
    Path,
    /// `https://bucket.host/key`
    VirtualHost,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// Named by the configuration.
    Static(StaticCredentials),
    /// The standard AWS chain: environment, profile, web identity, container, instance role.
    Chain {
        /// The profile of the shared configuration files; `None` leaves the choice to `AWS_PROFILE`.
        profile: Option<String>,
    },
}

/// An access key that does not change while the process runs.
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret that signs.
    pub secret_access_key: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Where records of working keys and open uploads live (FORMAT.md sections 9 and 10).
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// The state bucket: refused to clients and left out of ListBuckets.
    pub bucket: String,
    /// The storage it is on, where that is not `[upstream]`.
    pub upstream: Option<UpstreamConfig>,
}

/// The start of the default state bucket's name.
const STATE_BUCKET_PREFIX: &str = "sealgate-state-";

/// The digits behind it.
const STATE_BUCKET_DIGITS: usize = 16;

/// The state bucket of a deployment that names none. The id is hashed, because not every id is a legal bucket name.
pub fn default_state_bucket(deployment: &str) -> String {
    let digest = Sha256::digest(deployment.as_bytes());
    let (suffix, _) = digest.split_at(STATE_BUCKET_DIGITS / 2);
    format!(
        "{STATE_BUCKET_PREFIX}{}",
        data_encoding::HEXLOWER.encode(suffix)
    )
}

/// Whether a bucket has the name that a deployment's state bucket gets by default: that of any deployment, not only this one.
pub(crate) fn is_default_state_bucket(name: &str) -> bool {
    let suffix = name.strip_prefix(STATE_BUCKET_PREFIX);
    suffix.is_some_and(|suffix| {
        suffix.len() == STATE_BUCKET_DIGITS
            && suffix
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Reads `[upstream]` or `[state.upstream]`.
pub(super) fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<UpstreamConfig> {
    let allow_plaintext = table.flag("allow_plaintext");
    let ca_file = read_ca_file(&mut table, surroundings);
    let has_ca_file = !matches!(ca_file, Ok(None));
    let endpoint_value = table.require_text(
        "endpoint",
        "endpoint = \"https://s3.eu-central-1.amazonaws.com\"",
    );
    let endpoint = endpoint_value
        .as_ref()
        .and_then(|value| endpoint::read(&table, value, allow_plaintext, has_ca_file));
    let client_certificate = read_client_certificate(&mut table, endpoint.as_ref(), surroundings);
    let region = table
        .require_text("region", "region = \"us-east-1\"")
        .and_then(|value| read_region(&value));
    let addressing = match table.take("addressing") {
        Some(value) => value.choice(&[
            ("path", Addressing::Path),
            ("virtual-host", Addressing::VirtualHost),
        ]),
        None => Some(Addressing::Path),
    };
    let credentials = read_profile_or_credentials(&mut table, surroundings);
    let largest_copy = table.size("largest_copy", DEFAULT_LARGEST_COPY, COPY_LENGTHS);
    let checksum_trailer = match table.take("checksum_trailer") {
        Some(value) => value.choice(&[
            ("auto", ChecksumTrailer::Auto),
            ("never", ChecksumTrailer::Never),
            ("crc64nvme", ChecksumTrailer::Crc64Nvme),
            ("crc32c", ChecksumTrailer::Crc32c),
        ]),
        None => Some(ChecksumTrailer::Auto),
    };
    if let (Some(Addressing::VirtualHost), Some(endpoint)) = (addressing, &endpoint)
        && endpoint.address().is_some()
    {
        table.problem::<()>(
            "addressing = \"virtual-host\" contradicts an endpoint that is an IP address",
            "use addressing = \"path\", or name the endpoint's host",
        );
    }
    table.finish();
    Some(UpstreamConfig {
        endpoint: endpoint?,
        region: region?,
        addressing: addressing?,
        ca_file: ca_file.ok()?,
        client_certificate: client_certificate.ok()?,
        credentials: credentials?,
        largest_copy: largest_copy?,
        checksum_trailer: checksum_trailer?,
    })
}

/// Reads `[state]`, which may be missing.
pub(super) fn read_state(
    table: Option<Table<'_>>,
    deployment: Option<&str>,
    surroundings: Surroundings<'_>,
) -> Option<StateConfig> {
    let default_bucket = || deployment.map(default_state_bucket);
    let Some(mut table) = table else {
        return Some(StateConfig {
            bucket: default_bucket()?,
            upstream: None,
        });
    };
    let bucket = match table.take("bucket") {
        Some(value) => value.text().and_then(|bucket| {
            if is_bucket_name(bucket) {
                return Some(bucket.to_owned());
            }
            value.problem(
                "not a bucket name",
                "use 3 to 63 lower-case letters, digits, dots and hyphens",
            )
        }),
        None => default_bucket(),
    };
    let upstream = table
        .take("upstream")
        .map(|value| value.table().and_then(|table| read(table, surroundings)));
    table.finish();
    let upstream = match upstream {
        Some(upstream) => Some(upstream?),
        None => None,
    };
    Some(StateConfig {
        bucket: bucket?,
        upstream,
    })
}

/// Reads `ca_file`.
pub(super) fn read_ca_file(
    table: &mut Table<'_>,
    surroundings: Surroundings<'_>,
) -> Result<Option<PathBuf>, Noted> {
    match table.take("ca_file") {
        Some(value) => surroundings
            .file(&value, "name a PEM file of certificate authorities")
            .map(Some)
            .ok_or(Noted),
        None => Ok(None),
    }
}

/// Reads a region: the third element of every credential scope, so only what can stand there.
pub(super) fn read_region(value: &Value<'_>) -> Option<String> {
    let region = value.text()?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if region.len() <= 64 && region.bytes().all(legal) {
        return Some(region.to_owned());
    }
    value.problem(
        "not a region",
        "write a name such as \"us-east-1\"; most storages accept that one",
    )
}

/// Reads `profile` or `credentials`.
fn read_profile_or_credentials(
    table: &mut Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<CredentialSource> {
    let Some(profile) = table.take("profile") else {
        return read_credentials(table, surroundings);
    };
    if let Some(credentials) = table.take("credentials") {
        return credentials.problem("credentials contradict profile", "remove one of them");
    }
    Some(CredentialSource::Chain {
        profile: Some(profile.text()?.to_owned()),
    })
}

/// Reads `credentials`; without them it is the standard AWS chain.
pub(super) fn read_credentials(
    table: &mut Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<CredentialSource> {
    let Some(value) = table.take("credentials") else {
        return Some(CredentialSource::Chain { profile: None });
    };
    let mut table = value.table()?;
    let access_key_id = table
        .require_text("access_key_id", "access_key_id = \"ID\" or \"env:NAME\"")
        .and_then(|value| surroundings.text_or_reference(&value));
    let secret_access_key = table
        .require_text(
            "secret_access_key",
            "secret_access_key = \"env:NAME\" or \"file:PATH\"",
        )
        .and_then(|value| surroundings.secret(&value));
    let session_token = table
        .take("session_token")
        .map(|value| surroundings.secret(&value));
    table.finish();
    let session_token = match session_token {
        Some(token) => Some(token?),
        None => None,
    };
    Some(CredentialSource::Static(StaticCredentials {
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token,
    }))
}

/// Whether `name` is legal by the general bucket naming rules of the S3 User Guide, as far as form alone tells.
fn is_bucket_name(name: &str) -> bool {
    let alphanumeric = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| alphanumeric(Some(byte)) || byte == b'.' || byte == b'-')
        && alphanumeric(name.bytes().next())
        && alphanumeric(name.bytes().last())
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_state_bucket_is_a_legal_name_and_differs_by_deployment() {
        let name = default_state_bucket("Production_1");
        assert!(is_bucket_name(&name), "{name}");
        assert_ne!(name, default_state_bucket("production_1"));
        assert!(is_default_state_bucket(&name));
        let long = format!("{name}0");
        for other in [
            "sealgate-state-",
            "sealgate-state-photos-of-2025",
            "photos",
            &long,
        ] {
            assert!(!is_default_state_bucket(other), "{other}");
        }
    }

    #[test]
    fn bucket_names_follow_the_rules() {
        for name in ["abc", "a.b-c", "0a0"] {
            assert!(is_bucket_name(name), "{name}");
        }
        for name in [
            "ab",
            "Abc",
            "a..b",
            "-abc",
            "abc.",
            "a_b",
            "a/b",
            &"a".repeat(64),
        ] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }
}
