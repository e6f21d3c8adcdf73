//! What bad input gets: the S3 error that AWS gives, no object at the storage, nothing lost.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::Client;
use sealgate_tests::{
    content::pattern,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{Rig, get, put, with_rig},
};
use sha2::{Digest, Sha256};

const BUCKET: &str = "bad-input";

/// The trailer of bodies in chunks.
const TRAILER: &str = "x-amz-checksum-sha256";

/// Small objects are verified before anything is sent upstream, large ones while they stream.
const SIZES: [usize; 2] = [1_000, 3 * 1024 * 1024];

const LIMIT: Duration = Duration::from_mins(2);

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

fn put_request(key: &str, length: usize) -> RawRequest {
    RawRequest::new("PUT", &format!("/{BUCKET}/{key}"))
        .header("content-length", &length.to_string())
}

/// The answer must be this error, and the storage must have no such object.
async fn refused(
    bare: &Client,
    key: &str,
    answer: &RawAnswer,
    status: u16,
    codes: &[&str],
) -> Result<()> {
    let code = answer.error_code().unwrap_or_default();
    ensure!(
        answer.status == status && codes.contains(&code.as_str()),
        "{key} is answered {} {}, not {status} {codes:?}",
        answer.status,
        answer.text()
    );
    no_object(bare, key).await
}

async fn no_object(bare: &Client, key: &str) -> Result<()> {
    let listed = bare
        .list_objects_v2()
        .bucket(BUCKET)
        .prefix(key)
        .send()
        .await?;
    ensure!(
        listed.contents().is_empty(),
        "the storage has an object {key}"
    );
    Ok(())
}

