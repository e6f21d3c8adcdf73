//! Where clients connect: TCP, TLS, HTTP/1.1 and (by ALPN) HTTP/2, bounded, and stopped without cutting requests short.
//!
//! ```text
//! TCP ─ time-out of writes ─ lingering close ─ PROXY protocol ─ TLS ─┬─ gate (HTTP/1 heads) ─ hyper ─ handler
//!                                                                    └─ hyper (HTTP/2) ──────────────┘
//! ```
//!
//! The listener knows nothing of S3. A request whose head is [`Malformed`] reaches the handler with that as an extension, to be answered. A response body that fails ends its connection (HTTP/1.1) or its stream (HTTP/2)
//! with an error; a client can never take it for complete.

pub mod chunked;
pub mod client_certificate;
pub mod forwarded;
pub mod gate;
pub mod head;
pub mod limits;
mod linger;
pub mod proxy_protocol;
mod room;
mod stall;
pub mod tls;
mod unread;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use ipnet::IpNet;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::forwarded::Forwarding;
use self::gate::Gate;
pub use self::head::Malformed;
use self::linger::LingeringClose;
use self::room::{Activity, Room, Seat};
use self::stall::WriteStallLimit;
use self::tls::TlsHandle;
use crate::config::{LimitsConfig, ListenerConfig, Scheme};
use crate::held_body::HeldBody;
use crate::workers::{Share, Workers};

/// How a request reached us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end of the TCP connection.
    pub peer: SocketAddr,
    /// The client, as far as trusted proxies know it; else the peer. For logs, limits and policies.
    pub client: IpAddr,
    /// The scheme that the client used, to name ourselves in answers.
    pub scheme: Scheme,
    /// Whether it came over TLS.
    pub tls: bool,
    /// The names in the certificate that the other end has shown, if it has; see [`client_certificate::names`].
    pub certificate: Option<Arc<[String]>>,
}

/// Why a listener can't start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can't be bound.
    #[error("can't listen on {address}: {cause}; stop what listens there, or choose another {key}")]
    Address {
        /// The configuration's key for it.
        key: &'static str,
        /// What was to be bound.
        address: SocketAddr,
        /// Why it was not.
        cause: io::Error,
    },
    /// Certificate or key are unusable.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// A bound socket that does not accept yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    server: Server,
    room: Room,
    shutdown_grace: Duration,
    /// Whose threads serve connections; none where that is the runtime that serves the listener.
    workers: Option<Arc<Workers>>,
}

impl Listener {
    /// Binds the address and reads certificate and key. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`], with what to do.
    pub fn bind(config: &ListenerConfig, limits: &LimitsConfig) -> Result<Self, BindError> {
        Self::bind_as("listener.address", config, limits)
    }

    /// As [`Self::bind`], for an address that the configuration calls `key`.
    ///
    /// # Errors
    /// [`BindError`], with what to do.
    pub(crate) fn bind_as(
        key: &'static str,
        config: &ListenerConfig,
        limits: &LimitsConfig,
    ) -> Result<Self, BindError> {
        let tls = config.tls.as_ref().map(TlsHandle::new).transpose()?;
        let failed = |cause| BindError::Address {
            key,
            address: config.address,
            cause,
        };
        let socket = bind_socket(config.address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let own_scheme = if config.tls.is_some() {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let server = Server {
            tls,
            proxy_protocol: config.proxy_protocol.clone().into(),
            forwarding: Arc::new(Forwarding {
                trusted: config.trusted_proxies.clone(),
                header: config.forwarded_header,
            }),
            scheme: config.external_scheme.unwrap_or(own_scheme),
            http: http_server(limits),
            write_stall_limit: limits.idle_timeout,
        };
        Ok(Self {
            socket,
            address,
            server,
            room: Room::new(limits.connections),
            shutdown_grace: limits.shutdown_grace,
            workers: None,
        })
    }

    /// Has each connection served by one of these threads.
    #[must_use]
    pub(crate) fn on(self, workers: Arc<Workers>) -> Self {
        Self {
            workers: Some(workers),
            ..self
        }
    }

    /// What exchanges certificate and key while it serves, if it has TLS.
    pub fn tls(&self) -> Option<&TlsHandle> {
        self.server.tls.as_ref()
    }

    /// The bound address, with the port that was chosen where the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL that reaches the listener from this machine.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        format!(
            "{}://{address}",
            if self.server.tls.is_some() {
                "https"
            } else {
                "http"
            }
        )
    }

