//! Sends the log to its receiver: whatever was signed, in order, through outages.

use std::{
    fs,
    sync::{Arc, Weak},
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
    delivery::Delivery,
    wire::{self, Answer, path_name},
};
use crate::config::AuditReceiverConfig;

/// For one exchange with the receiver.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);

/// Between attempts while it is away: at first, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// While nothing is to be sent, how often the receiver is asked whether it is there: else an outage would show only when there is something to
/// send.
const IDLE: Duration = Duration::from_secs(30);

/// Segments that are never removed: the one that is written, and the one before.
const KEPT_SEGMENTS: usize = 2;

pub(super) struct Pusher {
    audit: Weak<Audit>,
    delivery: Arc<Delivery>,
    directory: Directory,
    link: Link,
}

/// The way to a receiver, for one log.
pub(super) struct Link {
    key: VerifyingKey,
    config: AuditReceiverConfig,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why a receiver does not say what it has.
pub(super) enum Unpublished {
    /// It can't be reached now.
    Away(String),
    /// It and the configuration contradict each other.
    Contradiction(String),
}

/// Why an exchange ended.
enum Trouble {
    /// The receiver says that the log is not what it was.
    Fork(String),
    /// The log's own files can't be read or written.
    Disk(anyhow::Error),
    Other(anyhow::Error),
}

impl Trouble {
    /// For the log and the health checks: whose trouble it is.
    fn told(&self) -> String {
        match self {
            Self::Fork(what) => format!("the receiver refuses the log: {what}"),
            Self::Disk(error) => format!("the log's own files can't be read or written: {error:#}"),
            Self::Other(error) => format!("the receiver is away: {error:#}"),
        }
    }

