//! The admin listener: whether this gateway is alive and ready, and what it counts. It has an address of its own and serves no data.
//!
//! ```text
//! GET /livez    200 as long as anybody answers
//! GET /readyz   200, or 503 with what is in the way; ?exclude=NAME leaves a check out
//! GET /metrics  what the gateway counts, for Prometheus
//! ```

pub mod health;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::config::{AdminConfig, LimitsConfig, ListenerConfig};
use crate::listener::{BindError, Listener, tls::TlsHandle};
use crate::metrics::{self, Metrics};

pub use health::{Health, Need, Obstacle, Reporter};

/// Connections at once: a few load balancers and a scraper.
const CONNECTIONS: usize = 64;

/// For a request to come, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer that is under way when the gateway stops may take.
const GRACE: Duration = Duration::from_secs(1);

/// What this listener has, for whoever asks for something else.
const INDEX: &str = "/livez\n/readyz\n/metrics\n";

/// An admin listener that is bound and does not answer yet.
pub struct Admin {
    listener: Listener,
}

impl Admin {
    /// Binds the address and reads certificate and key. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`], with what to do.
    pub fn bind(config: &AdminConfig) -> Result<Self, BindError> {
        let limits = LimitsConfig {
            connections: CONNECTIONS,
            header_timeout: PATIENCE,
            idle_timeout: PATIENCE,
            shutdown_grace: GRACE,
            ..LimitsConfig::default()
        };
        let settings = ListenerConfig {
            tls: config.tls.clone(),
            ..ListenerConfig::at(config.address)
        };
        Ok(Self {
            listener: Listener::bind_as("admin.address", &settings, &limits)?,
        })
    }

    /// A URL that reaches the listener from this machine.
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// What exchanges certificate and key while it serves, if it has TLS.
    pub fn tls(&self) -> Option<&TlsHandle> {
        self.listener.tls()
    }

    /// Answers until `stop` is done.
    pub async fn serve(
        self,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        stop: impl Future<Output = ()>,
    ) {
        let handler = move |request: Request<hyper::body::Incoming>, _| {
            let answer = answer(&health, &metrics, &request);
            async move { answer }
        };
        self.listener.serve(handler, stop).await;
    }
}

type Answer = Response<Full<Bytes>>;

fn answer<B>(health: &Health, metrics: &Metrics, request: &Request<B>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n");
        answer
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/livez" => document(StatusCode::OK, &health.liveness()),
        "/readyz" => {
            let excluded = excluded(request.uri().query().unwrap_or_default());
            let excluded: Vec<&str> = excluded.iter().map(String::as_str).collect();
            let (ready, shown) = health.readiness(&excluded);
            let status = if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            document(status, &shown)
        }
        "/metrics" => match metrics.render() {
            Ok(rendered) => answer_of(StatusCode::OK, metrics::CONTENT_TYPE, rendered),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be shown");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the metrics cannot be shown; the log says why\n",
                )
            }
        },
        _ => text(StatusCode::NOT_FOUND, INDEX),
    }
}

/// The checks that a query leaves out: `exclude=a&exclude=b`, as the Kubernetes API server has it.
fn excluded(query: &str) -> Vec<String> {
    query
        .split('&')
        .filter_map(|parameter| parameter.strip_prefix("exclude="))
        .map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned())
        .collect()
}

fn document(status: StatusCode, document: &Value) -> Answer {
    answer_of(status, "application/json", format!("{document:#}\n"))
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    answer_of(status, "text/plain; charset=utf-8", text)
}

fn answer_of(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(health: &Health, method: Method, target: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(target).body(());
        let answer = answer(health, &Metrics::new().unwrap(), &request.unwrap());
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_lives_although_it_is_not_ready() {
        let health = Health::default();
        let storage = health.register("storage", Need::Required);
        storage.report(Some(Obstacle::new("away", "start it")));
        assert_eq!(ask(&health, Method::GET, "/livez").await.0, StatusCode::OK);
        let (status, body) = ask(&health, Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"away\""), "{body}");
        let (status, _) = ask(&health, Method::GET, "/readyz?exclude=other").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let (status, _) = ask(&health, Method::GET, "/readyz?x=y&exclude=stor%61ge").await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn there_is_nothing_else() {
        let health = Health::default();
        for target in ["/", "/bucket/key", "/livez/", "/readyz/storage"] {
            let (status, body) = ask(&health, Method::GET, target).await;
            assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, INDEX));
        }
        let (status, _) = ask(&health, Method::PUT, "/readyz").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
}
