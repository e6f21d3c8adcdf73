//! The gateway: what every request passes on its way from the listener to its operation.
//!
//! ```text
//! limits ─ auth ─ route ─ policy ─ operation ─ upstream
//! ```
//!
//! [`Gateway::handle`] takes a request from the listener and always has an answer: errors become S3 error documents here, and one line is
//! logged for every request.

mod assembly;
mod audience;
mod authorization;
mod control_watch;
mod forms;
pub mod gc;
mod grants;
mod grants_watch;
mod guarded;
mod hoisted;
mod key_services;
mod key_sets;
pub(crate) mod key_status;
mod key_watch;
mod live;
mod missing;
mod no_keys;
mod pages;
mod places;
pub mod probe;
mod quorum;
mod recovery_senders;
mod revocations_watch;
pub(crate) mod rewrap;
mod self_check;
mod short_lived;
#[cfg(test)]
mod storage_tests;
mod storage_watch;
mod stored_credentials;
mod throttling;
mod verification;

use std::{
    sync::{Arc, OnceLock},
    time::{Instant, SystemTime},
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sealgate_envelope::{key_service::KeyService, keyring::Keyring};
use tokio::sync::Semaphore;

use self::grants::watched;
use self::key_watch::KeyChecks;
use self::live::Live;
use self::storage_watch::StorageChecks;
use self::stored_credentials::StoredCredentials;
use self::throttling::{note_failure, paced};
use crate::{
    admin::Health,
    audit::{Audit, Trail},
    auth::{self, AuthSettings, Authenticated, Caller},
    config::Config,
    detached::Detached,
    error::S3Error,
    grants::{Authority, watched_answer},
    listener::{ConnectionInfo, Malformed},
    metrics::{Counted, Measured, Metrics},
    object::{CommitCache, ServedTags},
    object_key::{BucketName, ObjectKey, ObjectPath},
    operation::{self, Exchange, empty, named},
    policy::{self, Rights},
    query_string::QueryString,
    route::{self, Operation, Unsigned},
    state::{StateBucket, Uploads},
    throttle::Pace,
    upstream::{DocumentMemory, Upstream},
    xml::answers::ErrorAnswer,
};

pub(crate) use self::assembly::{now_in_milliseconds, state_bucket, upstream};
pub(crate) use self::key_services::{key_service, open_local};
pub(crate) use self::places::Place;
pub(crate) use self::recovery_senders::RecoverySenders;
pub use crate::operation::ResponseBody;

/// The most bytes of names and values in the headers of one request.
const MAXIMUM_HEADER_SECTION: usize = 8 << 10;

/// A running gateway: configuration, keys and connections. Everything that it remembers may vanish at any time without loss.
pub struct Gateway {
    pub(crate) config: Arc<Config>,
    pub(crate) upstream: Upstream,
    pub(crate) state: StateBucket,
    pub(crate) uploads: Uploads,
    pub(crate) keyring: Arc<Keyring>,
    /// The key services of the keyring, in the order of the configuration.
    pub(crate) key_services: Vec<Arc<dyn KeyService>>,
    /// What wraps working keys for offline recovery keys.
    pub(crate) recovery: Arc<RecoverySenders>,
    pub(crate) commits: CommitCache,
    pub(crate) served_tags: ServedTags,
    /// Bytes that small objects may hold in memory, all together.
    pub(crate) small_object_memory: Arc<Semaphore>,
    /// What tells this replica from others: `x-amz-id-2`.
    pub(crate) host_id: String,
    /// Bytes that documents may hold in memory, all together.
    pub(crate) document_memory: DocumentMemory,
    /// Whether it can do its work now.
    pub(crate) health: Arc<Health>,
    /// What it counts.
    pub(crate) metrics: Arc<Metrics>,
    storage_checks: StorageChecks,
    key_checks: KeyChecks,
    /// Access keys that lie in a directory.
    stored_credentials: StoredCredentials,
    /// The log of decisions, once it is open.
    audit: OnceLock<Arc<Audit>>,
    /// What grants are worth.
    grants: Arc<Authority>,
    auth_settings: AuthSettings,
    live: ArcSwap<Live>,
    pages: pages::Decisions,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("upstream", &self.upstream)
            .field("deployment", &self.config.deployment)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Opens the audit log of the configuration, and records every decision in it from now on. Only the process that serves does: a log has
    /// one writer.
    ///
    /// # Errors
    ///
    /// Where the log can't be opened; a gateway that should record must not start without.
    pub fn record_decisions(&self) -> anyhow::Result<()> {
        if let Some(config) = &self.config.audit {
            let audit = Audit::open(config)?;
            audit.send(config)?;
            audit.watch(config, &self.health);
            self.metrics.watch_audit(Arc::clone(&audit))?;
            anyhow::ensure!(
                self.audit.set(audit).is_ok(),
                "the audit log is open already"
            );
        }
        Ok(())
    }

    /// Ends the audit log in order.
    pub(crate) async fn close_audit(&self) {
        if let Some(audit) = self.audit.get() {
            audit.close().await;
        }
    }

    /// Answers one request.
    ///
    /// Cancel safety: when the future is dropped because the client went away, reads end; writes go on to their own end, so that a part whose
    /// last segment was released also gets its record; after a quarter of an hour they are given up, too.
    pub async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: ConnectionInfo,
    ) -> Response<Measured<ResponseBody>> {
        let mut running = self.metrics.requests.begin();
        let started = Instant::now();
        let request_id = new_request_id();
        let (parts, body) = request.into_parts();
        let mut line = LogLine {
            method: parts.method.clone(),
            uri: auth::redacted_uri(&parts.uri),
            operation: "-",
            identity: None,
        };
        let resource = parts.uri.path().to_owned();
        let is_sts = self.is_about_credentials(&parts);
        let question = self.question(&parts);
        let trail = Trail::new(self.audit.get().cloned(), &request_id, connection.client);
        let outcome = Arc::clone(&self)
            .answer(parts, body, connection.clone(), &trail, &mut line)
            .await;
        let error = outcome.as_ref().err().cloned();
        let mut response = outcome.unwrap_or_else(|error| {
            if is_sts {
                return short_lived::error_response(&error, &request_id);
            }
            error_response(&error, &resource, &request_id, &self.host_id, &line.method)
        });
        if let Some(question) = question {
            let question = question.asked_by(line.identity.is_some());
            self.show(&question, response.headers_mut()).await;
        }
        for (name, value) in [
            ("x-amz-request-id", &request_id),
            ("x-amz-id-2", &self.host_id),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(named(name), value);
            }
        }
        response
            .headers_mut()
            .insert(http::header::SERVER, HeaderValue::from_static("sealgate"));
        // hyper writes the date that it has until the clock passes it. When a clock was set back, that would be wrong for as long, and SDKs
        // that take the time from answers would sign for it.
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
            response.headers_mut().insert(http::header::DATE, date);
        }
        line.write(
            &request_id,
            &connection,
            response.status().as_u16(),
            error.as_ref(),
            started,
        );
        let code = error.as_ref().map(|error| &*error.code);
        running.end(line.operation, response.status(), code);
        if error
            .as_ref()
            .is_some_and(|error| error.is_about_stored_data)
        {
            self.metrics.requests.unverified().inc();
        }
        trail.answer(response.status().as_u16(), error.as_ref());
        Measured::answer(trail.follow(response), running)
    }

    /// What S3 says of a request before it looks at the signature. The host that it takes is not proven yet, and decides nothing else.
    fn misfit(&self, parts: &Parts) -> Option<S3Error> {
        let host = auth::received_host(parts);
        let path =
            ObjectPath::parse(host, &self.config.listener.base_domains, parts.uri.path()).ok()?;
        let query = QueryString::parse(parts.uri.query()).ok()?;
        route::misfit(&parts.method, path.target(), &query, &parts.headers)
    }

    fn is_migrating(&self, path: &ObjectPath) -> bool {
        match (path.bucket(), path.key()) {
            (Some(bucket), Some(key)) => self.config.is_migrating(bucket.as_str(), key.as_str()),
            _ => false,
        }
    }

    async fn answer(
        self: Arc<Self>,
        parts: Parts,
        body: Incoming,
        connection: ConnectionInfo,
        trail: &Arc<Trail>,
        line: &mut LogLine,
    ) -> Result<Response<ResponseBody>, S3Error> {
        if let Some(malformed) = parts.extensions.get::<Malformed>() {
            return Err((*malformed).into());
        }
        check_header_section(&parts.headers)?;
        let query = parts.uri.query().unwrap_or_default();
        let kind = route::unsigned(&parts.method, query, &parts.headers);
        let live = self.live.load_full();
        let address = self.admit_address(&live, connection.client)?;
        let place = match kind {
            None => live.places.signed()?,
            Some(kind) => live.places.unsigned(kind)?,
        };
        let of_address = address.as_ref().map(|share| share.begin()).transpose();
        place.hold(self.within(of_address, "address")?.flatten());
        let body = Counted::new(body, self.metrics.requests.received());
        let body = body.map_err(Into::into).boxed();
        if self.is_about_credentials(&parts) {
            return self
                .answer_about_credentials(parts, body, &connection, (&live, place), trail, line)
                .await;
        }
        if let Some(error) = self.misfit(&parts) {
            return Err(error);
        }
        if kind == Some(Unsigned::Form) {
            return self
                .answer_form(
                    parts,
                    body,
                    &connection,
                    (address, place),
                    Arc::clone(trail),
                    line,
                )
                .await;
        }
        let caller = self
            .caller(&live, &parts, kind, trail)
            .inspect_err(|error| note_failure(&live, connection.client, error))?;
        line.identity = Some(caller.label());
        let granted = if caller.is_anonymous {
            None
        } else {
            trail.identify(&caller);
            self.admit(&live, &caller, &connection, trail).await?
        };
        let identity = self.admit_identity(&live, &caller, &place, trail)?;
        let pace = Pace::new(address.into_iter().chain(identity));
        let body = watched(paced(body, &pace), granted.as_ref());
        let path = route::locate(
            Some(&caller.host),
            &self.config.listener.base_domains,
            parts.uri.path(),
            &parts.headers,
        )?;
        if let Some(bucket) = path.bucket() {
            policy::guard_bucket(bucket.as_str(), self.state.name())?;
        }
        let wire_query = match kind {
            // Whatever it says, a preflight is about the path.
            Some(Unsigned::Preflight) => String::new(),
            _ => auth::strip_auth_query(parts.uri.query().unwrap_or_default()),
        };
        let query = QueryString::parse(Some(&wire_query))
            .map_err(|error| S3Error::invalid_argument(error.to_string()))?;
        let mut headers = parts.headers;
        if caller.presigned {
            hoisted::restore(&query, &mut headers)?;
        }
        let operation = match kind {
            Some(Unsigned::Preflight) => Operation::OptionsObject,
            _ => route::route(&caller, &parts.method, &path, &query, &headers)?,
        };
        line.operation = operation.name();
        trail.ask(
            operation.name(),
            path.bucket().map(BucketName::as_str).unwrap_or_default(),
            path.key().map(ObjectKey::as_str).unwrap_or_default(),
            query.unique("versionId").ok().flatten(),
        );
        let upstream_query = route::upstream_query(&operation, &query);
        if caller.is_anonymous {
            policy::permit_anonymous(&self.config.anonymous, &operation, &path, &query)?;
            policy::strip_anonymous(&mut headers);
            trail.identify(&caller);
        }
        let rights = self.authorized(
            &live,
            (&caller, &connection),
            granted.clone(),
            (&operation, &path),
            (&query, &headers),
            trail,
        )?;
        let is_anonymous = caller.is_anonymous;
        let asked = (path.clone(), operation.clone(), rights.clone());
        let writes = operation.writes();
        if writes && self.is_migrating(&path) {
            operation::admit_tags_in_the_clear(&mut headers);
        }
        let exchange = Exchange {
            gateway: Arc::clone(&self),
            caller,
            request_id: trail.request().to_owned(),
            trail: Arc::clone(trail),
            rights,
            scheme: connection.scheme,
            operation,
            method: parts.method,
            path,
            query,
            upstream_query,
            headers,
            body: Some(body),
            _place: Arc::clone(&place),
        };
        let outcome = if writes {
            // Not tied to the client's connection: see `handle` on cancel safety.
            Detached::begin(trail.request(), operation::run(exchange)).await
        } else {
            operation::run(exchange).await
        };
        let response = outcome.map_err(|error| {
            let (path, operation, rights) = &asked;
            if is_anonymous {
                let error = rights.conceal_absence(error);
                policy::conceal_absence(&self.config.anonymous, operation, path, error)
            } else {
                told(error, rights, path, operation)
            }
        })?;
        let response = match granted {
            Some(granted) => watched_answer(response, granted),
            None => response,
        };
        Ok(guarded::hold(response, place, pace))
    }

    /// Who makes the request: whoever signed it, or nobody, where that may be enough.
    fn caller(
        &self,
        live: &Live,
        parts: &Parts,
        kind: Option<Unsigned>,
        trail: &Trail,
    ) -> Result<Authenticated<Caller>, S3Error> {
        match kind {
            None => auth::authenticate(
                parts,
                &live.credentials,
                &self.auth_settings,
                SystemTime::now(),
            )
            .map_err(|error| live.refusal(error, trail)),
            Some(Unsigned::Anonymous | Unsigned::Form) if self.config.anonymous.is_empty() => {
                Err(policy::refusal())
            }
            Some(_) => Ok(auth::anonymous(parts, &self.auth_settings)?),
        }
    }
}

