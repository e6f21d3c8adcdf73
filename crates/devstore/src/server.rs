//! The store as an HTTP server.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, S3Result, s3_error};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::limits::MAX_XML_BODY;
use crate::service::Service;
use crate::store::Store;

/// How long requests that are under way may take to end when the server shuts down.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// The one key that may do everything. The secret is erased when the value is dropped and not printed.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret_key: SecretKey,
}

impl Credentials {
    /// # Errors
    /// [`Error::Credentials`] if either is empty.
    pub fn new(
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
    ) -> Result<Self, Error> {
        let (access_key, secret_key) = (access_key.into(), secret_key.into());
        if access_key.is_empty() || secret_key.is_empty() {
            return Err(Error::Credentials);
        }
        Ok(Self {
            access_key,
            secret_key: SecretKey::from(secret_key),
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl S3Auth for Credentials {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.clone());
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records."
        ))
    }
}

/// Starts serving a [`Store`].
#[derive(Debug)]
pub struct Server;

/// A server that is running. Dropped without [`RunningServer::shutdown`] it stops at once and cuts off
/// the requests that are under way; what they had answered is durable all the same.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `listen` (port 0 takes a free one) and serves path-style requests over HTTP/1.1 and
    /// HTTP/2 without TLS, signed with SigV4 by `credentials`.
    ///
    /// # Errors
    /// [`Error::Listen`] if the address cannot be had, [`Error::Runtime`] outside of a tokio runtime.
    pub fn start(
        store: Store,
        listen: SocketAddr,
        credentials: Credentials,
    ) -> Result<RunningServer, Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::Runtime)?;
        let failed = |source| Error::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut config = S3Config::default();
        config.xml_max_body_size = MAX_XML_BODY;
        let mut builder = S3ServiceBuilder::new(Service::new(store));
        builder.set_auth(credentials);
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(serve(listener, builder.build(), stopped));
        Ok(RunningServer {
            address,
            stop: Some(stop),
            task,
        })
    }
}

impl RunningServer {
    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the server, without a slash at its end.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops accepting, waits for the requests that are under way, and frees the port. Requests that
    /// take longer than 10 seconds are cut off.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the task has ended already.
            let _ = stop.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: tokio::net::TcpListener,
    service: S3Service,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME);
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = &mut stopped => break,
            // Keeps the set from growing.
            Some(_) = connections.join_next() => continue,
        };
        // Small answers must not wait for more to send.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let service = service.clone();
        let handler = service_fn(move |request| answer(service.clone(), request));
        let connection = graceful.watch(
            builder
                .serve_connection(TokioIo::new(socket), handler)
                .into_owned(),
        );
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIME, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests that did not end were cut off");
    }
    connections.shutdown().await;
}

async fn answer(
    service: S3Service,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let head = request.method() == Method::HEAD;
    let expects = request.headers().contains_key(header::EXPECT);
    let mut response = service.call(request.map(Body::from)).await?;
    if expects && !response.status().is_success() {
        // The client does not send the body then (RFC 9110, section 10.1.1), and what it sends next must not be taken for it.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // s3s answers HeadObject with 200 whatever status the operation asks for.
    if head
        && response.status() == StatusCode::OK
        && response.headers().contains_key(header::CONTENT_RANGE)
    {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let id = crate::id::Id::random().to_string();
    if let Ok(value) = HeaderValue::try_from(id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-amz-request-id"), value);
    }
    response.headers_mut().insert(
        header::SERVER,
        HeaderValue::from_static("sealgate-devstore"),
    );
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let credentials = Credentials::new("AKIA", "hush-hush").unwrap();
        assert!(!format!("{credentials:?}").contains("hush"));
        assert!(Credentials::new("", "x").is_err() && Credentials::new("x", "").is_err());
    }

    #[tokio::test]
    async fn the_port_and_the_directory_are_free_after_shutdown() {
        let directory = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let credentials = Credentials::new("a", "b").unwrap();
        let server = Server::start(
            Store::open(directory.path()).unwrap(),
            any,
            credentials.clone(),
        )
        .unwrap();
        let address = server.local_addr();
        let taken = tempfile::tempdir().unwrap();
        let second = Server::start(
            Store::open(taken.path()).unwrap(),
            address,
            credentials.clone(),
        );
        assert!(matches!(second, Err(Error::Listen { .. })));
        server.shutdown().await;
        Server::start(Store::open(directory.path()).unwrap(), address, credentials)
            .unwrap()
            .shutdown()
            .await;
    }
}
