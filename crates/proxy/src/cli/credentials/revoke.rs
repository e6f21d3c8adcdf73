//! `sealgate credentials revoke`: an access key that is good for nothing any more.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::super::output;
use super::super::recorded::{Deed, Record};
use super::super::service::runtime;
use super::store::{Store, forget_the_ended};
use crate::credentials::Moment;

/// How long it waits for other commands before it leaves the sealed secret where it is.
const TURN_LIMIT: Duration = Duration::from_secs(5);

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
    store.require(id)?;
    let file = store.directory().read(id).ok();
    let identity = file
        .as_ref()
        .map_or("an unknown identity", |file| &file.identity)
        .to_owned();
    // First this, which needs nobody: a thief should not gain the time that a receiver takes, another command, or a file that cannot be read.
    store.directory().revoke(id)?;
    let revoked = Moment::now();
    if let Err(error) = tidy(&store, id, revoked) {
        tracing::warn!(
            error = format!("{error:#}"),
            "the access key is revoked, and its sealed secret still lies in the directory"
        );
    }
    let deed = Deed::of_credentials(
        "sealgate credentials revoke",
        &format!("{identity}/{id}"),
        Some(id),
    );
    let recorded: anyhow::Result<()> = runtime()?.block_on(async {
        let record = Record::begin(store.config(), &deed).await?;
        record.end(&Ok(())).await;
        Ok(())
    });
    output::line(&if arguments.json {
        let document = json!({ "identity": identity, "access_key_id": id, "revoked": revoked, "recorded": recorded.is_ok() });
        serde_json::to_string_pretty(&document)?
    } else {
        format!("{id} of {identity} is revoked: gateways refuse it within seconds")
    })?;
    recorded.map_err(|error| {
        error.context(format!("{id} is revoked, and that is not in the audit log"))
    })
}

/// Takes the sealed secret away. The access key is revoked before.
fn tidy(store: &Store, id: &str, revoked: Moment) -> anyhow::Result<()> {
    let turn = store.directory().turn_within(TURN_LIMIT)?;
    if let Ok(mut file) = store.directory().read(id) {
        file.revoked = Some(revoked);
        file.secret = None;
        turn.replace(&file)?;
    }
    forget_the_ended(store.directory(), &turn);
    Ok(())
}
