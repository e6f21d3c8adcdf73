//! `sealgate credentials revoke`: an access key that is good for nothing any more.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::output;
use super::super::recorded::{Deed, Record};
use super::super::service::runtime;
use super::store::{Store, forget_the_ended};
use crate::credentials::Moment;

/// Take an access key back, at once and for ever
///
/// Every gateway refuses it within seconds, and the sessions that it made; requests that are under way end. Its sealed secret
/// is removed; for 30 days the directory remembers that it was there. No key service is asked. Where the audit log can't be
/// written, the key is taken back all the same, and the exit status is 1.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate credentials revoke SGAKQ2N6TZ4JUXHE7M3C\n  sealgate credentials revoke SGAKQ2N6TZ4JUXHE7M3C --json"
)]
pub(super) struct RevokeArguments {
    /// The access key
    #[arg(value_name = "ACCESS_KEY_ID")]
    access_key_id: String,

    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &RevokeArguments) -> anyhow::Result<()> {
    let store = Store::open(&arguments.config)?;
    let id = &arguments.access_key_id;
    let turn = store.directory().turn()?;
    let mut file = store.find(id)?;
    let identity = file.identity.clone();
    file.revoke(Moment::now());
    // First this: a thief should not gain the time that a receiver takes, or an outage.
    turn.replace(&file)?;
    forget_the_ended(store.directory(), &turn);
    drop(turn);
    let deed = Deed::of_credentials("sealgate credentials revoke", &format!("{identity}/{id}"));
    let recorded: anyhow::Result<()> = runtime()?.block_on(async {
        let record = Record::begin(store.config(), &deed).await?;
        record.end(&Ok(())).await;
        Ok(())
    });
    output::line(&if arguments.json {
        let document = json!({ "identity": identity, "access_key_id": id, "revoked": file.revoked, "recorded": recorded.is_ok() });
        serde_json::to_string_pretty(&document)?
    } else {
        format!("{id} of {identity} is revoked: gateways refuse it within seconds")
    })?;
    recorded.map_err(|error| {
        error.context(format!("{id} is revoked, and that is not in the audit log"))
    })
}
