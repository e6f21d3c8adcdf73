//! Short-lived credentials: who gets a session, and for how long. Any replica that has the same secrets opens its token; nothing is stored.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use sealgate_access::{
    SessionFacts,
    token::{Claims, LONGEST_SESSION, NewSession, Session, TOKEN_ENTROPY, TokenError},
    web_identity::WebIdentityError,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    Gateway, LogLine, grants::ROLE_PREFIX, key_sets::Disbelief, live::Live, places::Place,
    throttling::note_failure,
};
use crate::{
    audit::Trail,
    auth::{self, Authenticated, Caller},
    body::ClientBody,
    config::{RoleConfig, SHORTEST},
    error::S3Error,
    listener::ConnectionInfo,
    object_key::ObjectPath,
    operation::{ResponseBody, whole},
    sts::{self, Action, Answer, Ask, Credentials, WebIdentityToken},
};

/// How long a session of an identity lasts where nobody says, as AWS STS has it (GetSessionToken, `DurationSeconds`).
const USUAL_OF_IDENTITY: Duration = Duration::from_hours(12);

/// How long a session of a role lasts where nobody says, as AWS STS has it (AssumeRole, `DurationSeconds`).
const USUAL_OF_ROLE: Duration = Duration::from_hours(1);

/// What a policy may ask about a session.
pub(super) fn facts(claims: &Claims) -> SessionFacts {
    SessionFacts {
        name: claims.session.clone(),
        source: claims.source.clone(),
        issued: moment(claims.issued),
    }
}

fn moment(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// What whoever asks with a session is told of which nothing is left, as S3 says it.
fn ended() -> S3Error {
    S3Error::new(
        StatusCode::BAD_REQUEST,
        "ExpiredToken",
        "The provided token has expired.",
    )
}

/// A refusal in the form of STS.
pub(super) fn error_response(error: &S3Error, request_id: &str) -> Response<ResponseBody> {
    let document = sts::error_document(error, request_id);
    respond(error.status, error.headers.clone(), document)
}

fn respond(
    status: StatusCode,
    mut headers: http::HeaderMap,
    document: crate::xml::Document,
) -> Response<ResponseBody> {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    // What is in it is for its client alone.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    whole(status, headers, document.into_bytes())
}

/// Who asks for a role.
struct Applicant<'a> {
    source: &'a str,
    /// The long-lived access key by which it asks; empty for a web identity.
    signed_by: &'a str,
    session: &'a str,
    /// Until when the session lasts with which it asks, in seconds since 1970.
    ends: Option<u64>,
}

impl Gateway {
    /// Whether a request is for credentials, and not for a bucket or an object.
    pub(super) fn is_about_credentials(&self, parts: &Parts) -> bool {
        let host = auth::received_host(parts);
        let domains = &self.config.listener.base_domains;
        // Most requests are no POST, and need no look at their path.
        parts.method == Method::POST
            && ObjectPath::parse(host, domains, parts.uri.path())
                .is_ok_and(|path| sts::is_request(&parts.method, path.target(), &parts.headers))
    }

