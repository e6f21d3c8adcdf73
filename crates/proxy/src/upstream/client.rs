//! Signing and sending: one request, one answer.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, uri::Scheme};
use http_body::Body;
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Answer, CredentialSource, DocumentMemory, LocalBody, LocalRequest, LocalStorage, RequestBody,
    Timeouts, UpstreamError, Verification, cause_chain,
    expectation::Expectation,
    framing::{self, OutgoingBody, Protection},
    limits::{
        ATTEMPTS, BUFFER_LIMIT, LEAST_IDLE_CONNECTIONS, MAX_IDLE_CONNECTIONS, POOL_IDLE_TIMEOUT,
    },
    progress::{Progress, Watched},
    repeat::{Attempts, Connection},
    resolver::Resolver,
    target::{Addressing, Target, locate},
    tls,
    waiting::Waiting,
};
use crate::{
    auth,
    body::{Algorithm, Checksum},
    config::ClientCertificateFiles,
    error::S3Error,
    metrics::UpstreamMetrics,
    workers,
};

/// What it takes to speak to an upstream.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// `http://` or `https://`, host and port, no path.
    pub endpoint: Uri,
    /// The region of the signature's scope.
    pub region: String,
    /// How buckets are named.
    pub addressing: Addressing,
    /// Trusted roots; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// What is shown to a storage that asks for a certificate.
    pub client_certificate: Option<ClientCertificateFiles>,
    /// What requests are signed with.
    pub credentials: CredentialSource,
    /// Time-outs.
    pub timeouts: Timeouts,
    /// What documents may hold in memory.
    pub memory: DocumentMemory,
}

/// A request to the upstream, not yet signed.
pub struct UpstreamRequest {
    method: Method,
    target: Target,
    query: String,
    headers: HeaderMap,
    body: OutgoingBody,
    ambiguity_is_handled: bool,
    is_unsigned: bool,
}

impl UpstreamRequest {
    /// A request without a body.
    pub fn new(method: Method, target: Target) -> Self {
        Self {
            method,
            query: String::new(),
            headers: target.requester.clone(),
            target,
            body: OutgoingBody::Replayable(Bytes::new()),
            ambiguity_is_handled: false,
            is_unsigned: false,
        }
    }

    /// Sends the request without a signature: it has no more rights than anybody's.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.is_unsigned = true;
        self
    }

    /// Lets a conditional write be tried again when the connection breaks. The caller has to look at [`Answer::was_repeated`]: a 412 may be
    /// the work of the attempt whose answer got lost.
    #[must_use]
    pub fn repeat_although_conditional(mut self) -> Self {
        self.ambiguity_is_handled = true;
        self
    }

    /// Sets the raw query string, already percent-encoded, without `?`.
    #[must_use]
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }

    /// Sets the headers, beside those of the target.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Adds one header.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sends these bytes; the request may be tried again when a connection breaks.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = OutgoingBody::Replayable(bytes.into());
        self
    }

    /// Streams a body of exactly `length` bytes; the request may be tried again while no more than its beginning was sent.
    #[must_use]
    pub fn stream(mut self, body: RequestBody, length: u64) -> Self {
        self.body = OutgoingBody::Stream(body, length);
        self
    }

    /// Sends these bytes with a checksum behind them, whatever the upstream verifies: to find that out. The request is tried once.
    #[must_use]
    pub fn trailed(mut self, bytes: Bytes, checksum: Checksum) -> Self {
        self.body = OutgoingBody::Trailed(bytes, checksum);
        self
    }
}

type HttpClient = Client<HttpsConnector<HttpConnector<Resolver>>, RequestBody>;

/// Connections to a server.
struct Clients {
    pooled: HttpClient,
    /// Opens a connection for each request: for what must not meet one that the other side is about to close.
    fresh: HttpClient,
}

/// Who answers.
#[derive(Clone)]
enum Transport {
    Network(Arc<[Clients]>),
    Local(Arc<dyn LocalStorage>),
}

