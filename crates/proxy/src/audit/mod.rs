//! The audit log of a running gateway: what is decided is durable before it is done, and what came of it follows.
//!
//! ```text
//! request ─ Trail ─┬─ intend: waits until the record is durable, or refuses
//!                  ├─ begin: hands it over; intend and durable wait for it
//!                  └─ dropped with the last byte of the answer: the outcome
//! ```
//!
//! Without `[audit]` a trail records nothing, and decisions are log lines (policy).

mod body;
mod delivery;
mod health;
pub mod preflight;
mod pusher;
pub mod receiver;
mod trail;
mod window;
mod wire;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use http::StatusCode;
use sealgate_audit::{
    Directory, Disk, Event, FileSystem, Log, LogOptions, ObjectNames, Pending, Position, Purpose,
    RecordError, SigningKey,
};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use self::trail::{DECRYPT, Decided, ENCRYPT, Trail};
use self::{delivery::Delivery, pusher::Pusher, window::Window};
use crate::{
    config::{AuditConfig, OnFailure},
    error::S3Error,
};

/// For the receiver to get the last records when the gateway ends. What it does not get waits for the next start.
const LAST_PUSH: Duration = Duration::from_secs(3);

/// How long a command waits for the receiver to have its record.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(30);

/// The log of a gateway, and what happens where it can't be written.
#[derive(Debug)]
pub struct Audit {
    log: Log,
    on_failure: OnFailure,
    /// Why nothing may be recorded at the moment although the disk would take it: too much waits for the receiver.
    full: ArcSwapOption<String>,
    /// Why nothing may be recorded any more: the receiver says that the log is not what it was.
    fork: ArcSwapOption<String>,
    delivery: Arc<Delivery>,
    has_receiver: bool,
    /// Requests that were refused because they could not be recorded.
    refused: AtomicU64,
    /// Each has its own, so that wrong signatures cannot drop what is known of who comes too late.
    of_strangers: Window,
    of_turned_away: Window,
    /// What sends to the receiver.
    pusher: Mutex<Option<JoinHandle<()>>>,
}

/// What is known of a request when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its decisions are recorded.
    Decided,
    /// Nothing was decided, and it is known who asked, within their bounds.
    Known,
    /// It is known who asked, and they were turned away before their bounds were looked at: their session is over, or was taken back.
    TurnedAway,
    /// Nobody is known.
    Stranger,
}

/// The key of a log, as a configuration has it.
///
/// # Errors
/// Where it is no key, or a receiver's.
pub fn signing_key(text: &str) -> anyhow::Result<SigningKey> {
    let key = SigningKey::parse(text).context("audit.key")?;
    if key.public().purpose() != Purpose::Log {
        anyhow::bail!("audit.key is the key of a receiver; make one with `sealgate audit keygen`");
    }
    Ok(key)
}

impl Audit {
    /// Opens the log.
    ///
    /// # Errors
    /// Where key or files can't be used, or the log is not what it signed.
    pub fn open(config: &AuditConfig) -> anyhow::Result<Arc<Self>> {
        Self::open_on(config, Box::new(FileSystem))
    }

