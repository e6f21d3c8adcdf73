//! `sealgate grant revoke`: the list of revocations, signed anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::HeaderValue;
use sealgate_access::grant::{RevocationList, SignedRevocationList, is_id};
use sealgate_access::{PrivateKey, rfc3339};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::{output, recorded, service::runtime};
use super::{CommonArguments, Office, keys, notify::notify_or_warn, now};
use crate::config::{RevocationSource, parse_duration};
use crate::grants::{Source, read_file};

/// The highest number that is gone on from.
const LAST_NUMBER: u64 = 1 << 56;

/// How often the list is tried to be written while others write it.
const ATTEMPTS: usize = 10;

/// Revoke grants, or sign the list of revocations anew before it is stale
///
/// Gateways take over a new list within seconds, and cut off what is running. The list is good for --valid-for, and
/// gateways refuse every grant when it is older than max_age: have --renew run in time, by cron or a systemd timer.
///
/// Beside the key, in FILE.revocations, it keeps the list that it signed last, and writes it down before anybody else sees it.
/// So a storage that brings back an old list, or loses it, does not make this command sign it. That holds only for what was
/// signed with the same memory: revoke on the machine that renews, or with the same --memory. A new key goes on from the memory
/// of the old one (--memory OLD.key.revocations, or a copy of it beside the new key).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate grant revoke --first --key revoker.key     # once, before the first grant\n  sealgate grant revoke --renew --key revoker.key     # every 2 minutes\n  sealgate grant revoke ID --key revoker.key\n\nWith a key of OpenSSH that has a passphrase, or is in an agent:\n  sealgate grant revoke ID --prepare list.json --memory lists\n  ssh-keygen -Y sign -n sealgate-revocations -f ~/.ssh/id_ed25519 list.json\n  sealgate grant revoke --signed list.json --signature list.json.sig --memory lists"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command"
)]
pub(super) struct RevokeArguments {
    /// The grants
    #[arg(value_name = "ID", required_unless_present_any = ["renew", "first", "signed", "replace"])]
    ids: Vec<String>,

    /// Only sign the list anew
    #[arg(long)]
    renew: bool,

    /// Make the first list of the deployment
    #[arg(long)]
    first: bool,

    /// Go on from a memory whose list no key of the configuration has signed, because its key was replaced: what it revokes
    /// stays revoked, and so does what the list in the storage revokes, whoever has made it
    #[arg(long, conflicts_with_all = ["first", "signed"])]
    replace: bool,

    /// Go on from what lies in the storage alone, because what was signed last is known nowhere else. Whoever runs the storage
    /// chooses which list of before that is
    #[arg(long, conflicts_with_all = ["first", "signed"])]
    forget: bool,

    /// Where the list is remembered that was signed last; beside the key by default, and nowhere with --prepare and --signed
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,

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
    /// A key of this machine.
    Key(PrivateKey),
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
    Ok((Signer::Key(key), public.to_string()))
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
    let beside_the_key = arguments.key.as_deref().map(memory_of);
    let memory = arguments.memory.clone().or(beside_the_key);
    arguments.require_memory(memory.as_deref())?;
    let written = {
        // Two who write at once: the second one waits, and goes on from what the first one wrote and remembers.
        let of_place = match &place {
            Place::File(path) => Some(path.as_path()),
            Place::State => None,
        };
        let both: Vec<_> = memory.as_deref().into_iter().chain(of_place).collect();
        let locks = keys::lock(&both)?;
        let written = write(
            &office,
            arguments,
            &signer,
            &place,
            memory.as_deref(),
            valid_for,
        )
        .await?;
        drop(locks);
        written
    };
    let is_signed = !matches!(signer, Signer::Nobody(_));
    output::line(&if arguments.common.json {
        json!({
            "number": written.list.number,
            "next_update": rfc3339(written.list.next_update),
            "revoked": written.list.revoked,
            "sha256": written.digest,
        })
        .to_string()
    } else if let Signer::Nobody(path) = &signer {
        format!(
            "list {}, to be signed: ssh-keygen -Y sign -n sealgate-revocations -f KEY {}",
            written.list.number,
            path.display()
        )
    } else {
        format!(
            "signed list {}, SHA-256 {}, good until {}: {} grants are revoked; gateways take it over within seconds, and each records its number and SHA-256 (GrantRevocationList)",
            written.list.number,
            written.digest,
            rfc3339(written.list.next_update),
            written.list.revoked.len()
        )
    })?;
    if !is_signed {
        return Ok(());
    }
    let shown = still_there(&office, &place, &written.list).await;
    for id in &arguments.ids {
        if let Ok((request, _, _)) = office.record(id).await {
            notify_or_warn(&office.grants.notify, "revoked", &by, &request).await;
        }
    }
    // What is revoked is revoked, whether it can be recorded or not.
    let revoked: BTreeSet<_> = written.news.iter().chain(&arguments.ids).collect();
    let steps = revoked.iter().map(|id| (id.as_str(), format!("by {by}")));
    let noted = recorded::note_each(&office.config, "GrantRevoked", steps).await;
    shown?;
    noted.context("the list was signed and written, and that was not recorded")
}