/// One upstream: its connections and what signs its requests. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    transport: Transport,
    settings: Arc<UpstreamSettings>,
    scheme: Scheme,
    authority: String,
    verification: Arc<OnceLock<Verification>>,
    metrics: UpstreamMetrics,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("endpoint", &self.settings.endpoint)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Prepares an upstream; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When the endpoint has no host, or the CA file is of no use.
    pub fn new(settings: UpstreamSettings) -> anyhow::Result<Self> {
        let clients = clients(&settings)?;
        Self::over(Transport::Network(clients), settings)
    }

    /// An upstream that no server answers for: nothing is signed, and no connection is opened. The endpoint is only a name.
    ///
    /// # Errors
    ///
    /// When the endpoint has no host.
    pub fn local(
        storage: Arc<dyn LocalStorage>,
        settings: UpstreamSettings,
    ) -> anyhow::Result<Self> {
        Self::over(Transport::Local(storage), settings)
    }

    fn over(transport: Transport, settings: UpstreamSettings) -> anyhow::Result<Self> {
        let scheme = settings.endpoint.scheme().cloned().unwrap_or(Scheme::HTTPS);
        let authority = settings
            .endpoint
            .authority()
            .ok_or_else(|| {
                anyhow::anyhow!("the upstream endpoint {} names no host", settings.endpoint)
            })?
            .to_string();
        Ok(Self {
            transport,
            settings: Arc::new(settings),
            scheme,
            authority,
            verification: Arc::default(),
            metrics: UpstreamMetrics::new()?,
        })
    }

    /// What is counted of this upstream.
    pub(crate) fn metrics(&self) -> &UpstreamMetrics {
        &self.metrics
    }

    /// Counts together with another upstream.
    #[must_use]
    pub(crate) fn counted_with(mut self, other: &Self) -> Self {
        self.metrics = other.metrics.clone();
        self
    }

    /// Which checksums of what arrives the upstream verifies, as far as that is known.
    pub fn verification(&self) -> Verification {
        self.verification.get().copied().unwrap_or_default()
    }

    /// Says which checksums the upstream verifies, once: from then on they go with every body of an object or a part.
    pub fn set_verification(&self, verification: Verification) {
        // What is known stays: it cannot change while requests are under way.
        let _ = self.verification.set(verification);
    }

    /// The settings of this upstream.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Signs and sends, and returns whatever the upstream answers.
    ///
    /// Cancel safety: dropping the future closes the connection; a request whose body was not sent to its end leaves no object.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] when there is no answer. What may be repeated is tried up to three times when the connection breaks, and only the
    /// first time over a pooled connection, which the other side may be closing; what may not be repeated never gets a pooled one.
    pub async fn send(&self, request: UpstreamRequest) -> Result<Answer, UpstreamError> {
        let UpstreamRequest {
            method,
            target,
            query,
            mut headers,
            body,
            ambiguity_is_handled,
            is_unsigned,
        } = request;
        let clients = match &self.transport {
            // Always there: there is one for each place.
            Transport::Network(clients) => clients
                .get(workers::place())
                .or_else(|| clients.first())
                .ok_or_else(|| UpstreamError::Request("there are no connections".to_owned()))?,
            Transport::Local(storage) => {
                let request = LocalRequest {
                    method,
                    target,
                    query,
                    headers,
                };
                let waiting = self.waiting_for(&request.method);
                let response = storage.answer(request).await.map(Either::Right);
                return Ok(self.answer_of(response, waiting, None));
            }
        };
        let uri = self.uri(&target, &query)?;
        let protection = self.protection_for(&method, &target, &query, &headers);
        let (body, payload) = framing::frame(body, protection, &mut headers)?;
        let payload = (!is_unsigned).then_some(payload);
        let body = Attempts::new(body, &method, &headers, ambiguity_is_handled);
        let mut connection = body.first_connection();
        let mut attempt = 1;
        loop {
            let (method, uri, headers) = (method.clone(), uri.clone(), headers.clone());
            let mut request = self
                .prepare(method, uri, headers, body.next(), payload)
                .await?;
            // A fresh connection is alive, and need not be asked.
            let expectation = (body.is_stream() && connection == Connection::Pooled)
                .then(|| Expectation::attach(&mut request.request));
            let client = match connection {
                Connection::Pooled => &clients.pooled,
                Connection::Fresh => &clients.fresh,
            };
            let outcome = self.attempt(client, request, expectation).await;
            match outcome {
                Err(UpstreamError::Connection(cause))
                    if attempt < ATTEMPTS && body.may_be_sent_again() =>
                {
                    tracing::debug!(%cause, attempt, "trying the upstream again");
                    self.metrics.retried();
                    if connection == Connection::Fresh {
                        tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
                    }
                    connection = Connection::Fresh;
                    attempt += 1;
                }
                outcome => return outcome.map(|answer| answer.after_attempts(attempt)),
            }
        }
    }

    /// Sends, and turns every answer that is not a success (2xx) into the error that the upstream meant.
    ///
    /// # Errors
    ///
    /// As [`Self::send`], and the upstream's own errors, with its code, status and message.
    pub async fn call(&self, request: UpstreamRequest) -> Result<Answer, S3Error> {
        let answer = self.send(request).await?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(answer.into_error().await)
        }
    }

    /// Builds the request, signed unless it is to be anonymous.
    async fn prepare(
        &self,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: RequestBody,
        payload: Option<&str>,
    ) -> Result<PreparedRequest, UpstreamError> {
        let progress = Progress::default();
        let length = body.size_hint().exact();
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let (mut parts, ()) = request.into_parts();
        if let Some(length) = length
            && (length > 0 || matches!(parts.method, Method::PUT | Method::POST))
        {
            parts
                .headers
                .insert(http::header::CONTENT_LENGTH, length.into());
        }
        if let Some(payload) = payload {
            let credentials = self.settings.credentials.current().await?;
            auth::sign(
                &mut parts,
                &credentials,
                &self.settings.region,
                payload,
                SystemTime::now(),
            )
            .map_err(|error| UpstreamError::Request(error.to_string()))?;
        }
        let body = Watched {
            body,
            progress: progress.clone(),
        }
        .boxed_unsync();
        Ok(PreparedRequest {
            request: Request::from_parts(parts, body),
            progress,
        })
    }

    async fn attempt(
        &self,
        client: &HttpClient,
        prepared: PreparedRequest,
        expectation: Option<Expectation>,
    ) -> Result<Answer, UpstreamError> {
        let PreparedRequest { request, progress } = prepared;
        let waiting = self.waiting_for(request.method());
        let started = Instant::now();
        let response = self.await_answer(client, request, &progress).await;
        let status = response.as_ref().ok().map(Response::status);
        self.metrics.attempted(started, status);
        let response = response?;
        if let Some(expectation) = &expectation {
            expectation.answered();
        }
        if response.status().is_redirection() && response.status() != http::StatusCode::NOT_MODIFIED
        {
            let location = response
                .headers()
                .get(http::header::LOCATION)
                .and_then(|value| value.to_str().ok());
            return Err(UpstreamError::Redirect {
                location: location.unwrap_or("another endpoint").to_owned(),
                is_temporary: matches!(
                    response.status(),
                    http::StatusCode::FOUND | http::StatusCode::TEMPORARY_REDIRECT
                ),
            });
        }
        Ok(self.answer_of(response.map(Either::Left), waiting, expectation))
    }

    fn waiting_for(&self, method: &Method) -> Waiting {
        Waiting::for_answer_to(method, self.settings.timeouts.idle)
    }

    fn answer_of(
        &self,
        response: Response<Either<Incoming, LocalBody>>,
        waiting: Waiting,
        expectation: Option<Expectation>,
    ) -> Answer {
        Answer::new(response, waiting, self.settings.memory.clone(), expectation)
    }

    /// What goes with a request's body so that the storage can tell whether it arrived whole: nothing unless it is an object or a part.
    fn protection_for(
        &self,
        method: &Method,
        target: &Target,
        query: &str,
        headers: &HeaderMap,
    ) -> Protection {
        let makes_bytes = *method == Method::PUT
            && target.key.is_some()
            && !headers.contains_key("x-amz-copy-source");
        let verification = self.verification();
        let of = |algorithm: Option<Algorithm>| {
            algorithm.map_or(Protection::Digest, Protection::Checksum)
        };
        match query {
            _ if !makes_bytes => Protection::None,
            "" => of(verification.objects),
            part if part.split('&').any(|name| name.starts_with("partNumber=")) => {
                of(verification.parts)
            }
            _ => Protection::None,
        }
    }

    /// Waits for the head of the answer. While a body is being sent, the wait starts anew with each piece that the connection takes.
    async fn await_answer(
        &self,
        client: &HttpClient,
        request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let limit = self.settings.timeouts.answer;
        let mut answer = std::pin::pin!(client.request(request));
        loop {
            let seen = progress.count();
            match tokio::time::timeout(limit, answer.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    let cause = cause_chain(&error);
                    return Err(UpstreamError::Connection(format!(
                        "{}: {cause}",
                        self.authority
                    )));
                }
                Err(_) if progress.count() != seen => {}
                Err(_) => return Err(UpstreamError::Timeout(limit)),
            }
        }
    }

    fn uri(&self, target: &Target, query: &str) -> Result<Uri, UpstreamError> {
        let (authority, path) = locate(self.settings.addressing, &self.authority, target);
        let path_and_query = if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(authority)
            .path_and_query(path_and_query)
            .build()
            .map_err(|error| UpstreamError::Request(error.to_string()))
    }
}

