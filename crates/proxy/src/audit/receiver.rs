//! The receiver of audit logs: on another machine, it takes only what extends what it has, and countersigns it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use sealgate_audit::{
    Directory, Note, SigningKey, VerifyingKey,
    directory::replace_file,
    mirror::{Mirror, PushError},
    push::MAX_PUSH,
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::error::Elapsed,
};
use tokio_rustls::TlsAcceptor;

use super::wire::{self, Answer, path_name};
use crate::certificate_validity::CertificateValidity;

/// Connections at once; gateways need one each.
const CONNECTIONS: usize = 256;

/// Pushes that are held in memory at once: this many times [`MAX_PUSH`].
const PUSHES: usize = 8;

/// For a handshake, and for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// For a body to arrive.
const BODY_LIMIT: Duration = Duration::from_mins(1);

/// The longest file of alarms; one is enough to act.
const MAX_ALARMS: u64 = 1 << 20;

/// What a receiver is told.
#[derive(Debug)]
pub struct ReceiverSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate chain, PEM.
    pub certificate: PathBuf,
    /// The key of the certificate, PEM.
    pub certificate_key: PathBuf,
    /// The authorities of the gateways' certificates, PEM.
    pub client_ca: PathBuf,
    /// What it countersigns with.
    pub key: SigningKey,
    /// The logs that it takes.
    pub logs: Vec<VerifyingKey>,
    /// Where their copies are.
    pub directory: PathBuf,
    /// Where the newest countersigned checkpoint of each log is published, if anywhere.
    pub publish: Option<PathBuf>,
}

/// A receiver that is bound and does not accept yet.
pub struct Receiver {
    listener: TcpListener,
    files: CertificateFiles,
    tls: Arc<ArcSwap<ServerConfig>>,
    shared: Arc<Shared>,
}

/// The files of a receiver's certificate, and of those that it takes.
#[derive(Clone, Debug)]
struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
}

impl CertificateFiles {
    /// Reads them.
    fn read(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let shown = self.certificate.display();
        let validity = CertificateValidity::of_file(&self.certificate)?;
        // Gateways take no other.
        if let Some(fault) = validity.fault() {
            bail!("{shown}: {fault}");
        }
        if let Some(hours) = validity.hours_left() {
            tracing::warn!(
                certificate = %shown,
                hours,
                "the certificate ends soon: put a new one into its file, and send SIGHUP"
            );
        }
        let clients = Arc::new(wire::authorities(&self.client_ca)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(clients, wire::provider());
        let mut tls = ServerConfig::builder_with_provider(wire::provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier.build().context("the authorities of clients")?)
            .with_single_cert(
                wire::certificates(&self.certificate)?,
                wire::private_key(&self.key)?,
            )
            .context("certificate and key can't be used together")?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(tls))
    }
}

struct Shared {
    key: SigningKey,
    logs: BTreeMap<String, Arc<Mutex<Mirror>>>,
    publish: Option<PathBuf>,
    pushes: Semaphore,
}

impl Receiver {
    /// Opens the copies and binds the address.
    ///
    /// # Errors
    /// Where files can't be used, or a copy is damaged.
    pub async fn bind(settings: ReceiverSettings) -> anyhow::Result<Self> {
        let mut logs = BTreeMap::new();
        for log in settings.logs {
            let name = path_name(log.name());
            let directory = Directory::new(settings.directory.join(&name));
            let mirror = Mirror::open(directory, log)?;
            let repeated = logs.insert(name.clone(), Arc::new(Mutex::new(mirror)));
            ensure!(repeated.is_none(), "{name} is given twice");
        }
        let files = CertificateFiles {
            certificate: settings.certificate,
            key: settings.certificate_key,
            client_ca: settings.client_ca,
        };
        let tls = Arc::new(ArcSwap::new(files.read()?));
        let listener = TcpListener::bind(settings.address)
            .await
            .with_context(|| format!("can't listen on {}", settings.address))?;
        Ok(Self {
            listener,
            files,
            tls,
            shared: Arc::new(Shared {
                key: settings.key,
                logs,
                publish: settings.publish,
                pushes: Semaphore::new(PUSHES),
            }),
        })
    }

