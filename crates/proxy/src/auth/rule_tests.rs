//! One test for each rule of verification: what it refuses, and that it refuses nothing else.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use sealgate_access::token::{NewSession, Session, TOKEN_ENTROPY, TokenKeys};
use sha2::Digest as _;
use zeroize::Zeroizing;

use super::canonical::{CanonicalRequest, canonical_query, credential_scope};
use super::published_tests::example_store;
use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn put(target: &str) -> Parts {
    Request::builder()
        .method("PUT")
        .uri(target)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn upstream_credentials() -> UpstreamCredentials {
    UpstreamCredentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: SecretAccessKey::new(SECRET),
        session_token: None,
    }
}

/// A request signed in the header, over everything `prepare` added.
fn signed(payload: &str, prepare: impl FnOnce(&mut Parts)) -> Parts {
    let mut parts = put("http://gateway.example/bucket/key?versionId=1");
    prepare(&mut parts);
    sign(
        &mut parts,
        &upstream_credentials(),
        "us-east-1",
        payload,
        now(),
    )
    .unwrap();
    // As a server sees it over HTTP/1.1.
    parts.uri = "/bucket/key?versionId=1".parse().unwrap();
    parts
}

/// A presigned request whose signature covers `query` and the headers that `parts` will have.
fn presigned(query: &str, signed_headers: &str, headers: &[(&str, &str)]) -> Parts {
    presigned_by(
        ("AKIAIOSFODNN7EXAMPLE", SECRET),
        query,
        signed_headers,
        headers,
    )
}

fn presigned_by(
    (access_key_id, secret): (&str, &str),
    query: &str,
    signed_headers: &str,
    headers: &[(&str, &str)],
) -> Parts {
    let date = AmzDate::from_system_time(now()).unwrap();
    let scope = credential_scope(date.day(), "us-east-1");
    let query = format!(
        "{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={access_key_id}/{scope}&X-Amz-Date={date}\
         &X-Amz-Expires=600&X-Amz-SignedHeaders={}",
        signed_headers.replace(';', "%3B")
    );
    let mut parts = put(&format!("/bucket/key?{query}"));
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        parts
            .headers
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    let canonical = canonical_query(&query);
    let hash = super::presigned::parameters(&query)
        .find(|(name, _)| *name == "X-Amz-Content-Sha256")
        .map_or("UNSIGNED-PAYLOAD", |(_, value)| value);
    let request = CanonicalRequest {
        method: "PUT",
        path: "/bucket/key",
        query: &canonical,
        headers: &parts.headers,
        host: "gateway.example",
        signed_headers,
        payload_hash: hash,
    };
    let key = SigningKey::derive(&SecretAccessKey::new(secret), date.day(), "us-east-1");
    let signature = request.sign(&key, &date, &scope).unwrap().to_hex();
    parts.uri = format!("/bucket/key?{query}&X-Amz-Signature={signature}")
        .parse()
        .unwrap();
    parts
}

fn verify(parts: &Parts) -> Result<Authenticated<Caller>, AuthError> {
    authenticate(parts, &example_store(), &AuthSettings::default(), now())
}

fn refusal(parts: &Parts) -> AuthError {
    verify(parts).unwrap_err()
}

fn set(parts: &mut Parts, name: &'static str, value: &str) {
    parts
        .headers
        .insert(name, HeaderValue::from_str(value).unwrap());
}

#[test]
fn rule_01_everything_that_is_signed_is_bound() {
    let good = || signed("UNSIGNED-PAYLOAD", |parts| set(parts, "x-amz-meta-a", "1"));
    assert!(verify(&good()).is_ok());
    let tampered: [fn(&mut Parts); 7] = [
        |parts| parts.method = http::Method::DELETE,
        |parts| parts.uri = "/bucket/other?versionId=1".parse().unwrap(),
        |parts| parts.uri = "/bucket/./key?versionId=1".parse().unwrap(),
        |parts| parts.uri = "/bucket/key?versionId=2".parse().unwrap(),
        |parts| set(parts, "x-amz-meta-a", "2"),
        |parts| set(parts, "x-amz-content-sha256", EMPTY_SHA256),
        |parts| set(parts, "host", "other.example"),
    ];
    for tamper in tampered {
        let mut parts = good();
        tamper(&mut parts);
        assert_eq!(
            refusal(&parts),
            AuthError::SignatureDoesNotMatch,
            "{parts:?}"
        );
    }
    let mut parts = good();
    parts.headers.remove("x-amz-meta-a");
    assert_eq!(refusal(&parts), AuthError::SignatureDoesNotMatch);
}

