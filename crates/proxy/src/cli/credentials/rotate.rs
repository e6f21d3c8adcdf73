//! `sealgate credentials rotate`: a new access key in the place of an old one, which goes on for a while.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{ArgGroup, Args};
use serde_json::json;
use time::OffsetDateTime;

use super::super::recorded::{Deed, run_recorded};
use super::hand_out::HandOutArguments;
use super::store::{Store, forget_the_ended};
use crate::credentials::{CredentialFile, Moment, new_access_key_id};

/// Make an access key in the place of another one, which works on for a while
///
/// Give the new one to the client before the grace is over. It is good for as long as the old one was made for, unless
/// --expires says something else.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("which").required(true).args(["access_key_id", "identity"])),
    after_help = "Examples:\n  sealgate credentials rotate SGAKQ2N6TZ4JUXHE7M3C --grace 24h\n  sealgate credentials rotate --identity app --output app.aws --format aws"
)]
pub(super) struct RotateArguments {
    /// The access key to replace
    #[arg(value_name = "ACCESS_KEY_ID")]
    access_key_id: Option<String>,

    /// Replace the one access key of this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,

    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// How long the old access key still works; 0s ends it at once
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::grace)]
    grace: Duration,

    /// How long the new one is good for
    #[arg(long, value_name = "TIME", value_parser = super::lifetime)]
    expires: Option<Duration>,

    #[command(flatten)]
    hand_out: HandOutArguments,
}

pub(super) fn run(arguments: RotateArguments) -> anyhow::Result<()> {
    let store = Store::open(&arguments.config)?;
    let old = match (&arguments.access_key_id, &arguments.identity) {
        (Some(id), _) => store.find(id)?,
        (None, Some(identity)) => only_one(&store, identity)?,
        (None, None) => bail!("name an access key id or --identity"),
    };
    require_replaceable(&old)?;
    let (id, identity) = (old.access_key_id, old.identity);
    store.require_identity(&identity)?;
    store.require_room(&identity)?;
    let mut hand_out = arguments.hand_out.prepare()?;
    let of = format!("{identity}/{id}");
    let new = new_access_key_id()?;
    let deed = Deed::of_credentials("sealgate credentials rotate", &of, Some(&new));
    run_recorded(
        store.config().clone(),
        &deed,
        "interrupted before the end; `sealgate credentials list` shows whether the access key was replaced",
        async |_, permit| {
            let sealing = store.sealing(&permit(deed.command)).await?;
            let turn = store.directory().turn()?;
            // As it is now: somebody may have revoked or replaced it meanwhile.
            let mut old = store.find(&id)?;
            require_replaceable(&old)?;
            store.require_room(&identity)?;
            forget_the_ended(store.directory(), &turn);
            let usual = old
                .expires
                .and_then(|expires| Duration::try_from(expires.0 - old.created.0).ok());
            let lifetime = arguments.expires.or(usual);
            let mut made = Store::make(&sealing, &identity, new.clone(), lifetime)?;
            made.file.rotated_from = Some(id.clone());
            // Moments are whole seconds: the grace is never shorter than was said.
            let end = match arguments.grace {
                Duration::ZERO => Moment::now(),
                grace => Moment::new(OffsetDateTime::now_utc() + grace + Duration::from_secs(1)),
            };
            old.expires = Some(old.expires.map_or(end, |expires| expires.min(end)));
            old.replaced_by = Some(made.file.access_key_id.clone());
            hand_out.keep(&made)?;
            // In this order: between the two both work, and never none.
            turn.create(&made.file)?;
            if let Err(error) = turn.replace(&old) {
                // Nobody would have its secret.
                turn.remove(&made.file.access_key_id)?;
                return Err(error);
            }
            drop(turn);
            hand_out.finish(&made, &[("old_works_until", json!(old.expires))])
        },
    )
}

fn require_replaceable(file: &CredentialFile) -> anyhow::Result<()> {
    let id = &file.access_key_id;
    let state = file.state(OffsetDateTime::now_utc());
    ensure!(
        state.works(),
        "{id} is {} and needs no replacement; `sealgate credentials add --identity {}` makes a new one",
        state.name(),
        file.identity
    );
    if let Some(by) = &file.replaced_by {
        bail!("{id} was replaced by {by} already: rotate that one, or revoke {id}");
    }
    Ok(())
}

/// The access key of an identity that is not replaced yet.
fn only_one(store: &Store, identity: &str) -> anyhow::Result<CredentialFile> {
    store.require_identity(identity)?;
    let now = OffsetDateTime::now_utc();
    let files = store.directory().read_all()?;
    let mut present: Vec<_> = files
        .into_values()
        .flatten()
        .filter(|file| {
            file.identity == identity && file.state(now).works() && file.replaced_by.is_none()
        })
        .collect();
    match (present.pop(), present.len()) {
        (Some(file), 0) => Ok(file),
        (None, _) => bail!(
            "{identity} has no access key in {} that could be replaced; `sealgate credentials add` makes one",
            store.directory().path().display()
        ),
        (Some(last), _) => {
            let ids: Vec<_> = present
                .iter()
                .chain([&last])
                .map(|file| file.access_key_id.as_str())
                .collect();
            bail!(
                "{identity} has several access keys, {}; say which, as in `sealgate credentials rotate {}`",
                ids.join(", "),
                last.access_key_id
            )
        }
    }
}
