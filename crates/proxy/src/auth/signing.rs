//! Signing requests to the upstream: Signature Version 4 in the header.

use std::fmt;
use std::time::SystemTime;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use thiserror::Error;
use zeroize::Zeroizing;

use super::canonical::{ALGORITHM, CanonicalRequest, canonical_query, credential_scope_for};
use super::keys::{SecretAccessKey, Service, SigningKey};
use super::timestamp::AmzDate;

const AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// What the gateway signs upstream requests with. The secrets are zeroized on drop and absent from `Debug`.
#[derive(Clone)]
pub struct UpstreamCredentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret: SecretAccessKey,
    /// The token of temporary credentials.
    pub session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for UpstreamCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamCredentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// A request that cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SigningError {
    /// The URI has no authority, so there is no host to sign.
    #[error("the upstream request has no authority in its URI")]
    MissingAuthority,
    /// A credential or the payload word holds characters that a header cannot.
    #[error("{0} of the upstream credentials or request cannot be sent in a header")]
    NotAHeaderValue(&'static str),
    /// The clock is beyond the year 9999.
    #[error("the clock reading cannot be written as a date")]
    Clock,
}

/// Signs an upstream request for S3 in `region`, in place.
///
/// Sets `host` (from the URI's authority), `x-amz-date`, `x-amz-content-sha256` (to `payload`: a hexadecimal SHA-256 or
/// `UNSIGNED-PAYLOAD`), `x-amz-security-token` and `authorization`, replacing what was there. Signs these, every other
/// `x-amz-*` header, `content-type` and `content-md5`. Headers that a hop may change are not signed.
///
/// # Errors
/// A request without authority, or values that no header can carry.
pub fn sign(
    parts: &mut Parts,
    credentials: &UpstreamCredentials,
    region: &str,
    payload: &str,
    now: SystemTime,
) -> Result<(), SigningError> {
    sign_for(Service::S3, parts, credentials, region, payload, now)
}

/// As [`sign`], for a service.
///
/// # Errors
/// As [`sign`].
pub fn sign_for(
    service: Service,
    parts: &mut Parts,
    credentials: &UpstreamCredentials,
    region: &str,
    payload: &str,
    now: SystemTime,
) -> Result<(), SigningError> {
    let authority = parts
        .uri
        .authority()
        .ok_or(SigningError::MissingAuthority)?;
    let host = authority_without_userinfo(authority.as_str()).to_owned();
    let date = AmzDate::from_system_time(now).ok_or(SigningError::Clock)?;
    let headers = &mut parts.headers;
    headers.remove(AUTHORIZATION);
    headers.remove(AMZ_SECURITY_TOKEN);
    headers.insert(HOST, header_value(&host, "the host")?);
    headers.insert(AMZ_DATE, header_value(date.as_str(), "the date")?);
    headers.insert(
        AMZ_CONTENT_SHA256,
        header_value(payload, "the payload hash")?,
    );
    if let Some(token) = &credentials.session_token {
        let mut token = header_value(token, "the session token")?;
        token.set_sensitive(true);
        headers.insert(AMZ_SECURITY_TOKEN, token);
    }
    let mut names: Vec<&str> = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| is_signed(name))
        .collect();
    names.sort_unstable();
    let signed_headers = names.join(";");
    let scope = credential_scope_for(service, date.day(), region);
    let request = CanonicalRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: &canonical_query(parts.uri.query().unwrap_or_default()),
        headers,
        host: &host,
        signed_headers: &signed_headers,
        payload_hash: payload,
    };
    let key = SigningKey::derive_for(service, &credentials.secret, date.day(), region);
    // Every listed name was just read from the headers, so none can be missing.
    let signature = request
        .sign(&key, &date, &scope)
        .map_err(|_| SigningError::NotAHeaderValue("a signed header"))?;
    let text = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={}",
        credentials.access_key_id,
        signature.to_hex()
    );
    let mut value = header_value(&text, "the access key id or region")?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

fn is_signed(name: &str) -> bool {
    name == HOST.as_str()
        || name == CONTENT_TYPE.as_str()
        || name == CONTENT_MD5.as_str()
        || name.starts_with("x-amz-")
}

fn authority_without_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

fn header_value(text: &str, what: &'static str) -> Result<HeaderValue, SigningError> {
    HeaderValue::from_str(text).map_err(|_| SigningError::NotAHeaderValue(what))
}