    /// Answers a request for credentials.
    pub(super) async fn answer_about_credentials(
        &self,
        parts: Parts,
        body: ClientBody,
        connection: &ConnectionInfo,
        (live, place): (&Live, Place),
        trail: &Arc<Trail>,
        line: &mut LogLine,
    ) -> Result<Response<ResponseBody>, S3Error> {
        line.operation = "STS";
        trail.ask(line.operation, "", "", None);
        let body = self.whole_form(body).await?;
        let text = std::str::from_utf8(&body).map_err(|_| sts::invalid("The body is no form."))?;
        let action = Action::parse(text)?;
        line.operation = action.name();
        trail.ask(line.operation, "", "", None);
        let document = if let Ask::RoleWithWebIdentity {
            role,
            session,
            token,
        } = &action.ask
        {
            let asked = (role.as_str(), session.as_str(), action.duration);
            self.assume_with_web_identity(live, asked, token, trail, line)
                .await
                .inspect_err(|error| note_failure(live, connection.client, error))?
        } else {
            let settings = &self.auth_settings;
            let caller = auth::authenticate_sts(
                &parts,
                &body,
                &live.credentials,
                settings,
                SystemTime::now(),
            )
            .map_err(|error| live.refusal(error, trail))
            .inspect_err(|error| note_failure(live, connection.client, error))?;
            line.identity = Some(caller.label());
            trail.identify(&caller);
            let granted = self.admit(live, &caller, connection, trail).await?;
            if granted.is_some() && action.ask != Ask::CallerIdentity {
                trail.refuse();
                return Err(S3Error::access_denied(
                    "Credentials of a grant get no others: what they may do is what was approved.",
                ));
            }
            self.admit_identity(live, &caller, &place, trail)?;
            self.answer_caller(live, &caller, &action, trail).await?
        };
        drop(place);
        Ok(respond(StatusCode::OK, http::HeaderMap::new(), document))
    }

