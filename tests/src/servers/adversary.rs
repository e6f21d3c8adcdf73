//! A storage provider that lies: an S3 server in front of a real one, which passes on what it is asked until it is told to misbehave.
//!
//! It can do what a provider can: serve something else in the place of an object, answer single requests as it likes, and keep what it was
//! sent, also of uploads that ended early.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    endpoint::Endpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
    servers::meddler::{Action, Asked, Ending, Meddler, Reply, pass},
};

/// The header that holds the sealed one.
const HEADER: &str = "x-amz-meta-sealgate";

/// What is served in the place of an object.
#[derive(Clone, Debug)]
pub struct Planted {
    /// The headers of an answer about it, without lengths and entity tag.
    pub headers: Vec<(String, String)>,
    /// The entity tag, with quotes.
    pub entity_tag: String,
    /// The whole body.
    pub body: Bytes,
}

impl Planted {
    /// The object as the storage has it.
    ///
    /// # Errors
    /// If it does not.
    pub async fn fetch(storage: &Endpoint, path: &str) -> Result<Self> {
        let answer = RawRequest::new("GET", path)
            .sign(storage, Payload::Signed(b""), std::time::SystemTime::now())?
            .send(storage)
            .await?;
        ensure!(
            answer.status == 200 && answer.is_complete,
            "GET {path} at the storage: {}",
            answer.status
        );
        let mut reply = Reply::from(answer);
        let entity_tag = reply
            .headers
            .iter()
            .find(|(name, _)| name == "etag")
            .map(|(_, value)| value.clone())
            .context("no entity tag")?;
        for name in ["content-length", "etag", "accept-ranges", "date"] {
            reply.remove(name);
        }
        Ok(Self {
            headers: reply.headers,
            entity_tag,
            body: reply.body,
        })
    }

    /// The sealed header's text.
    ///
    /// # Errors
    /// If there is none.
    pub fn header(&self) -> Result<&str> {
        let mut found = self.headers.iter().filter(|(name, _)| name == HEADER);
        let (_, value) = found.next().context("no header")?;
        Ok(value)
    }

    /// With other sealed headers: none, one, or several.
    #[must_use]
    pub fn with_headers(&self, values: &[&str]) -> Self {
        let mut altered = self.clone();
        altered.headers.retain(|(name, _)| name != HEADER);
        for value in values {
            altered
                .headers
                .push((HEADER.to_owned(), (*value).to_owned()));
        }
        altered
    }

    /// With another body.
    #[must_use]
    pub fn with_body(&self, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self.clone()
        }
    }

    /// With another entity tag.
    #[must_use]
    pub fn tagged(&self, entity_tag: &str) -> Self {
        Self {
            entity_tag: format!("\"{entity_tag}\""),
            ..self.clone()
        }
    }

    /// The answer to GET or HEAD, with its range and its condition.
    pub fn answer(&self, asked: &Asked) -> Reply {
        let text = |name: &str| asked.headers.get(name)?.to_str().ok();
        let mut reply = Reply {
            status: 200,
            headers: self.headers.clone(),
            body: self.body.clone(),
            ending: Ending::Clean,
        };
        reply.set("etag", &self.entity_tag);
        if text("if-match").is_some_and(|tag| tag != self.entity_tag) {
            reply.status = 412;
            reply.body = Bytes::new();
        } else if let Some(range) = text("range") {
            let length = self.body.len();
            if let Some((first, end)) = resolve(range, length) {
                reply.status = 206;
                reply.body = self.body.slice(first..end);
                let value = format!("bytes {first}-{}/{length}", end - 1);
                reply.set("content-range", &value);
            } else {
                reply.status = 416;
                reply.body = Bytes::new();
            }
        }
        reply.set("content-length", &reply.body.len().to_string());
        if asked.method == "HEAD" {
            reply.body = Bytes::new();
        }
        reply
    }
}

/// First byte and end of a range of an object of this length (RFC 9110, section 14.1.2).
fn resolve(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, end) = match (first.parse::<usize>().ok(), last.parse::<usize>().ok()) {
        (None, Some(suffix)) => (length.saturating_sub(suffix), length),
        (Some(first), None) => (first, length),
        (Some(first), Some(last)) => (first, length.min(last.saturating_add(1))),
        (None, None) => return None,
    };
    (first < end).then_some((first, end))
}

type Trick = Arc<dyn Fn(Asked, Endpoint) -> BoxFuture<'static, Result<Action>> + Send + Sync>;

/// What the server was told, and what it has seen.
#[derive(Default)]
struct Mind {
    planted: HashMap<String, Arc<Planted>>,
    tricks: HashMap<String, Trick>,
    /// By path; only of those that are watched.
    seen: HashMap<String, Vec<Asked>>,
}

/// The server.
pub struct Adversary {
    /// Where the gateway finds it, with the storage's credentials.
    pub endpoint: Endpoint,
    mind: Arc<Mutex<Mind>>,
    _server: Meddler,
}

impl std::fmt::Debug for Adversary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Adversary")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

