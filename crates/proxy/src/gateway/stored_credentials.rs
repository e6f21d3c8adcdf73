//! Access keys in a directory: looked at every second, opened by the key services, and kept as they were where that fails.
//!
//! ```text
//! look ─ what is gone, revoked, ended or unchanged takes effect at once ─┐
//!   ▲                                                                     ├─ keys
//!   └─ every second, whatever key services do    secrets that were opened ┘
//! ```
//!
//! A file that cannot be read takes nothing away. A key whose secret cannot be opened is tried again, less and less often, and nothing waits for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sealgate_envelope::{Domain, Error};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
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

/// How long a look may take before it is said that the directory does not answer.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// The pause before a secret is asked for again that a key service refused to open, or that is not genuine.
const REFUSED_RETRY: Duration = Duration::from_mins(5);

/// Secrets that are asked for at each look: whoever writes to the directory should not be able to flood a key service.
const ROUND_LIMIT: usize = 64;

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
            None => {
                keys.set(HashMap::new(), false, true);
                None
            }
            Some(place) => {
                // Until the first look is over nobody knows which there are.
                keys.set(HashMap::new(), true, false);
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

/// What one look finds: the directory, and what the files say that are new or have changed.
type Looked = (
    Look,
    Vec<(String, Option<Mark>, Result<CredentialFile, String>)>,
);

/// Secrets that were opened, or not, by the marks of their files.
type Opened = (String, Option<Mark>, Result<Arc<Entry>, Error>);

fn look(directory: &Directory, known: &BTreeMap<String, Option<Mark>>) -> std::io::Result<Looked> {
    let look = directory.look(|name| known.contains_key(name))?;
    let changed = look
        .files
        .iter()
        .filter(|(name, mark)| known.get(*name) != Some(mark))
        .map(|(name, mark)| (name.clone(), *mark, directory.read(name)))
        .collect();
    Ok((look, changed))
}

async fn watch(gateway: Weak<Gateway>, watched: Watched) {
    let mut found = Found::default();
    let (sender, mut opened) = mpsc::channel(CONCURRENCY);
    let mut looking: Option<JoinHandle<std::io::Result<Looked>>> = None;
    loop {
        let mut running = looking.take().unwrap_or_else(|| {
            let (directory, known) = (watched.directory.clone(), found.marks());
            tokio::task::spawn_blocking(move || look(&directory, &known))
        });
        let looked = tokio::time::timeout(LOOK_LIMIT, &mut running).await;
        let Some(gateway) = gateway.upgrade() else {
            return;
        };
        match looked {
            // Another look would hang as well: this one is waited for.
            Err(_) => {
                looking = Some(running);
                found.unreadable = Some(format!("it has not answered for {LOOK_LIMIT:?}"));
            }
            Ok(looked) => match looked.map_err(std::io::Error::other).flatten() {
                Ok(looked) => found.take(looked),
                Err(error) => found.unreadable = Some(error.to_string()),
            },
        }
        let keys = Arc::clone(&gateway.stored_credentials.keys);
        found.publish(&keys);
        found.open_what_is_due(&gateway, &watched, &sender);
        // What is not known yet is told when it is.
        if !found.is_opening() {
            tell(&watched.reporter, found.obstacle(&watched.directory));
        }
        let asked = Arc::clone(&gateway.stored_credentials.asked);
        drop(gateway);
        let next_look = Instant::now() + INTERVAL;
        loop {
            tokio::select! {
                () = asked.notified() => {
                    found.try_all_again();
                    break;
                }
                () = tokio::time::sleep_until(next_look) => break,
                Some(one) = opened.recv() => {
                    found.opened(one);
                    // All that are there at once: publishing goes through every key.
                    while let Ok(one) = opened.try_recv() {
                        found.opened(one);
                    }
                    found.publish(&keys);
                }
            }
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

/// What the last looks found.
#[derive(Default)]
struct Found {
    keys: BTreeMap<String, Key>,
    revoked: BTreeSet<String>,
    has_more: bool,
    /// Whether the directory was ever read.
    was_read: bool,
    /// Why it cannot be read now.
    unreadable: Option<String>,
}

/// One access key.
#[derive(Default)]
struct Key {
    mark: Option<Mark>,
    /// What the file said when it could be read.
    file: Option<CredentialFile>,
    /// What it is good for: of before, where the file says nothing.
    standing: Option<Standing>,
    fault: Option<Fault>,
    opening: Opening,
}

/// Why a file is not in effect as it is.
enum Fault {
    /// It is not what it should be.
    Broken(String),
    /// Its secret cannot be opened; whether that may change by itself.
    Closed(String, bool),
}

/// How far the opening of a secret has come.
#[derive(Default)]
enum Opening {
    /// There is nothing to open.
    #[default]
    None,
    /// Not before this moment, and the pause after it.
    Due(Instant, Duration),
    /// It is being opened; the pause if that fails.
    Running(Duration),
}

impl Found {
    fn marks(&self) -> BTreeMap<String, Option<Mark>> {
        let mark = |(name, key): (&String, &Key)| (name.clone(), key.mark);
        self.keys.iter().map(mark).collect()
    }

    /// Brings what is known up to what the directory holds, as far as that needs no key service.
    fn take(&mut self, (look, changed): Looked) {
        let is_news = !self.was_read || !changed.is_empty() || look.revoked != self.revoked;
        self.keys.retain(|name, _| look.files.contains_key(name));
        self.revoked = look.revoked;
        self.has_more = look.has_more;
        self.was_read = true;
        self.unreadable = None;
        for (name, mark, read) in changed {
            let key = self.keys.entry(name).or_default();
            key.mark = mark;
            match read {
                Ok(file) => key.follow(file),
                Err(cause) => {
                    key.fault = Some(Fault::Broken(cause));
                    key.opening = Opening::None;
                }
            }
        }
        if is_news {
            tracing::info!(
                access_keys = self.keys.len(),
                "the directory of access keys was read"
            );
        }
    }

    /// Has the secrets opened that are due. Nobody waits for them.
    fn open_what_is_due(
        &mut self,
        gateway: &Arc<Gateway>,
        watched: &Watched,
        sender: &mpsc::Sender<Opened>,
    ) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (name, key) in &mut self.keys {
            let (Opening::Due(at, pause), Some(file)) = (&key.opening, &key.file) else {
                continue;
            };
            if *at <= now && due.len() < ROUND_LIMIT && !self.revoked.contains(name) {
                due.push((name.clone(), key.mark, file.clone()));
                key.opening = Opening::Running(*pause);
            }
        }
        if due.is_empty() {
            return;
        }
        let (gateway, watched, sender) = (Arc::clone(gateway), watched.clone(), sender.clone());
        tokio::spawn(async move {
            let mut opened = stream::iter(due)
                .map(|(name, mark, file)| {
                    let (gateway, watched) = (&gateway, &watched);
                    async move { (name, mark, open(gateway, watched, &file).await) }
                })
                .buffer_unordered(CONCURRENCY);
            while let Some(one) = opened.next().await {
                // Where nobody listens any more, the gateway ends.
                if sender.send(one).await.is_err() {
                    return;
                }
            }
        });
    }

    fn opened(&mut self, (name, mark, opened): Opened) {
        let Some(key) = self.keys.get_mut(&name).filter(|key| key.mark == mark) else {
            return;
        };
        let Opening::Running(pause) = key.opening else {
            return;
        };
        match opened {
            Ok(entry) => {
                key.opening = Opening::None;
                key.fault = None;
                let ends = key.file.as_ref().and_then(ends);
                key.standing = Some(Standing::Works { entry, ends });
            }
            Err(error) => {
                let is_transient = matches!(
                    &error,
                    Error::KeyService { failure, .. } if failure.is_transient()
                );
                // What is refused may be allowed some day; it need not be asked for every few seconds.
                let longest = if is_transient { RETRY.1 } else { REFUSED_RETRY };
                let next = if is_transient {
                    (pause * 2).min(longest)
                } else {
                    longest
                };
                key.opening = Opening::Due(Instant::now() + next, next);
                key.fault = Some(Fault::Closed(error.detail().to_owned(), is_transient));
            }
        }
    }

    /// Whether there are secrets that nobody has tried to open yet, in a directory that can be read.
    fn is_opening(&self) -> bool {
        let is_first = |key: &Key| {
            key.standing.is_none() && key.fault.is_none() && !matches!(key.opening, Opening::None)
        };
        self.unreadable.is_none() && self.keys.values().any(is_first)
    }

    fn try_all_again(&mut self) {
        for key in self.keys.values_mut() {
            if matches!(key.opening, Opening::Due(..)) {
                key.opening = Opening::Due(Instant::now(), RETRY.0);
            }
        }
    }

    fn publish(&self, keys: &StoredKeys) {
        let standing = |(name, key): (&String, &Key)| Some((name.clone(), key.standing.clone()?));
        let mut standings: HashMap<_, _> = self.keys.iter().filter_map(standing).collect();
        // Whatever their files say.
        standings.extend(
            self.revoked
                .iter()
                .map(|name| (name.clone(), Standing::Revoked)),
        );
        let waits = |key: &Key| {
            key.standing.is_none()
                && match &key.fault {
                    None => !matches!(key.opening, Opening::None),
                    Some(Fault::Closed(_, is_transient)) => *is_transient,
                    Some(Fault::Broken(_)) => false,
                }
        };
        let is_lacking = !self.was_read || self.keys.values().any(waits);
        // A file that says nothing, and never did, may be one of a revocation; a secret that is closed is none.
        let says_nothing = |key: &Key| key.file.is_none();
        let is_complete = self.was_read && !self.has_more && !self.keys.values().any(says_nothing);
        for (name, key) in &self.keys {
            if key.standing.is_none() && key.file.is_some() {
                // Sessions of a key that is not open yet are good.
                standings.entry(name.clone()).or_insert(Standing::Ended);
            }
        }
        keys.set(standings, is_lacking, is_complete);
    }

    fn obstacle(&self, directory: &Directory) -> Option<Obstacle> {
        if let Some(cause) = &self.unreadable {
            return Some(Obstacle::new(
                format!(
                    "{} can't be read: {cause}; the access keys of before stay in effect",
                    directory.path().display()
                ),
                "make it readable for the gateway; `sealgate credentials add` makes it where it is not there yet",
            ));
        }
        let mut faults: Vec<_> = self
            .keys
            .iter()
            .filter(|(name, _)| !self.revoked.contains(*name))
            .filter_map(|(name, key)| match key.fault.as_ref()? {
                Fault::Broken(cause) => Some(format!("{name}: {cause}")),
                Fault::Closed(cause, _) => {
                    Some(format!("{name}: its secret can't be opened: {cause}"))
                }
            })
            .collect();
        if self.has_more {
            faults.push("there are more files than are looked at".to_owned());
        }
        if faults.is_empty() {
            return None;
        }
        let count = faults.len();
        faults.truncate(NAMED);
        let mut cause = faults.join("; ");
        if count > NAMED {
            cause = format!("{cause}; and {} more", count - NAMED);
        }
        Some(Obstacle::new(
            cause,
            "what can't be opened is tried again; `sealgate credentials list` shows every file, and `revoke` ends one, whatever it says",
        ))
    }
}

impl Key {
    /// Takes over what the file says now.
    fn follow(&mut self, file: CredentialFile) {
        let is_same = self
            .file
            .as_ref()
            .is_some_and(|known| known.identity == file.identity && known.secret == file.secret);
        let works = match (file.ended(OffsetDateTime::now_utc()), &self.standing) {
            (Some(_), _) if file.revoked.is_some() => {
                self.standing = Some(Standing::Revoked);
                true
            }
            (Some(_), _) => {
                self.standing = Some(Standing::Ended);
                true
            }
            (None, Some(Standing::Works { entry, .. })) => {
                // Also of a secret that was sealed anew the end counts at once.
                let (entry, ends) = (Arc::clone(entry), ends(&file));
                self.standing = Some(Standing::Works { entry, ends });
                is_same
            }
            (None, _) => false,
        };
        self.file = Some(file);
        self.fault = None;
        self.opening = if works {
            Opening::None
        } else {
            Opening::Due(Instant::now(), RETRY.0)
        };
    }
}

/// When an access key ends, in seconds since 1970.
fn ends(file: &CredentialFile) -> Option<i64> {
    file.expires.map(|moment| moment.0.unix_timestamp())
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

#[cfg(test)]
mod tests;
