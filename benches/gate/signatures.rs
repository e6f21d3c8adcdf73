//! Signature Version 4: what clients signed, and what the storage wants signed.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use http::Request;
use http::request::Parts;
use sealgate::auth::{
    AuthSettings, Credential, CredentialStore, SecretAccessKey, SigningKey, UpstreamCredentials,
    authenticate, canonical, sign as sign_upstream,
};

use crate::Case;

const ACCESS_KEY_ID: &str = "AKIAGATE";
const SECRET: &str = "a secret of the gate";
const REGION: &str = "us-east-1";
/// The SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Always the same moment, so that always the same is counted.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_001)
}

/// One identity among a hundred.
pub(crate) fn credentials() -> anyhow::Result<CredentialStore> {
    let credentials = (0..100).map(|number| Credential {
        access_key_id: if number == 50 {
            ACCESS_KEY_ID.to_owned()
        } else {
            format!("AKIA{number:08}")
        },
        secret: SecretAccessKey::new(SECRET),
        identity: format!("identity-{number}"),
    });
    Ok(CredentialStore::new(credentials.collect())?)
}

/// Signs a request as a client: our signer does for the storage what clients do for us.
pub(crate) fn signed(request: http::request::Builder, payload: &str) -> anyhow::Result<Parts> {
    let mut parts = request.body(())?.into_parts().0;
    let client = UpstreamCredentials {
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret: SecretAccessKey::new(SECRET),
        session_token: None,
    };
    sign_upstream(&mut parts, &client, REGION, payload, now())?;
    Ok(parts)
}

fn request() -> http::request::Builder {
    Request::get(
        "https://storage.example/bucket/photographs/2026/one%20more.jpeg?partNumber=3&uploadId=abc%2Fdef&x-id=GetObject",
    )
    .header("range", "bytes=0-65535")
    .header("user-agent", "gate/1.0")
    .header("accept-encoding", "identity")
    .header("x-amz-checksum-mode", "ENABLED")
}

fn verify(parts: Parts) -> anyhow::Result<Case> {
    let (credentials, settings) = (credentials()?, AuthSettings::default());
    Ok(Box::new(move || {
        black_box(authenticate(&parts, &credentials, &settings, now())?);
        Ok(())
    }))
}

/// A signature in the header.
pub(crate) fn verify_header() -> anyhow::Result<Case> {
    verify(signed(request(), EMPTY)?)
}

/// A signature in the query.
pub(crate) fn verify_presigned() -> anyhow::Result<Case> {
    let day = "20251124";
    let date = "20251124T160000Z";
    let scope = canonical::credential_scope(day, REGION);
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={date}&X-Amz-Expires=3600&X-Amz-SignedHeaders=host",
        format!("{ACCESS_KEY_ID}/{scope}").replace('/', "%2F"),
    );
    let path = "/bucket/photographs/2026/one%20more.jpeg";
    let date =
        sealgate::auth::AmzDate::parse(date).ok_or_else(|| anyhow::anyhow!("the date is none"))?;
    let signature = canonical::CanonicalRequest {
        method: "GET",
        path,
        query: &canonical::canonical_query(&query),
        headers: &http::HeaderMap::new(),
        host: "storage.example",
        signed_headers: "host",
        payload_hash: canonical::UNSIGNED_PAYLOAD,
    }
    .sign(
        &SigningKey::derive(&SecretAccessKey::new(SECRET), day, REGION),
        &date,
        &scope,
    )
    .map_err(|missing| anyhow::anyhow!("{missing:?}"))?;
    let signature = signature.to_hex();
    let target = format!("https://storage.example{path}?{query}&X-Amz-Signature={signature}");
    verify(
        Request::get(target)
            .header("host", "storage.example")
            .body(())?
            .into_parts()
            .0,
    )
}

/// A request to the storage.
pub(crate) fn sign() -> anyhow::Result<Case> {
    let credentials = UpstreamCredentials {
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret: SecretAccessKey::new(SECRET),
        session_token: None,
    };
    let mut parts = request().body(())?.into_parts().0;
    Ok(Box::new(move || {
        sign_upstream(
            &mut parts,
            &credentials,
            REGION,
            canonical::UNSIGNED_PAYLOAD,
            now(),
        )?;
        black_box(&parts);
        Ok(())
    }))
}