    /// A URL that reaches it.
    ///
    /// # Errors
    /// Where the socket has no address.
    pub fn url(&self) -> anyhow::Result<String> {
        Ok(format!("https://{}", self.listener.local_addr()?))
    }

    /// What reads the certificate, its key and the authorities of gateways' certificates again, for connections that come from then on.
    pub fn reload(&self) -> impl Fn() -> anyhow::Result<()> + use<> {
        let (files, tls) = (self.files.clone(), Arc::clone(&self.tls));
        move || {
            tls.store(files.read()?);
            Ok(())
        }
    }

    /// Serves until the future is dropped.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let acceptor = TlsAcceptor::from(self.tls.load_full());
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                if let Err(error) = connection(stream, acceptor, shared).await {
                    if is_usual(&*error) {
                        tracing::debug!(%peer, %error, "a connection ended");
                    } else {
                        tracing::info!(%peer, %error, "a connection ended");
                    }
                }
                drop(place);
            });
        }
    }
}

/// Whether a connection ended as connections do that nobody needs any more: gateways keep theirs open while there is nothing to send, and
/// probes of load balancers say nothing at all.
fn is_usual(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Elapsed>() {
            return true;
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_timeout() || error.is_incomplete_message())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            );
        }
        next = error.source();
    }
    false
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::time::timeout(HEAD_LIMIT, acceptor.accept(stream)).await??;
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(8)
        .keep_alive_interval(Some(HEAD_LIMIT));
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    server.serve_connection(TokioIo::new(stream), service).await
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let mut parts = path
            .strip_prefix("/v1/logs/")
            .unwrap_or_default()
            .split('/');
        let (name, verb) = (parts.next().unwrap_or_default(), parts.next());
        let (Some(mirror), None) = (self.logs.get(name).map(Arc::clone), parts.next()) else {
            return malformed(
                StatusCode::NOT_FOUND,
                "no log of this receiver: it takes those that --log names",
            );
        };
        match (request.method(), verb) {
            (&Method::GET, Some("checkpoint")) => published(&mirror),
            (&Method::POST, Some(verb @ ("hello" | "push"))) => {
                let is_push = verb == "push";
                let name = name.to_owned();
                self.take(request, &name, mirror, is_push).await
            }
            _ => malformed(
                StatusCode::NOT_FOUND,
                "hello, push and checkpoint are all there is",
            ),
        }
    }

    async fn take(
        &self,
        request: Request<Incoming>,
        name: &str,
        mirror: Arc<Mutex<Mirror>>,
        is_push: bool,
    ) -> Response<Full<Bytes>> {
        let Ok(_place) = self.pushes.acquire().await else {
            return malformed(StatusCode::SERVICE_UNAVAILABLE, "ending");
        };
        let limit = if is_push { MAX_PUSH } else { wire::MAX_ANSWER };
        let collected = Limited::new(request.into_body(), limit).collect();
        let body = match tokio::time::timeout(BODY_LIMIT, collected).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return malformed(StatusCode::PAYLOAD_TOO_LARGE, "too long");
            }
            Ok(Err(_)) | Err(_) => {
                return malformed(StatusCode::BAD_REQUEST, "cut off, or too slow");
            }
        };
        // The disk is waited for here; other connections have other threads.
        let outcome = tokio::task::block_in_place(|| {
            let mut mirror = mirror.lock().unwrap_or_else(PoisonError::into_inner);
            if is_push {
                self.push(name, &mut mirror, &body)
            } else {
                hello(&mirror, &body).map(|size| {
                    let answer = Answer {
                        size: Some(size),
                        ..Answer::default()
                    };
                    document(StatusCode::OK, &answer)
                })
            }
        });
        outcome.unwrap_or_else(|error| refuse(name, &mirror, error))
    }

    fn push(
        &self,
        name: &str,
        mirror: &mut Mirror,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, PushError> {
        mirror.push(body)?;
        let now = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |elapsed| elapsed.as_secs());
        let note = mirror.countersign(&self.key, now)?;
        let text = note.map(|note| note.to_string()).unwrap_or_default();
        if let Some(directory) = &self.publish {
            let path = directory.join(format!("{name}.checkpoint"));
            replace_file(&path, text.as_bytes())?;
        }
        tracing::debug!(log = name, size = mirror.size(), "taken and countersigned");
        Ok(text_answer(text))
    }
}

