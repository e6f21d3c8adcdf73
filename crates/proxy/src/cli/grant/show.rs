//! `sealgate grant list` and `sealgate grant show`.

use std::path::PathBuf;

use clap::Args;
use sealgate_access::rfc3339;
use serde_json::json;

use super::super::{output, service::runtime};
use super::{CommonArguments, Office, describe, describe::Status, keys, now};

/// List requests, the newest last
///
/// What cannot be read, or does not fit the configuration, is listed as invalid: somebody else than this command wrote it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealgate grant list\n  sealgate grant list --all --json")]
pub(super) struct ListArguments {
    /// Those whose time is over, too
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    common: CommonArguments,
}

/// Show a request, who approved and who denied it, and whether it was revoked
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate grant show ID\n  sealgate grant show ID --output request.json    # what approvers sign\n  ssh-keygen -Y sign -n sealgate-grant -f ~/.ssh/id_ed25519 request.json"
)]
pub(super) struct ShowArguments {
    /// The request
    #[arg(value_name = "ID")]
    id: String,

    /// Write what approvers sign to a file, byte for byte; it must not exist
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    common: CommonArguments,
}

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    runtime()?.block_on(list_all(arguments))
}

async fn list_all(arguments: &ListArguments) -> anyhow::Result<()> {
    let office = Office::open(&arguments.common.config).await?;
    let revocations = office.revocations().await;
    let mut listed = office.records.list().await?;
    listed.sort_by_key(|one| one.modified);
    let mut values = Vec::new();
    for one in listed {
        let rules = &office.grants.rules;
        let (request, record, _) = match office.record(&one.id).await {
            Ok(found) => found,
            Err(error) => {
                if arguments.common.json {
                    values.push(
                        json!({ "id": one.id, "status": "invalid", "error": format!("{error:#}") }),
                    );
                } else {
                    // What somebody wrote there makes no lines of its own.
                    let error = format!("{error:#}");
                    output::line(&format!("{} invalid: {error:?}", one.id))?;
                }
                continue;
            }
        };
        let votes = record.votes(&request.requester, rules);
        let status = Status::of(&request, &votes, rules, &revocations, now());
        if !arguments.all && now() >= request.expires {
            continue;
        }
        if arguments.common.json {
            values.push(describe::record_json(&request, &record, rules, status));
        } else {
            output::line(&format!(
                "{} {:<9} {} of {}  {:?}  {:?}  until {}",
                request.id,
                status.name(),
                votes.approved.len(),
                rules.quorum,
                request.requester,
                format!("{}/{}", request.scope.bucket, request.scope.prefix),
                rfc3339(request.expires)
            ))?;
        }
    }
    let trouble = revocations.trouble;
    if arguments.common.json {
        return output::line(
            &json!({ "grants": values, "revocations_error": trouble }).to_string(),
        );
    }
    if let Some(trouble) = trouble {
        output::line(&format!("no grant counts: {trouble}"))?;
    }
    Ok(())
}

pub(super) fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    runtime()?.block_on(show_one(arguments))
}

async fn show_one(arguments: &ShowArguments) -> anyhow::Result<()> {
    let office = Office::open(&arguments.common.config).await?;
    let rules = &office.grants.rules;
    let (request, record, _) = office.record(&arguments.id).await?;
    let revocations = office.revocations().await;
    let votes = record.votes(&request.requester, rules);
    let status = Status::of(&request, &votes, rules, &revocations, now());
    if let Some(path) = &arguments.output {
        keys::write_new(path, &record.request)?;
    }
    if arguments.common.json {
        let mut value = describe::record_json(&request, &record, rules, status);
        if let Some(members) = value.as_object_mut() {
            members.insert("revocations_error".to_owned(), json!(revocations.trouble));
            members.insert("signed_text".to_owned(), json!(record.request));
        }
        return output::line(&value.to_string());
    }
    output::line(&describe::request_text(&request))?;
    output::line(&format!(
        "status:     {}, {}",
        status.name(),
        describe::votes_text(&votes, rules.quorum)
    ))?;
    if let Some(trouble) = revocations.trouble {
        output::line(&format!("no grant counts: {trouble}"))?;
    }
    Ok(())
}
