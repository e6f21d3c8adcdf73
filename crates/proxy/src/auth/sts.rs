//! Requests for short-lived credentials: Signature Version 4 for the service `sts`, whose payload hash is that of the body, told or not.

use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::authenticate::{
    self, AuthSettings, Authenticated, Caller, Claim, SECURITY_TOKEN, single_header,
};
use super::authorization::parse_authorization_for;
use super::credentials::CredentialStore;
use super::error::AuthError;
use super::host;
use super::keys::{Service, encode_hex};
use super::payload::PayloadMode;
use super::presigned::check_size;
use super::session::SecurityToken;

/// Verifies who signed a request for credentials, from its head and its whole body. Any region is taken: SDKs sign for one of their own choice.
///
/// # Errors
/// As [`super::authenticate`]; the error is none of S3's yet.
pub fn authenticate_sts(
    parts: &Parts,
    body: &[u8],
    credentials: &CredentialStore,
    settings: &AuthSettings,
    now: SystemTime,
) -> Result<Authenticated<Caller>, AuthError> {
    check_size(parts.uri.query().unwrap_or_default())?;
    let header = single_header(&parts.headers, AUTHORIZATION.as_str())?.ok_or_else(|| {
        AuthError::access_denied("Request is missing Authentication Token: it must be signed in the Authorization header.")
    })?;
    let authorization = parse_authorization_for(Service::Sts, header)?;
    let date = authenticate::header_date(parts, now)?;
    let payload_hash = encode_hex(&Sha256::digest(body));
    let token = single_header(&parts.headers, SECURITY_TOKEN)?.map(SecurityToken::new);
    let claim = Claim::of_header(authorization, date, &payload_hash, token);
    authenticate::check_day(&claim)?;
    authenticate::check_unsigned_headers(&parts.headers, &claim.signed_headers)?;
    let host_forms = host::signed_forms(parts, settings)?;
    let now = authenticate::unix_seconds(now);
    let (signer, host, _) =
        authenticate::verify(parts, Service::Sts, &claim, host_forms, credentials, now)?;
    Ok(Authenticated::new(Caller {
        is_anonymous: false,
        identity: signer.identity,
        access_key_id: signer.access_key_id,
        session: signer.session,
        region: claim.credential.region.into_owned(),
        host,
        presigned: false,
        payload: PayloadMode::Unsigned,
    }))
}
