//! `sealgate grant revoke`: the list of revocations, signed anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::HeaderValue;
use sealgate_access::PrivateKey;
use sealgate_access::grant::{RevocationList, SignedRevocationList, is_id};
use serde_json::json;

use super::super::{output, service::runtime};
use super::{CommonArguments, Office, keys, moment, note, notify::notify_or_warn, now};
use crate::config::{RevocationSource, parse_duration};
use crate::grants::{Source, read_file};

/// How often the list is tried to be written while others write it.
const ATTEMPTS: usize = 10;

/// Revoke grants, or sign the list of revocations anew before it is stale
///
/// Gateways take over a new list within seconds, and cut off what is running. The list is good for --valid-for, and
/// gateways refuse every grant when it is older than max_age: have --renew run in time, by cron or a systemd timer.
///
/// Beside the key, in FILE.revocations, it keeps the list that it signed last. So a storage that brings back an old list, or
/// loses it, does not make this command sign it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate grant revoke --first --key revoker.key     # once, before the first grant\n  sealgate grant revoke --renew --key revoker.key     # every 2 minutes\n  sealgate grant revoke ID --key revoker.key\n\nWith a key of OpenSSH that has a passphrase, or is in an agent:\n  sealgate grant revoke ID --prepare list.json\n  ssh-keygen -Y sign -n sealgate-revocations -f ~/.ssh/id_ed25519 list.json\n  sealgate grant revoke --signed list.json --signature list.json.sig"
)]
pub(super) struct RevokeArguments {
    /// The grants
    #[arg(value_name = "ID", required_unless_present_any = ["renew", "first", "signed"])]
    ids: Vec<String>,

    /// Only sign the list anew
    #[arg(long)]
    renew: bool,

    /// Make the first list of the deployment
    #[arg(long)]
    first: bool,

    /// The private key, one of grants.revocations.public_keys
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["prepare", "signed"],
        conflicts_with_all = ["prepare", "signed"]
    )]
    key: Option<PathBuf>,

    /// Write the next list to a file that must not exist, to be signed elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "signed")]
    prepare: Option<PathBuf>,

    /// Take over a list that --prepare wrote, with its --signature
    #[arg(
        long,
        value_name = "FILE",
        requires = "signature",
        conflicts_with_all = ["ids", "renew", "first"]
    )]
    signed: Option<PathBuf>,

    /// The signature of `ssh-keygen -Y sign -n sealgate-revocations`
    #[arg(long, value_name = "FILE", requires = "signed")]
    signature: Option<PathBuf>,

    /// How long the list is good; max_age of the configuration by default
    #[arg(long, value_name = "TIME")]
    valid_for: Option<String>,

    /// The file of the list, where it is neither in the state bucket nor in the file that the configuration names
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,

    #[command(flatten)]
    common: CommonArguments,
}

pub(super) fn run(arguments: &RevokeArguments) -> anyhow::Result<()> {
    runtime()?.block_on(revoke(arguments))
}

/// Who signs.
enum Signer {
    /// A key of this machine, beside which the list is remembered that it signed last.
    Key { key: PrivateKey, memory: PathBuf },
    /// Nobody yet: the text goes to a file.
    Nobody(PathBuf),
    /// It is signed.
    Elsewhere {
        list: RevocationList,
        signed: SignedRevocationList,
    },
}

/// Who signs, and how they are called.
fn signer(arguments: &RevokeArguments, office: &Office) -> anyhow::Result<(Signer, String)> {
    if let Some(path) = &arguments.prepare {
        return Ok((Signer::Nobody(path.clone()), String::new()));
    }
    if let (Some(path), Some(signature)) = (&arguments.signed, &arguments.signature) {
        let text = keys::read_text(path)?;
        let armored = keys::read_text(signature)?;
        let signed = SignedRevocationList::of_openssh(&text, &armored)
            .with_context(|| signature.display().to_string())?;
        let list = signed
            .verify(&office.config.deployment, &office.grants.revokers)
            .with_context(|| path.display().to_string())?;
        let by = "a key elsewhere".to_owned();
        return Ok((Signer::Elsewhere { list, signed }, by));
    }
    let path = arguments.key.as_deref().context("say who signs: --key")?;
    let key = keys::read_private(path)?;
    let public = key.public_key();
    ensure!(
        office.grants.revokers.contains(&public),
        "gateways would not take the list: {public} is no key of grants.revocations.public_keys"
    );
    let memory = memory_of(path);
    Ok((Signer::Key { key, memory }, public.to_string()))
}

