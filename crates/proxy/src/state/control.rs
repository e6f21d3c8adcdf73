//! What operators tell all gateways of a deployment: a short list of commands in the state bucket, and a record of each
//! gateway that says which of them it has followed and what it has counted.
//!
//! Nobody authenticates either: whoever runs the storage can write both. So a command may only ask for what harms nobody
//! (cached keys are dropped, new ones are made), and what a record says is a text to show and nothing to rely on.

use std::time::Duration;

use sealgate_envelope::{Domain, OsRandom, Random as _};
use serde::{Deserialize, Serialize};

use super::StateBucket;
use crate::error::S3Error;

/// The prefix of all of it.
const CONTROL: &str = "control/";

/// The name of the list of commands.
const COMMANDS: &str = "control/commands";

/// The prefix of the records of gateways.
const REPLICAS: &str = "control/replicas/";

/// The longest list of commands, in bytes, and the longest record of a gateway.
const DOCUMENT_LIMIT: usize = 64 << 10;

/// Commands that the list keeps. The oldest makes room; gateways look every few seconds.
const COMMANDS_LIMIT: usize = 32;

/// Records of gateways that are looked at.
const REPLICAS_LIMIT: usize = 1_000;

/// The longest text of a record that is shown.
const TEXT_LIMIT: usize = 128;

/// Attempts to add a command while others add theirs.
const ATTEMPTS: usize = 10;

/// How often gateways look for commands.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(3);

/// How often a gateway writes its record if nothing else makes it.
pub(crate) const RECORD_INTERVAL: Duration = Duration::from_secs(30);

/// A record that is older is that of a gateway that has ended, or cannot reach the state bucket.
pub(crate) const RECORD_AGE: Duration = Duration::from_secs(90);

/// What is asked of gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Drop every working key.
    Flush,
    /// Make new working keys to seal with: of one domain, or of all that are in use.
    Rotate {
        /// The domain's name.
        domain: Option<String>,
    },
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command {
    /// 32 random hexadecimal digits.
    pub(crate) id: String,
    /// What to do.
    pub(crate) order: Order,
}

impl Command {
    /// A command that nobody has given yet.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(crate) fn new(order: Order) -> Result<Self, S3Error> {
        let mut id = [0; 16];
        OsRandom.fill(&mut id)?;
        Ok(Self {
            id: data_encoding::HEXLOWER.encode(&id),
            order,
        })
    }

    fn is_sound(&self) -> bool {
        let names_no_nonsense = match &self.order {
            Order::Rotate {
                domain: Some(domain),
            } => Domain::new(domain.as_str()).is_ok(),
            _ => true,
        };
        self.id.len() == 32
            && self.id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && names_no_nonsense
    }
}

/// What a gateway says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReplicaRecord {
    /// The id that stands in its answers.
    pub(crate) host: String,
    /// When it wrote this, in milliseconds since 1970, by its clock.
    pub(crate) written: u64,
    /// The commands that it has followed.
    pub(crate) done: Vec<String>,
    /// Those among them that did not succeed whole.
    pub(crate) failed: Vec<String>,
    /// Domains with a working key to seal with.
    pub(crate) sealing_keys: u64,
    /// Working keys held for reading.
    pub(crate) cached_keys: u64,
    /// Seconds since the oldest of them was opened.
    pub(crate) oldest_cached_key: u64,
    /// Readings answered from the cache.
    pub(crate) hits: u64,
    /// Unwraps begun because nothing was cached.
    pub(crate) misses: u64,
    /// Unwraps that failed with every wrap.
    pub(crate) failures: u64,
    /// Readings served beyond a key's age during an outage.
    pub(crate) outage_hits: u64,
    /// Each key service.
    pub(crate) key_services: Vec<ServiceRecord>,
}

/// What a gateway counted of a key service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceRecord {
    /// Its name in the gateway's configuration.
    pub(crate) name: String,
    /// Working keys it was asked to make.
    pub(crate) generates: u64,
    /// Working keys of others that it was asked to wrap.
    pub(crate) wraps: u64,
    /// Wraps it was asked to open.
    pub(crate) unwraps: u64,
    /// Calls that failed by outage or throttling.
    pub(crate) outages: u64,
    /// Calls that failed for another reason.
    pub(crate) refusals: u64,
    /// Calls that were not made, because the service had failed again and again.
    pub(crate) spared: u64,
    /// Whether the last call succeeded.
    pub(crate) healthy: bool,
}

/// The list of commands and the records, in one state bucket.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    state: StateBucket,
}

impl Control {
    pub(crate) fn new(state: StateBucket) -> Self {
        Self { state }
    }

