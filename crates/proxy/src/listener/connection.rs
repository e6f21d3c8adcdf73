//! One connection, from the moment when it has a place: what comes before HTTP, then its requests, then its end.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::forwarded::{self, Forwarding};
use super::gate::{self, Gate};
use super::linger::LingeringClose;
use super::room::{Leaving, Room, Seat};
use super::stall::WriteStallLimit;
use super::streams::{Delivered, Delivery, StreamExecutor};
use super::tls::TlsHandle;
use super::{ConnectionInfo, Malformed, client_certificate, limits, proxy_protocol, unread};
use crate::config::Scheme;
use crate::held_body::HeldBody;
use crate::throttle;
use crate::workers::Share;

fn http_server(header_timeout: Duration, streams: StreamExecutor) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
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

/// A connection that has a place, and maybe a worker.
pub(super) struct Connection {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    /// Held for as long as the connection lives.
    pub(super) seat: Seat,
    /// The same.
    pub(super) share: Option<Share>,
}

/// What all connections share.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) tls: Option<TlsHandle>,
    /// Peers that must begin with a PROXY protocol header.
    pub(super) proxy_protocol: Arc<[IpNet]>,
    pub(super) forwarding: Arc<Forwarding>,
    /// The scheme that clients use, where no proxy says another.
    pub(super) scheme: Scheme,
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
}

/// A connection on which HTTP begins. TLS is in a box, or each connection without it would set its length aside.
enum Spoken {
    Http1(Gate<Stream>),
    Http1Tls(Gate<Box<TlsStream<Stream>>>),
    Http2(Box<TlsStream<Stream>>),
}

type Stream = LingeringClose<WriteStallLimit<TcpStream>>;

impl Server {
    /// Serves a connection until it ends, or has to, because another needs its place.
    pub(super) async fn seated<H, F, B>(
        self,
        connection: Connection,
        room: Arc<Room>,
        handler: H,
        stopped: watch::Receiver<bool>,
    ) where
        H: Fn(Request<Incoming>, ConnectionInfo) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Connection {
            stream,
            peer,
            seat,
            share: _share,
        } = connection;
        let begun = tokio::select! {
            begun = self.begin((stream, peer), &room, &seat) => begun,
            _ = seat.dismissed() => return told_to_leave(peer),
        };
        let Some((spoken, origin)) = begun else {
            return;
        };
        let streams = StreamExecutor::new(self.idle_timeout, seat.activity());
        let http = http_server(self.header_timeout, streams);
        let visit = Visit {
            origin,
            seat: &seat,
            stopped,
        };
        match spoken {
            Spoken::Http1(stream) => serve_http(http.http1_only(), stream, visit, handler).await,
            Spoken::Http1Tls(stream) => serve_http(http.http1_only(), stream, visit, handler).await,
            Spoken::Http2(stream) => {
                seat.takes_leave();
                serve_http(http.http2_only(), stream, visit, handler).await;
            }
        }
    }

    /// Everything that comes before the first request.
    async fn begin(
        &self,
        (stream, peer): (std::net::TcpStream, SocketAddr),
        room: &Room,
        seat: &Seat,
    ) -> Option<(Spoken, Origin)> {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken on");
                return None;
            }
        };
        // Small answers would otherwise wait for the acknowledgement of the segment before them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let stream = WriteStallLimit::new(stream, self.idle_timeout).telling(seat.activity());
        let mut stream = LingeringClose::new(stream);
        let own = peer.ip().to_canonical();
        let client = if self.is_named_later(peer) {
            // The proxy's own connections are its own affair.
            let named = self.read_client(&mut stream, peer).await?;
            if !room.belongs_to(seat, named.and_then(|client| self.counted(client))) {
                tracing::debug!(%peer, client = ?named, "a connection is closed: there is no room, and its client has its share of places");
                return None;
            }
            named.unwrap_or(own)
        } else {
            own
        };
        let mut origin = Origin {
            info: ConnectionInfo {
                peer,
                client,
                scheme: self.scheme,
                tls: self.tls.is_some(),
                certificate: None,
            },
            forwarding: Arc::clone(&self.forwarding),
        };
        let Some(tls) = &self.tls else {
            return Some((Spoken::Http1(Gate::new(stream)), origin));
        };
        let handshake = TlsAcceptor::from(tls.server()).accept(stream);
        let stream = match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "the TLS handshake failed");
                return None;
            }
            Err(_) => {
                tracing::debug!(%peer, "the TLS handshake took too long");
                return None;
            }
        };
        let shown = stream.get_ref().1.peer_certificates();
        origin.info.certificate = shown
            .and_then(|chain| chain.first())
            .map(client_certificate::names);
        let spoken = if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Spoken::Http2(stream)
        } else {
            Spoken::Http1Tls(Gate::new(stream))
        };
        Some((spoken, origin))
    }

    /// The address whose share a connection is counted to before anything of it is read; none as well for those that a proxy has yet to name.
    pub(super) fn counted_at_once(&self, peer: SocketAddr) -> Option<IpAddr> {
        let own = peer.ip().to_canonical();
        (!self.is_named_later(peer))
            .then(|| self.counted(own))
            .flatten()
    }

    /// Whether a proxy has yet to say whose connection it is.
    pub(super) fn is_named_later(&self, peer: SocketAddr) -> bool {
        forwarded::contains(&self.proxy_protocol, peer.ip().to_canonical())
    }

    /// The address whose share a connection is counted to; none for those that many clients may be behind: proxies that are named as such, and this machine,
    /// on which nobody but a proxy or a friend is.
    fn counted(&self, client: IpAddr) -> Option<IpAddr> {
        let is_shared =
            client.is_loopback() || forwarded::contains(&self.forwarding.trusted, client);
        (!is_shared).then(|| throttle::client(client))
    }

    /// Whose connection it is, as its PROXY protocol header says; in it none, where the proxy names nobody. None without a header: then nobody is answered.
    async fn read_client(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        peer: SocketAddr,
    ) -> Option<Option<IpAddr>> {
        let reading = proxy_protocol::read_header(stream);
        match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, reading).await {
            Ok(Ok(named)) => Some(named.map(|client| client.ip().to_canonical())),
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
}