async fn start(rig: &Rig) -> Result<(Client, Client)> {
    rig.clients(BUCKET).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_signatures() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = start(rig).await?;
        let gateway = &rig.gateway.endpoint;
        let body = pattern(1, 1_000);
        let now = SystemTime::now();
        let signed = |key: &str| put_request(key, body.len()).body(&body);
        let payload = Payload::Signed(&body);

        let answer = signed("good")
            .sign(gateway, payload, now)?
            .send(gateway)
            .await?;
        ensure!(
            answer.status == 200,
            "the good request is refused: {} {}",
            answer.status,
            answer.text()
        );

        let wrong = gateway.with_credentials(&gateway.access_key_id, "another secret");
        let answer = signed("secret")
            .sign(&wrong, payload, now)?
            .send(gateway)
            .await?;
        refused(&bare, "secret", &answer, 403, &["SignatureDoesNotMatch"]).await?;

        let stranger = gateway.with_credentials("STRANGER", &gateway.secret_access_key);
        let answer = signed("stranger")
            .sign(&stranger, payload, now)?
            .send(gateway)
            .await?;
        refused(&bare, "stranger", &answer, 403, &["InvalidAccessKeyId"]).await?;

        let answer = signed("none").send(gateway).await?;
        refused(&bare, "none", &answer, 403, &["AccessDenied"]).await?;

        for (name, alter) in [
            (
                "scheme",
                (|value: &str| value.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"))
                    as fn(&str) -> String,
            ),
            ("cut", |value| value.chars().take(60).collect()),
            ("scope", |value| value.replace("/s3/", "/ec2/")),
            ("region", |value| value.replace("us-east-1", "eu-west-1")),
            ("empty", |_| String::new()),
            ("garbage", |_| {
                "AWS4-HMAC-SHA256 \u{1}=,=,;".replace('\u{1}', "?")
            }),
        ] {
            let answer = signed(name)
                .sign(gateway, payload, now)?
                .alter_authorization(alter)
                .send(gateway)
                .await?;
            ensure!(
                answer.status == 400 || answer.status == 403,
                "{name} is answered {} {}",
                answer.status,
                answer.text()
            );
            ensure!(
                answer.error_code().is_some(),
                "{name} has no error document"
            );
            no_object(&bare, name).await?;
        }

        for (name, time) in [
            ("early", now - Duration::from_mins(16)),
            ("late", now + Duration::from_mins(16)),
        ] {
            let answer = signed(name)
                .sign(gateway, payload, time)?
                .send(gateway)
                .await?;
            refused(&bare, name, &answer, 403, &["RequestTimeTooSkewed"]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_the_signature_does_not_cover() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = start(rig).await?;
        let gateway = &rig.gateway.endpoint;
        put(&through, BUCKET, "source", b"somebody's secret").await?;
        let body = pattern(2, 100);
        for (name, value) in [
            ("x-amz-copy-source", "/bad-input/source"),
            ("x-amz-meta-planted", "1"),
            ("x-amz-acl", "public-read"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-storage-class", "STANDARD"),
        ] {
            let key = format!("unsigned-{name}");
            let answer = put_request(&key, body.len())
                .body(&body)
                .sign(gateway, Payload::Signed(&body), SystemTime::now())?
                .unsigned_header(name, value)
                .send(gateway)
                .await?;
            refused(&bare, &key, &answer, 403, &["AccessDenied"]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_11_bodies_that_are_not_what_was_announced() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = start(rig).await?;
        let gateway = &rig.gateway.endpoint;
        let now = SystemTime::now();
        for size in SIZES {
            let body = pattern(3, size);
            let other = pattern(4, size);
            let unsigned = Payload::Named("UNSIGNED-PAYLOAD");

            let key = format!("hash-{size}");
            let answer = put_request(&key, size)
                .body(&other)
                .sign(gateway, Payload::Signed(&body), now)?
                .send(gateway)
                .await?;
            refused(&bare, &key, &answer, 400, &["XAmzContentSHA256Mismatch"]).await?;

            let key = format!("md5-{size}");
            let answer = put_request(&key, size)
                .header("content-md5", &base64(&[7; 16]))
                .body(&body)
                .sign(gateway, unsigned, now)?
                .send(gateway)
                .await?;
            refused(&bare, &key, &answer, 400, &["BadDigest"]).await?;

            for (name, length) in [
                ("crc32", 4),
                ("crc32c", 4),
                ("crc64nvme", 8),
                ("sha1", 20),
                ("sha256", 32),
            ] {
                let key = format!("{name}-{size}");
                let answer = put_request(&key, size)
                    .header(&format!("x-amz-checksum-{name}"), &base64(&vec![7; length]))
                    .body(&body)
                    .sign(gateway, unsigned, now)?
                    .send(gateway)
                    .await?;
                refused(
                    &bare,
                    &key,
                    &answer,
                    400,
                    &["BadDigest", "XAmzContentChecksumMismatch"],
                )
                .await?;
            }

            let key = format!("checksum-form-{size}");
            let answer = put_request(&key, size)
                .header("x-amz-checksum-sha256", "not base64")
                .body(&body)
                .sign(gateway, unsigned, now)?
                .send(gateway)
                .await?;
            refused(
                &bare,
                &key,
                &answer,
                400,
                &["InvalidRequest", "InvalidArgument"],
            )
            .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_end_early() -> Result<()> {
    // A short time-out, so that the gateway does not wait a minute for the rest.
    let configuration = "[limits]\nidle_timeout = \"2s\"\n";
    let rig = Rig::start_with(configuration)?;
    let (through, bare) = start(&rig).await?;
    let gateway = &rig.gateway.endpoint;
    for size in SIZES {
        let body = pattern(5, size);
        let key = format!("short-{size}");
        let answer = put_request(&key, size + 10)
            .body(&body)
            .sign(
                gateway,
                Payload::Named("UNSIGNED-PAYLOAD"),
                SystemTime::now(),
            )?
            .send(gateway)
            .await?;
        // The connection still stands, so there is an answer: that the rest has not come in time.
        refused(&bare, &key, &answer, 400, &["RequestTimeout"]).await?;

        let key = format!("replaced-{size}");
        put(&through, BUCKET, &key, b"what was there before").await?;
        put_request(&key, size + 10)
            .body(&body)
            .sign(
                gateway,
                Payload::Named("UNSIGNED-PAYLOAD"),
                SystemTime::now(),
            )?
            .send(gateway)
            .await
            .ok();
        ensure!(
            get(&through, BUCKET, &key).await? == b"what was there before",
            "an upload that failed has replaced an object"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_13_refusals_reach_clients_that_are_still_sending() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = start(rig).await?;
        let gateway = &rig.gateway.endpoint;
        let body = pattern(7, 20 * 1024 * 1024);
        put(&through, BUCKET, "taken", b"taken").await?;
        let wrong = gateway.with_credentials(&gateway.access_key_id, "another secret");
        for round in 0..5 {
            let key = format!("still-sending-{round}");
            let request = put_request(&key, body.len()).body(&body);
            let answer = request
                .sign(
                    &wrong,
                    Payload::Named("UNSIGNED-PAYLOAD"),
                    SystemTime::now(),
                )?
                .send(gateway)
                .await?;
            refused(&bare, &key, &answer, 403, &["SignatureDoesNotMatch"]).await?;

            let request = put_request("taken", body.len())
                .header("if-none-match", "*")
                .body(&body);
            let answer = request
                .sign(
                    gateway,
                    Payload::Named("UNSIGNED-PAYLOAD"),
                    SystemTime::now(),
                )?
                .send(gateway)
                .await?;
            ensure!(
                answer.status == 412
                    && answer.error_code().as_deref() == Some("PreconditionFailed"),
                "a condition is answered {} {}",
                answer.status,
                answer.text()
            );
        }
        ensure!(
            get(&through, BUCKET, "taken").await? == b"taken",
            "the object is another"
        );
        Ok(())
    })
    .await
}

/// A body in chunks with a trailer, as SDKs send it over https.
fn framed(body: &[u8], trailer: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(65_536) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    bytes
}

async fn send_framed(
    rig: &Rig,
    key: &str,
    announced: &str,
    decoded_length: usize,
    bytes: &[u8],
) -> Result<RawAnswer> {
    let gateway = &rig.gateway.endpoint;
    put_request(key, bytes.len())
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &decoded_length.to_string())
        .header("x-amz-trailer", announced)
        .body(bytes)
        .sign(
            gateway,
            Payload::Named("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            SystemTime::now(),
        )?
        .send(gateway)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_chunks_with_trailers() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = start(rig).await?;
        for size in SIZES {
            let body = pattern(6, size);
            let right = format!("{TRAILER}:{}\r\n", base64(&Sha256::digest(&body)));
            let wrong = format!("{TRAILER}:{}\r\n", base64(&[7; 32]));

            let key = format!("trailer-right-{size}");
            let answer = send_framed(rig, &key, TRAILER, size, &framed(&body, &right)).await?;
            ensure!(
                answer.status == 200,
                "a right trailer is answered {} {}",
                answer.status,
                answer.text()
            );
            ensure!(
                get(&through, BUCKET, &key).await? == body,
                "the framing is stored"
            );

            let cases: [(&str, usize, Vec<u8>, &[&str]); 6] = [
                (
                    "wrong",
                    size,
                    framed(&body, &wrong),
                    &["BadDigest", "XAmzContentChecksumMismatch"],
                ),
                (
                    "missing",
                    size,
                    framed(&body, ""),
                    &["MalformedTrailerError", "InvalidRequest", "IncompleteBody"],
                ),
                (
                    "another",
                    size,
                    framed(&body, "x-amz-checksum-crc32:AAAAAA==\r\n"),
                    &["MalformedTrailerError", "InvalidRequest"],
                ),
                (
                    "long",
                    size - 1,
                    framed(&body, &right),
                    &["IncompleteBody", "InvalidRequest"],
                ),
                (
                    "short",
                    size + 1,
                    framed(&body, &right),
                    &["IncompleteBody"],
                ),
                (
                    "garbage",
                    size,
                    [b"zz\r\n", &body[..]].concat(),
                    &["IncompleteBody", "InvalidRequest", "InvalidChunkSizeError"],
                ),
            ];
            for (name, decoded_length, bytes, codes) in cases {
                let key = format!("trailer-{name}-{size}");
                let answer = send_framed(rig, &key, TRAILER, decoded_length, &bytes)
                    .await
                    .with_context(|| key.clone())?;
                refused(&bare, &key, &answer, 400, codes).await?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_sense() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = start(rig).await?;
        let gateway = &rig.gateway.endpoint;
        let now = SystemTime::now();
        let unsigned = Payload::Named("UNSIGNED-PAYLOAD");

        let answer = RawRequest::new("PUT", "/bad-input/no-length")
            .sign(gateway, unsigned, now)?
            .send(gateway)
            .await?;
        refused(&bare, "no-length", &answer, 411, &["MissingContentLength"]).await?;

        let reserved = put_request("reserved", 1)
            .header("x-amz-meta-sealgate", "AAAA")
            .body(b"x")
            .sign(gateway, unsigned, now)?
            .send(gateway)
            .await?;
        refused(&bare, "reserved", &reserved, 400, &["InvalidArgument"]).await?;

        // None of these may store its body, whatever it is.
        for (method, query, header) in [
            ("POST", "?select&select-type=2", ""),
            ("POST", "?torrent", ""),
            ("POST", "?annotations", ""),
            ("POST", "?nothing-that-s3-has", ""),
            ("PUT", "?annotation&annotationName=x", ""),
            ("PUT", "?encryption", ""),
            ("PUT", "?renameObject", "x-amz-rename-source"),
            ("PUT", "?append", ""),
            ("PUT", "", "x-amz-write-offset-bytes"),
            ("PUT", "", "x-amz-meta-snowball-auto-extract"),
            ("PUT", "", "x-minio-extract"),
        ] {
            let mut request = RawRequest::new(method, &format!("/bad-input/refused{query}"))
                .header("content-length", "1")
                .body(b"x");
            if !header.is_empty() {
                request = request.header(header, "0");
            }
            let answer = request.sign(gateway, unsigned, now)?.send(gateway).await?;
            refused(&bare, "refused", &answer, 501, &["NotImplemented"])
                .await
                .with_context(|| format!("{method} {query} {header}"))?;
        }
        Ok(())
    })
    .await
}