    /// The commands that were given, the oldest first; what is no list of commands counts as none.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub(crate) async fn commands(&self) -> Result<Vec<Command>, S3Error> {
        let document = self.state.get(COMMANDS, DOCUMENT_LIMIT).await?;
        Ok(document.map_or_else(Vec::new, |bytes| parse_commands(&bytes)))
    }

    /// Gives a command to all gateways.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be written, or others write all the time.
    pub(crate) async fn give(&self, command: &Command) -> Result<(), S3Error> {
        for _ in 0..ATTEMPTS {
            let found = self.state.get_tagged(COMMANDS, DOCUMENT_LIMIT).await?;
            let mut commands = found
                .as_ref()
                .map_or_else(Vec::new, |(bytes, _)| parse_commands(bytes));
            commands.push(command.clone());
            let surplus = commands.len().saturating_sub(COMMANDS_LIMIT);
            commands.drain(..surplus);
            let document = serde_json::to_vec(&commands).map_err(S3Error::internal)?;
            let written = match &found {
                Some((_, tag)) => self.state.replace(COMMANDS, document, tag).await?,
                None => self.state.put_new(COMMANDS, document).await?,
            };
            if written {
                return Ok(());
            }
        }
        Err(S3Error::slow_down(
            "others change the list of commands all the time; try again",
        ))
    }

    /// Writes the record of this gateway, under a name made of its host id.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub(crate) async fn tell(&self, record: &ReplicaRecord) -> Result<(), S3Error> {
        let document = serde_json::to_vec(record).map_err(S3Error::internal)?;
        self.state.put(&record_name(&record.host), document).await
    }

    /// Removes the record of a gateway.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be written.
    pub(crate) async fn forget(&self, host: &str) -> Result<(), S3Error> {
        self.state.delete(&[record_name(host)]).await
    }

    /// The records of gateways that were written at most [`RECORD_AGE`] before the newest document here, by the storage's
    /// clock. So it does not matter whose clock is right, and right after a command it is the command that counts. The texts
    /// are cut, and stripped of what terminals obey.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read.
    pub(crate) async fn replicas(&self) -> Result<Vec<ReplicaRecord>, S3Error> {
        let entries = self.state.list_first(CONTROL, REPLICAS_LIMIT).await?;
        let newest = entries.iter().map(|entry| entry.modified).max();
        let mut records = Vec::new();
        for entry in entries {
            let age = newest.and_then(|newest| newest.duration_since(entry.modified).ok());
            if !entry.name.starts_with(REPLICAS) || age.is_some_and(|age| age > RECORD_AGE) {
                continue;
            }
            let Some(bytes) = self.state.get(&entry.name, DOCUMENT_LIMIT).await? else {
                continue;
            };
            let Ok(mut record) = serde_json::from_slice::<ReplicaRecord>(&bytes) else {
                continue;
            };
            record.host = shown(&record.host);
            for service in &mut record.key_services {
                service.name = shown(&service.name);
            }
            records.push(record);
        }
        Ok(records)
    }

    /// Removes the records of gateways that ended long ago.
    ///
    /// # Errors
    /// `ServiceUnavailable` when the bucket cannot be read or written.
    pub(crate) async fn forget_the_dead(&self) -> Result<(), S3Error> {
        const DAY: Duration = Duration::from_hours(24);
        let entries = self.state.list_first(REPLICAS, REPLICAS_LIMIT).await?;
        let dead: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry.modified.elapsed().is_ok_and(|age| age > DAY))
            .map(|entry| entry.name)
            .collect();
        if dead.is_empty() {
            return Ok(());
        }
        self.state.delete(&dead).await
    }
}

fn record_name(host: &str) -> String {
    format!(
        "{REPLICAS}{}",
        data_encoding::HEXLOWER.encode(host.as_bytes())
    )
}

fn parse_commands(bytes: &[u8]) -> Vec<Command> {
    let mut commands: Vec<Command> = serde_json::from_slice(bytes).unwrap_or_default();
    commands.retain(Command::is_sound);
    commands.truncate(COMMANDS_LIMIT);
    commands
}

fn shown(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(TEXT_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_command_is_none() {
        let good = Command::new(Order::Rotate {
            domain: Some("a/b".to_owned()),
        })
        .unwrap();
        let bytes = serde_json::to_vec(std::slice::from_ref(&good)).unwrap();
        assert_eq!(parse_commands(&bytes), std::slice::from_ref(&good));
        let flush = Command::new(Order::Flush).unwrap();
        let bad = Command {
            id: "../x".to_owned(),
            ..flush.clone()
        };
        let bytes = serde_json::to_vec(&[bad, good.clone()]).unwrap();
        assert_eq!(parse_commands(&bytes), [good]);
        let many = vec![flush; 100];
        assert_eq!(
            parse_commands(&serde_json::to_vec(&many).unwrap()).len(),
            COMMANDS_LIMIT
        );
        for nonsense in [b"".as_slice(), b"{}", b"[1]", b"\xff"] {
            assert_eq!(parse_commands(nonsense), []);
        }
    }

    #[test]
    fn texts_of_others_are_cut_and_stripped() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a[2Jb");
        assert_eq!(shown(&"x".repeat(1_000)).len(), TEXT_LIMIT);
    }
}
