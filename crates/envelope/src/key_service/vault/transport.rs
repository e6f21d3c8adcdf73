//! One request to the server, and one answer: connections, TLS, time-outs, bounds.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::configuration::VaultConfiguration;
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::key_service_error;
use crate::key_service::trust::{TrustRoots, authorities};

/// The longest answer that is read: a key's description with many versions, with room to spare.
const ANSWER_LIMIT: usize = 1 << 20;

/// Idle connections are closed soon, because their buffers hold the last answer, and that may be a key.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The client of one server.
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    namespace: Option<HeaderValue>,
    attempt_timeout: Duration,
}

/// What the server said.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// It may hold a key, so it is wiped.
    body: Zeroizing<Vec<u8>>,
}

/// The envelope of errors in every answer that is not a success.
#[derive(serde::Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Answer {
    /// The JSON document of a success. Its text is never shown: it may hold a key.
    pub(super) fn parse<T: DeserializeOwned>(&self, call: &str) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            key_service_error(
                KeyServiceFailure::Malformed,
                &format!(
                    "{call}: HTTP {} with an answer that is not of this protocol ({:?} at line {})",
                    self.status.as_u16(),
                    error.classify(),
                    error.line()
                ),
            )
        })
    }

    /// The server's own words about a failure, joined.
    pub(super) fn errors(&self) -> String {
        serde_json::from_slice::<Errors>(&self.body)
            .map(|parsed| parsed.errors.join("; "))
            .unwrap_or_default()
    }
}

impl Transport {
    pub(super) fn new(configuration: &VaultConfiguration) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(configuration.limits.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(configuration)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let namespace = match &configuration.namespace {
            Some(namespace) => Some(HeaderValue::from_str(namespace).map_err(|_| {
                Error::misuse("the Vault namespace has characters that no header can hold")
            })?),
            None => None,
        };
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .build(connector),
            base: format!("{}/v1/", configuration.address.trim_end_matches('/')),
            namespace,
            attempt_timeout: configuration.limits.attempt_timeout,
        })
    }

    /// Sends one request, once.
    ///
    /// # Errors
    ///
    /// [`KeyServiceFailure::Unavailable`] where no whole answer came in time.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer> {
        let bytes = match body {
            Some(body) => document(body)
                .map(Bytes::from_owner)
                .map_err(|error| Error::misuse(format!("{path}: {error}")))?,
            None => Bytes::new(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(headers) = request.headers_mut() {
            // Without it, a server's agent or proxy may follow a link on our behalf (Vault API, "X-Vault-Request").
            headers.insert(
                HeaderName::from_static("x-vault-request"),
                HeaderValue::from_static("true"),
            );
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            if let Some(namespace) = &self.namespace {
                headers.insert(
                    HeaderName::from_static("x-vault-namespace"),
                    namespace.clone(),
                );
            }
            if let Some(token) = token {
                let mut value = HeaderValue::from_str(token).map_err(|_| {
                    Error::misuse("the Vault token has characters that no header can hold")
                })?;
                value.set_sensitive(true);
                headers.insert(HeaderName::from_static("x-vault-token"), value);
            }
        }
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| Error::misuse(format!("the Vault address is no URL: {error}")))?;
        let exchange = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(|error| unavailable(path, &causes(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT);
            let body = collect(body)
                .await
                .map_err(|error| unavailable(path, &error.to_string()))?;
            Ok(Answer { status, body })
        };
        tokio::time::timeout(self.attempt_timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(unavailable(path, "no answer in time")))
    }
}

/// A document in a buffer of exactly its length: one that grows would leave copies behind.
fn document(value: &impl Serialize) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *buffer, value)?;
    Ok(buffer)
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A whole body. What our buffer outgrows is wiped; the pieces themselves belong to the connection, which frees them.
async fn collect<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
) -> Result<Zeroizing<Vec<u8>>, B::Error> {
    let expected = body.size_hint().upper().unwrap_or(0);
    let expected =
        usize::try_from(expected).map_or(ANSWER_LIMIT, |length| length.min(ANSWER_LIMIT));
    let mut whole = Zeroizing::new(Vec::with_capacity(expected));
    while let Some(frame) = body.frame().await.transpose()? {
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        let needed = whole.len() + piece.len();
        if needed > whole.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
            larger.extend_from_slice(&whole);
            whole = larger;
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

fn unavailable(path: &str, cause: &str) -> Error {
    key_service_error(
        KeyServiceFailure::Unavailable,
        &format!("Vault {path}: {cause}"),
    )
}

/// The causes of an error, outermost first: hyper's own text says only that connecting failed.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn tls(configuration: &VaultConfiguration) -> Result<ClientConfig> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::misuse(format!("TLS for Vault cannot be set up: {error}")))?;
    let roots = match &configuration.trust_roots {
        TrustRoots::System => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
        TrustRoots::Pem(pem) => authorities("Vault", pem)?,
    };
    let builder = builder.with_root_certificates(roots);
    let Some(certificate) = &configuration.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_slice_iter(&certificate.chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| {
            Error::misuse(format!(
                "the client certificate for Vault is no valid PEM: {error}"
            ))
        })?;
    let key =
        PrivateKeyDer::from_pem_slice(&Zeroizing::new(certificate.key.to_vec())).map_err(|_| {
            Error::misuse("the private key of the client certificate for Vault is no valid PEM")
        })?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        Error::misuse(format!(
            "the client certificate for Vault cannot be used: {error}"
        ))
    })
}
