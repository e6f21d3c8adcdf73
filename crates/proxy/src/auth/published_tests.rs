//! The example requests of the Amazon S3 API Reference, with the signatures it gives for them.

use std::time::{Duration, SystemTime};

use http::Request;
use http::request::Parts;

use super::*;

/// 24 May 2013, 00:00:00 UTC, when all the examples were signed.
fn signing_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_369_353_600_999)
}

pub(crate) fn example_store() -> CredentialStore {
    CredentialStore::new(vec![Credential {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: SecretAccessKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        identity: "example".to_owned(),
    }])
    .unwrap()
}

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed_headers},Signature={signature}"
    )
}

/// The caller of an example of a streaming upload; `body` tests continue from here.
pub(crate) fn streaming_example(trailer: bool) -> Authenticated<Caller> {
    let mut headers = vec![
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
    ];
    let authorization = if trailer {
        headers.push((
            "x-amz-content-sha256",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        ));
        headers.push(("x-amz-trailer", "x-amz-checksum-crc32c"));
        authorization(
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        )
    } else {
        headers.push(("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
        authorization(
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        )
    };
    headers.push(("authorization", authorization.as_str()));
    let parts = request("PUT", "/examplebucket/chunkObject.txt", &headers);
    authenticate(
        &parts,
        &example_store(),
        &AuthSettings::default(),
        signing_time(),
    )
    .unwrap()
}

/// Method, target, payload hash, further headers, signed headers, signature.
type Example = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

#[test]
fn requests_signed_in_the_header() {
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const BODY: &str = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let examples: [Example; 4] = [
        (
            "GET",
            "/test.txt",
            EMPTY,
            &[("range", "bytes=0-9")],
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            BODY,
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            EMPTY,
            &[],
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            EMPTY,
            &[],
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ];
    let store = example_store();
    for (method, target, hash, extra, signed_headers, signature) in examples {
        let authorization = authorization(signed_headers, signature);
        let mut headers = vec![
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-content-sha256", hash),
            ("authorization", &authorization),
        ];
        headers.extend_from_slice(extra);
        let parts = request(method, target, &headers);
        let caller =
            authenticate(&parts, &store, &AuthSettings::default(), signing_time()).expect(target);
        assert_eq!(&*caller.identity, "example");
        assert_eq!(&*caller.access_key_id, "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(caller.host, "examplebucket.s3.amazonaws.com");
        assert_eq!(caller.region, "us-east-1");
        assert!(!caller.presigned);
        assert!(matches!(caller.payload, PayloadMode::SignedSha256(_)));
        let settings = AuthSettings::default();
        let mut other = request("HEAD", target, &headers);
        assert_eq!(
            authenticate(&other, &store, &settings, signing_time()).unwrap_err(),
            AuthError::SignatureDoesNotMatch
        );
        other.method = parts.method.clone();
        assert!(authenticate(&other, &store, &settings, signing_time()).is_ok());
    }
}

#[test]
fn a_presigned_request() {
    let target = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
                  &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                  &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
                  &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let parts = request("GET", target, &[("host", "examplebucket.s3.amazonaws.com")]);
    let (store, settings) = (example_store(), AuthSettings::default());
    let last_second = signing_time() + Duration::from_hours(24);
    for now in [signing_time(), last_second] {
        let caller = authenticate(&parts, &store, &settings, now).unwrap();
        assert!(caller.presigned);
        assert!(matches!(caller.payload, PayloadMode::Unsigned));
    }
    let late = last_second + Duration::from_secs(1);
    let expired = authenticate(&parts, &store, &settings, late).unwrap_err();
    assert_eq!(expired.to_string(), "Request has expired.");
    assert_eq!(
        expired.elements(),
        [
            ("X-Amz-Expires", "86400".to_owned()),
            ("Expires", "2013-05-25T00:00:00Z".to_owned()),
            ("ServerTime", "2013-05-25T00:00:01Z".to_owned()),
        ]
    );
    let early = signing_time() - Duration::from_mins(15);
    assert!(authenticate(&parts, &store, &settings, early).is_ok());
    assert_eq!(
        authenticate(&parts, &store, &settings, early - Duration::from_secs(1)).unwrap_err(),
        AuthError::access_denied("Request is not valid yet.")
    );
}

#[test]
fn streaming_requests_yield_the_signatures_of_their_chunks() {
    let first = "bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a";
    let second = "2edc986847e209b4016e141a6dc8716d3207350f416969382d431539bf292e4a";
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let digest = |hex: &str| super::keys::decode_digest(hex).unwrap();
    for (trailer, signatures) in [
        (
            false,
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ],
        ),
        (
            true,
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            ],
        ),
    ] {
        let caller = streaming_example(trailer);
        let PayloadMode::StreamingSigned {
            signer,
            trailer: found,
        } = &caller.payload
        else {
            panic!("{:?}", caller.payload);
        };
        assert_eq!(*found, trailer);
        let mut previous = signer.seed();
        for (hash, expected) in [first, second, empty].iter().zip(signatures) {
            previous = signer.sign_chunk(previous, &digest(hash));
            assert_eq!(previous.to_hex(), expected);
        }
    }
}
