//! Requests over HTTP/2 and TLS.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    endpoint::Endpoint,
    raw_http::{RawAnswer, RawRequest},
};

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_mins(1);

/// What is sent.
pub type RequestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// A connection that many requests may use at once.
pub type Connection = SendRequest<RequestBody>;

/// What connects to one server.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    authority: String,
    builder: Builder<TokioExecutor>,
}

impl Connector {
    /// For the server of this endpoint, which speaks TLS.
    ///
    /// # Errors
    /// If its authority can't be read.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let file = endpoint.ca_file.as_ref().context("no authority")?;
        roots.add(CertificateDer::from_pem_file(file).map_err(|error| anyhow!("{error}"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            authority: endpoint.authority().to_owned(),
            builder: Builder::new(TokioExecutor::new()),
        })
    }

    /// Lets each answer send so many bytes before some of it is read.
    #[must_use]
    pub fn with_window(mut self, bytes: u32) -> Self {
        self.builder.initial_stream_window_size(bytes);
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// If nobody listens, or HTTP/2 is not offered, or it takes too long.
    pub async fn connect(&self) -> Result<Connection> {
        tokio::time::timeout(CONNECT_LIMIT, self.connect_patiently())
            .await
            .map_err(|_| anyhow!("no connection within {CONNECT_LIMIT:?}"))?
    }

    async fn connect_patiently(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let stream = self
            .tls
            .connect(ServerName::try_from("127.0.0.1")?, stream)
            .await?;
        ensure!(
            stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            "HTTP/2 is not offered"
        );
        let (sender, connection) = self.builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A body that is there.
pub fn full(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A signed request as one over HTTP/2, with this body in the place of its own.
///
/// # Errors
/// If it is none.
pub fn request(
    endpoint: &Endpoint,
    signed: &RawRequest,
    body: RequestBody,
) -> Result<Request<RequestBody>> {
    let mut request = Request::builder().method(signed.method()).uri(format!(
        "{}{}",
        endpoint.url,
        signed.target()
    ));
    for (name, value) in signed.headers() {
        // HTTP/2 has the host in `:authority`.
        if !name.eq_ignore_ascii_case("host") {
            request = request.header(name, value);
        }
    }
    Ok(request.body(body)?)
}

/// Sends a signed request and reads the answer.
///
/// # Errors
/// If the stream or the connection fails.
pub async fn send(
    connection: &mut Connection,
    endpoint: &Endpoint,
    signed: &RawRequest,
) -> Result<RawAnswer> {
    let body = full(Bytes::copy_from_slice(signed.content()));
    connection.ready().await?;
    let answer = connection
        .send_request(request(endpoint, signed, body)?)
        .await?;
    let (head, body) = answer.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(RawAnswer {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body: body.collect().await?.to_bytes().to_vec(),
        is_complete: true,
    })
}
