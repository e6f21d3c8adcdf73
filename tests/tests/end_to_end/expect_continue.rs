//! `Expect: 100-continue` (s3-wire-rules, 13): a body is asked for when the request was found to be good, and not before.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    content::pattern,
    endpoint::Endpoint,
    raw_http::{Payload, RawRequest},
    rig::{get, with_rig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const BUCKET: &str = "expect-continue";

const LIMIT: Duration = Duration::from_mins(2);

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The longest head that is read.
const HEAD_LIMIT: usize = 65_536;

/// A PUT that waits for `100 Continue` with its body.
fn waiting(key: &str, length: u64) -> RawRequest {
    RawRequest::new("PUT", &format!("/{BUCKET}/{key}"))
        .header("content-length", &length.to_string())
        .header("expect", "100-continue")
}

/// Sends the head alone and returns the connection with the head of what comes first.
async fn first_answer(request: &RawRequest, gateway: &Endpoint) -> Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(gateway.authority()).await?;
    stream.write_all(&request.to_bytes(gateway)).await?;
    let head = read_head(&mut stream).await?;
    Ok((stream, head))
}

async fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < HEAD_LIMIT, "the head does not end");
            head.push(stream.read_u8().await?);
        }
        Ok(())
    };
    tokio::time::timeout(ANSWER_LIMIT, reading)
        .await
        .context("no answer to the head of the request")??;
    Ok(String::from_utf8(head)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_request_is_asked_for_its_body() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        for length in [1_000, 3 << 20] {
            let body = pattern(5, length);
            let key = format!("good-{length}");
            let request = waiting(&key, length as u64).sign(
                gateway,
                Payload::Signed(&body),
                SystemTime::now(),
            )?;
            let (mut stream, interim) = first_answer(&request, gateway).await?;
            ensure!(
                interim.starts_with("HTTP/1.1 100 "),
                "{length} bytes: {interim}"
            );
            stream.write_all(&body).await?;
            let answer = read_head(&mut stream).await?;
            ensure!(
                answer.starts_with("HTTP/1.1 200 "),
                "{length} bytes: {answer}"
            );
            ensure!(
                get(&through, BUCKET, &key).await? == body,
                "{length} bytes came back as others"
            );
        }
        Ok(())
    })
    .await
}

/// S3's limit of 5 GiB, less what sealing adds.
const LARGEST: u64 = (5 << 30) - (3 << 20);

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_single_bodies_are_bounded_at_5_gib_less_3_mib() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let begun = through
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("parts");
        let begun = begun.send().await?;
        let id = begun.upload_id().context("no upload id")?;
        for target in ["single", &format!("parts?partNumber=1&uploadId={id}")] {
            for (length, expected) in [(LARGEST, "100 "), (LARGEST + 1, "400 ")] {
                let request = waiting(target, length).sign(
                    gateway,
                    Payload::Named("UNSIGNED-PAYLOAD"),
                    SystemTime::now(),
                )?;
                let (_, head) = first_answer(&request, gateway).await?;
                ensure!(
                    head.starts_with(&format!("HTTP/1.1 {expected}")),
                    "{target} with {length} bytes is answered {head}"
                );
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_refused_without_its_body() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let stranger = gateway.with_credentials(&gateway.access_key_id, "another secret");
        let now = SystemTime::now();
        let payload = Payload::Named("UNSIGNED-PAYLOAD");
        for (name, request, status) in [
            (
                "a wrong signature",
                waiting("wrong", 1_000).sign(&stranger, payload, now)?,
                "403",
            ),
            ("no signature", waiting("none", 1_000), "403"),
            (
                "too long a body",
                waiting("long", 6 << 30).sign(gateway, payload, now)?,
                "400",
            ),
            (
                "an unknown sub-resource",
                RawRequest::new("PUT", &format!("/{BUCKET}/unknown?nonsense"))
                    .header("content-length", "1000")
                    .header("expect", "100-continue")
                    .sign(gateway, payload, now)?,
                "501",
            ),
        ] {
            let (_, head) = first_answer(&request, gateway).await?;
            ensure!(
                head.starts_with(&format!("HTTP/1.1 {status} ")),
                "{name} is answered {head}"
            );
        }
        Ok(())
    })
    .await
}
