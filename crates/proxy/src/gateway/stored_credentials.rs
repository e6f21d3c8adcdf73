//! Access keys in a directory: looked at every second, opened by the key services, and kept as they were where that fails.
//!
//! What is in effect follows the files: a key whose file is gone or says that it was revoked is refused at the next look. A file that cannot be
//! read takes nothing away. A key whose secret cannot be opened, because its key service is away, is tried again, and nothing else waits for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sealgate_envelope::{Domain, Error};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Gateway;
use crate::admin::{Health, Need, Obstacle, Reporter};
use crate::auth::{Entry, SecretAccessKey, Standing, StoredKeys};
use crate::config::Config;
use crate::credentials::{self, CredentialFile, Directory, Look, Mark};
use crate::policy;

/// How often the directory is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pauses between attempts to open what could not be opened: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Secrets that are opened at once.
const CONCURRENCY: usize = 16;

/// Access keys that are named where there may be many.
const NAMED: usize = 5;

/// What follows the directory, and what it found.
#[derive(Debug)]
pub(super) struct StoredCredentials {
    /// What requests are verified with.
    pub(super) keys: Arc<StoredKeys>,
    watched: Option<Watched>,
    /// Somebody asks for a look now.
    asked: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Watched {
    directory: Directory,
    domain: Domain,
    reporter: Reporter,
}

impl StoredCredentials {
    pub(super) fn of(config: &Config, health: &Health) -> anyhow::Result<Self> {
        let keys = Arc::new(StoredKeys::default());
        let watched = match &config.credentials {
            None => None,
            Some(place) => {
                // Until the first look is over nobody knows which there are.
                keys.set(HashMap::new(), true);
                Some(Watched {
                    directory: Directory::new(&place.directory),
                    domain: credentials::domain(&config.deployment)?,
                    reporter: health.register("credentials", Need::Informative),
                })
            }
        };
        Ok(Self {
            keys,
            watched,
            asked: Arc::default(),
        })
    }
}

impl Gateway {
    /// Follows the directory of access keys for as long as the gateway lives, if there is one.
    pub(crate) fn watch_credentials(self: &Arc<Self>) {
        if let Some(watched) = &self.stored_credentials.watched {
            tokio::spawn(watch(Arc::downgrade(self), watched.clone()));
        }
    }