    /// Answers requests with `handler` until `stop` is done; then accepts no more, lets running requests finish within
    /// the grace period, and cuts off what is left.
    ///
    /// Dropping the future cuts everything off at once.
    pub async fn serve<H, F, B>(self, handler: H, stop: impl Future<Output = ()>)
    where
        H: Fn(Request<Incoming>, ConnectionInfo) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        tokio::pin!(stop);
        // Accepted, and without a place.
        let mut arrived: Option<(TcpStream, SocketAddr)> = None;
        loop {
            let seat = tokio::select! {
                accepted = accept(&self.socket, &self.room), if arrived.is_none() => {
                    arrived = Some(accepted);
                    continue;
                }
                seat = self.room.seat(), if arrived.is_some() => seat,
                // Finished tasks are taken out, or the set would grow with every connection.
                Some(_) = tasks.join_next() => continue,
                () = &mut stop => break,
            };
            let Some((stream, peer)) = arrived.take() else {
                continue;
            };
            let worker = self.workers.as_ref().and_then(|workers| workers.take_on());
            let (runtime, share) = match worker {
                Some((runtime, share)) => (runtime, Some(share)),
                None => (Handle::current(), None),
            };
            // A socket belongs to the runtime that is told of it first.
            let stream = match stream.into_std() {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be handed to a worker");
                    continue;
                }
            };
            let connection = Connection {
                stream,
                peer,
                seat,
                _share: share,
            };
            let server = self.server.clone();
            let served = server.seated(connection, handler.clone(), graceful.watcher());
            tasks.spawn_on(served, &runtime);
        }
        drop(self.socket);
        if tokio::time::timeout(self.shutdown_grace, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = tasks.len(),
                "the grace period is over; open connections are cut off"
            );
        }
        tasks.shutdown().await;
    }
}

fn bind_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // Without it a restart would have to wait until the connections of the process before it are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// Whether it is for lack of file descriptors or memory, and not the peer's doing, that a connection could not be accepted (accept(2)).
fn lacks_resources(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// The next connection.
async fn accept(socket: &TcpListener, room: &Room) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                if lacks_resources(&error) {
                    // Those who wait for nothing have them.
                    room.make_room();
                }
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

fn http_server(limits: &LimitsConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits::HEADER_COUNT_LIMIT)
        .max_buf_size(limits::BUFFER_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits::HEADER_LIST_LIMIT)
        .max_concurrent_streams(limits::STREAMS_LIMIT)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_frame_size(limits::FRAME_LIMIT)
        .max_send_buf_size(limits::SEND_BUFFER_LIMIT)
        .keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_INTERVAL);
    builder
}

struct Connection {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    /// Held for as long as the connection lives.
    seat: Seat,
    /// The same.
    _share: Option<Share>,
}

/// What all connections share.
#[derive(Clone)]
struct Server {
    tls: Option<TlsHandle>,
    /// Peers that must begin with a PROXY protocol header.
    proxy_protocol: Arc<[IpNet]>,
    forwarding: Arc<Forwarding>,
    /// The scheme that clients use, where no proxy says another.
    scheme: Scheme,
    http: auto::Builder<TokioExecutor>,
    write_stall_limit: Duration,
}

