//! `sealgate grant credentials`: what an S3 client is given.

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use sealgate_access::token::{LONGEST_SESSION, NewSession, TOKEN_ENTROPY, TokenError};
use serde_json::json;

use super::super::{output, service::runtime};
use super::{CommonArguments, Office, describe, moment, now};

/// Print credentials for a grant that was approved
///
/// Without --json, lines for a shell; with it, the document that the aws CLI and SDKs take from a `credential_process`.
/// They end with the grant. Every gateway verifies all of the grant on every request, so they are worth nothing once it is
/// revoked.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  eval \"$(sealgate grant credentials ID)\" && aws s3 cp s3://data/case-7/report .\n  aws configure set profile.case-7.credential_process \"sealgate grant credentials ID --json --config /etc/sealgate.toml\""
)]
pub(super) struct CredentialsArguments {
    /// The grant
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    common: CommonArguments,
}

pub(super) fn run(arguments: &CredentialsArguments) -> anyhow::Result<()> {
    runtime()?.block_on(issue(arguments))
}

async fn issue(arguments: &CredentialsArguments) -> anyhow::Result<()> {
    let office = Office::open(&arguments.common.config).await?;
    let rules = &office.grants.rules;
    let id = arguments.id.as_str();
    let (request, record, _) = office.record(id).await?;
    let votes = record.votes(&request.requester, rules);
    ensure!(
        votes.denied.is_empty(),
        "the request was denied: {}",
        describe::votes_text(&votes, rules.quorum)
    );
    let mut revocations = sealgate_access::grant::Revocations::new(
        office.config.deployment.clone(),
        office.grants.revokers.clone(),
        office.grants.maximum_age.as_secs(),
    );
    let source = crate::grants::Source::new(&office.grants.revocations, &office.records)?;
    if let Some(list) = source.read().await? {
        revocations.update(&list, now())?;
    }
    // What the gateways would not take is not handed out.
    let grant = record.grant(&request.requester, rules);
    grant
        .verify(&request.requester, rules, &revocations, now())
        .with_context(|| describe::votes_text(&votes, rules.quorum))?;
    let text = grant
        .to_text()
        .map_err(|error| anyhow::anyhow!("the grant {error}"))?;
    let sessions = office
        .config
        .short_lived
        .sessions
        .as_ref()
        .context("there is no [sessions]")?;
    let mut entropy = [0; TOKEN_ENTROPY];
    getrandom::fill(&mut entropy).context("the system has no randomness")?;
    let new = NewSession {
        identity: &request.requester,
        session: "",
        source: "",
        lifetime: request.expires.saturating_sub(now()).min(LONGEST_SESSION),
        grant: &text,
    };
    let (token, session) = match sessions.keys.issue(&new, now(), &entropy) {
        Ok(made) => made,
        Err(TokenError::TooLong) => bail!(
            "the request is too long for a header: ask again with a shorter reason, or fewer actions"
        ),
        Err(error) => return Err(error.into()),
    };
    let claims = &session.claims;
    output::line(&if arguments.common.json {
        json!({
            "Version": 1,
            "AccessKeyId": claims.access_key_id,
            "SecretAccessKey": session.secret_access_key.as_str(),
            "SessionToken": token,
            "Expiration": moment(claims.expires),
        })
        .to_string()
    } else {
        // All of them are of characters that a shell takes as they are.
        format!(
            "export AWS_ACCESS_KEY_ID={}\nexport AWS_SECRET_ACCESS_KEY={}\nexport AWS_SESSION_TOKEN={token}\nexport AWS_CREDENTIAL_EXPIRATION={}",
            claims.access_key_id,
            session.secret_access_key.as_str(),
            moment(claims.expires)
        )
    })
}