fn refuse(name: &str, mirror: &Mutex<Mirror>, error: PushError) -> Response<Full<Bytes>> {
    let (status, answer) = match error {
        PushError::Elsewhere { size, found } => {
            tracing::info!(log = name, size, found, "a push begins elsewhere");
            let size = Some(size);
            (
                StatusCode::CONFLICT,
                Answer {
                    size,
                    ..Answer::default()
                },
            )
        }
        PushError::Fork { what, evidence } => {
            tracing::error!(
                log = name, %what,
                "ALARM: the log is not what it was; nothing is taken from it. Somebody may have altered it, or run two gateways with one key"
            );
            let mirror = mirror.lock().unwrap_or_else(PoisonError::into_inner);
            alarm(mirror.directory().root(), &what, &evidence);
            let fork = Some(what);
            (
                StatusCode::CONFLICT,
                Answer {
                    fork,
                    ..Answer::default()
                },
            )
        }
        PushError::Malformed { number, what } => {
            tracing::warn!(log = name, line = number, %what, "a push is refused");
            let malformed = Some(format!("line {number}: {what}"));
            (
                StatusCode::BAD_REQUEST,
                Answer {
                    malformed,
                    ..Answer::default()
                },
            )
        }
        PushError::Io(error) => {
            tracing::error!(log = name, %error, "the copy can't be written");
            let failed = Some(error.to_string());
            (
                StatusCode::INSUFFICIENT_STORAGE,
                Answer {
                    failed,
                    ..Answer::default()
                },
            )
        }
    };
    document(status, &answer)
}

/// How much of the log the receiver has; what the log claims of itself must fit.
fn hello(mirror: &Mirror, body: &[u8]) -> Result<u64, PushError> {
    let malformed = |what: String| PushError::Malformed { number: 0, what };
    let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    if text.is_empty() {
        if mirror.size() > 0 {
            return Err(PushError::Fork {
                what: format!(
                    "the log is empty, and {} lines were taken from it before",
                    mirror.size()
                ),
                evidence: String::new(),
            });
        }
        return Ok(0);
    }
    let note = Note::parse(text).map_err(|error| malformed(error.to_string()))?;
    mirror.compare(&note)?;
    Ok(mirror.size())
}

/// Writes down what proves a fork, for who looks into it.
fn alarm(directory: &Path, what: &str, evidence: &str) {
    let write = || {
        let path = directory.join("alarms.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        if file.metadata()?.len() > MAX_ALARMS {
            return Ok(());
        }
        let time = sealgate_audit::event::format_time(time::OffsetDateTime::now_utc());
        let line = json!({ "time": time, "what": what, "evidence": evidence });
        writeln!(file, "{line}")?;
        file.sync_all()
    };
    if let Err(error) = write() {
        tracing::error!(%error, "the alarm can't be written down");
    }
}

fn published(mirror: &Mutex<Mirror>) -> Response<Full<Bytes>> {
    let path = {
        let mirror = mirror.lock().unwrap_or_else(PoisonError::into_inner);
        mirror.directory().countersigned()
    };
    match std::fs::read_to_string(path) {
        Ok(text) => text_answer(text),
        Err(_) => malformed(StatusCode::NOT_FOUND, wire::NOTHING_YET),
    }
}

fn text_answer(text: String) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(text)))
}

fn malformed(status: StatusCode, what: &str) -> Response<Full<Bytes>> {
    let malformed = Some(what.to_owned());
    document(
        status,
        &Answer {
            malformed,
            ..Answer::default()
        },
    )
}

fn document(status: StatusCode, answer: &Answer) -> Response<Full<Bytes>> {
    let text = serde_json::to_vec(answer).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
