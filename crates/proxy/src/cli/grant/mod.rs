//! `sealgate grant`: break-glass grants, from the request to the credentials. Everything is recorded in the state bucket, where nothing counts
//! without a signature.

mod credentials;
mod describe;
mod keygen;
mod keys;
mod notify;
mod request;
mod revoke;
mod show;
mod vote;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use sealgate_access::grant::{GrantRecord, GrantRequest, RevocationList, is_id};

use super::recorded;
use crate::config::{Config, GrantsConfig};
use crate::gateway::state_bucket;
use crate::grants::{Source, aging};
use crate::logging;
use crate::state::grants::GrantRecords;

/// Let somebody in for a limited time, because others agree
///
/// A grant lets one identity do some things in one place for some time, if enough approvers have signed that. Approvers
/// sign on machines of their own; the gateways know only their public keys.
#[derive(Debug, Args)]
#[command(
    after_help = "Example, with two approvers:\n  sealgate grant request --as oscar --bucket data --prefix case-7/ --reason \"restore of case 7\" --duration 1h\n  sealgate grant show ID --output request.json          # hand it to the approvers\n  sealgate grant approve --request request.json --key alice.key --output alice.json   # on Alice's machine\n  sealgate grant approve ID --approval alice.json\n  sealgate grant approve ID --key bob.key                # where the state bucket can be reached\n  eval \"$(sealgate grant credentials ID --endpoint https://gateway.example.org)\" && aws s3 ls s3://data/case-7/"
)]
pub(super) struct GrantArguments {
    #[command(subcommand)]
    command: GrantCommand,
}

#[derive(Debug, Subcommand)]
enum GrantCommand {
    Request(request::RequestArguments),
    List(show::ListArguments),
    Show(show::ShowArguments),
    Approve(vote::ApproveArguments),
    Deny(vote::DenyArguments),
    Revoke(revoke::RevokeArguments),
    Credentials(credentials::CredentialsArguments),
    Keygen(keygen::KeygenArguments),
}

pub(super) fn run(arguments: &GrantArguments) -> anyhow::Result<()> {
    match &arguments.command {
        GrantCommand::Request(arguments) => request::run(arguments),
        GrantCommand::List(arguments) => show::list(arguments),
        GrantCommand::Show(arguments) => show::show(arguments),
        GrantCommand::Approve(arguments) => vote::approve(arguments),
        GrantCommand::Deny(arguments) => vote::deny(arguments),
        GrantCommand::Revoke(arguments) => revoke::run(arguments),
        GrantCommand::Credentials(arguments) => credentials::run(arguments),
        GrantCommand::Keygen(arguments) => keygen::run(arguments),
    }
}

/// What most of these commands take.
#[derive(Debug, Args)]
struct CommonArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Configuration and records.
struct Office {
    config: Box<Config>,
    grants: Arc<GrantsConfig>,
    records: GrantRecords,
}

impl Office {
    async fn open(path: &Path) -> anyhow::Result<Self> {
        let config = Box::new(Config::load(path)?);
        logging::start_for_command(config.log)?;
        let grants = config.grants.clone().with_context(|| {
            format!(
                "{} has no [grants]: add approvers, who may ask, and who may revoke (docs/access.md, \"Break-glass grants\")",
                path.display()
            )
        })?;
        let records = GrantRecords::new(Box::pin(state_bucket(&config)).await?);
        Ok(Self {
            config,
            grants,
            records,
        })
    }

    /// A request with its record, both as the storage has them; the text was read and fits the rules.
    async fn record(
        &self,
        id: &str,
    ) -> anyhow::Result<(GrantRequest, GrantRecord, http::HeaderValue)> {
        ensure!(
            is_id(id),
            "{id:?} is no id of a grant: it has 32 of A-Z 2-7; `sealgate grant list` shows them"
        );
        let (record, tag) = self.records.get(id).await?.with_context(|| {
            format!("there is no request {id}; `sealgate grant list` shows them")
        })?;
        let request = record.request(id)?;
        request.fits(&self.grants.rules)?;
        Ok((request, record, tag))
    }

    /// What is revoked.
    async fn revocations(&self) -> Known {
        known(&self.config, &self.grants, &self.records).await
    }
}

/// What is known of revocations.
pub(super) struct Known {
    /// The newest list, also where it is stale: what it revokes is revoked.
    list: Option<RevocationList>,
    /// Why nobody knows what else may be revoked, so that no grant counts.
    trouble: Option<String>,
    /// Why that will be so before long.
    aging: Option<String>,
}

impl Known {
    /// What whoever runs the gateways should know of the list.
    pub(super) fn failure(self) -> Option<String> {
        self.trouble.or(self.aging)
    }
}

/// Reads the list of revocations, as a gateway that starts now would take it.
pub(super) async fn known(config: &Config, grants: &GrantsConfig, records: &GrantRecords) -> Known {
    let mut known = sealgate_access::grant::Revocations::new(
        config.deployment.clone(),
        grants.revokers.clone(),
        grants.maximum_age.as_secs(),
    );
    let read = async {
        let signed = Source::new(&grants.revocations, records)?.read().await?.context(
            "there is no list of revocations yet, so no grant counts: `sealgate grant revoke --first --key FILE` makes the first",
        )?;
        known.update(&signed, now()).map_err(|error| {
            anyhow::anyhow!("{error}; `sealgate grant revoke --renew --key FILE` signs a new one")
        })
    };
    let trouble = read.await.err().map(|error| format!("{error:#}"));
    Known {
        list: known.newest().cloned(),
        trouble,
        aging: aging(&known, now()),
    }
}

/// Records a step in the log of commands, where the configuration has one, before it is made. Gateways record it as well, when they see it.
async fn note(office: &Office, operation: &str, id: &str, what: String) -> anyhow::Result<()> {
    recorded::note(&office.config, operation, id, what).await
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| elapsed.as_secs())
}
