//! `sealgate grant approve` and `sealgate grant deny`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use sealgate_access::grant::{Approval, Denial, GrantError, GrantRequest, RecordError, Rules};
use sealgate_access::rfc3339;
use serde_json::json;

use super::super::{output, service::runtime};
use super::{CommonArguments, Office, describe, keys, note, notify::notify_or_warn, now};

/// How far the clock of whoever asks may be ahead, in seconds.
const MADE_AHEAD: u64 = 300;

/// How often a record is tried to be written while others write it.
const ATTEMPTS: usize = 10;

/// Approve a request
///
/// What is signed is shown first, and has to be confirmed. The ID is a hash of all of it: what is signed under the ID of a
/// notification is what the notification was about.
///
/// With an ID, the approval is recorded: made here with --key, or elsewhere and handed over with --approval or --signature.
/// With --request and --output, nothing but these files and the key is used: for the approver's own machine.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate grant approve ID --key bob.key\n  sealgate grant approve --request request.json --key alice.key --output alice.json\n  sealgate grant approve ID --approval alice.json\n  ssh-keygen -Y sign -n sealgate-grant -f ~/.ssh/id_ed25519 request.json && sealgate grant approve ID --signature request.json.sig"
)]
pub(super) struct ApproveArguments {
    /// The request
    #[arg(
        value_name = "ID",
        required_unless_present = "request",
        conflicts_with = "request"
    )]
    id: Option<String>,

    /// Sign this request, as `sealgate grant show ID --output FILE` wrote it
    #[arg(long, value_name = "FILE", requires = "output", requires = "key")]
    request: Option<PathBuf>,

    /// The file for the approval; it must not exist
    #[arg(long, value_name = "FILE", requires = "request")]
    output: Option<PathBuf>,

    /// The approver's private key: of `sealgate grant keygen`, or an OpenSSH one without a passphrase
    #[arg(long, value_name = "FILE", conflicts_with_all = ["approval", "signature"])]
    key: Option<PathBuf>,

    /// An approval that was made elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    approval: Option<PathBuf>,

    /// A signature of `ssh-keygen -Y sign -n sealgate-grant`
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    /// Sign without a question; what is signed is shown all the same
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    common: CommonArguments,
}

/// Deny a request
///
/// A request that somebody denied gets no credentials from a gateway that sees the denial. Whoever has some already keeps them,
/// and whoever can write to the storage can remove the denial: to be sure, revoke the grant.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate grant deny ID --key bob.key\n  ssh-keygen -Y sign -n sealgate-grant-denial -f ~/.ssh/id_ed25519 request.json && sealgate grant deny ID --signature request.json.sig"
)]
pub(super) struct DenyArguments {
    /// The request
    #[arg(value_name = "ID")]
    id: String,

    /// The approver's private key
    #[arg(long, value_name = "FILE", required_unless_present = "signature")]
    key: Option<PathBuf>,

    /// A signature of `ssh-keygen -Y sign -n sealgate-grant-denial`
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    signature: Option<PathBuf>,

    /// Sign without a question; what is signed is shown all the same
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    common: CommonArguments,
}

pub(super) fn approve(arguments: &ApproveArguments) -> anyhow::Result<()> {
    match (&arguments.request, &arguments.output, &arguments.key) {
        (Some(request), Some(output), Some(key)) => sign(request, key, output, arguments),
        _ => runtime()?.block_on(record_approval(arguments)),
    }
}

/// Signs without a configuration, on the approver's own machine.
fn sign(request: &Path, key: &Path, to: &Path, arguments: &ApproveArguments) -> anyhow::Result<()> {
    let text = keys::read_text(request)?;
    let read = GrantRequest::of_text(&text)
        .map_err(|error| anyhow::anyhow!("{}: the request {error}", request.display()))?;
    confirm(&read, "approve", arguments.yes)?;
    let key = keys::read_private(key)?;
    let approval = Approval::sign(&text, &key)?;
    keys::write_new(to, &serde_json::to_string(&approval)?)?;
    if arguments.common.json {
        return output::line(
            &json!({ "request": describe::request_json(&read), "file": to }).to_string(),
        );
    }
    output::line(&format!(
        "signed: hand over {}, for `sealgate grant approve {} --approval FILE`",
        to.display(),
        read.id
    ))
}

/// Requires that a request is not from the future: `made` is the requester's word, and bounds how far ahead the grant may begin.
fn is_made(request: &GrantRequest) -> anyhow::Result<()> {
    ensure!(
        request.made <= now().saturating_add(MADE_AHEAD),
        "the request says that it was made at {}, which has not come",
        rfc3339(request.made)
    );
    Ok(())
}

/// Shows what is about to be signed, and asks.
fn confirm(request: &GrantRequest, what: &str, is_sure: bool) -> anyhow::Result<()> {
    request.check_texts()?;
    is_made(request)?;
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "{}", describe::request_text(request))?;
    if is_sure {
        return Ok(());
    }
    ensure!(
        io::stdin().is_terminal(),
        "nothing was signed: there is no terminal to ask; look at the request and add --yes"
    );
    write!(stderr, "Type \"{what}\" to sign that you {what} it: ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    ensure!(line.trim_end() == what, "nothing was signed");
    Ok(())
}

/// Whose word is added.
enum Vote {
    Approval(Approval),
    Denial(Denial),
}

