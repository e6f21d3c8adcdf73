//! The decision: is this request signed by a key we know?

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, DATE, HeaderMap};
use http::request::Parts;
use sealgate_access::token::Claims;

use super::authorization::{Authorization, parse_authorization};
use super::canonical::{
    CanonicalRequest, UNSIGNED_PAYLOAD, canonical_query, credential_scope, credential_scope_for,
};
use super::claim::{ClaimedCredential, SignedHeaders};
use super::credentials::{CredentialStore, Signer};
use super::error::AuthError;
use super::host;
use super::keys::{Service, Signature, SigningKey};
use super::limits::MAX_CLOCK_SKEW;
use super::payload::{ChunkSigner, DeclaredPayload, PayloadMode};
use super::presigned::{check_size, is_presigned, parse_presigned_query};
use super::session::SecurityToken;
use super::timestamp::AmzDate;

/// The header that brings the token of a session.
pub(super) const SECURITY_TOKEN: &str = "x-amz-security-token";

/// Headers that need no signature although they begin with `x-amz-`: they describe the body's framing and checksums,
/// SDKs add them after signing, and none of them can turn the request into another operation.
const UNSIGNED_HEADERS: [&str; 5] = [
    "x-amz-checksum-algorithm",
    "x-amz-content-sha256",
    "x-amz-decoded-content-length",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
];

/// What the verifier has to know about this gateway.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Host names (with port, where clients use one) under which clients reach us through a terminator that replaces
    /// the `Host` header. Matched exactly as clients sign them.
    pub external_hosts: Vec<String>,
    /// Regions that may be signed for; `None` accepts any.
    pub regions: Option<Vec<String>>,
    /// The default port of the scheme that clients use: 443 for https, 80 for http.
    pub default_port: u16,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            external_hosts: Vec::new(),
            regions: None,
            default_port: 443,
        }
    }
}

/// Proof that it was found out who makes a request: only this module makes one, from a verified signature, or for nobody in particular
/// ([`Caller::is_anonymous`]), to whom policy then grants next to nothing.
#[derive(Debug, Clone)]
pub struct Authenticated<T>(T);

impl<T> Authenticated<T> {
    /// For the module's other verifiers.
    pub(super) fn new(value: T) -> Self {
        Self(value)
    }

    /// The value; the proof ends here.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Authenticated<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Who signed a request, and how.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whether nobody signed: what such a request may do is for policy to say.
    pub is_anonymous: bool,
    /// The identity that the access key belongs to.
    pub identity: Arc<str>,
    /// The access key id.
    pub access_key_id: Arc<str>,
    /// What the token of the session says, where a session signed. Whether those who got it may still have it is for the gateway to say.
    pub session: Option<Arc<Claims>>,
    /// The region that was signed for.
    pub region: String,
    /// The host that the signature covers. Routing by host must use this one and never the `Host` header, or a request
    /// signed for one bucket could be replayed against another.
    pub host: String,
    /// Whether the signature was in the query.
    pub presigned: bool,
    /// How the body is framed and what it must verify against.
    pub payload: PayloadMode,
}

impl Caller {
    /// Its identity, with the name of its session where that has one: for people.
    pub fn label(&self) -> Arc<str> {
        match &self.session {
            Some(claims) if !claims.session.is_empty() => {
                format!("{}/{}", self.identity, claims.session).into()
            }
            _ => Arc::clone(&self.identity),
        }
    }
}

/// A signature with everything that is needed to check it.
pub(super) struct Claim<'a> {
    pub(super) credential: ClaimedCredential<'a>,
    pub(super) signed_headers: SignedHeaders<'a>,
    pub(super) signature: Signature,
    pub(super) date: AmzDate,
    pub(super) payload_hash: &'a str,
    pub(super) token: Option<SecurityToken>,
    presigned: bool,
}