/// Where the list is written.
enum Place {
    State,
    File(PathBuf),
}

async fn revoke(arguments: &RevokeArguments) -> anyhow::Result<()> {
    let office = Office::open(&arguments.common.config).await?;
    for id in &arguments.ids {
        ensure!(
            is_id(id),
            "{id:?} is no id of a grant: it has 32 of A-Z 2-7; `sealgate grant list` shows them"
        );
    }
    let valid_for = match &arguments.valid_for {
        None => office.grants.maximum_age,
        Some(text) => parse_duration(text).with_context(|| {
            format!("--valid-for {text:?} is no duration; write one such as 30m or 2h")
        })?,
    };
    let place = match (&arguments.list, &office.grants.revocations) {
        (Some(path), _) | (None, RevocationSource::File(path)) => Place::File(path.clone()),
        (None, RevocationSource::State) => Place::State,
        (None, RevocationSource::Url(url)) => bail!(
            "gateways read the list from {url}: name the file that is published there with --list"
        ),
    };
    let (signer, by) = signer(arguments, &office)?;
    let noted = match &signer {
        Signer::Key { .. } => arguments.ids.iter().cloned().collect(),
        Signer::Nobody(_) => BTreeSet::new(),
        Signer::Elsewhere { list, .. } => list.revoked.clone(),
    };
    for id in &noted {
        note(&office, "GrantRevoked", id, format!("by {by}")).await?;
    }
    // Two who write at once: the second one waits, and goes on from what the first one wrote.
    let _turn = match &place {
        Place::File(path) => Some(keys::lock(path)?),
        Place::State => None,
    };
    let list = write(&office, arguments, &signer, &place, valid_for).await?;
    for id in &arguments.ids {
        if matches!(signer, Signer::Nobody(_)) {
            continue;
        }
        if let Ok((request, _, _)) = office.record(id).await {
            notify_or_warn(&office.grants.notify, "revoked", &by, &request).await;
        }
    }
    output::line(&if arguments.common.json {
        json!({
            "number": list.number,
            "next_update": moment(list.next_update),
            "revoked": list.revoked,
        })
        .to_string()
    } else if let Signer::Nobody(path) = &signer {
        format!(
            "list {}, to be signed: ssh-keygen -Y sign -n sealgate-revocations -f KEY {}",
            list.number,
            path.display()
        )
    } else {
        format!(
            "signed list {}, good until {}: {} grants are revoked; gateways take it over within seconds",
            list.number,
            moment(list.next_update),
            list.revoked.len()
        )
    })
}