async fn record_approval(arguments: &ApproveArguments) -> anyhow::Result<()> {
    let office = Office::open(&arguments.common.config).await?;
    let id = arguments.id.as_deref().unwrap_or_default();
    let (request, record, _) = office.record(id).await?;
    if arguments.key.is_some() {
        confirm(&request, "approve", arguments.yes)?;
    }
    let sources = (&arguments.key, &arguments.approval, &arguments.signature);
    let approval = match sources {
        (Some(path), _, _) => Approval::sign(&record.request, &keys::read_private(path)?)?,
        (_, Some(path), _) => Approval::of_text(&keys::read_text(path)?)
            .map_err(|error| anyhow::anyhow!("{}: the approval {error}", path.display()))?,
        (_, _, Some(path)) => Approval::of_openssh(&record.request, &keys::read_text(path)?)
            .with_context(|| {
                format!(
                    "{}: it has to be of exactly the file that `sealgate grant show {id} --output FILE` writes, by `ssh-keygen -Y sign -n sealgate-grant`",
                    path.display()
                )
            })?,
        _ => bail!("say who approves: --key, --approval or --signature"),
    };
    record_vote(
        &office,
        id,
        &Vote::Approval(approval),
        arguments.common.json,
    )
    .await
}

pub(super) fn deny(arguments: &DenyArguments) -> anyhow::Result<()> {
    runtime()?.block_on(record_denial(arguments))
}

async fn record_denial(arguments: &DenyArguments) -> anyhow::Result<()> {
    let office = Office::open(&arguments.common.config).await?;
    let id = arguments.id.as_str();
    let (request, record, _) = office.record(id).await?;
    if arguments.key.is_some() {
        confirm(&request, "deny", arguments.yes)?;
    }
    let denial = match (&arguments.key, &arguments.signature) {
        (Some(path), _) => Denial::sign(&record.request, &keys::read_private(path)?)?,
        (_, Some(path)) => Denial::of_openssh(&record.request, &keys::read_text(path)?)
            .with_context(|| {
                format!(
                    "{}: it has to be of exactly the file that `sealgate grant show {id} --output FILE` writes, by `ssh-keygen -Y sign -n sealgate-grant-denial`",
                    path.display()
                )
            })?,
        _ => bail!("say who denies: --key or --signature"),
    };
    record_vote(&office, id, &Vote::Denial(denial), arguments.common.json).await
}

async fn record_vote(office: &Office, id: &str, vote: &Vote, is_json: bool) -> anyhow::Result<()> {
    let rules = &office.grants.rules;
    let mut is_noted = false;
    for _ in 0..ATTEMPTS {
        let (request, mut record, tag) = office.record(id).await?;
        ensure!(
            now() < request.expires,
            "the time of the request is over; make a new one"
        );
        if matches!(vote, Vote::Approval(_)) {
            // Whoever signed elsewhere may not have looked.
            is_made(&request)?;
        }
        let requester = request.requester.as_str();
        let (name, event) = match vote {
            Vote::Approval(approval) => (
                record
                    .approve(approval.clone(), requester, rules)
                    .map_err(|error| named(error, &approval.key, rules))?,
                "approved",
            ),
            Vote::Denial(denial) => (
                record
                    .deny(denial.clone(), requester, rules)
                    .map_err(|error| named(error, &denial.key, rules))?,
                "denied",
            ),
        };
        if !is_noted {
            let operation = match vote {
                Vote::Approval(_) => "GrantApproved",
                Vote::Denial(_) => "GrantDenied",
            };
            note(office, operation, id, format!("by the key of {name}")).await?;
            is_noted = true;
        }
        if !office.records.replace(id, &record, &tag).await? {
            // Another approver was faster.
            continue;
        }
        notify_or_warn(&office.grants.notify, event, &name, &request).await;
        let votes = record.votes(requester, rules);
        return output::line(&if is_json {
            json!({
                "id": id,
                event: name,
                "quorum": rules.quorum,
                "approved_by": votes.approved,
                "denied_by": votes.denied,
            })
            .to_string()
        } else {
            let remains = match vote {
                Vote::Approval(_) => String::new(),
                Vote::Denial(_) => format!(
                    "\nno gateway that sees the denial gives credentials for it, whoever approves; who has some keeps them until `sealgate grant revoke {id}`"
                ),
            };
            format!(
                "{event} as {name}: {}{remains}",
                describe::votes_text(&votes, rules.quorum)
            )
        });
    }
    bail!("others write this record all the time; try again")
}

/// The error, and of a key that is nobody's whose keys would count.
fn named(error: RecordError, key: &str, rules: &Rules) -> anyhow::Error {
    if error != RecordError::Grant(GrantError::ForgedApproval) {
        return error.into();
    }
    let names: Vec<&str> = rules
        .approvers
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    anyhow::anyhow!(
        "{error}: the key {key} has not signed this request, or is that of no approver; sign with the key of {}, or put this one into [[grants.approver]] of the configuration",
        names.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sealgate_access::{PrivateKey, grant::Approver};

    use super::*;

    #[test]
    fn a_key_of_no_approver_is_named_with_what_to_do() {
        let key = PrivateKey::parse(&PrivateKey::text_of_seed(&[7; 32])).unwrap();
        let bob = Approver {
            name: "bob".to_owned(),
            identities: BTreeSet::new(),
            key: key.public_key(),
        };
        let rules = Rules {
            deployment: "test".to_owned(),
            requesters: BTreeSet::new(),
            approvers: vec![bob],
            quorum: 1,
            longest: 60,
        };
        let forged = RecordError::Grant(GrantError::ForgedApproval);
        let told = named(forged, "ssh-ed25519 AAAA", &rules).to_string();
        for part in ["ssh-ed25519 AAAA", "bob", "[[grants.approver]]"] {
            assert!(told.contains(part), "{told}");
        }
        let other = named(RecordError::Full, "k", &rules).to_string();
        assert!(!other.contains("bob"), "{other}");
    }
}