/// Verifies the signature of a request from its head alone; the body must not have been polled yet.
///
/// Method, wire path, query, signed headers and the claimed payload hash are covered by what this returns. Whether the
/// body keeps the claim is for [`crate::body::PlaintextBody`] to verify.
///
/// # Errors
/// The S3 error to answer with. An unknown access key costs as much as a wrong signature.
pub fn authenticate(
    parts: &Parts,
    credentials: &CredentialStore,
    settings: &AuthSettings,
    now: SystemTime,
) -> Result<Authenticated<Caller>, AuthError> {
    let query = parts.uri.query().unwrap_or_default();
    check_size(query)?;
    let authorization = single_header(&parts.headers, AUTHORIZATION.as_str())?;
    let token = single_header(&parts.headers, SECURITY_TOKEN)?.map(SecurityToken::new);
    let presigned;
    let (claim, payload) = match (authorization, is_presigned(query)) {
        (None, false) => {
            return Err(AuthError::AccessDenied {
                reason: "Access Denied.".into(),
                elements: vec![("Reason", "Requests must be signed.".to_owned())],
            });
        }
        (Some(_), true) => {
            return Err(AuthError::invalid_argument(
                "Authorization",
                "",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                 parameter or the Authorization header should be specified",
            ));
        }
        (Some(header), false) => claim_from_header(parts, header, token, now)?,
        (None, true) => {
            presigned = parse_presigned_query(query)?;
            check_presigned_time(&presigned.date, presigned.lifetime, now)?;
            // The query is what was signed: a token beside it is for another request.
            if token.is_some() {
                return Err(AuthError::InvalidToken);
            }
            let header = single_header(&parts.headers, "x-amz-content-sha256")?;
            let payload_hash = presigned
                .content_sha256
                .as_deref()
                .or(header)
                .unwrap_or(UNSIGNED_PAYLOAD);
            let payload = DeclaredPayload::parse(payload_hash)?;
            if matches!(payload, DeclaredPayload::StreamingSigned { .. }) {
                return Err(AuthError::invalid_request(
                    "Signed chunks need a signature in the Authorization header; a presigned URL has none.",
                ));
            }
            let claim = Claim {
                credential: presigned.credential,
                signed_headers: presigned.signed_headers,
                signature: presigned.signature,
                date: presigned.date,
                payload_hash,
                token: presigned.security_token,
                presigned: true,
            };
            (claim, payload)
        }
    };
    check_scope(&claim, settings)?;
    check_unsigned_headers(&parts.headers, &claim.signed_headers)?;
    let host_forms = host::signed_forms(parts, settings)?;
    let (signer, host, key) = verify(
        parts,
        Service::S3,
        &claim,
        host_forms,
        credentials,
        unix_seconds(now),
    )?;
    let ClaimedCredential { day, region, .. } = &claim.credential;
    let payload = match payload {
        DeclaredPayload::Sha256(digest) => PayloadMode::SignedSha256(digest),
        DeclaredPayload::Unsigned => PayloadMode::Unsigned,
        DeclaredPayload::StreamingUnsignedTrailer => PayloadMode::StreamingUnsignedTrailer,
        DeclaredPayload::StreamingSigned { trailer } => PayloadMode::StreamingSigned {
            signer: ChunkSigner::new(
                claim.signature,
                key,
                &claim.date,
                credential_scope(day, region),
            ),
            trailer,
        },
    };
    Ok(Authenticated(Caller {
        is_anonymous: false,
        identity: signer.identity,
        access_key_id: signer.access_key_id,
        session: signer.session,
        region: region.clone().into_owned(),
        host,
        presigned: claim.presigned,
        payload,
    }))
}

/// Whether the head of a request claims an identity, rightly or not: an `Authorization` header, or the query of a presigned URL.
pub fn claims_identity(query: &str, headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || is_presigned(query)
}

