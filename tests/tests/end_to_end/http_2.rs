//! HTTP/2 over TLS, by curl and by a client that can stop in the middle of a stream.

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sealgate_tests::{
    certificates,
    content::pattern,
    endpoint::Endpoint,
    http_2::{self, Connection, Connector, RequestBody, full},
    process::run_successfully,
    raw_http::{Payload, RawRequest},
    rig::{Rig, bounded, get, put},
    servers::{Gateway, GatewaySettings},
};
use tokio::sync::mpsc;

const BUCKET: &str = "http-2";
const LIMIT: Duration = Duration::from_mins(3);
const UNSIGNED: Payload<'_> = Payload::Named("UNSIGNED-PAYLOAD");

fn start() -> Result<(Rig, Gateway)> {
    let rig = Rig::start()?;
    let tls = Some(certificates::make(rig.directory())?);
    let settings = GatewaySettings {
        tls,
        ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
    };
    let gateway = rig.gateway_with(settings)?;
    Ok((rig, gateway))
}

/// A signed request; `length` is announced.
fn request(
    gateway: &Endpoint,
    method: &str,
    key: &str,
    length: Option<usize>,
    body: RequestBody,
) -> Result<Request<RequestBody>> {
    let target = format!("/{BUCKET}/{key}");
    let mut raw = RawRequest::new(method, &target);
    if let Some(length) = length {
        raw = raw.header("content-length", &length.to_string());
    }
    let raw = raw.sign(gateway, UNSIGNED, SystemTime::now())?;
    http_2::request(gateway, &raw, body)
}