    /// What fails here, and not at the receiver.
    fn disk(error: impl Into<anyhow::Error>) -> Self {
        Self::Disk(error.into())
    }
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
        let link = Link::new(key, config)?;
        let delivery = Arc::clone(&audit.delivery);
        let acknowledged = link.acknowledged(&directory);
        let waiting = bytes_from(&directory, acknowledged)?;
        delivery.begin(
            acknowledged,
            waiting.saturating_sub(audit.position().written),
        );
        Ok(Self {
            audit: Arc::downgrade(audit),
            delivery,
            directory,
            link,
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
            let Err(trouble) = outcome else {
                return;
            };
            let told = trouble.told();
            if let Trouble::Fork(what) = trouble {
                self.delivery.fail(format!("ALARM: {told}"));
                tracing::error!(%what, "ALARM: the receiver refuses the audit log, because it is not what it was: nothing more is recorded until that is settled. docs/audit.md says how");
                audit.fork(what);
                pause = BACK_OFF.1;
            } else {
                if !is_away {
                    tracing::warn!(
                        error = told,
                        "records of the audit log wait for the receiver"
                    );
                }
                is_away = true;
                self.delivery.fail(told);
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
        let signed = positions.borrow().signed;
        let mut size = self.hello(signed).await?;
        let mut reader = tokio::task::block_in_place(|| {
            Reader::new(self.directory.clone(), self.link.key.clone(), size)
        })
        .map_err(Trouble::disk)?;
        loop {
            let signed = positions.borrow_and_update().signed;
            while let Some(push) = tokio::task::block_in_place(|| reader.next_push(signed))? {
                self.push(&push).await?;
                size = push.size;
            }
            if std::mem::take(is_away) {
                tracing::info!("the receiver of the audit log is back and has everything");
            }
            *pause = BACK_OFF.0;
            let grown = positions.wait_for(|position| position.signed > signed);
            let is_open = async { grown.await.is_ok() };
            match tokio::time::timeout(IDLE, is_open).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(_) => {
                    let has = self.hello(signed).await?;
                    if has != size {
                        let what = format!("the receiver has {has} records, and took {size}");
                        return Err(anyhow::anyhow!(what).into());
                    }
                }
            }
        }
    }

    /// Says how far the log is, of which `signed` lines are durable, and learns how much of it the receiver has.
    async fn hello(&self, signed: u64) -> Result<u64, Trouble> {
        let path = self.directory.checkpoints();
        let newest = tokio::task::block_in_place(|| history::newest(&path, signed));
        let newest = newest.map_err(Trouble::disk)?;
        let newest = newest.map(|note| note.to_string()).unwrap_or_default();
        let text = self.link.exchange("hello", newest.into_bytes()).await?;
        let answer: Answer = serde_json::from_str(&text)?;
        let size = answer
            .size
            .context("the receiver does not say what it has")?;
        self.delivery.acknowledge(size, 0);
        Ok(size)
    }

    async fn push(&self, push: &Push) -> Result<(), Trouble> {
        let text = self.link.exchange("push", push.text.clone()).await?;
        let checkpoint = self.link.countersigned(&text)?;
        if checkpoint.size != push.size {
            return Err(anyhow::anyhow!("the receiver countersigned another checkpoint").into());
        }
        self.delivery.acknowledge(push.size, push.records_length);
        tokio::task::block_in_place(|| {
            replace_file(&self.directory.countersigned(), text.as_bytes())?;
            prune(&self.directory, push.size, self.link.config.keep)
        })
        .map_err(Trouble::disk)
    }
}

impl Link {
    /// Reads the files of the configuration. Nobody is contacted.
    pub(super) fn new(key: VerifyingKey, config: &AuditReceiverConfig) -> anyhow::Result<Self> {
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
        Ok(Self {
            key,
            config: config.clone(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// A checkpoint of the log that the receiver has signed, too.
    fn countersigned(&self, text: &str) -> anyhow::Result<Checkpoint> {
        let note = Note::parse(text)?;
        note.verify(&self.config.public_key)
            .context("the receiver's answer")?;
        Ok(Checkpoint::verify(&note, &self.key)?)
    }

    /// Up to which size the receiver is known to have the log.
    pub(super) fn acknowledged(&self, directory: &Directory) -> u64 {
        let text = fs::read_to_string(directory.countersigned());
        let checkpoint = text.ok().and_then(|text| self.countersigned(&text).ok());
        checkpoint.map_or(0, |checkpoint| checkpoint.size)
    }

    /// How many records of the log the receiver has, by its own signature; nothing is sent.
    ///
    /// # Errors
    /// Where it can't be reached, does not take this log, or is another one than its public key says.
    pub(super) async fn published(&self) -> Result<u64, Unpublished> {
        let away = |error: anyhow::Error| Unpublished::Away(format!("{error:#}"));
        let asked = self.ask(Method::GET, "checkpoint", Vec::new()).await;
        let (status, text) = asked.map_err(away)?;
        if status == StatusCode::OK {
            let checkpoint = self.countersigned(&text);
            return checkpoint
                .map(|checkpoint| checkpoint.size)
                .map_err(|error| Unpublished::Contradiction(format!("{error:#}")));
        }
        let answer: Answer = serde_json::from_str(&text).unwrap_or_default();
        match answer.malformed.as_deref() {
            Some(wire::NOTHING_YET) => Ok(0),
            Some(what) => Err(Unpublished::Contradiction(what.to_owned())),
            None => Err(Unpublished::Away(format!("it answers {status}"))),
        }
    }

    async fn exchange(&self, verb: &str, body: Vec<u8>) -> Result<String, Trouble> {
        let (status, text) = self.ask(Method::POST, verb, body).await?;
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

    async fn ask(
        &self,
        method: Method,
        verb: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, String)> {
        let endpoint = self.config.endpoint.to_string();
        let uri = format!(
            "{}/v1/logs/{}/{verb}",
            endpoint.trim_end_matches('/'),
            path_name(self.key.name())
        );
        let request = Request::builder()
            .method(method)
            .uri(uri.parse::<Uri>()?)
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .with_context(|| format!("the receiver at {endpoint}"))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), wire::MAX_ANSWER).collect();
            let body = body.await.map_err(|error| anyhow::anyhow!("{error}"))?;
            Ok::<_, anyhow::Error>((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(EXCHANGE_LIMIT, exchange)
            .await
            .context("the receiver takes too long")??;
        Ok((status, String::from_utf8(body.to_vec())?))
    }
}

/// Bytes of the lines from this sequence on.
pub(super) fn bytes_from(directory: &Directory, size: u64) -> std::io::Result<u64> {
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