    /// Nobody is known yet, so the form has to come as fast as the head of a request.
    async fn whole_form(&self, mut body: ClientBody) -> Result<Zeroizing<Vec<u8>>, S3Error> {
        let unreadable = || sts::invalid("The body cannot be read.");
        let limit = self.config.limits.header_timeout;
        let collected = async {
            // As long as it may be at once, so that no copy of a token is left behind where it grew.
            let mut form = Zeroizing::new(Vec::with_capacity(sts::BODY_LIMIT));
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| unreadable().with_detail(error))?;
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                if form.len() + data.len() > sts::BODY_LIMIT {
                    let limit = sts::BODY_LIMIT;
                    return Err(sts::invalid(format!(
                        "The body is longer than {limit} bytes."
                    )));
                }
                form.extend_from_slice(&data);
            }
            Ok(form)
        };
        tokio::time::timeout(limit, collected).await.map_err(|_| {
            sts::invalid(format!(
                "The body did not come within {} seconds.",
                limit.as_secs()
            ))
        })?
    }

    /// What somebody gets who signed.
    async fn answer_caller(
        &self,
        live: &Live,
        caller: &Authenticated<Caller>,
        action: &Action,
        trail: &Trail,
    ) -> Result<crate::xml::Document, S3Error> {
        let request_id = trail.request();
        match &action.ask {
            Ask::SessionToken => {
                if caller.session.is_some() {
                    return Err(S3Error::access_denied(
                        "Cannot call GetSessionToken with session credentials: sign with a long-lived access key.",
                    ));
                }
                let longest = live.sessions.as_ref().map(|sessions| sessions.max_duration);
                let longest = longest.ok_or_else(no_sessions)?;
                let new = NewSession {
                    identity: &caller.identity,
                    session: "",
                    source: "",
                    signed_by: &caller.access_key_id,
                    lifetime: lifetime(action.duration, USUAL_OF_IDENTITY, longest)?,
                    grant: "",
                };
                let (token, session) = issue(live, &new, trail).await?;
                Ok(Answer::SessionToken(credentials(&token, &session)).to_document(request_id))
            }
            Ask::Role { role, session } if role.starts_with(ROLE_PREFIX) => {
                let id = role.trim_start_matches(ROLE_PREFIX);
                let longest = Duration::from_secs(LONGEST_SESSION);
                let asked = action.duration;
                let asked = asked
                    .map(|asked| lifetime(Some(asked), asked, longest))
                    .transpose()?;
                let grant = (id, session.as_str());
                let (token, made) = self.assume_grant(live, caller, grant, asked, trail).await?;
                let answer = Answer::Role {
                    credentials: credentials(&token, &made),
                    role,
                    session,
                };
                Ok(answer.to_document(request_id))
            }
            Ask::Role { role, session } => {
                let role = live
                    .roles
                    .get(role)
                    .filter(|role| live.may_assume(role, &caller.identity))
                    .ok_or_else(|| not_authorized(&caller.identity, "sts:AssumeRole", role))?;
                let applicant = Applicant {
                    source: &caller.identity,
                    signed_by: caller
                        .session
                        .as_ref()
                        .map_or(&*caller.access_key_id, |claims| &claims.signed_by),
                    session,
                    ends: caller.session.as_ref().map(|claims| claims.expires),
                };
                let (token, made) = assume(live, role, &applicant, action.duration, trail).await?;
                let answer = Answer::Role {
                    credentials: credentials(&token, &made),
                    role: &role.name,
                    session,
                };
                Ok(answer.to_document(request_id))
            }
            Ask::RoleWithWebIdentity { .. } | Ask::CallerIdentity => {
                let session = caller.session.as_ref();
                let answer = Answer::CallerIdentity {
                    name: &caller.identity,
                    session: session
                        .filter(|claims| !claims.source.is_empty())
                        .map(|claims| claims.session.as_str()),
                };
                Ok(answer.to_document(request_id))
            }
        }
    }

    /// What somebody gets for whom a provider vouches.
    async fn assume_with_web_identity(
        &self,
        live: &Live,
        (name, session, duration): (&str, &str, Option<Duration>),
        token: &WebIdentityToken,
        trail: &Trail,
        line: &mut LogLine,
    ) -> Result<crate::xml::Document, S3Error> {
        const ACTION: &str = "sts:AssumeRoleWithWebIdentity";
        // Whether there is such a role is not told: it has no trust then, as one that trusts others.
        let role = live
            .roles
            .get(name)
            .filter(|role| !role.web_identities.is_empty())
            .ok_or_else(|| not_authorized("web identity", ACTION, name))?;
        let mut refusal = not_authorized("web identity", ACTION, name);
        let mut asked: Vec<&str> = Vec::new();
        for trust in &role.web_identities {
            let Some(keys) = live.key_sets.get(&trust.provider) else {
                continue;
            };
            if asked.contains(&trust.provider.as_str()) {
                continue;
            }
            asked.push(&trust.provider);
            let identity = match keys.verify(token.expose(), now()).await {
                Ok(identity) => identity,
                Err(error) => {
                    refusal = disbelieved(error);
                    continue;
                }
            };
            let source = format!("{}/{}", trust.provider, identity.subject);
            let label: Arc<str> = source.as_str().into();
            line.identity = Some(Arc::clone(&label));
            trail.name(&label);
            let is_trusted = role
                .web_identities
                .iter()
                .any(|other| other.provider == trust.provider && other.matches(&identity.subject));
            if !is_trusted {
                return Err(not_authorized(&source, ACTION, name));
            }
            let applicant = Applicant {
                source: &source,
                signed_by: "",
                session,
                ends: None,
            };
            let (token, made) = assume(live, role, &applicant, duration, trail).await?;
            let answer = Answer::RoleWithWebIdentity {
                credentials: credentials(&token, &made),
                role: &role.name,
                session,
                subject: &identity.subject,
                issuer: &identity.issuer,
            };
            return Ok(answer.to_document(trail.request()));
        }
        Err(refusal)
    }
}

/// A session of a role.
async fn assume(
    live: &Live,
    role: &RoleConfig,
    applicant: &Applicant<'_>,
    duration: Option<Duration>,
    trail: &Trail,
) -> Result<(String, Session), S3Error> {
    let lifetime = lifetime(duration, USUAL_OF_ROLE, role.max_duration)?;
    // It does not outlive the session that it comes from.
    let left = applicant.ends.map(|ends| ends.saturating_sub(now()));
    let new = NewSession {
        identity: &role.name,
        session: applicant.session,
        source: applicant.source,
        signed_by: applicant.signed_by,
        lifetime: left.map_or(lifetime, |left| lifetime.min(left)),
        grant: "",
    };
    issue(live, &new, trail).await
}