/// What whoever signed a request is told of its error.
pub(crate) fn told(
    error: S3Error,
    rights: &Rights,
    path: &ObjectPath,
    operation: &Operation,
) -> S3Error {
    missing::named(rights.conceal_absence(error), path, operation)
}

/// Refuses what S3 refuses: names and values of more bytes than any of its operations takes (S3 API Reference, PutObject).
fn check_header_section(headers: &HeaderMap) -> Result<(), S3Error> {
    let length: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if length <= MAXIMUM_HEADER_SECTION {
        return Ok(());
    }
    Err(S3Error::new(
        StatusCode::BAD_REQUEST,
        "RequestHeaderSectionTooLarge",
        "Your request header section exceeds the maximum allowed size.",
    )
    .with_element("MaxSizeAllowed", MAXIMUM_HEADER_SECTION.to_string()))
}

/// 16 random hexadecimal digits.
pub(crate) fn new_request_id() -> String {
    let mut bytes = [0_u8; 8];
    // A request id is no secret: without randomness the time has to do.
    if getrandom::fill(&mut bytes).is_err() {
        let nanoseconds = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |elapsed| elapsed.subsec_nanos());
        bytes = u64::from(nanoseconds).to_be_bytes();
    }
    data_encoding::HEXUPPER.encode(&bytes)
}

