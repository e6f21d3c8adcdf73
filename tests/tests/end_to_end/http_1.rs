//! HTTP/1.1 as no SDK speaks it: pipelined, malformed, old, and refused in the middle. No connection gets out of step.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::Client;
use sealgate_tests::{
    content::pattern,
    endpoint::Endpoint,
    raw_connection::RawConnection,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{Rig, get, put, with_rig},
};

const BUCKET: &str = "http-1";
const LIMIT: Duration = Duration::from_mins(2);
const UNSIGNED: Payload<'_> = Payload::Named("UNSIGNED-PAYLOAD");

fn request(method: &str, key: &str) -> RawRequest {
    RawRequest::new(method, &format!("/{BUCKET}/{key}"))
}

fn signed(gateway: &Endpoint, request: RawRequest) -> Result<RawRequest> {
    request.sign(gateway, UNSIGNED, SystemTime::now())
}

fn upload(gateway: &Endpoint, key: &str, body: &[u8]) -> Result<Vec<u8>> {
    let request = request("PUT", key).header("content-length", &body.len().to_string());
    Ok(signed(gateway, request.body(body))?.bytes(gateway))
}

fn download(gateway: &Endpoint, key: &str) -> Result<Vec<u8>> {
    Ok(signed(gateway, request("GET", key))?.bytes(gateway))
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let (small, large) = (pattern(1, 5_000), pattern(2, 2 * 1024 * 1024));
        // Bodies between the requests, small and streamed ones, a refusal without a body, and HEAD, in one write.
        let mut bytes = Vec::new();
        for round in 0..3 {
            bytes.extend(upload(gateway, &format!("small-{round}"), &small)?);
            bytes.extend(download(gateway, &format!("small-{round}"))?);
            bytes.extend(upload(gateway, &format!("large-{round}"), &large)?);
            bytes.extend(
                signed(gateway, request("HEAD", &format!("large-{round}")))?.bytes(gateway),
            );
            bytes.extend(download(gateway, "missing")?);
            bytes.extend(request("GET", "unsigned").bytes(gateway));
            let range =
                request("GET", &format!("large-{round}")).header("range", "bytes=70000-70099");
            bytes.extend(signed(gateway, range)?.bytes(gateway));
        }
        let mut connection = RawConnection::open(gateway).await?;
        connection.write(&bytes).await?;
        for round in 0..3 {
            let mut next = async |status: u16, to_head: bool| -> Result<RawAnswer> {
                let answer = connection.answer(to_head).await?;
                ensure!(
                    answer.status == status,
                    "round {round}: {} instead of {status}: {}",
                    answer.status,
                    answer.text()
                );
                Ok(answer)
            };
            next(200, false).await?;
            ensure!(next(200, false).await?.body == small);
            next(200, false).await?;
            let head = next(200, true).await?;
            ensure!(head.header("content-length") == Some("2097152") && head.body.is_empty());
            let missing = next(404, false).await?;
            ensure!(missing.error_code().as_deref() == Some("NoSuchKey"));
            next(403, false).await?;
            ensure!(next(206, false).await?.body == large[70_000..70_100]);
        }
        ensure!(get(&through, BUCKET, "large-2").await? == large);
        Ok(())
    })
    .await
}

