//! `sealgate grant request`: somebody asks to be let in.

use anyhow::{Context as _, ensure};
use clap::Args;
use sealgate_access::grant::{GrantRecord, GrantRequest, NONCE_ENTROPY, Scope, nonce_of};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::{output, service::runtime};
use super::{CommonArguments, Office, describe, note, notify::notify_or_warn, now};
use crate::config::parse_duration;

/// Ask to be let in somewhere for some time
///
/// Prints the request's id, and tells approvers as the configuration says. Nothing is granted yet. The time runs from now,
/// or from --from, and not from the last approval.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate grant request --as oscar --bucket data --prefix case-7/ --reason \"restore of case 7\" --ticket T-7 --duration 1h\n  sealgate grant request --as oscar --bucket data --action s3:PutObject --action encrypt --reason \"repair\" --duration 30m --json"
)]
pub(super) struct RequestArguments {
    /// The identity that asks, and that will have the rights
    #[arg(long = "as", value_name = "IDENTITY")]
    requester: String,

    /// The bucket
    #[arg(long, value_name = "NAME")]
    bucket: String,

    /// How keys begin; a listing has to ask for a prefix that begins so. The whole bucket without it
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// An action, as `sealgate policy actions` lists them; may be given several times
    #[arg(long = "action", value_name = "ACTION", default_values = ["s3:GetObject", "s3:ListBucket", "decrypt"])]
    actions: Vec<String>,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// The ticket that it is about
    #[arg(long, value_name = "TEXT", default_value = "")]
    ticket: String,

    /// For how long, such as 30m or 2h
    #[arg(long, value_name = "TIME")]
    duration: String,

    /// From when; now by default
    #[arg(long, value_name = "RFC-3339")]
    from: Option<String>,

    #[command(flatten)]
    common: CommonArguments,
}

pub(super) fn run(arguments: &RequestArguments) -> anyhow::Result<()> {
    runtime()?.block_on(ask(arguments))
}

async fn ask(arguments: &RequestArguments) -> anyhow::Result<()> {
    let office = Office::open(&arguments.common.config).await?;
    let duration = parse_duration(&arguments.duration).with_context(|| {
        format!(
            "--duration {:?} is no duration; write one such as 30m or 2h",
            arguments.duration
        )
    })?;
    let made = now();
    let not_before = match &arguments.from {
        None => made,
        Some(text) => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
            .with_context(|| {
                format!("--from {text:?} is no moment; write one such as 2027-01-31T18:00:00Z")
            })?,
    };
    let mut entropy = [0; NONCE_ENTROPY];
    getrandom::fill(&mut entropy).context("the system has no randomness")?;
    let mut actions = arguments.actions.clone();
    actions.sort_unstable();
    actions.dedup();
    let request = GrantRequest {
        version: GrantRequest::VERSION,
        deployment: office.config.deployment.clone(),
        id: String::new(),
        nonce: nonce_of(&entropy),
        requester: arguments.requester.clone(),
        scope: Scope {
            bucket: arguments.bucket.clone(),
            prefix: arguments.prefix.clone(),
            actions,
        },
        reason: arguments.reason.clone(),
        ticket: arguments.ticket.clone(),
        made,
        not_before,
        expires: not_before.saturating_add(duration.as_secs()),
    };
    let request = request.identified()?;
    request.fits(&office.grants.rules)?;
    let text = request
        .to_text()
        .map_err(|error| anyhow::anyhow!("the request {error}: say less in reason and ticket"))?;
    let quorum = office.grants.rules.quorum;
    request.fits_a_token(quorum).map_err(|error| {
        anyhow::anyhow!("with {quorum} approvals, what credentials carry of the request {error}: say less in reason and ticket, or with fewer quotation marks")
    })?;
    let record = GrantRecord::new(text);
    let what = format!("for {:?} in {:?}", request.requester, request.scope.bucket);
    note(&office, "GrantRequested", &request.id, what).await?;
    let is_new = office
        .records
        .add(&request.id, &record)
        .await
        .context("the request can't be recorded")?;
    ensure!(is_new, "there is a request of this id already; try again");
    // Housekeeping that must not spoil the request.
    if let Err(error) = office.records.forget_the_old().await {
        tracing::warn!(%error, "old requests could not be removed");
    }
    let by = &request.requester;
    let is_told = notify_or_warn(&office.grants.notify, "requested", by, &request).await;
    output::line(&if arguments.common.json {
        let mut value = describe::request_json(&request);
        if let Some(members) = value.as_object_mut() {
            members.insert("status".to_owned(), json!("pending"));
            members.insert("quorum".to_owned(), json!(quorum));
            members.insert("notified".to_owned(), json!(is_told));
        }
        value.to_string()
    } else {
        format!(
            "{}\nnext: {quorum} approvers run `sealgate grant approve {}`",
            describe::request_text(&request),
            request.id
        )
    })
}