/// A list that was written.
struct Written {
    list: RevocationList,
    /// The SHA-256 of its text, as gateways record it.
    digest: String,
    /// What it revokes and the one before did not.
    news: BTreeSet<String>,
}

/// Requires that the place shows the list that it took, or one that follows it.
async fn still_there(
    office: &Office,
    place: &Place,
    written: &RevocationList,
) -> anyhow::Result<()> {
    let (found, _) = read(office, place).await?;
    let found =
        found?.map(|signed| signed.verify(&office.config.deployment, &office.grants.revokers));
    let shown = matches!(found, Some(Ok(list)) if list == *written
        || list.number > written.number && written.revoked.is_subset(&list.revoked));
    ensure!(
        shown,
        "the list {} was signed and taken, and the place shows another one: whoever runs it keeps the revocation from the gateways, until the list that they have is max_age old. See what they go by: `sealgate audit search` of GrantRevocationList",
        written.number
    );
    Ok(())
}

async fn write(
    office: &Office,
    arguments: &RevokeArguments,
    signer: &Signer,
    place: &Place,
    memory: Option<&Path>,
    valid_for: Duration,
) -> anyhow::Result<Written> {
    let verified = |signed: &SignedRevocationList, where_: &str| {
        let (deployment, revokers) = (&office.config.deployment, &office.grants.revokers);
        match signed.verify(deployment, revokers) {
            Err(error) if arguments.replace => signed
                .unverified(deployment)
                .map(Known::Unverified)
                .map_err(|_| error),
            outcome => outcome.map(Known::Verified),
        }
        .with_context(|| format!("{where_} (if the key that signed it was replaced in the configuration, add --replace)"))
    };
    let mut remembered = match memory {
        Some(memory) => read_file(memory)?
            .map(|signed| verified(&signed, &memory.display().to_string()))
            .transpose()?
            // It is of this machine, whichever key has signed it.
            .map(|(Known::Verified(list) | Known::Unverified(list))| list),
        None => None,
    };
    let before = remembered.clone();
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
                    "warning: what lies in the place of the list is none, and is replaced. Going on from what was signed last",
                ));
                None
            }
            found => found?,
        };
        let (found, others) = match found {
            Some(Known::Verified(list)) => (Some(list), BTreeSet::new()),
            Some(Known::Unverified(list)) => (None, list.revoked),
            None => (None, BTreeSet::new()),
        };
        if let Signer::Elsewhere { list, .. } = signer {
            let is_next = [found.as_ref(), before.as_ref()]
                .into_iter()
                .flatten()
                // The same one: it was signed and remembered, and the storage did not take it.
                .all(|other| {
                    other == list
                        || other.number < list.number && other.revoked.is_subset(&list.revoked)
                });
            ensure!(
                is_next,
                "another list was written since this one was prepared: prepare it again"
            );
        }
        let next = next(
            office.config.deployment.clone(),
            (found.as_ref(), remembered.as_ref()),
            &others,
            arguments,
            valid_for,
        )?;
        let (next, signed) = match signer {
            Signer::Key(key) => {
                let signed = SignedRevocationList::sign(&next, key)?;
                (next, signed)
            }
            Signer::Nobody(path) => {
                let text = next
                    .to_text()
                    .map_err(|error| anyhow::anyhow!("the list {error}"))?;
                keys::write_new(path, &text)?;
                return Ok(Written::new(next, &text, &[found, before]));
            }
            Signer::Elsewhere { list, signed } => (list.clone(), signed.clone()),
        };
        let text = signed
            .to_text()
            .map_err(|error| anyhow::anyhow!("the list {error}"))?;
        // Before anybody sees it: what somebody may have taken over is never signed away again.
        if let Some(memory) = memory {
            keys::replace(memory, &text)
                .context("the list can't be remembered, so it is not written")?;
            remembered = Some(next.clone());
        }
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
            // Of an attempt that was cut off, it may be remembered or lie there, and nobody was told of its news yet.
            let others = [found, before].map(|list| list.filter(|list| *list != next));
            return Ok(Written::new(next, &signed.list, &others));
        }
    }
    bail!("others write the list all the time; try again")
}