/// Makes a session, and hands it out once that is recorded.
pub(super) async fn issue(
    live: &Live,
    new: &NewSession<'_>,
    trail: &Trail,
) -> Result<(String, Session), S3Error> {
    let sessions = live.sessions.as_ref().ok_or_else(no_sessions)?;
    let mut entropy = [0; TOKEN_ENTROPY];
    getrandom::fill(&mut entropy)
        .map_err(|error| S3Error::internal(format!("the system has no randomness: {error}")))?;
    let made = sessions.keys.issue(new, now(), &entropy);
    let (token, session) = made.map_err(|error| match error {
        TokenError::TooLong => sts::invalid("The names in the session are too long."),
        // What is left of the session that asks.
        TokenError::Lifetime => ended(),
        error => S3Error::internal(error.to_string()),
    })?;
    let claims = &session.claims;
    trail.decided_by(if new.source.is_empty() {
        // A session has a name where it is of a grant.
        let name = format!("session {} {}", claims.session, claims.access_key_id);
        name.replace("  ", " ")
    } else {
        format!(
            "role {}, session {} {}",
            claims.identity, claims.session, claims.access_key_id
        )
    });
    trail.intend(None, "", "").await?;
    Ok((token, session))
}

fn credentials<'a>(token: &'a str, session: &'a Session) -> Credentials<'a> {
    Credentials {
        access_key_id: &session.claims.access_key_id,
        secret_access_key: &session.secret_access_key,
        session_token: token,
        expiration: moment(session.claims.expires),
    }
}

/// How long a session lasts, in seconds.
fn lifetime(asked: Option<Duration>, usual: Duration, longest: Duration) -> Result<u64, S3Error> {
    let lifetime = asked.unwrap_or(usual.min(longest));
    if (SHORTEST..=longest).contains(&lifetime) {
        return Ok(lifetime.as_secs());
    }
    Err(sts::invalid(format!(
        "DurationSeconds must be {} to {}, the max_duration of the gateway's configuration.",
        SHORTEST.as_secs(),
        longest.as_secs()
    )))
}

fn no_sessions() -> S3Error {
    S3Error::access_denied(
        "This gateway makes no sessions: its configuration has no [sessions]. Sign requests with a long-lived access key.",
    )
}

/// As AWS says it. Whether there is such a role is not told.
fn not_authorized(who: &str, action: &str, role: &str) -> S3Error {
    S3Error::access_denied(format!(
        "User: {who:.300} is not authorized to perform: {action} on resource: {role:.128}"
    ))
}

fn disbelieved(error: Disbelief) -> S3Error {
    let bad = |code, message: String| S3Error::new(StatusCode::BAD_REQUEST, code, message);
    match error {
        Disbelief::Token(WebIdentityError::Expired) => bad(
            "ExpiredTokenException",
            "The web identity token has expired.".to_owned(),
        ),
        Disbelief::Token(error) => bad("InvalidIdentityToken", format!("{error}.")),
        Disbelief::Keys(error) => bad(
            "IDPCommunicationError",
            "The identity provider cannot be reached, so that its token cannot be verified. Please try again.".to_owned(),
        )
        .with_detail(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_last_as_long_as_was_asked_for_within_bounds() {
        let hour = Duration::from_hours(1);
        let asked = |seconds| lifetime(Some(Duration::from_secs(seconds)), 12 * hour, hour);
        assert_eq!(asked(900).unwrap(), 900);
        assert_eq!(asked(3_600).unwrap(), 3_600);
        for seconds in [0, 899, 3_601] {
            assert_eq!(asked(seconds).unwrap_err().code, "ValidationError");
        }
        assert_eq!(lifetime(None, 12 * hour, hour).unwrap(), 3_600);
        assert_eq!(lifetime(None, hour, 2 * hour).unwrap(), 3_600);
    }
}