/// What follows the first line and `Host`, and the code of the refusal.
const MALFORMED: [(&str, &str); 14] = [
    (
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "InvalidRequest",
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "InvalidRequest",
    ),
    (
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "InvalidRequest",
    ),
    (
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "InvalidRequest",
    ),
    ("Content-Length: +5\r\n\r\nhello", "InvalidRequest"),
    ("Content-Length: 5, 5\r\n\r\nhello", "InvalidRequest"),
    (
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "InvalidRequest",
    ),
    ("Transfer-Encoding: identity\r\n\r\n", "InvalidRequest"),
    (
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "InvalidRequest",
    ),
    ("x-a: 1\r\n folded: 2\r\n\r\n", "InvalidRequest"),
    ("x-a: 1\nContent-Length: 5\r\n\r\nhello", "InvalidRequest"),
    ("x-a: 1\rContent-Length: 5\r\n\r\nhello", "InvalidRequest"),
    ("x-a: \0\r\n\r\n", "InvalidRequest"),
    ("no colon\r\n\r\n", "InvalidRequest"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_proxies_could_read_in_two_ways_is_refused_and_ends_the_connection() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let smuggled = upload(gateway, "smuggled", b"smuggled")?;
        let host = gateway.authority();
        let mut cases: Vec<(String, &str)> = MALFORMED
            .iter()
            .map(|(rest, code)| {
                (
                    format!("PUT /{BUCKET}/k HTTP/1.1\r\nHost: {host}\r\n{rest}"),
                    *code,
                )
            })
            .collect();
        let long = "a".repeat(40_000);
        for (bytes, code) in [
            (
                format!("GET /{BUCKET}/k HTTP/1.1\nHost: {host}\n\n"),
                "InvalidRequest",
            ),
            (
                format!("GET  /{BUCKET}/k HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                "InvalidRequest",
            ),
            (
                format!("GET /{BUCKET}/a b HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                "InvalidRequest",
            ),
            (
                format!("GET /{BUCKET}/k HTTP/3.0\r\nHost: {host}\r\n\r\n"),
                "InvalidRequest",
            ),
            (
                format!("PUT /{BUCKET}/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                "InvalidRequest",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_owned(),
                "InvalidRequest",
            ),
            ("\r\n\r\n\0\r\nQUIT\n".to_owned(), "InvalidRequest"),
            (
                format!("GET /{BUCKET}/k HTTP/1.1\r\nHost: {host}\r\nx-a: {long}\r\n\r\n"),
                "RequestHeaderSectionTooLarge",
            ),
            (
                format!("GET /{BUCKET}/{long} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                "RequestHeaderSectionTooLarge",
            ),
            (
                format!(
                    "GET /{BUCKET}/k HTTP/1.1\r\nHost: {host}\r\n{}\r\n",
                    "x-a: 1\r\n".repeat(300)
                ),
                "RequestHeaderSectionTooLarge",
            ),
        ] {
            cases.push((bytes, code));
        }
        for (bytes, code) in cases {
            // A good request before it is answered; one behind it is never read.
            let mut connection = RawConnection::open(gateway).await?;
            let good = download(gateway, "missing")?;
            connection
                .write(&[&good[..], bytes.as_bytes(), &smuggled].concat())
                .await?;
            let shown: String = bytes.chars().take(120).collect();
            let first = connection.answer(false).await?;
            ensure!(first.status == 404, "{shown:?}: {}", first.text());
            let refusal = connection
                .answer(false)
                .await
                .with_context(|| format!("{shown:?}"))?;
            ensure!(
                refusal.status == 400 && refusal.error_code().as_deref() == Some(code),
                "{shown:?} is answered {} {}",
                refusal.status,
                refusal.text()
            );
            ensure!(
                refusal.header("connection") == Some("close"),
                "{:?}",
                refusal.headers
            );
            let (rest, _) = connection.rest().await?;
            ensure!(
                rest.is_empty(),
                "{shown:?} is followed by {:?}",
                String::from_utf8_lossy(&rest)
            );
        }
        no_object(&bare, "smuggled").await?;
        no_object(&bare, "k").await
    })
    .await
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

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_and_cut_bodies_leave_no_object_and_no_connection() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let smuggled = upload(gateway, "smuggled", b"smuggled")?;
        for framing in [
            "5\nhello\n0\n\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "zz\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
        ] {
            let request = request("PUT", "chunked")
                .header("transfer-encoding", "chunked")
                .header("x-amz-decoded-content-length", "5");
            let mut bytes = signed(gateway, request)?.bytes(gateway);
            bytes.extend(framing.as_bytes());
            bytes.extend(&smuggled);
            let mut connection = RawConnection::open(gateway).await?;
            connection.write(&bytes).await?;
            let (answer, _) = connection.rest().await?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            ensure!(
                answer.is_empty()
                    || (answer.starts_with("HTTP/1.1 400")
                        && answer.matches("HTTP/1.1 ").count() == 1),
                "{framing:?} is answered {answer}"
            );
        }
        no_object(&bare, "chunked").await?;
        no_object(&bare, "smuggled").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_keep_the_connection_only_where_nothing_is_left_to_read() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        put(&through, BUCKET, "there", b"there").await?;
        // Without a body the connection goes on, refusal or not.
        let mut connection = RawConnection::open(gateway).await?;
        for _ in 0..3 {
            for (bytes, status) in [
                (download(gateway, "missing")?, 404),
                (request("GET", "there").bytes(gateway), 403),
                (RawRequest::new("OPTIONS", "*").bytes(gateway), 0),
                (
                    RawRequest::new("CONNECT", "example.org:443").bytes(gateway),
                    0,
                ),
                (RawRequest::new("BREW", "/pot").bytes(gateway), 0),
                (download(gateway, "there")?, 200),
            ] {
                connection.write(&bytes).await?;
                let answer = connection.answer(false).await?;
                ensure!(
                    answer.status == status || (status == 0 && (400..500).contains(&answer.status)),
                    "{} instead of {status}: {}",
                    answer.status,
                    answer.text()
                );
                ensure!(
                    answer.status < 400 || answer.error_code().is_some(),
                    "{}",
                    answer.text()
                );
            }
        }
        // HEAD is refused without a body.
        connection
            .write(&signed(gateway, request("HEAD", "missing"))?.bytes(gateway))
            .await?;
        connection
            .write(&request("HEAD", "unsigned").bytes(gateway))
            .await?;
        connection.write(&download(gateway, "there")?).await?;
        ensure!(connection.answer(true).await?.status == 404);
        ensure!(connection.answer(true).await?.status == 403);
        ensure!(connection.answer(false).await?.body == b"there");

        // A client that asks first and is refused does not send its body.
        let mut connection = RawConnection::open(gateway).await?;
        let asks = request("PUT", "asked")
            .header("content-length", "100000")
            .header("expect", "100-continue");
        connection.write(&asks.clone().bytes(gateway)).await?;
        let refusal = connection.answer(false).await?;
        ensure!(
            refusal.status == 403 && refusal.header("connection") == Some("close"),
            "{}",
            refusal.text()
        );
        ensure!(connection.rest().await?.0.is_empty());
        no_object(&bare, "asked").await?;

        // The absolute form of a target means the same as the usual one.
        let whole = format!("{}/{BUCKET}/there", gateway.url);
        let signed = signed(gateway, request("GET", "there"))?.bytes(gateway);
        let text = String::from_utf8(signed)?.replacen(&format!("/{BUCKET}/there"), &whole, 1);
        let mut connection = RawConnection::open(gateway).await?;
        connection.write(text.as_bytes()).await?;
        let answer = connection.answer(false).await?;
        ensure!(
            answer.status == 200 && answer.body == b"there",
            "{}",
            answer.text()
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_and_those_that_ask_for_it_get_a_closed_connection() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let body = pattern(3, 200_000);
        put(&through, BUCKET, "old", &body).await?;
        let text = String::from_utf8(download(gateway, "old")?)?;
        for request in [
            text.replacen("HTTP/1.1", "HTTP/1.0", 1),
            text.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1),
        ] {
            let mut connection = RawConnection::open(gateway).await?;
            connection.write(request.as_bytes()).await?;
            let answer = connection.answer(false).await?;
            ensure!(
                answer.status == 200 && answer.body == body,
                "{}",
                answer.status
            );
            let (rest, is_reset) = connection.rest().await?;
            ensure!(
                rest.is_empty() && !is_reset,
                "the connection does not end cleanly"
            );
        }
        Ok(())
    })
    .await
}

/// 5 GiB are announced; far less is read before the gateway is done with the client.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_without_end_is_cut_off() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let wrong = gateway.with_credentials(&gateway.access_key_id, "another secret");
        let request = request("PUT", "endless").header("content-length", "5000000000");
        let head = request
            .sign(&wrong, UNSIGNED, SystemTime::now())?
            .bytes(gateway);
        let started = Instant::now();
        let mut connection = RawConnection::open(gateway).await?;
        connection.write(&head).await?;
        let answer = connection.answer(false).await?;
        ensure!(
            answer.status == 403 && answer.header("connection") == Some("close"),
            "{}",
            answer.text()
        );
        let piece = vec![7; 1024 * 1024];
        let mut sent = 0_u64;
        while connection.write(&piece).await.is_ok() {
            sent += 1;
            // What it reads and drops is bounded at 64 MiB; the rest lies in the buffers of both sockets.
            ensure!(sent < 80, "{sent} MiB were taken after the refusal");
        }
        ensure!(
            started.elapsed() < Duration::from_secs(40),
            "it took {:?}",
            started.elapsed()
        );
        no_object(&bare, "endless").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_trickle_are_served_and_silent_ones_given_up() -> Result<()> {
    let rig = Rig::start_with("[limits]\nidle_timeout = \"2s\"\nheader_timeout = \"2s\"\n")?;
    let (through, bare) = rig.clients(BUCKET).await?;
    let gateway = &rig.gateway.endpoint;
    let body = pattern(4, 3_000);
    // 64 KiB in a second, for longer than the limit: each 64 KiB have all of it.
    let long = pattern(5, 300_000);
    let trickling = async {
        let mut connection = RawConnection::open(gateway).await?;
        for piece in upload(gateway, "trickled", &long)?.chunks(20_000) {
            connection.write(piece).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        connection.answer(false).await
    };
    let silent = async {
        let mut connection = RawConnection::open(gateway).await?;
        let bytes = upload(gateway, "silent", &body)?;
        connection.write(&bytes[..bytes.len() - 10]).await?;
        let started = Instant::now();
        let answer = connection.answer(false).await?;
        connection.rest().await?;
        Ok::<_, anyhow::Error>((answer, started.elapsed()))
    };
    let half_a_head = async {
        let mut connection = RawConnection::open(gateway).await?;
        connection.write(b"GET /http-1/k HTTP/1.1\r\nHost:").await?;
        let started = Instant::now();
        connection.rest().await?;
        Ok::<_, anyhow::Error>(started.elapsed())
    };
    let others = async {
        for round in 0..20 {
            let key = format!("other-{round}");
            put(&through, BUCKET, &key, &body).await?;
            ensure!(get(&through, BUCKET, &key).await? == body);
        }
        Ok::<_, anyhow::Error>(())
    };
    let (trickled, silent, half_a_head, others) =
        tokio::join!(trickling, silent, half_a_head, others);
    others.context("other clients are harmed")?;
    ensure!(trickled?.status == 200, "a slow client is refused");
    ensure!(get(&through, BUCKET, "trickled").await? == long);
    let (answer, waited) = silent?;
    ensure!(
        answer.status == 400 && answer.error_code().as_deref() == Some("RequestTimeout"),
        "{} {}",
        answer.status,
        answer.text()
    );
    ensure!(
        waited < Duration::from_secs(20),
        "silence was borne for {waited:?}"
    );
    ensure!(
        half_a_head? < Duration::from_secs(20),
        "half a head was borne for long"
    );
    no_object(&bare, "silent").await
}