fn error_response(
    error: &S3Error,
    resource: &str,
    request_id: &str,
    host_id: &str,
    method: &Method,
) -> Response<ResponseBody> {
    if *method == Method::HEAD || error.status == http::StatusCode::NOT_MODIFIED {
        return empty(error.status, error.headers.clone());
    }
    let details: Vec<(&'static str, &str)> = error
        .elements
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let document = ErrorAnswer {
        code: &error.code,
        message: &error.message,
        resource: Some(resource),
        request_id,
        host_id,
        details: &details,
    }
    .to_document();
    operation::document(error.status, error.headers.clone(), document)
}

/// What the log says of a request. Secrets and signatures of presigned URLs have been taken out of the URI.
struct LogLine {
    method: Method,
    uri: String,
    operation: &'static str,
    identity: Option<Arc<str>>,
}

impl LogLine {
    fn write(
        &self,
        request_id: &str,
        connection: &ConnectionInfo,
        status: u16,
        error: Option<&S3Error>,
        started: Instant,
    ) {
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let identity = self.identity.as_deref().unwrap_or("-");
        match error {
            Some(error) if status >= 500 => tracing::error!(
                request_id, peer = %connection.peer, client = %connection.client, identity, operation = self.operation, method = %self.method, uri = %self.uri, status, milliseconds,
                code = %error.code, detail = error.detail.as_deref().unwrap_or(&error.message), "request failed"
            ),
            Some(error) => tracing::info!(
                request_id, peer = %connection.peer, client = %connection.client, identity, operation = self.operation, method = %self.method, uri = %self.uri, status, milliseconds,
                code = %error.code, detail = error.detail.as_deref().unwrap_or(&error.message), "request refused"
            ),
            None => tracing::info!(
                request_id, peer = %connection.peer, client = %connection.client, identity, operation = self.operation, method = %self.method, uri = %self.uri, status, milliseconds,
                "request"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_section_has_at_most_8_kib() {
        let with = |length: usize| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&"d".repeat(length)).unwrap();
            headers.insert(named("x-amz-meta-a"), value);
            check_header_section(&headers)
        };
        assert!(with(8_192 - "x-amz-meta-a".len()).is_ok());
        let error = with(8_193 - "x-amz-meta-a".len()).unwrap_err();
        assert_eq!(error.code, "RequestHeaderSectionTooLarge");
    }
}
