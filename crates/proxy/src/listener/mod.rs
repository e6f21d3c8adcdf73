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
mod connection;
pub mod forwarded;
pub mod gate;
pub mod head;
pub mod limits;
mod linger;
pub mod proxy_protocol;
mod room;
mod stall;
mod streams;
pub mod tls;
mod unread;

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::connection::{Connection, Server};
use self::forwarded::Forwarding;
pub use self::head::Malformed;
use self::room::{Room, Seat};
use self::tls::TlsHandle;
use crate::config::{LimitsConfig, ListenerConfig, Scheme};
use crate::metrics::ConnectionMetrics;
use crate::workers::Workers;

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
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
        };
        Ok(Self {
            socket,
            address,
            server,
            room: Room::new(limits.connections, limits.connections_per_address),
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

    /// Counts connections here.
    #[must_use]
    pub(crate) fn counting(self, metrics: ConnectionMetrics) -> Self {
        Self {
            room: self.room.counting(metrics),
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
        let (stopping, stopped) = watch::channel(false);
        let room = Arc::new(self.room);
        let mut tasks = JoinSet::new();
        tokio::pin!(stop);
        // Accepted, and without a place.
        let mut arrived: Option<(TcpStream, SocketAddr)> = None;
        loop {
            let seat = tokio::select! {
                accepted = accept(&self.socket, &room), if arrived.is_none() => {
                    arrived = Some(accepted);
                    continue;
                }
                seat = seat_of(&room, &self.server, arrived.as_ref()), if arrived.is_some() => seat,
                // Finished tasks are taken out, or the set would grow with every connection.
                Some(_) = tasks.join_next() => continue,
                () = &mut stop => break,
            };
            // Without a seat, the connection is closed.
            let (Some((stream, peer)), Some(seat)) = (arrived.take(), seat) else {
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
                share,
            };
            let server = self.server.clone();
            let served = server.seated(
                connection,
                Arc::clone(&room),
                handler.clone(),
                stopped.clone(),
            );
            tasks.spawn_on(served, &runtime);
        }
        drop(self.socket);
        stopping.send_replace(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(self.shutdown_grace, ended).await;
        if in_time.is_err() {
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
                    room.make_room(None);
                }
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A place for a connection that has arrived.
async fn seat_of(
    room: &Room,
    server: &Server,
    arrived: Option<&(TcpStream, SocketAddr)>,
) -> Option<Seat> {
    let peer = arrived.map(|(_, peer)| *peer);
    let address = peer.and_then(|peer| server.counted_at_once(peer));
    let seat = room.seat(address).await?;
    if peer.is_some_and(|peer| server.is_named_later(peer)) {
        seat.will_be_named();
    }
    Some(seat)
}

#[cfg(test)]
mod tests;
