//! Which page of the web may read an answer (CORS), where the answer is not the storage's own.
//!
//! Most answers carry what the storage said of the request's `Origin`. Errors of the gateway, parts, and what it puts together from several
//! answers do not, and a browser would hide them from the page: an upload in parts would break at the first. For those the storage is asked with a
//! preflight, and its answer serves for a short time; the gateway decides nothing by itself.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use quick_cache::sync::Cache;

use super::Gateway;
use crate::{
    auth,
    object_key::ObjectPath,
    operation, policy,
    route::Unsigned,
    upstream::{Target, UpstreamRequest},
};

/// How long a decision of the storage serves. A change of a bucket's CORS rules shows after it.
const LIFETIME: Duration = Duration::from_secs(30);

/// The most decisions that are remembered.
const CAPACITY: usize = 1_024;

/// The longest `Origin` that anybody is asked about, and the longest header of a decision that is kept, in bytes. A host has at most 253.
const MAXIMUM_HEADER: usize = 512;

/// The methods of S3. Others have no operation, and whoever invents some could fill the memory of decisions.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::POST,
    Method::DELETE,
];

/// How long an answer that is ready waits for the storage's decision.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a browser needs to know beside the answer itself; the rest of CORS is about the preflight.
const SHOWN: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::VARY,
];

/// What a page asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    bucket: String,
    origin: HeaderValue,
    method: Method,
    /// Whether somebody with a key asks.
    is_signed: bool,
}

impl Question {
    pub(super) fn asked_by(self, is_signed: bool) -> Self {
        Self { is_signed, ..self }
    }
}

/// A value of its own, where it is short enough: what hyper reads is a slice of the whole head, which would be kept with it.
fn kept(value: &HeaderValue) -> Option<HeaderValue> {
    (value.len() <= MAXIMUM_HEADER)
        .then(|| HeaderValue::from_bytes(value.as_bytes()).ok())
        .flatten()
}

/// The decisions of the storage.
#[derive(Debug)]
pub(super) struct Decisions(Cache<Question, (Instant, HeaderMap)>);

impl Default for Decisions {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl Decisions {
    fn look_up(&self, question: &Question) -> Option<HeaderMap> {
        let (decided, headers) = self.0.get(question)?;
        (decided.elapsed() < LIFETIME).then_some(headers)
    }
}

impl Gateway {
    /// What is to be asked where the answer does not say it by itself; `None` where no page asks.
    pub(super) fn question(&self, parts: &Parts) -> Option<Question> {
        let origin = parts.headers.get(header::ORIGIN)?;
        if !METHODS.contains(&parts.method) {
            return None;
        }
        let host = auth::received_host(parts);
        let path =
            ObjectPath::parse(host, &self.config.listener.base_domains, parts.uri.path()).ok()?;
        let bucket = path.bucket()?.as_str();
        policy::guard_bucket(bucket, self.state.name()).ok()?;
        Some(Question {
            bucket: bucket.to_owned(),
            origin: kept(origin)?,
            method: parts.method.clone(),
            is_signed: false,
        })
    }

    /// Adds to an answer that says nothing of pages what the storage says of this one.
    pub(super) async fn show(&self, question: &Question, answer: &mut HeaderMap) {
        if answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        let decision = match self.pages.look_up(question) {
            Some(decision) => decision,
            None => match tokio::time::timeout(PATIENCE, self.ask(question)).await {
                Ok(Some(decision)) => {
                    let remembered = (Instant::now(), decision.clone());
                    self.pages.0.insert(question.clone(), remembered);
                    decision
                }
                // Nobody knows, so no page may read it.
                _ => return,
            },
        };
        for name in SHOWN {
            for value in decision.get_all(&name) {
                answer.append(name.clone(), value.clone());
            }
        }
    }

    /// The storage's decision; `None` where it has none to give now. Whoever has no key can have it asked, in a place of theirs and without a
    /// signature of ours.
    async fn ask(&self, question: &Question) -> Option<HeaderMap> {
        let _place = if question.is_signed {
            None
        } else {
            Some(self.live.load().places.unsigned(Unsigned::Preflight).ok()?)
        };
        let preflight = UpstreamRequest::new(Method::OPTIONS, Target::bucket(&question.bucket))
            .header(header::ORIGIN, question.origin.clone())
            .header(
                header::ACCESS_CONTROL_REQUEST_METHOD,
                HeaderValue::from_str(question.method.as_str()).ok()?,
            )
            .unsigned();
        let answer = match self.upstream.call(preflight).await {
            Ok(answer) => operation::cors_headers(answer.headers()),
            Err(error)
                if [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&error.status) =>
            {
                HeaderMap::new()
            }
            Err(_) => return None,
        };
        let mut decision = HeaderMap::new();
        for name in SHOWN {
            if let Some(value) = answer.get(&name).and_then(kept) {
                decision.insert(name, value);
            }
        }
        if !decision.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return Some(HeaderMap::new());
        }
        // S3 says it to a preflight already, MinIO not.
        if question.is_signed && !decision.contains_key(header::ACCESS_CONTROL_EXPOSE_HEADERS) {
            let request = UpstreamRequest::new(Method::HEAD, Target::bucket(&question.bucket))
                .header(header::ORIGIN, question.origin.clone());
            if let Ok(answer) = self.upstream.call(request).await
                && let Some(exposed) = answer
                    .headers()
                    .get(header::ACCESS_CONTROL_EXPOSE_HEADERS)
                    .and_then(kept)
            {
                decision.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
        // Caches on the way keep the answers for different pages apart.
        decision.insert(header::VARY, HeaderValue::from_static("Origin"));
        Some(decision)
    }
}