/// What there is to know of a connection while it is served.
struct Visit<'a> {
    origin: Origin,
    seat: &'a Seat,
    stopped: watch::Receiver<bool>,
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
    http: auto::Builder<StreamExecutor>,
    stream: S,
    visit: Visit<'_>,
    handler: H,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, ConnectionInfo) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Visit {
        origin,
        seat,
        mut stopped,
    } = visit;
    let peer = origin.info.peer;
    let activity = seat.activity();
    let service = service_fn(|mut request: Request<Incoming>| {
        note_refusal(&mut request);
        let has_body = unread::has_body(&request);
        let info = origin.of_request(&request);
        let running = activity.begin();
        let response = handler(request, info);
        // In a box, because hyper sets its length aside for every connection, and most of them wait for a request.
        Box::pin(async move {
            let delivery = Delivery::current();
            if running.is_none() {
                // The connection is being closed, and nothing begins on it any more.
                std::future::pending::<()>().await;
            }
            if delivery.is_none() {
                take_turn().await;
            }
            let response = unread::close_after_refusal(has_body, response.await);
            Ok::<_, Infallible>(
                response.map(|body| HeldBody::new(Delivered::new(body, delivery), running)),
            )
        })
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        leaving = seat.dismissed() => {
            if leaving == Leaving::AtOnce {
                return told_to_leave(peer);
            }
            // GOAWAY, so that the client asks over another connection what it has not asked yet.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = farewell(seat) => return told_to_leave(peer),
            }
        }
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "the connection ended early");
    }
}

/// Until it is the turn of one more request over HTTP/1. Of a client that does not wait for answers many would otherwise be served in one go, while others wait.
async fn take_turn() {
    for _ in 0..limits::TURN_OF_A_REQUEST {
        tokio::task::coop::consume_budget().await;
    }
}

/// Until a connection that has said goodbye has to be gone.
async fn farewell(seat: &Seat) {
    tokio::time::sleep(limits::FAREWELL).await;
    // What was asked before the client knew.
    let _ = tokio::time::timeout(limits::FAREWELL_OF_REQUESTS, seat.quiet()).await;
}

/// Until the listener stops.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn told_to_leave(peer: SocketAddr) {
    tracing::debug!(%peer, "a connection is closed: its place is needed");
}
