//! Requests as botocore 1.44.5 signed them, with the headers it left unsigned.

use std::time::SystemTime;

use http::Request;

use super::published_tests::example_store;
use super::*;

/// The path of the key `a key/+é//x(1).txt`.
const PATH: &str = "/b/a%20key/%2B%C3%A9//x%281%29.txt";

fn at(date: &str) -> SystemTime {
    let seconds = AmzDate::parse(date).unwrap().unix_seconds();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds.try_into().unwrap())
}

fn verify(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    now: SystemTime,
) -> Result<Authenticated<Caller>, AuthError> {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "127.0.0.1:9")
        .header("accept-encoding", "identity")
        .header("amz-sdk-request", "attempt=1; max=3");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    authenticate(&parts, &example_store(), &AuthSettings::default(), now)
}

fn signed(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261123/us-east-1/s3/aws4_request, \
         SignedHeaders={signed_headers}, Signature={signature}"
    )
}

#[test]
fn put_object_over_http() {
    let authorization = signed(
        "host;x-amz-checksum-crc32;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-sdk-checksum-algorithm",
        "00fa078eab3429abe9512fbe52ff2b2eb7737164775168a180996721ba0583d3",
    );
    let headers = [
        ("x-amz-meta-a", "x  y"),
        ("expect", "100-continue"),
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("x-amz-date", "20261123T124357Z"),
        (
            "x-amz-content-sha256",
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        ),
        ("authorization", &authorization),
        ("content-length", "5"),
    ];
    let caller = verify("PUT", PATH, &headers, at("20261123T124400Z")).unwrap();
    assert!(matches!(caller.payload, PayloadMode::SignedSha256(_)));
    assert_eq!(
        verify(
            "PUT",
            &PATH.replace("//", "/"),
            &headers,
            at("20261123T124400Z")
        )
        .unwrap_err(),
        AuthError::SignatureDoesNotMatch
    );
}

#[test]
fn put_object_over_https() {
    let authorization = signed(
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-meta-a;\
         x-amz-sdk-checksum-algorithm;x-amz-trailer",
        "3bf799003aa0c1f0b9c8a986dfff9b099103a98c7d8f2e290f70ddd14aeb4d45",
    );
    let headers = [
        ("x-amz-meta-a", "x  y"),
        ("transfer-encoding", "chunked"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("x-amz-date", "20261123T124357Z"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("authorization", &authorization),
    ];
    let caller = verify("PUT", PATH, &headers, at("20261123T124400Z")).unwrap();
    assert!(matches!(
        caller.payload,
        PayloadMode::StreamingUnsignedTrailer
    ));
}

#[test]
fn presigned_urls() {
    let query = |signed_headers: &str, signature: &str| {
        format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261123%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20261123T124416Z&X-Amz-Expires=3600&X-Amz-SignedHeaders={signed_headers}\
             &X-Amz-Signature={signature}"
        )
    };
    let listing = format!(
        "/b?list-type=2&prefix=a%20%2B%2F%C3%A9&encoding-type=url&{}",
        query(
            "host",
            "fce9b7bb927e84cfebca2e3aedb3b380122efde605ca55be43f0f134c4e6a275"
        )
    );
    assert!(
        verify("GET", &listing, &[], at("20261123T134416Z"))
            .unwrap()
            .presigned
    );
    let upload = format!(
        "{PATH}?{}",
        query(
            "content-type%3Bhost%3Bx-amz-meta-a",
            "5850f6f26711a3ad2ff6e380b2dcb3fc1d1f4d4beed5fb5c85ac2d91a8b9b727"
        )
    );
    let headers = [("content-type", "text/plain"), ("x-amz-meta-a", "x y")];
    assert!(verify("PUT", &upload, &headers, at("20261123T124500Z")).is_ok());
    assert_eq!(
        verify("PUT", &upload, &headers[..1], at("20261123T124500Z")).unwrap_err(),
        AuthError::SignatureDoesNotMatch
    );
}