impl Server {
    /// Serves a connection until it ends, or has to, because another needs its place.
    async fn seated<H, F, B>(self, connection: Connection, handler: H, watcher: Watcher)
    where
        H: Fn(Request<Incoming>, ConnectionInfo) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Connection {
            stream,
            peer,
            seat,
            _share,
        } = connection;
        let activity = seat.activity();
        tokio::select! {
            () = self.serve((stream, peer), handler, activity, watcher) => {}
            () = seat.dismissed() => {
                tracing::debug!(%peer, "a connection that waited for a request is closed: its place is needed");
            }
        }
    }

    async fn serve<H, F, B>(
        self,
        (stream, peer): (std::net::TcpStream, SocketAddr),
        handler: H,
        activity: Activity,
        watcher: Watcher,
    ) where
        H: Fn(Request<Incoming>, ConnectionInfo) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a connection could not be taken on"),
        };
        // Small answers would otherwise wait for the acknowledgement of the segment before them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let stream = WriteStallLimit::new(stream, self.write_stall_limit).telling(activity.clone());
        let mut stream = LingeringClose::new(stream);
        let Some(client) = self.find_client(&mut stream, peer).await else {
            return;
        };
        let mut origin = Origin {
            info: ConnectionInfo {
                peer,
                client,
                scheme: self.scheme,
                tls: self.tls.is_some(),
                certificate: None,
            },
            forwarding: self.forwarding,
            activity,
        };
        let Some(tls) = self.tls else {
            let http = self.http.http1_only();
            return serve_http(http, Gate::new(stream), origin, handler, watcher).await;
        };
        let handshake = TlsAcceptor::from(tls.server()).accept(stream);
        let stream = match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return tracing::debug!(%peer, %error, "the TLS handshake failed");
            }
            Err(_) => return tracing::debug!(%peer, "the TLS handshake took too long"),
        };
        let shown = stream.get_ref().1.peer_certificates();
        origin.info.certificate = shown
            .and_then(|chain| chain.first())
            .map(client_certificate::names);
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            serve_http(self.http.http2_only(), stream, origin, handler, watcher).await;
        } else {
            let http = self.http.http1_only();
            serve_http(http, Gate::new(stream), origin, handler, watcher).await;
        }
    }

    /// Whose connection it is, by the PROXY protocol where the peer has to speak it. None where it does not: then nobody is answered.
    async fn find_client(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        peer: SocketAddr,
    ) -> Option<IpAddr> {
        let own = peer.ip().to_canonical();
        if !forwarded::contains(&self.proxy_protocol, own) {
            return Some(own);
        }
        let reading = proxy_protocol::read_header(stream);
        match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, reading).await {
            Ok(Ok(named)) => Some(named.map_or(own, |client| client.ip().to_canonical())),
            Ok(Err(proxy_protocol::ProxyProtocolError::Transport(error))) => {
                // Health checks of load balancers connect and say nothing.
                tracing::debug!(%peer, %error, "a connection ended before its PROXY protocol header");
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(%peer, %error, "a connection is refused: listener.proxy_protocol names its peer; let the load balancer send the header, or take it off that list");
                None
            }
            Err(_) => {
                tracing::debug!(%peer, "a PROXY protocol header took too long");
                None
            }
        }
    }
}

/// Where the requests of one connection come from.
struct Origin {
    info: ConnectionInfo,
    forwarding: Arc<Forwarding>,
    activity: Activity,
}

impl Origin {
    fn of_request<B>(&self, request: &Request<B>) -> ConnectionInfo {
        let client = self.forwarding.client(self.info.client, request.headers());
        ConnectionInfo {
            client: client.address,
            scheme: client.scheme.unwrap_or(self.info.scheme),
            ..self.info.clone()
        }
    }
}

/// Takes the gate's note out of a request and makes it what handlers look at.
fn note_refusal<B>(request: &mut Request<B>) {
    if let Some(number) = request.headers_mut().remove(gate::REFUSAL_HEADER) {
        let number = number.to_str().ok().and_then(|number| number.parse().ok());
        request
            .extensions_mut()
            .insert(Malformed::from_number(number.unwrap_or_default()));
    }
}

async fn serve_http<S, H, F, B>(
    http: auto::Builder<TokioExecutor>,
    stream: S,
    origin: Origin,
    handler: H,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, ConnectionInfo) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let peer = origin.info.peer;
    let service = service_fn(|mut request: Request<Incoming>| {
        note_refusal(&mut request);
        let has_body = unread::has_body(&request);
        let info = origin.of_request(&request);
        let running = origin.activity.begin();
        let response = handler(request, info);
        // In a box, because hyper sets its length aside for every connection, and most of them wait for a request.
        Box::pin(async move {
            if running.is_none() {
                // The connection is being closed, and nothing begins on it any more.
                std::future::pending::<()>().await;
            }
            let response = unread::close_after_refusal(has_body, response.await);
            Ok::<_, Infallible>(response.map(|body| HeldBody::new(body, running)))
        })
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, error, "the connection ended early");
    }
}

#[cfg(test)]
mod tests;
