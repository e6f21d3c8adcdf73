//! The server: settings, start, stop.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::error::{KmsError, StartError};
use crate::exchange::respond;
use crate::hook::RequestHook;
use crate::identifier::{KeyIdentifier, Realm};
use crate::operations::create_key_for_alias;
use crate::principal::{Principal, Principals};
use crate::request_log::RequestLog;
use crate::service::Service;
use crate::store::Store;
use crate::tls::TlsIdentity;

/// The region unless another is set.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The account unless another is set: the example account of the AWS documentation.
pub const DEFAULT_ACCOUNT: &str = "111122223333";

/// Most connections at a time; more wait in the backlog of the operating system.
const MAX_CONNECTIONS: usize = 1024;
/// Most HTTP/2 streams of one connection at a time.
const MAX_STREAMS: u32 = 256;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and how long an idle connection is kept: longer than SDKs keep theirs.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// How long requests may take to end once the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after the operating system could not accept a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Settings of a server that is about to start; see the [crate documentation](crate) for an example.
pub struct ServerBuilder {
    listen: SocketAddr,
    state_directory: Option<PathBuf>,
    principals: Vec<Principal>,
    aliases: Vec<String>,
    region: String,
    account: String,
    tls: Option<TlsIdentity>,
    request_log: Option<PathBuf>,
    hook: Option<Arc<dyn RequestHook>>,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            state_directory: None,
            principals: Vec::new(),
            aliases: Vec::new(),
            region: DEFAULT_REGION.to_owned(),
            account: DEFAULT_ACCOUNT.to_owned(),
            tls: None,
            request_log: None,
            hook: None,
        }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerBuilder")
            .field("listen", &self.listen)
            .field("state_directory", &self.state_directory)
            .field("principals", &self.principals)
            .field("aliases", &self.aliases)
            .field("region", &self.region)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// The address to listen on; 127.0.0.1 with a free port unless set.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The directory that keeps the keys; without one they end with the server.
    #[must_use]
    pub fn state_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_directory = Some(path.into());
        self
    }

    /// Adds a principal; a server needs at least one.
    #[must_use]
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principals.push(principal);
        self
    }

    /// An alias, such as `alias/sealgate-dev`, that is there when the server starts: with the key it had, or a new one.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// The region that ARNs name and requests must be signed for; [`DEFAULT_REGION`] unless set.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// The account, 12 digits, that ARNs name; [`DEFAULT_ACCOUNT`] unless set.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// Serves TLS (1.2 and 1.3) instead of plain HTTP.
    #[must_use]
    pub fn tls(mut self, identity: TlsIdentity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// Appends one line of JSON per request to a file, which is created with mode 0600.
    #[must_use]
    pub fn request_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.request_log = Some(path.into());
        self
    }

    /// Sets the hook that decides about each request.
    #[must_use]
    pub fn hook(mut self, hook: Arc<dyn RequestHook>) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Opens the state, creates the aliases and listens. Must be called in a tokio runtime, which the server runs on.
    ///
    /// Not cancel safe in one respect: aliases may have been created when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`StartError`], which names the cause and what to do.
    pub async fn start(self) -> Result<RunningServer, StartError> {
        let setting = |message: String| StartError::Setting(message);
        if self.region.is_empty()
            || !self
                .region
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(setting(format!(
                "the region {:?} is not one; give a name such as {DEFAULT_REGION}",
                self.region
            )));
        }
        if self.account.len() != 12 || !self.account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(setting(format!(
                "the account {:?} is not one; give 12 digits",
                self.account
            )));
        }
        let realm = Realm {
            region: self.region,
            account: self.account,
        };
        let principals =
            Principals::new(self.principals).map_err(|error| setting(error.to_string()))?;
        let log = self
            .request_log
            .as_deref()
            .map_or(Ok(RequestLog::none()), RequestLog::append_to)?;
        let listener =
            TcpListener::bind(self.listen)
                .await
                .map_err(|source| StartError::Listen {
                    address: self.listen,
                    source,
                })?;
        let local_address = listener.local_addr().map_err(|source| StartError::Listen {
            address: self.listen,
            source,
        })?;
        let store = match &self.state_directory {
            Some(path) => Store::in_directory(realm, path)?,
            None => Store::in_memory(realm)?,
        };
        for alias in self.aliases {
            create_key_for_alias(&store, &alias, OffsetDateTime::now_utc())
                .map_err(|source| StartError::Alias { alias, source })?;
        }
        let service = Arc::new(Service {
            store,
            principals,
            log,
            hook: self.hook,
        });
        let acceptor = self
            .tls
            .as_ref()
            .map(|identity| TlsAcceptor::from(identity.config()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&service), stopped));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://{}", reachable(local_address));
        Ok(RunningServer {
            endpoint,
            local_address,
            service,
            stop: Some(stop),
            task,
        })
    }
}

/// The address that clients on this machine connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

/// A server that is listening. When dropped it stops at once, without waiting for requests that run.
pub struct RunningServer {
    endpoint: String,
    local_address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunningServer")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl RunningServer {
    /// Settings to start a server with.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The URL that clients take as their endpoint, without a slash at the end.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The address it listens on, with the port that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_address
    }

    /// The region that requests must be signed for.
    pub fn region(&self) -> &str {
        &self.service.store.realm().region
    }

    /// The ARN of the key that an alias (with its prefix `alias/`) points to.
    pub fn key_arn(&self, alias: &str) -> Option<String> {
        let store = &self.service.store;
        let identifier = KeyIdentifier::Alias(alias.to_owned());
        store
            .catalogue()
            .resolve(&identifier, store.realm())
            .ok()
            .map(|key| store.realm().key_arn(key.id))
    }

    /// Finds the key of an alias or creates both, and answers the key's ARN. Blocks on the disk for a moment.
    ///
    /// # Errors
    ///
    /// What CreateAlias refuses, and `KMSInternalException` when the state cannot be written.
    pub fn ensure_alias(&self, alias: &str) -> Result<String, KmsError> {
        let store = &self.service.store;
        create_key_for_alias(store, alias, OffsetDateTime::now_utc())
            .map(|id| store.realm().key_arn(id))
    }

    /// Stops: no new connections, requests that run get a few seconds to end, then the state directory is unlocked.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // A task that has ended already has nothing to stop.
            let _ = stop.send(());
        }
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the server ended unexpectedly");
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    service: Arc<Service>,
    mut stopped: oneshot::Receiver<()>,
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, remote, slot)) = accepted else {
            continue;
        };
        let (service, acceptor, watcher) =
            (Arc::clone(&service), acceptor.clone(), graceful.watcher());
        connections.spawn(async move {
            let _slot = slot;
            connect(stream, remote, acceptor, service, watcher).await;
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still running when the server stopped");
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, remote)) => Some((stream, remote, slot)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connect(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    service: Arc<Service>,
    watcher: Watcher,
) {
    // Requests and responses are single small writes; waiting to merge them would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %remote, "TCP_NODELAY cannot be set");
    }
    let Some(acceptor) = acceptor else {
        return converse(stream, remote, service, watcher).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, remote, service, watcher).await,
        Ok(Err(error)) => tracing::warn!(%error, %remote, "TLS handshake failed"),
        Err(_) => tracing::warn!(%remote, "TLS handshake took too long"),
    }
}

async fn converse<S>(stream: S, remote: SocketAddr, service: Arc<Service>, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS);
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(respond(service, request, remote).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, %remote, "connection ended early");
    }
}
