//! The listener: accepts connections, with TLS where set, and serves HTTP on them until the server stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::exchange::respond;
use crate::resettable::{ResetSwitch, ResettableStream};
use crate::service::Service;

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
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until told to stop; then requests that run get [`STOP_TIMEOUT`] to end.
pub(crate) async fn serve(
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
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
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
    let switch = ResetSwitch::default();
    let stream = ResettableStream::new(stream, switch.clone());
    let Some(acceptor) = acceptor else {
        return converse(stream, remote, service, watcher, switch).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, remote, service, watcher, switch).await,
        Ok(Err(error)) => tracing::warn!(%error, %remote, "TLS handshake failed"),
        Err(_) => tracing::warn!(%remote, "TLS handshake took too long"),
    }
}

async fn converse<S>(
    stream: S,
    remote: SocketAddr,
    service: Arc<Service>,
    watcher: Watcher,
    switch: ResetSwitch,
) where
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
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, switch) = (Arc::clone(&service), switch.clone());
        async move {
            let version = request.version();
            let answer = respond(service, request, remote).await;
            // An HTTP/2 connection has other requests on it; hyper resets the one stream.
            if answer.is_err() && version < Version::HTTP_2 {
                switch.turn_on();
            }
            answer
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, %remote, "connection ended early");
    }
}
