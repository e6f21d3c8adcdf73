//! One test for each rule of verification: what it refuses, and that it refuses nothing else.

use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

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
    let date = AmzDate::from_system_time(now()).unwrap();
    let scope = credential_scope(date.day(), "us-east-1");
    let query = format!(
        "{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE/{scope}&X-Amz-Date={date}\
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
    let key = SigningKey::derive(&SecretAccessKey::new(SECRET), date.day(), "us-east-1");
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

#[test]
fn session_tokens_are_refused() {
    let parts = signed("UNSIGNED-PAYLOAD", |_| {});
    let mut with_header = parts;
    set(&mut with_header, "x-amz-security-token", "token");
    assert_eq!(refusal(&with_header), AuthError::InvalidToken);
    let in_query = presigned(
        "X-Amz-Security-Token=t",
        "host",
        &[("host", "gateway.example")],
    );
    assert!(matches!(
        refusal(&in_query),
        AuthError::AuthorizationQueryParametersError { reason } if reason.contains("X-Amz-Security-Token")
    ));
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