    /// Has the directory of access keys looked at now, and everything opened that could not be opened before.
    pub(crate) fn look_at_credentials(&self) {
        self.stored_credentials.asked.notify_one();
    }
}

async fn watch(gateway: Weak<Gateway>, watched: Watched) {
    let mut found = Found::default();
    let mut pause = RETRY.0;
    let mut retry = Instant::now();
    loop {
        let Some(gateway) = gateway.upgrade() else {
            return;
        };
        let directory = watched.directory.clone();
        let looked = tokio::task::spawn_blocking(move || directory.look()).await;
        let obstacle = match looked.map_err(std::io::Error::other).flatten() {
            Ok(look) => {
                let is_due = found.lacks_some() && Instant::now() >= retry;
                if look != found.look || is_due || found.unreadable.take().is_some() {
                    found.follow(&gateway, &watched, look, is_due).await;
                    gateway
                        .stored_credentials
                        .keys
                        .set(found.standings(), found.is_lacking());
                    pause = if is_due {
                        (pause * 2).min(RETRY.1)
                    } else {
                        RETRY.0
                    };
                    retry = Instant::now() + pause;
                }
                found.obstacle()
            }
            Err(error) => {
                let is_new = found.unreadable.is_none();
                found.unreadable = Some(error.to_string());
                if is_new {
                    // What was found before stays in effect; at the start that is nothing.
                    gateway
                        .stored_credentials
                        .keys
                        .set(found.standings(), found.is_lacking());
                }
                Some(unreadable(&watched.directory, &error))
            }
        };
        tell(&watched.reporter, obstacle);
        let asked = Arc::clone(&gateway.stored_credentials.asked);
        drop(gateway);
        tokio::select! {
            () = asked.notified() => {
                found.look.clear();
                retry = Instant::now();
            }
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Says what is in the way, and when nothing is any more, once.
fn tell(reporter: &Reporter, obstacle: Option<Obstacle>) {
    let was_fine = reporter.works();
    let shown = obstacle.clone();
    if !reporter.report(obstacle) {
        return;
    }
    match shown {
        Some(Obstacle { cause, fix }) => {
            tracing::error!(cause, fix, "not all access keys can be used");
        }
        None if was_fine == Some(false) => tracing::info!("all access keys can be used again"),
        None => {}
    }
}

fn unreadable(directory: &Directory, error: &std::io::Error) -> Obstacle {
    Obstacle::new(
        format!(
            "{} can't be read: {error}; the access keys of before stay in effect",
            directory.path().display()
        ),
        "make it readable for the gateway; `sealgate credentials add` makes it where it is not there yet",
    )
}

/// What the last looks found.
#[derive(Default)]
struct Found {
    look: Look,
    keys: BTreeMap<String, Key>,
    /// Why the directory itself cannot be read.
    unreadable: Option<String>,
}

/// One access key.
struct Key {
    mark: Mark,
    /// What the file said when it could be read.
    file: Option<CredentialFile>,
    /// What it is good for: of before, where the file says nothing.
    standing: Option<Standing>,
    fault: Option<Fault>,
}

/// Why a file is not in effect as it is.
enum Fault {
    /// It is not what it should be.
    Broken(String),
    /// Its secret cannot be opened; whether that may change by itself.
    Closed(String, bool),
}

impl Key {
    fn is_closed(&self) -> bool {
        matches!(self.fault, Some(Fault::Closed(..)))
    }
}

impl Found {
    /// Brings what is known up to what the directory holds now.
    async fn follow(&mut self, gateway: &Gateway, watched: &Watched, look: Look, again: bool) {
        self.keys.retain(|name, _| look.contains_key(name));
        let is_new = |(name, mark): &(&String, &Mark)| {
            self.keys
                .get(*name)
                .is_none_or(|key| key.mark != **mark || again && key.is_closed())
        };
        let changed: Vec<_> = look
            .iter()
            .filter(is_new)
            .map(|(name, mark)| (name.clone(), *mark))
            .collect();
        let before: Vec<_> = changed
            .into_iter()
            .map(|(name, mark)| {
                let before = self.keys.remove(&name);
                (name, mark, before)
            })
            .collect();
        let mut read = stream::iter(before)
            .map(|(name, mark, before)| async move {
                let key = read(gateway, watched, &name, mark, before).await;
                (name, key)
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((name, key)) = read.next().await {
            self.keys.insert(name, key);
        }
        drop(read);
        if self.look != look {
            tracing::info!(
                access_keys = look.len(),
                "the directory of access keys was read"
            );
        }
        self.look = look;
    }

    fn standings(&self) -> HashMap<String, Standing> {
        let standing = |(name, key): (&String, &Key)| Some((name.clone(), key.standing.clone()?));
        self.keys.iter().filter_map(standing).collect()
    }

    fn lacks_some(&self) -> bool {
        self.keys.values().any(Key::is_closed)
    }

    /// Whether there is an access key that nobody can use yet, and that may be opened later.
    fn is_lacking(&self) -> bool {
        let lacks =
            |key: &Key| key.standing.is_none() && matches!(key.fault, Some(Fault::Closed(_, true)));
        self.keys.values().any(lacks)
    }

    fn obstacle(&self) -> Option<Obstacle> {
        let faults: Vec<_> = self
            .keys
            .iter()
            .filter_map(|(name, key)| match key.fault.as_ref()? {
                Fault::Broken(cause) => Some(format!("{name}: {cause}")),
                Fault::Closed(cause, _) => {
                    Some(format!("{name}: its secret can't be opened: {cause}"))
                }
            })
            .collect();
        if faults.is_empty() {
            return None;
        }
        let mut cause = faults
            .iter()
            .take(NAMED)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        if faults.len() > NAMED {
            cause = format!("{cause}; and {} more", faults.len() - NAMED);
        }
        Some(Obstacle::new(
            cause,
            "what can't be opened is tried again; `sealgate credentials list` shows every file, and `rotate` and `revoke` replace one",
        ))
    }
}

/// Reads the file of an access key, and opens its secret unless that was done before.
async fn read(
    gateway: &Gateway,
    watched: &Watched,
    name: &str,
    mark: Mark,
    before: Option<Key>,
) -> Key {
    let (known, standing) = before.map_or((None, None), |key| (key.file, key.standing));
    let directory = watched.directory.clone();
    let id = name.to_owned();
    let read = tokio::task::spawn_blocking(move || directory.read(&id)).await;
    let file = match read.map_err(|error| error.to_string()).flatten() {
        Ok(file) => file,
        Err(cause) => {
            return Key {
                mark,
                file: known,
                standing,
                fault: Some(Fault::Broken(cause)),
            };
        }
    };
    let ends = file.expires.map(|moment| moment.0.unix_timestamp());
    let works = |entry| Some(Standing::Works { entry, ends });
    let (standing, fault) = match file.ended(OffsetDateTime::now_utc()) {
        Some(_) if file.revoked.is_some() => (Some(Standing::Revoked), None),
        Some(_) => (None, None),
        None => match (same_secret(known.as_ref(), &file), standing) {
            (true, Some(Standing::Works { entry, .. })) => (works(entry), None),
            (_, standing) => match open(gateway, watched, &file).await {
                Ok(entry) => (works(entry), None),
                Err(error) => {
                    let is_transient = matches!(
                        &error,
                        Error::KeyService { failure, .. } if failure.is_transient()
                    );
                    let cause = error.detail().to_owned();
                    // A revocation is never taken back by a file that cannot be opened.
                    (standing, Some(Fault::Closed(cause, is_transient)))
                }
            },
        },
    };
    Key {
        mark,
        file: Some(file),
        standing,
        fault,
    }
}

fn same_secret(known: Option<&CredentialFile>, file: &CredentialFile) -> bool {
    known.is_some_and(|known| known.identity == file.identity && known.secret == file.secret)
}

async fn open(
    gateway: &Gateway,
    watched: &Watched,
    file: &CredentialFile,
) -> Result<Arc<Entry>, Error> {
    let permit = policy::permit_credentials();
    let secret = credentials::open(&gateway.keyring, &permit, &watched.domain, file).await?;
    Ok(Arc::new(Entry::new(
        &file.access_key_id,
        file.identity.as_str(),
        SecretAccessKey::new(secret.as_str()),
    )))
}
