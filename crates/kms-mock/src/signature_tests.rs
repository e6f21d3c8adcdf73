//! The verifier against requests that the `aws-sigv4` crate, which the AWS SDK signs with, has signed.

use std::time::SystemTime;

use aws_sdk_kms::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const BODY: &[u8] = br#"{"NumberOfBytes":32}"#;
const HOST: &str = "127.0.0.1:4599";

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
}

fn signed(region: &str, service: &str, time: OffsetDateTime) -> HeaderMap {
    let identity = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::from(time))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "TrentService.GenerateRandom"),
        ("x-amz-note", "two  spaces "),
    ];
    let uri = format!("http://{HOST}/");
    let request =
        SignableRequest::new("POST", &uri, headers.into_iter(), SignableBody::Bytes(BODY)).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut request = http::Request::builder().method("POST").uri(&uri);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(()).unwrap();
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0.headers
}

fn check(headers: &HeaderMap, host: &str, body: &[u8]) -> Result<(), KmsError> {
    let authorization = Authorization::parse(headers)?;
    authorization.check_scope("us-east-1", now())?;
    authorization.verify(SECRET, headers, host, body)
}

fn refusal(headers: &HeaderMap) -> (ErrorCode, String) {
    let error = check(headers, HOST, BODY).unwrap_err();
    (error.code(), error.message().unwrap_or_default().to_owned())
}

fn replaced(from: &str, to: &str) -> HeaderMap {
    let mut headers = signed("us-east-1", "kms", now());
    let value = headers.get("authorization").unwrap().to_str().unwrap();
    assert!(value.contains(from), "{value}");
    let value = value.replace(from, to).parse().unwrap();
    headers.insert("authorization", value);
    headers
}

#[test]
fn accepts_what_the_sdk_signs() {
    check(&signed("us-east-1", "kms", now()), HOST, BODY).unwrap();
    check(&signed("us-east-1", "kms", now() - MAX_SKEW), HOST, BODY).unwrap();
    check(&signed("us-east-1", "kms", now() + MAX_SKEW), HOST, BODY).unwrap();
}

#[test]
fn refuses_a_changed_request() {
    let headers = signed("us-east-1", "kms", now());
    for (host, body) in [("127.0.0.2:4599", BODY), (HOST, &b"{}"[..]), (HOST, b"")] {
        assert_eq!(
            check(&headers, host, body).unwrap_err().code(),
            ErrorCode::InvalidSignature
        );
    }
    for name in ["x-amz-target", "x-amz-note", "x-amz-date"] {
        let mut changed = headers.clone();
        let value = if name == "x-amz-date" {
            "20260921T141321Z"
        } else {
            "changed"
        };
        changed.insert(name, value.parse().unwrap());
        assert_eq!(refusal(&changed).0, ErrorCode::InvalidSignature, "{name}");
        changed.remove(name);
        assert!(check(&changed, HOST, BODY).is_err(), "{name} removed");
    }
    let authorization = Authorization::parse(&headers).unwrap();
    assert!(
        authorization
            .verify("another secret", &headers, HOST, BODY)
            .is_err()
    );
}

#[test]
fn refuses_a_header_that_decides_and_is_not_signed() {
    let mut headers = signed("us-east-1", "kms", now());
    headers.insert("x-amz-security-token", "token".parse().unwrap());
    assert!(refusal(&headers).1.contains("x-amz-security-token"));
    assert!(refusal(&replaced("host;", "")).1.contains("'Host'"));
    assert!(
        refusal(&replaced(";x-amz-target", ""))
            .1
            .contains("x-amz-target")
    );
}

#[test]
fn scope_and_date() {
    let cases = [
        (signed("eu-west-1", "kms", now()), "valid region"),
        (signed("us-east-1", "s3", now()), "correct service"),
        (
            signed("us-east-1", "kms", now() - MAX_SKEW - Duration::SECOND),
            "Signature expired",
        ),
        (
            signed("us-east-1", "kms", now() + MAX_SKEW + Duration::SECOND),
            "Signature not yet current",
        ),
        (replaced("aws4_request", "aws5_request"), "valid terminator"),
        (
            replaced("AKIDEXAMPLE/2026", "AKIDEXAMPLE/2025"),
            "does not match YYYYMMDD",
        ),
    ];
    for (headers, message) in cases {
        let (code, text) = refusal(&headers);
        assert_eq!(code, ErrorCode::InvalidSignature, "{text}");
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn incomplete_headers() {
    assert_eq!(
        refusal(&HeaderMap::new()).0,
        ErrorCode::MissingAuthenticationToken
    );
    let cases = [
        (replaced("Credential=", "Credentials="), "three parameters"),
        (
            replaced("Signature=", "Signature=0, Signature="),
            "three parameters",
        ),
        (
            replaced("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            "algorithm",
        ),
        (replaced("AKIDEXAMPLE/", ""), "5 slash-delimited"),
        (replaced("Signature=", "Signature=z"), "hexadecimal"),
    ];
    for (headers, message) in cases {
        let (code, text) = refusal(&headers);
        assert_eq!(code, ErrorCode::IncompleteSignature, "{text}");
        assert!(text.contains(message), "{text}");
        assert!(
            !text.contains("Credential=AKID"),
            "the header itself is not repeated: {text}"
        );
    }
    let mut headers = signed("us-east-1", "kms", now());
    headers.insert(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e".parse().unwrap(),
    );
    headers.remove("x-amz-date");
    let text = refusal(&headers).1;
    assert!(
        text.contains("'Signature'")
            && text.contains("'SignedHeaders'")
            && text.contains("X-Amz-Date"),
        "{text}"
    );
    headers.insert("x-amz-date", "2026-01-01".parse().unwrap());
    assert_eq!(refusal(&headers).0, ErrorCode::IncompleteSignature);
}

proptest! {
    #[test]
    fn arbitrary_headers_are_refused(value in "(AWS4-HMAC-SHA256 )?[ -~]{0,120}", date in "[0-9TZ]{0,17}") {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value.parse().unwrap());
        headers.insert("x-amz-date", date.parse().unwrap());
        prop_assert!(check(&headers, HOST, BODY).is_err());
    }
}
