//! Which page of the web may read an answer (CORS), where the answer is not the storage's own.
//!
//! Most answers carry what the storage said of the request's `Origin`. Errors of the gateway, parts, and what it puts together from several
//! answers do not, and a browser would hide them from the page: an upload in parts would break at the first. For those the storage is asked with a
//! preflight, and its answer serves for a short time; the gateway decides nothing by itself.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use quick_cache::sync::Cache;

use super::Gateway;
use crate::{
    object_key::ObjectPath,
    operation, policy,
    upstream::{Target, UpstreamRequest},
};

/// How long a decision of the storage serves. A change of a bucket's CORS rules shows after it.
const LIFETIME: Duration = Duration::from_secs(30);

/// The most decisions that are remembered.
const CAPACITY: usize = 1_024;

/// The longest `Origin` that anybody is asked about, in bytes. A host has at most 253.
const MAXIMUM_ORIGIN: usize = 512;

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
        if parts.method == Method::OPTIONS || origin.len() > MAXIMUM_ORIGIN {
            return None;
        }
        let host = parts.headers.get(header::HOST)?.to_str().ok();
        let path =
            ObjectPath::parse(host, &self.config.listener.base_domains, parts.uri.path()).ok()?;
        let bucket = path.bucket()?.as_str();
        policy::guard_bucket(bucket, self.state.name()).ok()?;
        Some(Question {
            bucket: bucket.to_owned(),
            origin: origin.clone(),
            method: parts.method.clone(),
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

    /// The storage's decision; `None` where it has none to give now. Whoever has no key can have it asked, so it takes a place of theirs.
    async fn ask(&self, question: &Question) -> Option<HeaderMap> {
        let _place = self.place_of_nobody().ok()?;
        let preflight = UpstreamRequest::new(Method::OPTIONS, Target::bucket(&question.bucket))
            .header(header::ORIGIN, question.origin.clone())
            .header(
                header::ACCESS_CONTROL_REQUEST_METHOD,
                HeaderValue::from_str(question.method.as_str()).ok()?,
            )
            .unsigned();
        let mut decision = match self.upstream.call(preflight).await {
            Ok(answer) => operation::cors_headers(answer.headers()),
            Err(error) if error.status.is_client_error() => return Some(HeaderMap::new()),
            Err(_) => return None,
        };
        if !decision.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return Some(HeaderMap::new());
        }
        // S3 says it to a preflight already, MinIO not.
        if !decision.contains_key(header::ACCESS_CONTROL_EXPOSE_HEADERS) {
            let request = UpstreamRequest::new(Method::HEAD, Target::bucket(&question.bucket))
                .header(header::ORIGIN, question.origin.clone());
            if let Ok(answer) = self.upstream.call(request).await
                && let Some(exposed) = answer.headers().get(header::ACCESS_CONTROL_EXPOSE_HEADERS)
            {
                decision.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
            }
        }
        // Caches on the way keep the answers for different pages apart.
        decision.insert(header::VARY, HeaderValue::from_static("Origin"));
        Some(decision)
    }
}