fn lock(mind: &Mutex<Mind>) -> MutexGuard<'_, Mind> {
    mind.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Adversary {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(storage: &Endpoint) -> Result<Self> {
        let mind = Arc::new(Mutex::new(Mind::default()));
        let (asked_of, watching) = (Arc::clone(&mind), Arc::clone(&mind));
        let behind = storage.clone();
        let server = Meddler::start_watching(
            storage,
            move |asked| {
                let (mind, behind) = (Arc::clone(&asked_of), behind.clone());
                async move {
                    // A trick that fails breaks the connection, as an honest storage that fails does.
                    decide(&mind, asked, behind)
                        .await
                        .unwrap_or(Action::Reply(Reply {
                            status: 500,
                            headers: vec![("content-length".to_owned(), "1".to_owned())],
                            body: Bytes::new(),
                            ending: Ending::Broken,
                        }))
                }
                .boxed()
            },
            move |asked| see(&mut lock(&watching), asked),
        )
        .await?;
        Ok(Self {
            endpoint: server.endpoint.clone(),
            mind,
            _server: server,
        })
    }

    /// Serves this in the place of the object at a path (`/bucket/key`, as on the wire).
    pub fn plant(&self, path: &str, planted: Planted) {
        let planted = Arc::new(planted);
        lock(&self.mind).planted.insert(path.to_owned(), planted);
    }

    /// Has this decide about every request for a path (without its query).
    pub fn trick<F>(&self, path: &str, trick: impl Fn(Asked, Endpoint) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Action>> + Send + 'static,
    {
        let trick: Trick = Arc::new(move |asked, storage| trick(asked, storage).boxed());
        lock(&self.mind).tricks.insert(path.to_owned(), trick);
    }

    /// Alters the answers to the requests for a path that this function chooses.
    pub fn alter(
        &self,
        path: &str,
        chosen: impl Fn(&Asked) -> bool + Send + Sync + 'static,
        alter: impl Fn(&mut Reply) + Send + Sync + 'static,
    ) {
        let alter = Arc::new(alter);
        self.trick(path, move |asked, storage| {
            let (is_chosen, alter) = (chosen(&asked), Arc::clone(&alter));
            async move {
                if !is_chosen {
                    return Ok(Action::Pass);
                }
                let mut reply = Reply::from(pass(&storage, &asked, true).await?);
                if asked.method == "HEAD" {
                    reply.body = Bytes::new();
                }
                alter(&mut reply);
                Ok(Action::Reply(reply))
            }
        });
    }

    /// Is honest about a path again.
    pub fn behave(&self, path: &str) {
        let mut mind = lock(&self.mind);
        mind.planted.remove(path);
        mind.tricks.remove(path);
    }

    /// Keeps what is sent to a path from now on.
    pub fn watch(&self, path: &str) {
        lock(&self.mind).seen.insert(path.to_owned(), Vec::new());
    }

    /// What was sent to a path that is watched, with what came of bodies that broke off.
    pub fn seen(&self, path: &str) -> Vec<Asked> {
        let mind = lock(&self.mind);
        mind.seen.get(path).cloned().unwrap_or_default()
    }
}

fn see(mind: &mut Mind, asked: &Asked) {
    if let Some(seen) = mind.seen.get_mut(&asked.path) {
        seen.push(asked.clone());
    }
}

async fn decide(mind: &Mutex<Mind>, asked: Asked, storage: Endpoint) -> Result<Action> {
    let (trick, planted, source) = {
        let mut mind = lock(mind);
        see(&mut mind, &asked);
        let source = copy_source(&asked).and_then(|path| mind.planted.get(&path).cloned());
        (
            mind.tricks.get(&asked.path).cloned(),
            mind.planted.get(&asked.path).cloned(),
            source,
        )
    };
    if let Some(trick) = trick {
        return trick(asked, storage).await;
    }
    if let (Some(planted), "GET" | "HEAD", true) =
        (planted, asked.method.as_str(), is_about_object(&asked))
    {
        return Ok(Action::Reply(planted.answer(&asked)));
    }
    match source {
        Some(source) => copy_planted(&storage, &asked, &source).await,
        None => Ok(Action::Pass),
    }
}

/// Whether the object itself is asked for, and nothing about it.
fn is_about_object(asked: &Asked) -> bool {
    asked
        .query
        .split('&')
        .all(|parameter| parameter.is_empty() || parameter.starts_with("x-id="))
}

/// The path of a copy's source.
fn copy_source(asked: &Asked) -> Option<String> {
    let source = asked.headers.get("x-amz-copy-source")?.to_str().ok()?;
    let source = source.split('?').next()?;
    Some(format!("/{}", source.trim_start_matches('/')))
}

/// Copies what is planted, with the header that the copy is to have.
async fn copy_planted(storage: &Endpoint, asked: &Asked, source: &Planted) -> Result<Action> {
    let length = source.body.len().to_string();
    let mut request = RawRequest::new("PUT", &asked.path).header("content-length", &length);
    if let Some(header) = asked.headers.get(HEADER) {
        request = request.header(HEADER, header.to_str()?);
    }
    let answer: RawAnswer = request
        .sign(
            storage,
            Payload::Signed(&source.body),
            std::time::SystemTime::now(),
        )?
        .body(&source.body)
        .send(storage)
        .await?;
    let tag = answer.header("etag").context("no entity tag")?;
    let document = format!(
        "<CopyObjectResult><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag></CopyObjectResult>",
        tag.replace('"', "&quot;")
    );
    Ok(Action::Answer(200, document.into_bytes()))
}
