//! One request in the audit log.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{Response, header};
use http_body_util::BodyExt as _;
use sealgate_access::{
    grant::{Grant, GrantRequest, is_id},
    token::Claims,
};
use sealgate_audit::{
    Decision, Event, Outcome, Pending, Running, Verdict,
    limits::{MAX_EVENTS, MAX_KEY_IDS},
};
use sealgate_envelope::WorkingKeyId;

use super::{Audit, Standing, body::Followed};
use crate::{auth::Caller, error::S3Error, operation::ResponseBody};

/// What is done to an object beside the operation's name.
pub const DECRYPT: &str = "decrypt";
/// As [`DECRYPT`], for what writes.
pub const ENCRYPT: &str = "encrypt";

/// Refusals of one request that are recorded one by one; of more, the number is.
const MAX_REFUSED: usize = 100;

/// Objects of one request whose decisions are remembered, so that none is recorded twice: source and destination of a copy.
const REMEMBERED: usize = 4;

/// What was decided about one of many objects of a request.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The object's key.
    pub key: &'a str,
    /// Its version, where the request names one.
    pub version: Option<&'a str>,
    /// What was decided.
    pub verdict: Verdict,
    /// By which policies.
    pub policies: &'a [Arc<str>],
}

/// Who asks for what: known bit by bit.
#[derive(Clone, Debug, Default)]
struct Facts {
    identity: Option<Arc<str>>,
    access_key: Option<Arc<str>>,
    session: Option<String>,
    operation: Option<&'static str>,
    bucket: Option<String>,
    key: Option<String>,
    version: Option<String>,
    policy: Option<String>,
    grant: Option<String>,
    is_denied: bool,
}

