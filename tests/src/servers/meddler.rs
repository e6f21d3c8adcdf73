//! A server in front of the storage that meddles with single requests as a test wants it: a storage that ignores conditions, loses answers, or
//! hangs at the worst moment.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream};
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
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
    /// Answer this, as it stands, whether it makes sense or not.
    Reply(Reply),
    /// Never answer.
    Hang,
}

/// An answer that is made up, or altered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers; a `content-length` may lie. Without one the body comes in chunks.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// What follows it.
    pub ending: Ending,
}

/// How a made-up body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Where its bytes do.
    Clean,
    /// With the connection, before the end that was announced.
    Broken,
    /// Never: zeros follow.
    Endless,
    /// Each byte behind the first so many comes this long after the one before.
    Dripping {
        /// Bytes that come at once.
        after: usize,
        /// How long each of the others takes.
        pause: Duration,
    },
}

/// The most zeros in one piece of an endless body.
const ZEROS: usize = 64 << 10;

impl Reply {
    /// Sets a header in the place of all of its name.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Takes away all headers of a name.
    pub fn remove(&mut self, name: &str) {
        self.headers
            .retain(|(candidate, _)| !candidate.eq_ignore_ascii_case(name));
    }

    fn into_response(self) -> Result<Response<ReplyBody>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let whole = self.body.clone();
        let pieces = match self.ending {
            Ending::Clean => stream::iter([Ok(whole)]).boxed(),
            Ending::Broken => stream::iter([Ok(whole), Err(anyhow::anyhow!("broken"))]).boxed(),
            Ending::Endless => stream::iter([Ok(whole)])
                .chain(stream::repeat_with(|| Ok(Bytes::from(vec![0; ZEROS]))))
                .boxed(),
            Ending::Dripping { after, pause } => {
                let first = whole.slice(..after.min(whole.len()));
                let drops = stream::iter(first.len()..whole.len()).then(move |place| {
                    let byte = whole.slice(place..=place);
                    async move {
                        tokio::time::sleep(pause).await;
                        Ok(byte)
                    }
                });
                stream::iter([Ok(first)]).chain(drops).boxed()
            }
        };
        let frames = pieces.map(|piece| piece.map(Frame::data));
        Ok(response.body(BodyExt::boxed_unsync(StreamBody::new(frames)))?)
    }
}

impl From<RawAnswer> for Reply {
    /// As it came, but for what belongs to its connection.
    fn from(answer: RawAnswer) -> Self {
        let of_connection = ["connection", "transfer-encoding"];
        Self {
            status: answer.status,
            headers: answer
                .headers
                .into_iter()
                .filter(|(name, _)| !of_connection.contains(&name.as_str()))
                .collect(),
            body: answer.body.into(),
            ending: Ending::Clean,
        }
    }
}

type ReplyBody = UnsyncBoxBody<Bytes, anyhow::Error>;

type Watcher = dyn Fn(&Asked) + Send + Sync;

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
        Self::start_watching(storage, rule, |_| {}).await
    }

    /// As [`Self::start`]. `cut` sees requests whose bodies broke off, with what came of them.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start_watching(
        storage: &Endpoint,
        rule: impl Fn(Asked) -> BoxFuture<'static, Action> + Send + Sync + 'static,
        cut: impl Fn(&Asked) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = Endpoint {
            url: format!("http://{}", listener.local_addr()?),
            ..storage.clone()
        };
        let rule: Arc<Rule> = Arc::new(rule);
        let cut: Arc<Watcher> = Arc::new(cut);
        let storage = storage.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (rule, cut, storage) = (Arc::clone(&rule), Arc::clone(&cut), storage.clone());
                let service = service_fn(move |request| {
                    let (rule, cut, storage) =
                        (Arc::clone(&rule), Arc::clone(&cut), storage.clone());
                    // An error breaks the connection.
                    async move { answer(&*rule, &*cut, storage, request).await }
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
    cut: &Watcher,
    storage: Endpoint,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>> {
    let (parts, mut body) = request.into_parts();
    let mut received = Vec::new();
    let mut broken = None;
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => received.extend_from_slice(&data),
            // Trailers are not passed on.
            Ok(Err(_)) => {}
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: received.into(),
    };
    if let Some(error) = broken {
        cut(&asked);
        return Err(error.into());
    }
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
        Action::Reply(reply) => reply.into_response(),
        Action::Hang => {
            std::future::pending::<Infallible>().await;
            plain(500, Vec::new())
        }
    }
}

fn whole(bytes: Vec<u8>) -> ReplyBody {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn plain(status: u16, body: Vec<u8>) -> Result<Response<ReplyBody>> {
    Ok(Response::builder().status(status).body(whole(body))?)
}

/// Sends a request on to the storage, with or without its condition, and returns the answer.
///
/// # Errors
/// If there is none.
pub async fn pass(storage: &Endpoint, asked: &Asked, with_condition: bool) -> Result<RawAnswer> {
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

fn to_response(asked: &Asked, answer: &RawAnswer) -> Result<Response<ReplyBody>> {
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
    Ok(response.body(whole(answer.body.clone()))?)
}