#[test]
fn rule_02_unsigned_amz_headers_are_refused_in_both_modes() {
    let modes = || {
        [
            signed("UNSIGNED-PAYLOAD", |_| {}),
            presigned("x-id=PutObject", "host", &[("host", "gateway.example")]),
        ]
    };
    for name in [
        "x-amz-copy-source",
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-checksum-crc32",
        "x-amz-server-side-encryption-customer-key",
    ] {
        for mut parts in modes() {
            assert!(verify(&parts).is_ok());
            set(&mut parts, name, "/other/secret");
            match refusal(&parts) {
                AuthError::AccessDenied { elements, .. } => {
                    assert_eq!(elements, [("HeadersNotSigned", name.to_owned())]);
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    for name in [
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "x-amz-checksum-algorithm",
        "x-amz-sdk-checksum-algorithm",
        "x-amzn-trace-id",
        "content-length",
        "accept-encoding",
    ] {
        for mut parts in modes() {
            set(&mut parts, name, "1");
            assert!(verify(&parts).is_ok(), "{name}");
        }
    }
    let covered = presigned(
        "",
        "host;x-amz-acl",
        &[("host", "gateway.example"), ("x-amz-acl", "private")],
    );
    assert!(verify(&covered).is_ok());
}

#[test]
fn the_region_may_be_restricted_and_the_day_must_agree() {
    let parts = signed("UNSIGNED-PAYLOAD", |_| {});
    let settings = |region: &str| AuthSettings {
        regions: Some(vec![region.to_owned()]),
        ..AuthSettings::default()
    };
    assert!(authenticate(&parts, &example_store(), &settings("us-east-1"), now()).is_ok());
    assert!(matches!(
        authenticate(&parts, &example_store(), &settings("eu-west-1"), now()).unwrap_err(),
        AuthError::AuthorizationHeaderMalformed { reason, region: Some(region) }
            if reason.contains("expecting \"eu-west-1\"") && region == "eu-west-1"
    ));
    let mut other_day = signed("UNSIGNED-PAYLOAD", |_| {});
    let text = other_day.headers["authorization"]
        .to_str()
        .unwrap()
        .replace("/20260921/", "/20260922/");
    set(&mut other_day, "authorization", &text);
    assert!(matches!(
        refusal(&other_day),
        AuthError::AuthorizationHeaderMalformed { reason, .. } if reason.contains("date")
    ));
}

#[test]
fn rule_05_clocks_may_differ_by_fifteen_minutes() {
    let parts = signed("UNSIGNED-PAYLOAD", |_| {});
    let at = |now| authenticate(&parts, &example_store(), &AuthSettings::default(), now);
    let limit = Duration::from_mins(15);
    let second = Duration::from_secs(1);
    assert!(at(now() + limit).is_ok());
    assert!(at(now() - limit).is_ok());
    for outside in [
        now() + limit + second,
        now() - limit - second,
        SystemTime::UNIX_EPOCH - limit,
    ] {
        assert!(matches!(
            at(outside).unwrap_err(),
            AuthError::RequestTimeTooSkewed { .. }
        ));
    }
}

#[test]
fn clocks_agree_before_1970_too() {
    let clock = SystemTime::UNIX_EPOCH - Duration::from_hours(1);
    let parts = signed_by(&upstream_credentials(), clock);
    assert!(authenticate(&parts, &example_store(), &AuthSettings::default(), clock).is_ok());
}

#[test]
fn an_unknown_key_is_named_as_such() {
    let store = CredentialStore::new(Vec::new()).unwrap();
    let parts = signed("UNSIGNED-PAYLOAD", |_| {});
    let error = authenticate(&parts, &store, &AuthSettings::default(), now()).unwrap_err();
    assert!(matches!(error, AuthError::InvalidAccessKeyId { .. }));
}

#[test]
fn a_request_without_signature_is_refused() {
    let mut parts = put("/bucket/key");
    set(&mut parts, "host", "gateway.example");
    assert!(matches!(refusal(&parts), AuthError::AccessDenied { .. }));
}

#[test]
fn one_way_of_signing_at_a_time() {
    let mut parts = signed("UNSIGNED-PAYLOAD", |_| {});
    parts.uri = "/bucket/key?versionId=1&X-Amz-Algorithm=AWS4-HMAC-SHA256"
        .parse()
        .unwrap();
    assert!(matches!(refusal(&parts), AuthError::InvalidArgument { .. }));
    let mut parts = signed("UNSIGNED-PAYLOAD", |_| {});
    let again = parts.headers["authorization"].clone();
    parts.headers.append("authorization", again);
    assert!(matches!(refusal(&parts), AuthError::InvalidRequest { .. }));
    let mut parts = put("/bucket/key?AWSAccessKeyId=AKIA&Expires=1&Signature=x");
    set(&mut parts, "host", "gateway.example");
    assert!(
        matches!(refusal(&parts), AuthError::InvalidRequest { reason } if reason.contains("AWS4-HMAC-SHA256"))
    );
}

/// What opens tokens, a token of `app` that lasts until an hour from now, and its credentials.
fn session() -> (Arc<TokenKeys>, String, Session) {
    let keys = TokenKeys::new("d", &[&[7; 32]]).unwrap();
    let new = NewSession {
        identity: "app",
        session: "",
        source: "",
        signed_by: "",
        lifetime: 3_600,
        grant: "",
    };
    let (token, session) = keys
        .issue(&new, 1_790_000_000, &[1; TOKEN_ENTROPY])
        .unwrap();
    (Arc::new(keys), token, session)
}

fn credentials_of(session: &Session, token: &str) -> UpstreamCredentials {
    UpstreamCredentials {
        access_key_id: session.claims.access_key_id.clone(),
        secret: SecretAccessKey::new(session.secret_access_key.as_str()),
        session_token: Some(Zeroizing::new(token.to_owned())),
    }
}

fn signed_by(credentials: &UpstreamCredentials, at: SystemTime) -> Parts {
    let mut parts = put("http://gateway.example/bucket/key?versionId=1");
    sign(&mut parts, credentials, "us-east-1", "UNSIGNED-PAYLOAD", at).unwrap();
    parts.uri = "/bucket/key?versionId=1".parse().unwrap();
    parts
}

#[test]
fn a_session_signs_with_its_token_and_nothing_else() {
    let (keys, token, session) = session();
    let store = example_store().with_sessions(Some(keys));
    let settings = AuthSettings::default();
    let verify_at = |parts: &Parts, at| authenticate(parts, &store, &settings, at);
    let good = signed_by(&credentials_of(&session, &token), now());
    let caller = verify_at(&good, now()).unwrap();
    assert_eq!(&*caller.identity, "app");
    assert_eq!(*caller.access_key_id, *session.claims.access_key_id);
    assert_eq!(caller.session.as_deref(), Some(&session.claims));
    // People read its name beside that of the identity, where it has one.
    assert_eq!(&*caller.label(), "app");
    let mut named = caller.into_inner();
    let mut claims = session.claims.clone();
    claims.session = "nightly".to_owned();
    named.session = Some(Arc::new(claims));
    assert_eq!(&*named.label(), "app/nightly");

    // Its time is over, by our clock.
    let late = now() + Duration::from_hours(1);
    let then = signed_by(&credentials_of(&session, &token), late);
    let claims = Arc::new(session.claims.clone());
    let ended = AuthError::ExpiredToken { claims };
    assert_eq!(verify_at(&then, late).unwrap_err(), ended);
    // Of whom, is told only where the session's own secret has signed.
    let mut stolen = credentials_of(&session, &token);
    stolen.secret = SecretAccessKey::new(SECRET);
    let forged = verify_at(&signed_by(&stolen, late), late).unwrap_err();
    assert_eq!(forged, AuthError::SignatureDoesNotMatch);
    // A gateway that makes no sessions knows none.
    assert_eq!(refusal(&good), AuthError::InvalidToken);

    let refused = |parts: &Parts| verify_at(parts, now()).unwrap_err();
    // The token stands for its own access key alone, and nobody's secret but its own signs.
    let mut of_another = credentials_of(&session, &token);
    of_another.access_key_id = "AKIAIOSFODNN7EXAMPLE".to_owned();
    assert_eq!(
        refused(&signed_by(&of_another, now())),
        AuthError::InvalidToken
    );
    let mut long_lived = upstream_credentials();
    long_lived.session_token = Some(Zeroizing::new(token.clone()));
    assert_eq!(
        refused(&signed_by(&long_lived, now())),
        AuthError::InvalidToken
    );
    let mut wrong_secret = credentials_of(&session, &token);
    wrong_secret.secret = SecretAccessKey::new(SECRET);
    assert_eq!(
        refused(&signed_by(&wrong_secret, now())),
        AuthError::SignatureDoesNotMatch
    );
    // Without its token, a session is nobody.
    let mut without = credentials_of(&session, &token);
    without.session_token = None;
    assert!(matches!(
        refused(&signed_by(&without, now())),
        AuthError::InvalidAccessKeyId { .. }
    ));
    let mut cut = credentials_of(&session, &token);
    cut.session_token = Some(Zeroizing::new(token[1..].to_owned()));
    assert_eq!(refused(&signed_by(&cut, now())), AuthError::InvalidToken);

    // A token that the signature does not cover is refused, whatever it is worth.
    let mut unsigned = signed("UNSIGNED-PAYLOAD", |_| {});
    set(&mut unsigned, "x-amz-security-token", &token);
    assert!(matches!(refused(&unsigned), AuthError::AccessDenied { .. }));
}

#[test]
fn a_presigned_url_of_a_session_brings_its_token_in_the_query() {
    let (keys, token, session) = session();
    let store = example_store().with_sessions(Some(keys));
    let url = |id: &str, secret: &str, token: &str| {
        let query = format!("versionId=1&X-Amz-Security-Token={token}");
        presigned_by((id, secret), &query, "host", &[("host", "gateway.example")])
    };
    let verify_at = |parts: &Parts, at| authenticate(parts, &store, &AuthSettings::default(), at);
    let (id, secret) = (&session.claims.access_key_id, &session.secret_access_key);
    let good = url(id, secret, &token);
    let caller = verify_at(&good, now()).unwrap();
    assert!(caller.presigned && caller.session.is_some());
    // Its query is what was signed, and a token beside it is not.
    let mut beside = good;
    set(&mut beside, "x-amz-security-token", &token);
    assert_eq!(
        verify_at(&beside, now()).unwrap_err(),
        AuthError::InvalidToken
    );
    let other = url(id, secret, "t");
    assert_eq!(
        verify_at(&other, now()).unwrap_err(),
        AuthError::InvalidToken
    );
    let wrong = url(id, SECRET, &token);
    assert_eq!(
        verify_at(&wrong, now()).unwrap_err(),
        AuthError::SignatureDoesNotMatch
    );
}

#[test]
fn a_signature_for_one_service_is_none_for_another() {
    let body = b"Action=GetCallerIdentity&Version=2011-06-15";
    let (keys, token, session) = session();
    let store = example_store().with_sessions(Some(keys));
    let settings = AuthSettings::default();
    let date = AmzDate::from_system_time(now()).unwrap();
    let signed = |service: Service, body: &[u8], secret: &str, more: &[(&'static str, &str)]| {
        let mut parts = put("/");
        set(&mut parts, "host", "gateway.example");
        set(&mut parts, "x-amz-date", date.as_str());
        for (name, value) in more {
            set(&mut parts, name, value);
        }
        let id = match more {
            [] => "AKIAIOSFODNN7EXAMPLE",
            _ => session.claims.access_key_id.as_str(),
        };
        let signed_headers = match more {
            [] => "host;x-amz-date",
            _ => "host;x-amz-date;x-amz-security-token",
        };
        let hash = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(body));
        let request = CanonicalRequest {
            method: "PUT",
            path: "/",
            query: "",
            headers: &parts.headers,
            host: "gateway.example",
            signed_headers,
            payload_hash: &hash,
        };
        let secret = SecretAccessKey::new(secret);
        let key = SigningKey::derive_for(service, &secret, date.day(), "eu-north-1");
        let scope = super::canonical::credential_scope_for(service, date.day(), "eu-north-1");
        let signature = request.sign(&key, &date, &scope).unwrap().to_hex();
        let text = format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
        );
        set(&mut parts, "authorization", &text);
        parts
    };
    let verify = |parts: &Parts, body: &[u8]| {
        authenticate_sts(parts, body, &store, &settings, now())
            .map(|caller| caller.identity.clone())
    };
    let good = signed(Service::Sts, body, SECRET, &[]);
    assert_eq!(&*verify(&good, body).unwrap(), "example");
    assert_eq!(
        verify(&good, b"Action=GetSessionToken").unwrap_err(),
        AuthError::SignatureDoesNotMatch
    );
    let of_s3 = signed(Service::S3, body, SECRET, &[]);
    assert!(matches!(
        verify(&of_s3, body).unwrap_err(),
        AuthError::AuthorizationHeaderMalformed { .. }
    ));
    let header = [("x-amz-security-token", token.as_str())];
    let by_session = signed(Service::Sts, body, &session.secret_access_key, &header);
    assert_eq!(&*verify(&by_session, body).unwrap(), "app");
    assert!(matches!(
        verify(&put("/"), body).unwrap_err(),
        AuthError::AccessDenied { .. }
    ));
    let mut late = good;
    set(&mut late, "x-amz-date", "20260921T120000Z");
    assert!(verify(&late, body).is_err());
}

#[test]
fn the_payload_word_decides_the_mode() {
    let mode =
        |payload: &str| verify(&signed(payload, |_| {})).map(|caller| caller.into_inner().payload);
    assert!(matches!(
        mode("UNSIGNED-PAYLOAD"),
        Ok(PayloadMode::Unsigned)
    ));
    assert!(matches!(
        mode(EMPTY_SHA256),
        Ok(PayloadMode::SignedSha256(_))
    ));
    assert!(matches!(
        mode("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        Ok(PayloadMode::StreamingUnsignedTrailer)
    ));
    assert!(matches!(
        mode("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        Ok(PayloadMode::StreamingSigned { trailer: false, .. })
    ));
    assert!(matches!(
        mode("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"),
        Err(AuthError::NotImplemented { .. })
    ));
    for unknown in [
        "",
        "unsigned-payload",
        "STREAMING-UNSIGNED-PAYLOAD",
        &EMPTY_SHA256.to_uppercase(),
    ] {
        assert!(
            matches!(mode(unknown), Err(AuthError::InvalidArgument { .. })),
            "{unknown}"
        );
    }
    let mut without = signed("UNSIGNED-PAYLOAD", |_| {});
    without.headers.remove("x-amz-content-sha256");
    assert!(matches!(
        refusal(&without),
        AuthError::InvalidRequest { reason } if reason.contains("x-amz-content-sha256")
    ));
}

#[test]
fn a_presigned_url_may_carry_the_payload_word() {
    let host = [("host", "gateway.example")];
    let unsigned = presigned("X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "host", &host);
    assert!(matches!(
        verify(&unsigned).unwrap().payload,
        PayloadMode::Unsigned
    ));
    let hashed = presigned(
        &format!("X-Amz-Content-Sha256={EMPTY_SHA256}"),
        "host",
        &host,
    );
    assert!(matches!(
        verify(&hashed).unwrap().payload,
        PayloadMode::SignedSha256(_)
    ));
    let chunks = presigned(
        "X-Amz-Content-Sha256=STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "host",
        &host,
    );
    assert!(matches!(refusal(&chunks), AuthError::InvalidRequest { .. }));
    let checksum = presigned(
        "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32",
        "host",
        &host,
    );
    assert!(verify(&checksum).is_ok());
}

#[test]
fn a_date_is_required_in_one_of_two_headers() {
    let mut parts = signed("UNSIGNED-PAYLOAD", |_| {});
    let text = parts.headers["authorization"]
        .to_str()
        .unwrap()
        .replace(";x-amz-date", "");
    set(&mut parts, "authorization", &text);
    parts.headers.remove("x-amz-date");
    assert!(
        matches!(refusal(&parts), AuthError::AccessDenied { reason, .. } if reason.contains("Date"))
    );
    set(&mut parts, "date", "Mon, 21 Sep 2026 14:13:20 GMT");
    // The date is fine now, but the signature covered x-amz-date.
    assert_eq!(refusal(&parts), AuthError::SignatureDoesNotMatch);
}

#[test]
fn the_host_that_was_signed_is_reported() {
    let mut parts = signed("UNSIGNED-PAYLOAD", |_| {});
    set(&mut parts, "host", "gateway.example:443");
    assert_eq!(verify(&parts).unwrap().host, "gateway.example");
    set(&mut parts, "host", "10.0.0.1:9000");
    assert_eq!(refusal(&parts), AuthError::SignatureDoesNotMatch);
    let settings = AuthSettings {
        external_hosts: vec!["gateway.example".to_owned()],
        ..AuthSettings::default()
    };
    let caller = authenticate(&parts, &example_store(), &settings, now()).unwrap();
    assert_eq!(caller.host, "gateway.example");
}

#[test]
fn signing_replaces_what_was_there_and_hides_secrets() {
    let mut parts = put("http://user@upstream.example:9000/b/k");
    for name in [
        "authorization",
        "x-amz-security-token",
        "x-amz-date",
        "host",
    ] {
        set(&mut parts, name, "of the client");
    }
    set(&mut parts, "accept-encoding", "gzip");
    let credentials = UpstreamCredentials {
        session_token: Some(zeroize::Zeroizing::new("session-token".to_owned())),
        ..upstream_credentials()
    };
    sign(
        &mut parts,
        &credentials,
        "us-east-1",
        "UNSIGNED-PAYLOAD",
        now(),
    )
    .unwrap();
    assert_eq!(parts.headers["host"], "upstream.example:9000");
    assert_eq!(parts.headers["x-amz-security-token"], "session-token");
    let text = parts.headers["authorization"].to_str().unwrap();
    assert_eq!(
        parse_authorization(text).unwrap().signed_headers.as_str(),
        "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    );
    let printed = format!("{credentials:?} {:?}", parts.headers);
    assert!(
        !printed.contains("session-token\"")
            && !printed.contains(SECRET)
            && !printed.contains("Signature=")
    );
    assert_eq!(
        sign(
            &mut put("/b/k"),
            &credentials,
            "us-east-1",
            "UNSIGNED-PAYLOAD",
            now()
        ),
        Err(SigningError::MissingAuthority)
    );
}

#[test]
fn a_preflight_is_nobodys_even_of_a_presigned_url_and_nothing_else_that_claims_an_identity_is() {
    let mut parts = put("http://gateway.example/bucket/key?X-Amz-Signature=00");
    assert!(anonymous(&parts, &AuthSettings::default()).is_err());
    parts.method = http::Method::OPTIONS;
    let nobody = anonymous(&parts, &AuthSettings::default()).unwrap();
    assert!(nobody.is_anonymous && !nobody.presigned);
}