    /// As [`Self::open`], on another disk.
    pub(crate) fn open_on(config: &AuditConfig, disk: Box<dyn Disk>) -> anyhow::Result<Arc<Self>> {
        let key = signing_key(config.key.expose())?;
        let directory = Directory::new(&config.directory);
        let options = LogOptions {
            names: match &config.name_key {
                None => ObjectNames::Plain,
                Some(secret) => {
                    ObjectNames::Hashed(Zeroizing::new(secret.expose().as_bytes().to_vec()))
                }
            },
            segment_size: config.segment_size,
            checkpoint_interval: config.checkpoint_interval,
            software: concat!("sealgate ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..LogOptions::new(directory, key)
        };
        let log = Log::open_on(options, disk).context("[audit]")?;
        Ok(Arc::new(Self {
            log,
            on_failure: config.on_failure,
            full: ArcSwapOption::empty(),
            fork: ArcSwapOption::empty(),
            delivery: Arc::default(),
            has_receiver: config.receiver.is_some(),
            refused: AtomicU64::new(0),
            of_strangers: Window::default(),
            of_turned_away: Window::default(),
            pusher: Mutex::new(None),
        }))
    }

    fn held(&self) -> Option<String> {
        let held = self.fork.load_full().or_else(|| self.full.load_full());
        held.map(|reason| (*reason).clone())
    }

    /// Too much waits for the receiver, or not any more.
    pub(crate) fn fill(&self, reason: Option<String>) {
        self.full.store(reason.map(Arc::new));
    }

    /// The receiver says that the log is not what it was.
    pub(crate) fn fork(&self, what: String) {
        self.fork.store(Some(Arc::new(what)));
    }

    /// Bytes of records that wait for the receiver.
    pub fn waiting_bytes(&self) -> u64 {
        self.delivery.bytes(self.position().written)
    }

    /// Records that wait for the receiver.
    pub fn waiting_records(&self) -> u64 {
        let size = self.position().size;
        size.saturating_sub(self.delivery.acknowledged())
    }

    /// How old the oldest record is that waits for the receiver.
    pub fn lag(&self) -> Duration {
        self.delivery.lag()
    }

    /// How long ago the receiver last answered as it should, or else the log was opened.
    pub fn silence(&self) -> Duration {
        self.delivery.silence()
    }

    /// Whether records are sent to a receiver.
    pub fn has_receiver(&self) -> bool {
        self.has_receiver
    }

    /// Requests that were refused because they could not be recorded.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Records that could not be written.
    pub fn lost(&self) -> u64 {
        self.log.lost()
    }

    /// Sends records to the receiver of the configuration from now on, if it names one.
    ///
    /// # Errors
    /// Where certificates can't be used.
    pub fn send(self: &Arc<Self>, config: &AuditConfig) -> anyhow::Result<()> {
        let Some(receiver) = &config.receiver else {
            return Ok(());
        };
        let key = signing_key(config.key.expose())?.public().clone();
        let directory = Directory::new(&config.directory);
        let pusher = Pusher::new(self, directory, key, receiver).context("[audit.receiver]")?;
        let pusher = tokio::spawn(pusher.run());
        *self.pusher.lock().unwrap_or_else(PoisonError::into_inner) = Some(pusher);
        Ok(())
    }

    /// Records events of a command, and returns once they are durable here and at the receiver, where there is one.
    ///
    /// Cancel safety: when the future is dropped, the events may be recorded all the same.
    ///
    /// # Errors
    /// Where they are not, with the cause.
    pub async fn announce(&self, events: Vec<Event>) -> anyhow::Result<()> {
        let recorded = self.log.record(events).await?;
        let deadline = Instant::now() + ANNOUNCE_LIMIT;
        while self.has_receiver && self.delivery.acknowledged() < recorded.end {
            if let Some(what) = self.fork.load_full() {
                anyhow::bail!("ALARM: the receiver refuses the log: {what}");
            }
            if Instant::now() >= deadline {
                let cause = self.delivery.trouble();
                anyhow::bail!(
                    "the receiver has not acknowledged the record within {} s: {}",
                    ANNOUNCE_LIMIT.as_secs(),
                    cause.as_deref().unwrap_or("it is slow")
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// As [`Self::close`], and nothing is sent any more when it returns: another process may write the log then, if it was closed.
    pub async fn finish(&self) {
        self.close().await;
        let pusher = self
            .pusher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(pusher) = pusher {
            pusher.abort();
            // It ended by itself, or was ended.
            let _ = pusher.await;
        }
    }

    /// Ends the log in order, and gives the receiver a moment to get the rest. A disk that does not answer is not waited for.
    pub async fn close(&self) {
        if !tokio::task::block_in_place(|| self.log.close()) {
            tracing::warn!(
                "the process ends without having closed the audit log: its last records may be missing, and the next start goes on as after a power failure"
            );
        }
        let deadline = Instant::now() + LAST_PUSH;
        while self.has_receiver && self.waiting_bytes() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How long the log is.
    pub fn position(&self) -> Position {
        self.log.position()
    }

    /// Records events; returns once they are durable, or false where they are not and the configuration lets the request go on.
    pub(crate) async fn record(&self, events: Vec<Event>) -> Result<bool, S3Error> {
        let count = events.len() as u64;
        match self.begin(events).await? {
            Some(mut pending) => self.durable(&mut pending, count).await,
            None => Ok(false),
        }
    }

    /// Hands events to the log; none where it does not take them and the configuration lets the request go on.
    async fn begin(&self, events: Vec<Event>) -> Result<Option<Pending>, S3Error> {
        let count = events.len() as u64;
        let begun = match self.held() {
            Some(reason) => Err(reason),
            None => self
                .log
                .begin(events)
                .await
                .map_err(|error| error.to_string()),
        };
        match begun {
            Ok(pending) => Ok(Some(pending)),
            Err(cause) => self.unrecorded(&cause, count).map(|()| None),
        }
    }

    /// Waits for so many events that the log took, as [`Self::record`] does.
    async fn durable(&self, pending: &mut Pending, count: u64) -> Result<bool, S3Error> {
        match pending.durable().await {
            Ok(_) => Ok(true),
            Err(error) => {
                // What fails after nobody waited any more, the log counts by itself.
                let lost = if error == RecordError::Slow { 0 } else { count };
                self.unrecorded(&error.to_string(), lost).map(|()| false)
            }
        }
    }

    /// What becomes of a request whose events are not recorded.
    fn unrecorded(&self, cause: &str, count: u64) -> Result<(), S3Error> {
        match self.on_failure {
            OnFailure::Deny => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(unrecorded(cause))
            }
            OnFailure::Allow => {
                self.log.lose(count);
                tracing::error!(%cause, "a decision was not recorded, and its request goes on because audit.on_failure is \"allow\"");
                Ok(())
            }
        }
    }

    /// Records an outcome without waiting. While nothing may be recorded, refusals are only counted: they must not fill what is full.
    fn submit(&self, event: Event, standing: Standing) {
        let is_admitted = match standing {
            Standing::Decided => true,
            Standing::Known => self.held().is_none(),
            Standing::Stranger => self.held().is_none() && self.of_strangers.admits(),
            Standing::TurnedAway => self.held().is_none() && self.of_turned_away.admits(),
        };
        if is_admitted {
            self.log.submit(event);
        } else {
            self.log.lose(1);
        }
    }
}

/// The answer where a decision can't be recorded. Clients try again; the operator reads why.
fn unrecorded(cause: &str) -> S3Error {
    S3Error::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
        "Service is unable to handle request.",
    )
    .with_detail(format!("the decision can't be recorded: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::Secret;

    #[test]
    fn who_is_turned_away_fills_no_log_and_takes_no_strangers_room() {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::generate("example.com/one", Purpose::Log).unwrap();
        let audit = Audit::open(&AuditConfig {
            directory: directory.path().to_owned(),
            key: Secret::new(key.to_text().as_str()),
            name_key: None,
            on_failure: OnFailure::Deny,
            segment_size: 1 << 20,
            checkpoint_interval: Duration::from_secs(1),
            receiver: None,
            commands: None,
        })
        .unwrap();
        let lost_of = |count: usize, identity: Option<&str>, is_admitted: bool| {
            let before = audit.lost();
            for _ in 0..count {
                let source = Ipv4Addr::LOCALHOST.into();
                let trail = Trail::new(Some(Arc::clone(&audit)), "request", source);
                if let Some(identity) = identity {
                    trail.name(&identity.into());
                }
                if is_admitted {
                    trail.admit();
                }
            }
            audit.lost() - before
        };
        assert_eq!(lost_of(400, Some("oscar"), true), 0);
        // Another second may have begun meanwhile.
        let lost = lost_of(400, Some("oscar"), false);
        assert!((200..=300).contains(&lost), "{lost}");
        assert_eq!(lost_of(50, None, false), 0);
        let lost = lost_of(400, None, false);
        assert!((200..=350).contains(&lost), "{lost}");
    }
}
