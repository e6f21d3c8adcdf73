//! `sealgate grant credentials`: what an S3 client is given, by a gateway.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, bail, ensure};
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use clap::{Args, ValueEnum};
use http::{Method, Request, header};
use sealgate_access::grant::is_id;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::{output, service::runtime};
use crate::auth::{Service, sign_for};
use crate::config::WebAddress;
use crate::upstream::CredentialSource;
use crate::web_client::WebClient;
use crate::xml::sts_answers::{AssumedRole, parse_assumed_role, parse_refusal};

/// The longest answer, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// SDKs sign for a region; the gateway takes any.
const REGION: &str = "us-east-1";

/// Get the credentials of a grant from a gateway
///
/// Whoever asked for the grant signs this with their own credentials, which are looked for as the aws CLI does: in the
/// environment, in --profile, or in other places where SDKs look. No configuration of the gateway is needed, and none helps.
///
/// They end with the grant. Every gateway verifies all of the grant on every request, so they are worth nothing once it is
/// revoked. The aws CLI can get them by itself, too: role_arn = arn:aws:iam::000000000000:role/grant/ID with a source_profile.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  eval \"$(sealgate grant credentials ID --endpoint https://gateway.example.org)\" && aws s3 cp s3://data/case-7/report .\n  aws configure set profile.case-7.credential_process \"sealgate grant credentials ID --profile oscar --format credential-process --endpoint https://gateway.example.org\""
)]
pub(super) struct CredentialsArguments {
    /// The grant
    #[arg(value_name = "ID")]
    id: String,

    /// The gateway
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    endpoint: String,

    /// PEM file of the only certificate authorities to trust; the system's without it
    #[arg(long, value_name = "FILE", env = "AWS_CA_BUNDLE")]
    ca_file: Option<PathBuf>,

    /// Take the requester's credentials from this profile of the aws CLI, and from nowhere else
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Env)]
    format: Format,

    /// The same as --format credential-process
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for a shell
    Env,
    /// The JSON document that the aws CLI and SDKs take from a credential_process
    CredentialProcess,
}

pub(super) fn run(arguments: &CredentialsArguments) -> anyhow::Result<()> {
    let role = runtime()?.block_on(assume(arguments))?;
    let format = if arguments.json {
        Format::CredentialProcess
    } else {
        arguments.format
    };
    output::line(&printed(&role, format)?)
}

async fn assume(arguments: &CredentialsArguments) -> anyhow::Result<AssumedRole> {
    let id = arguments.id.as_str();
    ensure!(
        is_id(id),
        "{id:?} is no id of a grant: it has 32 of A-Z 2-7"
    );
    let address = WebAddress::parse(&arguments.endpoint, arguments.ca_file.clone())
        .with_context(|| format!("--endpoint {:?}", arguments.endpoint))?;
    let own = match &arguments.profile {
        Some(name) => CredentialSource::new(
            ProfileFileCredentialsProvider::builder()
                .profile_name(name)
                .build(),
        ),
        None => CredentialSource::new(DefaultCredentialsChain::builder().build().await),
    };
    let own = own.current().await.context(
        "there are no credentials of whoever asked for the grant: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a --profile",
    )?;
    let body = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fgrant%2F{id}&RoleSessionName=sealgate-grant-credentials"
    );
    let (mut parts, ()) = Request::builder()
        .method(Method::POST)
        .uri(address.to_string())
        .header(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .body(())?
        .into_parts();
    let payload = data_encoding::HEXLOWER.encode(&Sha256::digest(&body));
    let now = SystemTime::now();
    sign_for(Service::Sts, &mut parts, &own, REGION, &payload, now)?;
    let request = Request::from_parts(parts, body.into());
    let (status, answer) = WebClient::new(&address, 0)?
        .send(request, ANSWER_LIMIT)
        .await?;
    if status.is_success() {
        return parse_assumed_role(&answer)
            .with_context(|| format!("{address} is no gateway: its answer cannot be read"));
    }
    match parse_refusal(&answer) {
        Ok(refusal) => bail!(
            "the gateway gives no credentials: {}: {}",
            refusal.code,
            refusal.message
        ),
        Err(_) => bail!("{address} answered with the status {status}"),
    }
}

fn printed(role: &AssumedRole, format: Format) -> anyhow::Result<String> {
    if format == Format::CredentialProcess {
        return Ok(json!({
            "Version": 1,
            "AccessKeyId": role.access_key_id,
            "SecretAccessKey": *role.secret_access_key,
            "SessionToken": *role.session_token,
            "Expiration": role.expiration,
        })
        .to_string());
    }
    let values = [
        ("AWS_ACCESS_KEY_ID", role.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &role.secret_access_key),
        ("AWS_SESSION_TOKEN", &role.session_token),
        ("AWS_CREDENTIAL_EXPIRATION", &role.expiration),
    ];
    // A shell runs these lines, and they come from a network.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    ensure!(
        values.iter().all(|(_, value)| value.bytes().all(is_plain)),
        "the answer holds characters that credentials do not have"
    );
    Ok(values
        .map(|(name, value)| format!("export {name}={value}"))
        .join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_a_shell_are_nothing_else() {
        let mut role = AssumedRole {
            access_key_id: "SGT".to_owned(),
            secret_access_key: "s/+=".to_owned().into(),
            session_token: "t-_".to_owned().into(),
            expiration: "2026-11-26T12:00:00Z".to_owned(),
        };
        let lines = printed(&role, Format::Env).unwrap();
        assert_eq!(lines.lines().count(), 4);
        assert!(lines.starts_with("export AWS_ACCESS_KEY_ID=SGT\n"));
        role.expiration = "$(rm x)".to_owned();
        assert!(printed(&role, Format::Env).is_err());
    }
}
