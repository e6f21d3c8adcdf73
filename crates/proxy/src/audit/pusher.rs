//! Sends the log to its receiver: whatever was signed, in order, through outages; and says when too much waits.

use std::{
    fs,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use sealgate_audit::{
    Directory, Note, VerifyingKey,
    checkpoint::Checkpoint,
    directory::replace_file,
    history,
    lines::Lines,
    push::{Push, Reader},
};

use super::{
    Audit,
    wire::{self, Answer, path_name},
};
use crate::config::AuditReceiverConfig;

/// For one exchange with the receiver.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);

/// Between attempts while it is away: at first, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How often it is looked whether too much waits.
const LOOK: Duration = Duration::from_millis(200);

/// Segments that are never removed: the one that is written, and the one before.
const KEPT_SEGMENTS: usize = 2;

/// How much of a log waits for its receiver.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Bytes of lines in the files at the start that the receiver had not.
    before: AtomicU64,
    /// Bytes of lines that it has taken since.
    taken: AtomicU64,
}

impl Waiting {
    /// Bytes that wait, where so many were written since the start.
    pub(super) fn bytes(&self, written: u64) -> u64 {
        let all = self.before.load(Ordering::Relaxed) + written;
        all.saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}

pub(super) struct Pusher {
    audit: Weak<Audit>,
    waiting: Arc<Waiting>,
    directory: Directory,
    key: VerifyingKey,
    config: AuditReceiverConfig,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why an exchange ended.
enum Trouble {
    /// The receiver says that the log is not what it was.
    Fork(String),
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Pusher {
    /// Reads the files of the configuration. Nobody is contacted.
    pub(super) fn new(
        audit: &Arc<Audit>,
        directory: Directory,
        key: VerifyingKey,
        config: &AuditReceiverConfig,
    ) -> anyhow::Result<Self> {
        let roots = if let Some(path) = &config.ca_file {
            wire::authorities(path)?
        } else {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        };
        let tls = ClientConfig::builder_with_provider(wire::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                wire::certificates(&config.client_certificate.certificate)?,
                wire::private_key(&config.client_certificate.key)?,
            )
            .context("audit.receiver.client_certificate")?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        let waiting = Arc::clone(&audit.waiting);
        let acknowledged = acknowledged(&directory, &key, &config.public_key);
        waiting.before.store(
            bytes_from(&directory, acknowledged)?.saturating_sub(audit.position().written),
            Ordering::Relaxed,
        );
        Ok(Self {
            audit: Arc::downgrade(audit),
            waiting,
            directory,
            key,
            config: config.clone(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Runs until the log is closed.
    pub(super) async fn run(self) {
        let mut pause = BACK_OFF.0;
        let mut is_away = false;
        loop {
            let Some(mut positions) = self.audit.upgrade().map(|audit| audit.log.positions())
            else {
                return;
            };
            let outcome = self.follow(&mut positions, &mut pause, &mut is_away).await;
            let Some(audit) = self.audit.upgrade() else {
                return;
            };
            match outcome {
                Ok(()) => return,
                Err(Trouble::Fork(what)) => {
                    tracing::error!(%what, "ALARM: the receiver refuses the audit log, because it is not what it was: nothing more is recorded until that is settled. docs/audit.md says how");
                    audit.fork(what);
                    pause = BACK_OFF.1;
                }
                Err(Trouble::Other(error)) => {
                    if !is_away {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "the receiver of the audit log is away; records wait for it"
                        );
                    }
                    is_away = true;
                }
            }
            drop(audit);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    /// Sends everything, and then what comes. Returns where the log is closed.
    async fn follow(
        &self,
        positions: &mut tokio::sync::watch::Receiver<sealgate_audit::Position>,
        pause: &mut Duration,
        is_away: &mut bool,
    ) -> Result<(), Trouble> {
        let size = self.hello().await?;
        let mut reader = tokio::task::block_in_place(|| {
            Reader::new(self.directory.clone(), self.key.clone(), size)
        })?;
        loop {
            while let Some(push) = tokio::task::block_in_place(|| reader.next_push())? {
                self.push(&push).await?;
            }
            if std::mem::take(is_away) {
                tracing::info!("the receiver of the audit log is back and has everything");
            }
            *pause = BACK_OFF.0;
            let signed = positions.borrow_and_update().signed;
            if positions
                .wait_for(|position| position.signed > signed)
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    }

    /// Says how far the log is, and learns how much of it the receiver has.
    async fn hello(&self) -> Result<u64, Trouble> {
        let newest = tokio::task::block_in_place(|| newest_checkpoint(&self.directory))?;
        let text = self.exchange("hello", newest.into_bytes()).await?;
        let answer: Answer = serde_json::from_str(&text)?;
        Ok(answer
            .size
            .context("the receiver does not say what it has")?)
    }

    async fn push(&self, push: &Push) -> Result<(), Trouble> {
        let text = self.exchange("push", push.text.clone()).await?;
        let note = Note::parse(&text)?;
        note.verify(&self.config.public_key)
            .context("the receiver's answer")?;
        let checkpoint = Checkpoint::verify(&note, &self.key)?;
        if checkpoint.size != push.size {
            return Err(anyhow::anyhow!("the receiver countersigned another checkpoint").into());
        }
        self.waiting
            .taken
            .fetch_add(push.records_length, Ordering::Relaxed);
        tokio::task::block_in_place(|| {
            replace_file(&self.directory.countersigned(), text.as_bytes())?;
            prune(&self.directory, push.size, self.config.keep)
        })?;
        Ok(())
    }

    async fn exchange(&self, verb: &str, body: Vec<u8>) -> Result<String, Trouble> {
        let endpoint = self.config.endpoint.to_string();
        let uri = format!(
            "{}/v1/logs/{}/{verb}",
            endpoint.trim_end_matches('/'),
            path_name(self.key.name())
        );
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri.parse::<Uri>()?)
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), wire::MAX_ANSWER).collect();
            let body = body.await.map_err(|error| anyhow::anyhow!("{error}"))?;
            Ok::<_, anyhow::Error>((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(EXCHANGE_LIMIT, exchange)
            .await
            .context("the receiver takes too long")??;
        let text = String::from_utf8(body.to_vec())?;
        if status == StatusCode::OK {
            return Ok(text);
        }
        let answer: Answer = serde_json::from_str(&text).unwrap_or_default();
        if let Some(fork) = answer.fork {
            return Err(Trouble::Fork(fork));
        }
        let what = answer.malformed.or(answer.failed).unwrap_or_default();
        Err(anyhow::anyhow!("the receiver answers {status}: {what}").into())
    }
}

/// Holds decisions back while more waits than may, and lets them go on when it does not any more.
pub(super) async fn watch(audit: Weak<Audit>, spool: u64) {
    let mut is_full = false;
    loop {
        let Some(audit) = audit.upgrade() else { return };
        let waits = audit.waiting_bytes();
        if is_full != (waits > spool) {
            is_full = !is_full;
            if is_full {
                tracing::error!(
                    waits,
                    spool,
                    "the audit log waits for its receiver, and the spool is full"
                );
            } else {
                tracing::warn!("the spool of the audit log has room again");
            }
            audit.fill(is_full.then(|| {
                format!("{waits} bytes wait for the receiver, and audit.receiver.spool is {spool}")
            }));
        }
        drop(audit);
        tokio::time::sleep(LOOK).await;
    }
}

/// Up to which size the receiver is known to have the log.
fn acknowledged(directory: &Directory, log: &VerifyingKey, receiver: &VerifyingKey) -> u64 {
    let read = || {
        let text = fs::read_to_string(directory.countersigned()).ok()?;
        let note = Note::parse(&text).ok()?;
        note.verify(receiver).ok()?;
        Checkpoint::verify(&note, log).ok()
    };
    read().map_or(0, |checkpoint| checkpoint.size)
}

/// Bytes of the lines from this sequence on.
fn bytes_from(directory: &Directory, size: u64) -> std::io::Result<u64> {
    let segments = directory.segments()?;
    let mut bytes = 0;
    for (position, segment) in segments.iter().enumerate() {
        let end = segments.get(position + 1).map(|next| next.first);
        if end.is_some_and(|end| end <= size) {
            continue;
        }
        let length = fs::metadata(&segment.path)?.len();
        let mut lines = Lines::open(&segment.path)?;
        let mut offset = 0;
        for _ in segment.first..size {
            offset = lines
                .next_line()?
                .map_or(length, |line| line.offset + line.bytes.len() as u64);
        }
        bytes += length.saturating_sub(offset);
    }
    Ok(bytes)
}

/// The note of the last checkpoint in the history; empty where there is none.
fn newest_checkpoint(directory: &Directory) -> anyhow::Result<String> {
    let newest = history::newest(&directory.checkpoints())?;
    Ok(newest.map(|note| note.to_string()).unwrap_or_default())
}

/// Removes the oldest files that the receiver has, beyond so many bytes.
fn prune(directory: &Directory, size: u64, keep: u64) -> anyhow::Result<()> {
    let segments = directory.segments()?;
    let mut lengths = Vec::new();
    for segment in &segments {
        lengths.push(fs::metadata(&segment.path)?.len());
    }
    let mut total: u64 = lengths.iter().sum();
    let removable = segments.len().saturating_sub(KEPT_SEGMENTS);
    for (position, segment) in segments.iter().enumerate().take(removable) {
        let Some(next) = segments.get(position + 1) else {
            bail!("the segments changed");
        };
        if total <= keep || next.first > size {
            break;
        }
        fs::remove_file(&segment.path)
            .with_context(|| format!("{} can't be removed", segment.path.display()))?;
        total -= lengths.get(position).copied().unwrap_or_default();
    }
    Ok(())
}
