//! Requests that are made with the credentials of a break-glass grant, and how whoever asked for one gets them.

use std::sync::Arc;

use sealgate_access::grant::{GrantError, GrantRequest, is_id};
use sealgate_access::rfc3339;
use sealgate_access::token::{Claims, LONGEST_SESSION, NewSession};
use sealgate_audit::{Decision, Event, Verdict};

use super::Gateway;
use super::live::Live;
use super::short_lived::issue;
use crate::{
    audit::Trail,
    auth::{Authenticated, Caller},
    body::ClientBody,
    error::S3Error,
    grants::{Granted, watched_upload},
    listener::ConnectionInfo,
    state::grants::GrantRecords,
    sts,
};

/// The role that stands for a grant is named `grant/ID`. No role of the configuration has a slash in its name.
pub(super) const ROLE_PREFIX: &str = "grant/";

impl Gateway {
    /// Whether a caller whose signature was verified may go on, and by which grant: all of it is verified, every time. The first use of a grant here is
    /// recorded with what was granted, so that the audit log says so whatever becomes of the record in the storage.
    ///
    /// # Errors
    /// `AccessDenied` and `InvalidToken`, and `ServiceUnavailable` where it cannot be recorded.
    pub(super) async fn admit(
        &self,
        live: &Live,
        caller: &Authenticated<Caller>,
        connection: &ConnectionInfo,
        trail: &Trail,
    ) -> Result<Option<Granted>, S3Error> {
        let session = caller.session.as_ref();
        let of_grant = session.filter(|claims| !claims.grant.is_empty());
        let granted = live.check(caller, connection).and_then(|()| {
            let verified = of_grant.map(|claims| self.grants.verify(claims));
            verified.transpose().map_err(|error| refusal(&error))
        });
        let granted = granted.inspect_err(|error| {
            // The text of a grant that counts was read when it was verified, and need not be read each time.
            if let Some(claims) = session {
                trail.claim(claims);
            }
            // That it can't be told at the moment is no decision.
            if !error.status.is_server_error() {
                trail.refuse();
            }
        })?;
        let Some(granted) = granted else {
            return Ok(None);
        };
        trail.granted(granted.id());
        if !self.grants.was_used(granted.id()) {
            let event = event_of(&granted, "GrantUsed", trail.request());
            if let Some(audit) = self.audit.get() {
                audit.record(vec![event]).await?;
            } else {
                tracing::info!(target: "sealgate::audit", grant = granted.id(), identity = granted.request().requester, "first use of a grant");
            }
            self.grants.remember_use(granted.id());
        }
        Ok(Some(granted))
    }

    /// The credentials of a grant, for its requester alone, who has signed this with their own: a configuration or a record helps nobody else.
    ///
    /// # Errors
    /// `AccessDenied`, and `ServiceUnavailable` where the record cannot be read or the decision not be recorded.
    pub(super) async fn assume_grant(
        &self,
        live: &Live,
        caller: &Authenticated<Caller>,
        (id, session): (&str, &str),
        asked: Option<u64>,
        trail: &Trail,
    ) -> Result<(String, sealgate_access::token::Session), S3Error> {
        let config = self
            .grants
            .config()
            .ok_or_else(|| refusal(&GrantError::NoRules))?;
        if !is_id(id) {
            return Err(sts::invalid(
                "RoleArn must end with role/grant/ID, of which the id has 32 of A-Z 2-7.",
            ));
        }
        trail.granted(id);
        let records = GrantRecords::new(self.state.clone());
        // Whether there is such a request is told to its requester alone.
        let unknown = || {
            S3Error::access_denied(
                "There is no grant of this id for you. Sign with the credentials of the identity that asked for it.",
            )
        };
        let Some((record, _)) = records.get(id).await? else {
            trail.refuse();
            return Err(unknown());
        };
        let request = record.request(id).map_err(|error| refusal(&error))?;
        if request.requester != *caller.identity {
            trail.refuse();
            return Err(unknown());
        }
        let votes = record.votes(&request.requester, &config.rules);
        if let Some(name) = votes.denied.first() {
            trail.refuse();
            return Err(S3Error::access_denied(format!(
                "The request was denied by {name}."
            )));
        }
        let text = record
            .grant(&request.requester, &config.rules)
            .to_text()
            .map_err(S3Error::internal)?;
        let before = caller.session.as_deref();
        // What the gateways would not take is not handed out.
        let claims = Claims {
            identity: request.requester.clone(),
            session: session.to_owned(),
            source: before.map_or_else(String::new, |claims| claims.source.clone()),
            signed_by: before.map_or_else(
                || caller.access_key_id.to_string(),
                |claims| claims.signed_by.clone(),
            ),
            access_key_id: String::new(),
            issued: 0,
            expires: 0,
            grant: text,
        };
        let claims = Arc::new(claims);
        let granted = self.grants.verify(&claims).map_err(|error| {
            trail.refuse();
            refusal(&error)
        })?;
        let now = self.grants.now();
        let ends = before.map_or(request.expires, |claims| {
            request.expires.min(claims.expires)
        });
        let left = ends.saturating_sub(now).min(LONGEST_SESSION);
        let new = NewSession {
            identity: &claims.identity,
            session: &claims.session,
            source: &claims.source,
            signed_by: &claims.signed_by,
            lifetime: asked.map_or(left, |asked| left.min(asked)),
            grant: &claims.grant,
        };
        let event = event_of(&granted, "GrantIssued", trail.request());
        if let Some(audit) = self.audit.get() {
            audit.record(vec![event]).await?;
        }
        issue(live, &new, trail).await
    }
}

/// What is said of a grant in the audit log: where, by whom, until when and why, in the order in which it may be cut.
fn event_of(granted: &Granted, operation: &str, request_id: &str) -> Event {
    let request = granted.request();
    let approvers: Vec<_> = granted.approvers().collect();
    Event::intent(Decision {
        request: request_id.to_owned(),
        identity: request.requester.clone(),
        grant: Some(request.id.clone()),
        operation: operation.to_owned(),
        bucket: Some(request.scope.bucket.clone()),
        key: Some(format!("{}*", request.scope.prefix)),
        policy: Some(format!(
            "approved by {}; {}",
            approvers.join(", "),
            terms(request)
        )),
        ..Decision::new(Verdict::Allow)
    })
}

/// What is granted, in one line.
pub(super) fn terms(request: &GrantRequest) -> String {
    format!(
        "{} until {} for {:?} {:?}",
        request.scope.actions.join(", "),
        rfc3339(request.expires),
        request.ticket,
        request.reason
    )
}

/// Whoever has the secret of the session may know why.
fn refusal(error: &GrantError) -> S3Error {
    S3Error::access_denied(format!("The grant does not count: {error}."))
}

/// A body that is taken only while the grant counts, where there is one.
pub(super) fn watched(body: ClientBody, granted: Option<&Granted>) -> ClientBody {
    match granted {
        Some(granted) => watched_upload(body, granted.clone()),
        None => body,
    }
}