impl Written {
    fn new(list: RevocationList, text: &str, before: &[Option<RevocationList>; 2]) -> Self {
        let known = |id: &String| {
            before
                .iter()
                .flatten()
                .any(|list| list.revoked.contains(id))
        };
        Self {
            digest: data_encoding::HEXLOWER.encode(&Sha256::digest(text)),
            news: list
                .revoked
                .iter()
                .filter(|id| !known(id))
                .cloned()
                .collect(),
            list,
        }
    }
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
    others: &BTreeSet<String>,
    arguments: &RevokeArguments,
    valid_for: Duration,
) -> anyhow::Result<RevocationList> {
    let known = [found, remembered];
    let newest = known.into_iter().flatten().map(|list| list.number).max();
    ensure!(
        newest.is_none_or(|number| number < LAST_NUMBER),
        "the list that lies there has a number after which none could follow: remove it, and add --first"
    );
    // Of a list that nobody is known to have signed, the number is not gone on from: it could be the last one there is.
    let begins =
        arguments.first || arguments.signed.is_some() || arguments.forget && !others.is_empty();
    match (newest, begins) {
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
    revoked.extend(arguments.ids.iter().chain(others).cloned());
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

impl RevokeArguments {
    /// Requires that what was signed last is known on this machine, or that somebody has decided to do without it: the storage is not to choose what
    /// a new key goes on from.
    fn require_memory(&self, memory: Option<&Path>) -> anyhow::Result<()> {
        if self.first || self.forget || self.signed.is_some() {
            return Ok(());
        }
        let Some(memory) = memory else {
            ensure!(
                !self.replace,
                "what the old key signed last is to be gone on from: name its memory with --memory OLD.key.revocations, or take what the storage shows with --forget"
            );
            return Ok(());
        };
        let is_there = memory
            .try_exists()
            .with_context(|| memory.display().to_string())?;
        ensure!(
            is_there,
            "{} does not exist, so what was signed last is not known here. Before the first grant, add --first. If this key replaces another one, or somebody else signs as well, copy that one's memory to this place, or name it with --memory OLD.key.revocations. If it is lost, --forget goes on from what the storage shows, which may be an old list",
            memory.display()
        );
        Ok(())
    }
}

/// A list that was read.
enum Known {
    /// A key of the configuration has signed it.
    Verified(RevocationList),
    /// Nobody knows who made it.
    Unverified(RevocationList),
}

/// Where the list is remembered that a key signed last.
fn memory_of(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".revocations");
    PathBuf::from(name)
}