/// The caller of a request that claims no identity.
///
/// # Errors
/// A claimed identity, which has to be verified instead, or a host that cannot be read.
pub fn anonymous(
    parts: &Parts,
    settings: &AuthSettings,
) -> Result<Authenticated<Caller>, AuthError> {
    let query = parts.uri.query().unwrap_or_default();
    check_size(query)?;
    // A browser asks about a presigned URL with the whole of its query, and still in nobody's name.
    let is_preflight = parts.method == http::Method::OPTIONS;
    if !is_preflight && claims_identity(query, &parts.headers) {
        return Err(AuthError::access_denied(
            "A signed request is not anonymous.",
        ));
    }
    let host = host::signed_forms(parts, settings)?
        .into_iter()
        .next()
        .unwrap_or_default();
    Ok(Authenticated(Caller {
        is_anonymous: true,
        identity: "anonymous".into(),
        access_key_id: "".into(),
        session: None,
        region: String::new(),
        host,
        presigned: false,
        payload: PayloadMode::Unsigned,
    }))
}

fn claim_from_header<'a>(
    parts: &'a Parts,
    header: &'a str,
    token: Option<SecurityToken>,
    now: SystemTime,
) -> Result<(Claim<'a>, DeclaredPayload), AuthError> {
    let authorization = parse_authorization(header)?;
    let date = header_date(parts, now)?;
    let payload_hash = single_header(&parts.headers, "x-amz-content-sha256")?.ok_or_else(|| {
        AuthError::invalid_request("Missing required header for this request: x-amz-content-sha256")
    })?;
    let payload = DeclaredPayload::parse(payload_hash)?;
    Ok((
        Claim::of_header(authorization, date, payload_hash, token),
        payload,
    ))
}

impl<'a> Claim<'a> {
    pub(super) fn of_header(
        authorization: Authorization<'a>,
        date: AmzDate,
        payload_hash: &'a str,
        token: Option<SecurityToken>,
    ) -> Self {
        Self {
            credential: authorization.credential,
            signed_headers: authorization.signed_headers,
            signature: authorization.signature,
            date,
            payload_hash,
            token,
            presigned: false,
        }
    }
}

/// When a request with an `Authorization` header was signed: about now.
pub(super) fn header_date(parts: &Parts, now: SystemTime) -> Result<AmzDate, AuthError> {
    let date = match single_header(&parts.headers, "x-amz-date")? {
        Some(text) => AmzDate::parse(text),
        None => single_header(&parts.headers, DATE.as_str())?
            .and_then(|text| AmzDate::parse(text).or_else(|| AmzDate::from_http_date(text))),
    }
    .ok_or_else(|| {
        AuthError::access_denied("AWS authentication requires a valid Date or x-amz-date header.")
    })?;
    let skew = unix_seconds(now).abs_diff(date.unix_seconds());
    if skew > MAX_CLOCK_SKEW.as_secs() {
        return Err(AuthError::RequestTimeTooSkewed {
            request_time: date.to_string(),
            server_time: AmzDate::from_system_time(now)
                .map(|now| now.to_iso8601())
                .unwrap_or_default(),
        });
    }
    Ok(date)
}

fn check_presigned_time(
    date: &AmzDate,
    lifetime: Duration,
    now: SystemTime,
) -> Result<(), AuthError> {
    let age = i128::from(unix_seconds(now)) - i128::from(date.unix_seconds());
    if age < -i128::from(MAX_CLOCK_SKEW.as_secs()) {
        return Err(AuthError::access_denied("Request is not valid yet."));
    }
    if age > i128::from(lifetime.as_secs()) {
        let text = |date: Option<AmzDate>| date.map(|date| date.to_iso8601()).unwrap_or_default();
        return Err(AuthError::AccessDenied {
            reason: "Request has expired.".into(),
            elements: vec![
                ("X-Amz-Expires", lifetime.as_secs().to_string()),
                ("Expires", text(date.after(lifetime))),
                ("ServerTime", text(AmzDate::from_system_time(now))),
            ],
        });
    }
    Ok(())
}