/// What is done to which object: action, bucket and key.
type Subject = (Option<&'static str>, String, String);

/// A decision that was handed to the log before anybody waited for it.
#[derive(Debug, Default)]
enum Promise {
    /// There is none, or it is durable.
    #[default]
    Kept,
    /// It is on its way.
    Begun(Subject, Pending),
    /// It is not recorded, so the request must fail, whoever asks.
    Broken(S3Error),
}

#[derive(Debug, Default)]
struct State {
    facts: Facts,
    /// What is recorded, or counted as lost: neither happens twice.
    settled: Vec<Subject>,
    has_intents: bool,
    is_admitted: bool,
    key_ids: Vec<WorkingKeyId>,
    status: Option<u16>,
    error: Option<String>,
    bytes: u64,
    is_complete: bool,
}

impl State {
    fn settle(&mut self, subject: Subject) {
        if self.settled.len() < REMEMBERED {
            self.settled.push(subject);
        }
    }
}

/// Collects what is to be recorded of one request. With the last owner that drops it, the outcome is recorded.
#[derive(Debug)]
pub struct Trail {
    audit: Option<Arc<Audit>>,
    request: String,
    source: IpAddr,
    state: Mutex<State>,
    /// Locked while somebody waits for it, and left as it was where they give up.
    promise: tokio::sync::Mutex<Promise>,
    /// Until it is dropped, the log expects more of this request.
    _running: Option<Running>,
}

impl Trail {
    /// Of a request; without an audit log it records nothing.
    pub fn new(audit: Option<Arc<Audit>>, request: &str, source: IpAddr) -> Arc<Self> {
        let running = audit.as_ref().map(|audit| audit.log.run());
        Arc::new(Self {
            audit,
            _running: running,
            request: request.to_owned(),
            source,
            state: Mutex::default(),
            promise: tokio::sync::Mutex::default(),
        })
    }

    /// Whether anything is recorded.
    pub fn is_recorded(&self) -> bool {
        self.audit.is_some()
    }

    /// The id of the request.
    pub fn request(&self) -> &str {
        &self.request
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks; a grant is told by [`Self::granted`] where it counts, and by [`Self::claim`] where the request is refused.
    pub fn identify(&self, caller: &Caller) {
        if !self.is_recorded() {
            return;
        }
        if let Some(claims) = &caller.session {
            return self.name_session(claims);
        }
        let facts = &mut self.state().facts;
        facts.identity = Some(Arc::clone(&caller.identity));
        facts.access_key =
            (!caller.access_key_id.is_empty()).then(|| Arc::clone(&caller.access_key_id));
        facts.session = None;
    }

    /// Who asks, by a session of which the secret has signed, and by its grant, if it has one: whether that counts or not.
    pub fn claim(&self, claims: &Claims) {
        if !self.is_recorded() {
            return;
        }
        self.name_session(claims);
        let request =
            Grant::of_text(&claims.grant).and_then(|grant| GrantRequest::of_text(&grant.request));
        if let Some(request) = request.ok().filter(|request| is_id(&request.id)) {
            self.granted(&request.id);
        }
    }

    fn name_session(&self, claims: &Claims) {
        let parts = [&claims.access_key_id, &claims.session, &claims.source];
        let session = parts.map(String::as_str).join(" ");
        let facts = &mut self.state().facts;
        facts.identity = Some(claims.identity.as_str().into());
        facts.access_key = (!claims.signed_by.is_empty()).then(|| claims.signed_by.as_str().into());
        facts.session = Some(session.trim_end().to_owned());
    }

    /// Who asks, by a name alone.
    pub fn name(&self, identity: &Arc<str>) {
        self.state().facts.identity = Some(Arc::clone(identity));
    }

    /// Whoever asks may, within their bounds.
    pub fn admit(&self) {
        self.state().is_admitted = true;
    }

    /// What for. Texts are as long as S3 lets them be.
    pub fn ask(&self, operation: &'static str, bucket: &str, key: &str, version: Option<&str>) {
        if !self.is_recorded() {
            return;
        }
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut state = self.state();
        state.facts.operation = Some(operation);
        state.facts.bucket = present(bucket);
        state.facts.key = present(key);
        state.facts.version = version.map(str::to_owned);
    }

    /// By which policy the next decisions were made.
    pub fn decided_by(&self, policy: impl Into<String>) {
        self.state().facts.policy = Some(policy.into());
    }

    /// By which break-glass grant it is made.
    pub fn granted(&self, id: &str) {
        self.state().facts.grant = Some(id.to_owned());
    }

    /// The request was refused by a decision, and not for what it is.
    pub fn refuse(&self) {
        self.state().facts.is_denied = true;
    }

    /// Hands the log what is about to be done to an object, and returns before that is durable: for what changes nothing anywhere.
    /// [`Self::intend`], which every permit to open a key comes from, and [`Self::durable`] wait for it. Of one request, this comes first.
    ///
    /// # Errors
    /// As [`Self::intend`], where the log does not take it.
    pub async fn begin(
        &self,
        action: Option<&'static str>,
        bucket: &str,
        key: &str,
    ) -> Result<(), S3Error> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let event = self.decision(&self.state().facts, Verdict::Allow, action, bucket, key);
        let mut promise = self.promise.lock().await;
        let begun = audit.begin(vec![event]).await?;
        let subject = (action, bucket.to_owned(), key.to_owned());
        let Some(pending) = begun else {
            self.state().settle(subject);
            return Ok(());
        };
        *promise = Promise::Begun(subject, pending);
        // Its record precedes that of the outcome, even where the request is given up meanwhile.
        self.state().has_intents = true;
        Ok(())
    }

    /// Returns once what was begun is durable; at once where nothing was. Nothing is told of the request before.
    ///
    /// Cancel safety: when the future is dropped, another call goes on waiting.
    ///
    /// # Errors
    /// As [`Self::intend`], each time again.
    pub async fn durable(&self) -> Result<(), S3Error> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let mut promise = self.promise.lock().await;
        let recorded = match &mut *promise {
            Promise::Kept => return Ok(()),
            Promise::Broken(error) => return Err(error.clone()),
            Promise::Begun(_, pending) => audit.durable(pending, 1).await,
        };
        let begun = std::mem::take(&mut *promise);
        match recorded {
            Ok(is_recorded) => {
                let mut state = self.state();
                state.has_intents = is_recorded;
                if let Promise::Begun(subject, _) = begun {
                    state.settle(subject);
                }
                Ok(())
            }
            Err(error) => {
                self.state().has_intents = false;
                *promise = Promise::Broken(error.clone());
                Err(error)
            }
        }
    }

    /// Records that something is about to be done to an object, and returns once that is durable. What this request recorded already is not
    /// recorded again, nor what was counted as lost where the configuration lets requests go on.
    ///
    /// # Errors
    /// `ServiceUnavailable` where it can't be recorded, unless the configuration lets requests go on.
    pub async fn intend(
        &self,
        action: Option<&'static str>,
        bucket: &str,
        key: &str,
    ) -> Result<(), S3Error> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        self.durable().await?;
        let event = {
            let state = self.state();
            let is_same =
                |(known, of, name): &Subject| *known == action && of == bucket && name == key;
            if state.settled.iter().any(is_same) {
                return Ok(());
            }
            self.decision(&state.facts, Verdict::Allow, action, bucket, key)
        };
        let is_recorded = audit.record(vec![event]).await?;
        // Not before: a request that may not go on unrecorded must not do so the next time that it asks.
        let mut state = self.state();
        state.has_intents |= is_recorded;
        state.settle((action, bucket.to_owned(), key.to_owned()));
        Ok(())
    }

    /// Records what was decided about many objects of one bucket, for and against, each once, and returns once all of it is durable. Of refusals
    /// beyond the first hundred, one record says how many they are.
    ///
    /// # Errors
    /// As [`Self::intend`].
    pub async fn intend_each<'a>(
        &self,
        action: &'static str,
        bucket: &str,
        decided: impl IntoIterator<Item = Decided<'a>>,
    ) -> Result<(), S3Error> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let facts = self.state().facts.clone();
        let mut seen = HashSet::new();
        let (mut refused, mut left_out) = (0, 0_usize);
        let decided = decided.into_iter().filter(|one| {
            if !seen.insert((one.key, one.version)) {
                return false;
            }
            // What is refused costs the caller nothing: it must not fill the log.
            refused += usize::from(one.verdict == Verdict::Deny);
            let is_left_out = one.verdict == Verdict::Deny && refused > MAX_REFUSED;
            left_out += usize::from(is_left_out);
            !is_left_out
        });
        let of_one = |decided: Decided<'_>| {
            let facts = Facts {
                version: decided.version.map(str::to_owned),
                policy: (!decided.policies.is_empty()).then(|| decided.policies.join(", ")),
                ..facts.clone()
            };
            self.decision(&facts, decided.verdict, Some(action), bucket, decided.key)
        };
        let mut events: Vec<_> = decided.map(of_one).collect();
        if left_out > 0 {
            events.push(Event {
                reason: Some(format!("{left_out} more keys were refused")),
                ..self.decision(&facts, Verdict::Deny, Some(action), bucket, "")
            });
        }
        let mut events = events.into_iter();
        loop {
            let some: Vec<_> = events.by_ref().take(MAX_EVENTS).collect();
            if some.is_empty() {
                return Ok(());
            }
            if !audit.record(some).await? {
                return Ok(());
            }
            self.state().has_intents = true;
        }
    }

    fn decision(
        &self,
        facts: &Facts,
        verdict: Verdict,
        action: Option<&'static str>,
        bucket: &str,
        key: &str,
    ) -> Event {
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Event::intent(Decision {
            request: self.request.clone(),
            identity: facts.identity.as_deref().unwrap_or_default().to_owned(),
            access_key: facts.access_key.as_deref().map(str::to_owned),
            session: facts.session.clone(),
            source: Some(self.source.to_string()),
            operation: facts.operation.unwrap_or_default().to_owned(),
            action,
            bucket: present(bucket),
            key: present(key),
            version: facts.version.clone(),
            policy: facts.policy.clone(),
            grant: facts.grant.clone(),
            ..Decision::new(verdict)
        })
    }

    /// A working key was opened, or sealed with.
    pub fn used_key(&self, id: WorkingKeyId) {
        if !self.is_recorded() {
            return;
        }
        let mut state = self.state();
        if state.key_ids.len() <= MAX_KEY_IDS && !state.key_ids.contains(&id) {
            state.key_ids.push(id);
        }
    }

    /// What is answered.
    pub fn answer(&self, status: u16, error: Option<&S3Error>) {
        let mut state = self.state();
        state.status = Some(status);
        state.error = error.map(|error| error.code.to_string());
    }

    /// Ties the trail to the answer's body, so that it ends with it.
    pub fn follow(self: &Arc<Self>, response: Response<ResponseBody>) -> Response<ResponseBody> {
        if !self.is_recorded() {
            return response;
        }
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        response.map(|body| Followed::new(body, Arc::clone(self), length).boxed_unsync())
    }

    pub(super) fn sent(&self, bytes: u64, is_complete: bool) {
        let mut state = self.state();
        state.bytes = bytes;
        state.is_complete = is_complete;
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let Some(audit) = self.audit.take() else {
            return;
        };
        let state = std::mem::take(&mut *self.state());
        // Nobody learnt whether it is recorded.
        let is_open = matches!(self.promise.get_mut(), Promise::Begun(..));
        let outcome = Event::outcome(Outcome {
            request: self.request.clone(),
            status: state.status,
            error: state.error,
            bytes: state.bytes,
            complete: state.is_complete,
            key_ids: state.key_ids.iter().map(ToString::to_string).collect(),
        });
        // Where no decision is known to be recorded, the outcome says who asked for what as well.
        let facts = &state.facts;
        let is_denied = facts.is_denied || matches!(state.status, Some(401 | 403));
        let event = if state.has_intents && !is_open {
            // What was refused later than the first decision, by us: what the storage refused was nobody's decision here.
            Event {
                decision: facts.is_denied.then_some(Verdict::Deny),
                policy: facts.is_denied.then(|| facts.policy.clone()).flatten(),
                ..outcome
            }
        } else {
            let (bucket, key) = (facts.bucket.as_deref(), facts.key.as_deref());
            Event {
                status: outcome.status,
                error: outcome.error,
                bytes: outcome.bytes,
                complete: outcome.complete,
                key_ids: outcome.key_ids,
                kind: outcome.kind,
                decision: is_denied.then_some(Verdict::Deny),
                ..self.decision(
                    facts,
                    Verdict::Deny,
                    None,
                    bucket.unwrap_or_default(),
                    key.unwrap_or_default(),
                )
            }
        };
        let standing = match (state.has_intents, &state.facts.identity) {
            (true, _) => Standing::Decided,
            (false, Some(_)) if state.is_admitted => Standing::Known,
            (false, Some(_)) => Standing::TurnedAway,
            (false, None) => Standing::Stranger,
        };
        audit.submit(event, standing);
    }
}