async fn write(
    office: &Office,
    arguments: &RevokeArguments,
    signer: &Signer,
    place: &Place,
    valid_for: Duration,
) -> anyhow::Result<RevocationList> {
    let verified = |signed: &SignedRevocationList, where_: &str| {
        signed
            .verify(&office.config.deployment, &office.grants.revokers)
            .with_context(|| where_.to_owned())
    };
    let remembered = match signer {
        Signer::Key { memory, .. } => read_file(memory)?
            .map(|signed| verified(&signed, &memory.display().to_string()))
            .transpose()?,
        _ => None,
    };
    for _ in 0..ATTEMPTS {
        let (found, tag) = read(office, place).await?;
        let found = found.and_then(|signed| {
            signed
                .map(|signed| verified(&signed, "the list that lies there"))
                .transpose()
        });
        let found = match found {
            // Whoever can write there must not keep this from revoking: what was signed last is known.
            Err(error) if remembered.is_some() => {
                super::super::output::error(&error.context(
                    "warning: what lies in the place of the list is none, and is replaced. Going on from what this key signed last",
                ));
                None
            }
            found => found?,
        };
        if let Signer::Elsewhere { list, .. } = signer {
            let is_next = found.as_ref().is_none_or(|found| {
                found.number < list.number && found.revoked.is_subset(&list.revoked)
            });
            ensure!(
                is_next,
                "another list was written since this one was prepared: prepare it again"
            );
        }
        let next = next(
            office.config.deployment.clone(),
            (found.as_ref(), remembered.as_ref()),
            arguments,
            valid_for,
        )?;
        let (next, signed) = match signer {
            Signer::Key { key, .. } => {
                let signed = SignedRevocationList::sign(&next, key)?;
                (next, signed)
            }
            Signer::Nobody(path) => {
                let text = next
                    .to_text()
                    .map_err(|error| anyhow::anyhow!("the list {error}"))?;
                keys::write_new(path, &text)?;
                return Ok(next);
            }
            Signer::Elsewhere { list, signed } => (list.clone(), signed.clone()),
        };
        let text = signed
            .to_text()
            .map_err(|error| anyhow::anyhow!("the list {error}"))?;
        let is_written = match place {
            Place::State => {
                office
                    .records
                    .put_revocations(&signed, tag.as_ref())
                    .await?
            }
            Place::File(path) => keys::replace(path, &text).map(|()| true)?,
        };
        if is_written {
            if let Signer::Key { memory, .. } = signer {
                keys::replace(memory, &text)
                    .context("the list was written, and could not be remembered beside the key")?;
            }
            return Ok(next);
        }
    }
    bail!("others write the list all the time; try again")
}

/// What lies there, if anything, with the tag that replaces it. That it is no list is for the caller to judge.
async fn read(
    office: &Office,
    place: &Place,
) -> anyhow::Result<(
    anyhow::Result<Option<SignedRevocationList>>,
    Option<HeaderValue>,
)> {
    Ok(match place {
        Place::State => match office.records.revocations_as_they_lie().await? {
            Some((list, tag)) => (list.map(Some).map_err(anyhow::Error::from), Some(tag)),
            None => (Ok(None), None),
        },
        Place::File(path) => (Source::File(path.clone()).read().await, None),
    })
}

/// The list that follows what lies there and what was signed last.
fn next(
    deployment: String,
    (found, remembered): (Option<&RevocationList>, Option<&RevocationList>),
    arguments: &RevokeArguments,
    valid_for: Duration,
) -> anyhow::Result<RevocationList> {
    let known = [found, remembered];
    let newest = known.into_iter().flatten().map(|list| list.number).max();
    match (newest, arguments.first || arguments.signed.is_some()) {
        (None, false) => bail!(
            "there is no list of revocations. Before the first grant, add --first. If there was one, whoever runs the storage has lost or hidden it: bring it back, or everything that was revoked counts again"
        ),
        (Some(number), true) if arguments.first => {
            bail!("there is a list already, of the number {number}: leave --first out")
        }
        _ => {}
    }
    if let (Some(found), Some(remembered)) = (found, remembered)
        && found.number < remembered.number
    {
        super::super::output::error(&anyhow::anyhow!(
            "warning: the list that lies there has the number {}, and this key has signed {}: the storage has brought back an old one. Going on from what was signed",
            found.number,
            remembered.number
        ));
    }
    let mut revoked: BTreeSet<String> = known
        .into_iter()
        .flatten()
        .flat_map(|list| list.revoked.iter().cloned())
        .collect();
    revoked.extend(arguments.ids.iter().cloned());
    let issued = now();
    Ok(RevocationList {
        version: RevocationList::VERSION,
        deployment,
        number: newest.unwrap_or_default().saturating_add(1),
        issued,
        next_update: issued.saturating_add(valid_for.as_secs()),
        revoked,
    })
}

/// Where the list is remembered that a key signed last.
fn memory_of(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".revocations");
    PathBuf::from(name)
}