/// Connections for each worker, and for all other threads together: a pool that threads share would have requests wait for each other's threads.
fn clients(settings: &UpstreamSettings) -> anyhow::Result<Arc<[Clients]>> {
    let mut connector = HttpConnector::new_with_resolver(Resolver::new());
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(settings.timeouts.connect));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls::client_config(
            settings.ca_file.as_deref(),
            settings.client_certificate.as_ref(),
        )?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let client = |idle_connections| {
        Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(idle_connections)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER_LIMIT)
            .build(connector.clone())
    };
    let idle_connections = (MAX_IDLE_CONNECTIONS / workers::places()).max(LEAST_IDLE_CONNECTIONS);
    Ok((0..workers::places())
        .map(|_| Clients {
            pooled: client(idle_connections),
            fresh: client(0),
        })
        .collect())
}

/// A request that can be sent.
struct PreparedRequest {
    request: Request<RequestBody>,
    progress: Progress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_says_who_pays() {
        let payer = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-amz-request-payer"),
            http::HeaderValue::from_static("requester"),
        )]);
        let target = Target::object("b", "k").for_requester(payer.clone());
        let own = UpstreamRequest::new(Method::GET, target.clone());
        assert_eq!(own.headers["x-amz-request-payer"], "requester");
        let clients = UpstreamRequest::new(Method::GET, target).headers(payer);
        assert_eq!(
            clients
                .headers
                .get_all("x-amz-request-payer")
                .iter()
                .count(),
            1
        );
    }
}
