//! A server in front of the storage that meddles with single requests as a test wants it: a storage that ignores conditions, loses answers, or
//! hangs at the worst moment.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    endpoint::Endpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
};

/// What is not passed on: it belongs to one connection, or to the signature, which is made anew.
const OWN: [&str; 10] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "transfer-encoding",
    "x-amz-content-sha256",
    "x-amz-date",
    "if-match",
    "if-none-match",
];

/// A request on its way to the storage.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its path, encoded.
    pub path: String,
    /// Its query; empty without one.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Asked {
    /// Whether it is of this method and about this path, with a query that contains `query`; with none, if that is empty.
    pub fn is(&self, method: &str, path: &str, query: &str) -> bool {
        let has_query = if query.is_empty() {
            self.query.is_empty() || self.query.starts_with("x-id=")
        } else {
            self.query.contains(query)
        };
        self.method == method && self.path == path && has_query
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Pass it on.
    Pass,
    /// Pass it on without its condition.
    PassWithoutCondition,
    /// Pass it on, and break the connection instead of answering.
    LoseAnswer,
    /// Answer 503 at once, and pass it on this much later.
    PassLate(Duration),
    /// Pass it on, and alter a byte of the answer's body.
    Damage,
    /// Answer this.
    Answer(u16, Vec<u8>),
    /// Answer as if this were the object.
    AnswerObject(Vec<u8>),
    /// Never answer.
    Hang,
}

type Rule = dyn Fn(Asked) -> BoxFuture<'static, Action> + Send + Sync;

/// The server.
#[derive(Debug)]
pub struct Meddler {
    /// Where the gateway finds it, with the storage's credentials.
    pub endpoint: Endpoint,
    task: JoinHandle<()>,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Meddler {
    /// Starts it on a free port. `rule` decides about each request.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(
        storage: &Endpoint,
        rule: impl Fn(Asked) -> BoxFuture<'static, Action> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = Endpoint {
            url: format!("http://{}", listener.local_addr()?),
            ..storage.clone()
        };
        let rule: Arc<Rule> = Arc::new(rule);
        let storage = storage.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (rule, storage) = (Arc::clone(&rule), storage.clone());
                let service = service_fn(move |request| {
                    let (rule, storage) = (Arc::clone(&rule), storage.clone());
                    // An error breaks the connection.
                    async move { answer(&*rule, storage, request).await }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Ok(Self { endpoint, task })
    }
}

async fn answer(
    rule: &Rule,
    storage: Endpoint,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.collect().await?.to_bytes(),
    };
    match rule(asked.clone()).await {
        Action::Pass => to_response(&asked, &pass(&storage, &asked, true).await?),
        Action::PassWithoutCondition => to_response(&asked, &pass(&storage, &asked, false).await?),
        Action::LoseAnswer => {
            pass(&storage, &asked, true).await?;
            anyhow::bail!("the answer gets lost")
        }
        Action::PassLate(pause) => {
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                pass(&storage, &asked, true).await.ok();
            });
            plain(503, Vec::new())
        }
        Action::Damage => {
            let mut answer = pass(&storage, &asked, true).await?;
            let middle = answer.body.len() / 2;
            if let Some(byte) = answer.body.get_mut(middle) {
                *byte ^= 1;
            }
            to_response(&asked, &answer)
        }
        Action::Answer(status, body) => plain(status, body),
        Action::AnswerObject(body) => {
            let mut answer = plain(200, body)?;
            let tag = header::HeaderValue::from_static("\"made-up\"");
            answer.headers_mut().insert(header::ETAG, tag);
            Ok(answer)
        }
        Action::Hang => {
            std::future::pending::<Infallible>().await;
            plain(500, Vec::new())
        }
    }
}

fn plain(status: u16, body: Vec<u8>) -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder()
        .status(status)
        .body(Full::new(body.into()))?)
}

async fn pass(storage: &Endpoint, asked: &Asked, with_condition: bool) -> Result<RawAnswer> {
    let target = if asked.query.is_empty() {
        asked.path.clone()
    } else {
        format!("{}?{}", asked.path, asked.query)
    };
    let mut request = RawRequest::new(&asked.method, &target);
    for (name, value) in &asked.headers {
        let is_condition = matches!(name, &header::IF_MATCH | &header::IF_NONE_MATCH);
        if !OWN.contains(&name.as_str()) || (is_condition && with_condition) {
            request = request.header(name.as_str(), value.to_str().context("a header")?);
        }
    }
    request
        .header("content-length", &asked.body.len().to_string())
        .sign(
            storage,
            Payload::Signed(&asked.body),
            std::time::SystemTime::now(),
        )?
        .body(&asked.body)
        .send(storage)
        .await
}

fn to_response(asked: &Asked, answer: &RawAnswer) -> Result<Response<Full<Bytes>>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        let is_length = name == "content-length" && asked.method == "HEAD";
        if is_length
            || !matches!(
                name.as_str(),
                "connection" | "transfer-encoding" | "content-length"
            )
        {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Full::new(answer.body.clone().into()))?)
}