/// The day must be the request's own, the region one of ours.
fn check_scope(claim: &Claim<'_>, settings: &AuthSettings) -> Result<(), AuthError> {
    check_day(claim)?;
    check_region(&claim.credential, settings).map_err(|reason| {
        if claim.presigned {
            AuthError::query_malformed(format!(
                "Error parsing the X-Amz-Credential parameter; {reason}"
            ))
        } else {
            let regions = settings.regions.as_deref().unwrap_or_default();
            AuthError::AuthorizationHeaderMalformed {
                reason: reason.into(),
                // SDKs sign again for the region that this names.
                region: regions.first().cloned(),
            }
        }
    })
}

/// A key signs requests of its own day.
pub(super) fn check_day(claim: &Claim<'_>) -> Result<(), AuthError> {
    if claim.credential.day != claim.date.day() {
        let reason = format!(
            "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
            claim.credential.day,
            claim.date.day()
        );
        return Err(if claim.presigned {
            AuthError::query_malformed(reason)
        } else {
            AuthError::header_malformed(reason)
        });
    }
    Ok(())
}

/// The region must be one of ours, where ours are configured; else the reason for the answer.
pub(super) fn check_region(
    credential: &ClaimedCredential<'_>,
    settings: &AuthSettings,
) -> Result<(), String> {
    match settings.regions.as_deref() {
        Some(regions) if !regions.iter().any(|region| *region == credential.region) => {
            Err(format!(
                "the region \"{}\" is wrong; expecting \"{}\"",
                credential.region,
                regions.join("\" or \"")
            ))
        }
        _ => Ok(()),
    }
}

/// A header that S3 acts upon must be signed: otherwise whoever holds a presigned URL could add `x-amz-copy-source`
/// and have the gateway, which signs anew, read any object with the signer's rights.
pub(super) fn check_unsigned_headers(
    headers: &HeaderMap,
    signed: &SignedHeaders<'_>,
) -> Result<(), AuthError> {
    let mut unsigned: Vec<&str> = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| {
            name.starts_with("x-amz-") && !UNSIGNED_HEADERS.contains(name) && !signed.contains(name)
        })
        .collect();
    if unsigned.is_empty() {
        return Ok(());
    }
    unsigned.sort_unstable();
    Err(AuthError::AccessDenied {
        reason: "There were headers present in the request which were not signed".into(),
        elements: vec![("HeadersNotSigned", unsigned.join(", "))],
    })
}

/// Verifies the signature itself. Returns who signed, the host that was signed for, and the key.
pub(super) fn verify(
    parts: &Parts,
    service: Service,
    claim: &Claim<'_>,
    host_forms: Vec<String>,
    credentials: &CredentialStore,
    now: i64,
) -> Result<(Signer, String, SigningKey), AuthError> {
    let ClaimedCredential {
        access_key_id,
        day,
        region,
    } = &claim.credential;
    let holder = credentials.holder(access_key_id, claim.token.as_ref(), now)?;
    let key = holder.signing_key(service, day, region);
    let scope = credential_scope_for(service, day, region);
    let query = canonical_query(parts.uri.query().unwrap_or_default());
    let mut signed_host = None;
    for host in host_forms {
        let request = CanonicalRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: &query,
            headers: &parts.headers,
            host: &host,
            signed_headers: claim.signed_headers.as_str(),
            payload_hash: claim.payload_hash,
        };
        let expected = request.sign(&key, &claim.date, &scope);
        if expected.is_ok_and(|expected| expected == claim.signature) {
            signed_host = Some(host);
            break;
        }
    }
    let signer = holder
        .signer()
        .ok_or_else(|| AuthError::InvalidAccessKeyId {
            access_key_id: access_key_id.to_string(),
        })?;
    let host = signed_host.ok_or(AuthError::SignatureDoesNotMatch)?;
    holder.verified(service, day, region, &key)?;
    Ok((signer, host, key))
}

/// The one value of a header that must not be there twice.
pub(super) fn single_header<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(AuthError::invalid_request(format!(
            "The header {name} occurs twice."
        )));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| AuthError::invalid_request(format!("The header {name} must be ASCII.")))
}

pub(super) fn unix_seconds(now: SystemTime) -> i64 {
    let clamp = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => clamp(after.as_secs()),
        Err(before) => -clamp(before.duration().as_secs()),
    }
}
