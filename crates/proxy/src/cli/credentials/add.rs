//! `sealgate credentials add`: a new access key of an identity.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::super::recorded::{Deed, run_recorded};
use super::hand_out::HandOutArguments;
use super::store::{Store, forget_the_ended};
use crate::credentials::new_access_key_id;

/// Make an access key for an identity of the configuration
///
/// Gateways take it within seconds. Its secret goes to the terminal or to a file, once, and is sealed in the directory: it
/// cannot be shown again. A key service is asked, and the command is in the audit log if there is one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate credentials add --identity app --expires 90d\n  sealgate credentials add --identity app --output app.env --format env\n  sealgate credentials add --identity app --output app.json --json"
)]
pub(super) struct AddArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Whose access key it is
    #[arg(long, value_name = "NAME")]
    identity: String,

    /// How long it is good for, such as 90d or 12h; for ever if nothing is said
    #[arg(long, value_name = "TIME", value_parser = super::lifetime)]
    expires: Option<Duration>,

    #[command(flatten)]
    hand_out: HandOutArguments,
}

pub(super) fn run(arguments: AddArguments) -> anyhow::Result<()> {
    let store = Store::open(&arguments.config)?;
    let identity = arguments.identity;
    store.require_identity(&identity)?;
    store.require_room(&identity)?;
    let mut hand_out = arguments.hand_out.prepare()?;
    let id = new_access_key_id()?;
    let deed = Deed::of_credentials("sealgate credentials add", &identity, Some(&id));
    run_recorded(
        store.config().clone(),
        &deed,
        "interrupted before the end; `sealgate credentials list` shows whether the access key was made",
        async |_, permit| {
            let sealing = store.sealing(&permit(deed.command)).await?;
            let made = Store::make(&sealing, &identity, id.clone(), arguments.expires)?;
            let turn = store.directory().turn()?;
            store.require_room(&identity)?;
            forget_the_ended(store.directory(), &turn);
            hand_out.keep(&made)?;
            turn.create(&made.file)?;
            drop(turn);
            hand_out.finish(&made, &[])
        },
    )
}