async fn fetch(
    connection: &mut Connection,
    gateway: &Endpoint,
    key: &str,
) -> Result<(u16, Vec<u8>)> {
    let answer = connection
        .send_request(request(gateway, "GET", key, None, full(""))?)
        .await?;
    let status = answer.status().as_u16();
    Ok((
        status,
        answer.into_body().collect().await?.to_bytes().to_vec(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_on_one_connection() -> Result<()> {
    let (rig, gateway) = start()?;
    let through = rig.clients(BUCKET).await?.0;
    bounded(LIMIT, async {
        let endpoint = &gateway.endpoint;
        let connection = Connector::new(endpoint)?.connect().await?;
        // Uploads and downloads of different sizes, all under way at the same time.
        let mut tasks = Vec::new();
        for number in 0..24_u64 {
            let mut connection = connection.clone();
            let endpoint = endpoint.clone();
            tasks.push(tokio::spawn(async move {
                let size = usize::try_from(number)? * 150_000;
                let (key, body) = (format!("stream-{number}"), pattern(number, size));
                let upload = request(&endpoint, "PUT", &key, Some(size), full(body.clone()))?;
                let answer = connection.send_request(upload).await?;
                ensure!(answer.status() == 200, "{key}: {}", answer.status());
                let (status, found) = fetch(&mut connection, &endpoint, &key).await?;
                ensure!(status == 200 && found == body, "{key} comes back altered");
                Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        ensure!(get(&through, BUCKET, "stream-23").await? == pattern(23, 23 * 150_000));
        // A refusal in the middle of an upload is about its stream alone.
        let mut connection = connection;
        let wrong = endpoint.with_credentials(&endpoint.access_key_id, "another secret");
        let body = full(pattern(1, 8 * 1024 * 1024));
        let refused = request(&wrong, "PUT", "refused", Some(8 * 1024 * 1024), body)?;
        let answer = connection.send_request(refused).await?;
        ensure!(answer.status() == 403, "{}", answer.status());
        let document = answer.into_body().collect().await?.to_bytes();
        ensure!(String::from_utf8_lossy(&document).contains("SignatureDoesNotMatch"));
        ensure!(fetch(&mut connection, endpoint, "stream-1").await?.0 == 200);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_leaves_no_object_and_a_tampered_object_no_clean_end() -> Result<()> {
    let (rig, gateway) = start()?;
    let (through, bare) = rig.clients(BUCKET).await?;
    bounded(LIMIT, async {
        let endpoint = &gateway.endpoint;
        let mut connection = Connector::new(endpoint)?.connect().await?;
        for size in [100_000, 3 * 1024 * 1024] {
            let key = format!("cut-{size}");
            let body = pattern(1, size);
            let (sender, receiver) = mpsc::channel(1);
            let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
                Some((receiver.recv().await?, receiver))
            });
            let upload = request(
                endpoint,
                "PUT",
                &key,
                Some(size),
                BodyExt::boxed_unsync(StreamBody::new(frames)),
            )?;
            let answer = tokio::spawn(connection.send_request(upload));
            for piece in body[..size - 1].chunks(50_000) {
                sender
                    .send(Ok(Frame::data(Bytes::copy_from_slice(piece))))
                    .await?;
            }
            // The body fails, so that the client resets its stream.
            sender
                .send(Err(std::io::Error::other("the client gives up")))
                .await?;
            ensure!(answer.await?.is_err(), "a cut upload was answered");
            ensure!(
                fetch(&mut connection, endpoint, &key).await?.0 == 404,
                "a cut upload left an object"
            );
        }
        let listed = bare.list_objects_v2().bucket(BUCKET).send().await?;
        ensure!(listed.contents().is_empty(), "{listed:?}");

        // A flipped bit in a late segment: verified bytes, then RST_STREAM, and the connection goes on.
        let body = pattern(2, 2 * 1024 * 1024);
        put(&through, BUCKET, "tampered", &body).await?;
        put(&through, BUCKET, "intact", b"intact").await?;
        let stored = bare
            .get_object()
            .bucket(BUCKET)
            .key("tampered")
            .send()
            .await?;
        let metadata = stored.metadata().cloned();
        let mut bytes = stored.body.collect().await?.to_vec();
        let place = bytes.len() * 3 / 4;
        bytes[place] ^= 1;
        bare.put_object()
            .bucket(BUCKET)
            .key("tampered")
            .set_metadata(metadata)
            .content_type("application/octet-stream")
            .body(bytes.into())
            .send()
            .await?;
        let answer = connection
            .send_request(request(endpoint, "GET", "tampered", None, full(""))?)
            .await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let mut incoming = answer.into_body();
        let mut received = Vec::new();
        let error = loop {
            match incoming.frame().await {
                Some(Ok(frame)) => {
                    received.extend_from_slice(frame.data_ref().context("a trailer")?);
                }
                Some(Err(error)) => break error,
                None => bail!(
                    "a tampered object ended cleanly after {} bytes",
                    received.len()
                ),
            }
        };
        ensure!(
            !received.is_empty() && received.len() < body.len() && body.starts_with(&received),
            "{} bytes, not all of them stored ones",
            received.len()
        );
        let reason = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        ensure!(reason.contains("stream"), "no RST_STREAM: {error} {reason}");
        ensure!(fetch(&mut connection, endpoint, "intact").await? == (200, b"intact".to_vec()));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_http_2() -> Result<()> {
    let (rig, gateway) = start()?;
    let through = rig.clients(BUCKET).await?.0;
    let endpoint = &gateway.endpoint;
    let directory = rig.directory();
    let body = pattern(5, 3 * 1024 * 1024);
    let (sent, received) = (directory.join("sent"), directory.join("received"));
    std::fs::write(&sent, &body)?;
    let curl = |key: &str, more: &[&str]| -> Result<String> {
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--http2",
                "--aws-sigv4",
                "aws:amz:us-east-1:s3",
            ])
            .args([
                "--user",
                &format!("{}:{}", endpoint.access_key_id, endpoint.secret_access_key),
            ])
            .args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .args(["--output", &received.display().to_string()])
            .args([
                "--write-out",
                "%{http_version} %{http_code}",
                "--max-time",
                "60",
            ])
            .arg("--cacert")
            .arg(endpoint.ca_file.as_ref().context("no authority")?)
            .args(more)
            .arg(format!("{}/{BUCKET}/{key}", endpoint.url));
        run_successfully(&mut command, Duration::from_mins(1))
    };
    let upload = format!("@{}", sent.display());
    let put_arguments = [
        "--request",
        "PUT",
        "--data-binary",
        &upload,
        "--header",
        "content-type: application/x-test",
    ];
    ensure!(
        curl("curl", &put_arguments)? == "2 200",
        "{}",
        std::fs::read_to_string(&received)?
    );
    ensure!(curl("curl", &[])? == "2 200" && std::fs::read(&received)? == body);
    ensure!(curl("curl", &["--range", "100000-199999"])? == "2 206");
    ensure!(std::fs::read(&received)? == body[100_000..200_000]);
    ensure!(curl("missing", &[])? == "2 404");
    ensure!(curl("curl", &["--http1.1", "--range", "0-9"])? == "1.1 206");
    ensure!(get(&through, BUCKET, "curl").await? == body);
    Ok(())
}
