//! A gateway that is asked to stop: load balancers learn of it first, downloads end, and a second signal means at once.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    admin::Administered,
    content::pattern,
    raw_http::{Payload, RawRequest},
    rig::{bounded, get, put},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BUCKET: &str = "drain";
const SIZE: usize = 24 << 20;
const LIMIT: Duration = Duration::from_mins(2);

fn start(limits: &str) -> Result<Administered> {
    Administered::start(&format!("[limits]\n{limits}\n"), Vec::new())
}

/// A download of which the head and the first bytes have come, and nothing more is read.
async fn begun(servers: &Administered, body: &[u8]) -> Result<(TcpStream, Vec<u8>)> {
    let client = servers.gateway.endpoint.s3()?;
    client.create_bucket().bucket(BUCKET).send().await?;
    put(&client, BUCKET, "large", body).await?;
    let endpoint = &servers.gateway.endpoint;
    let request = RawRequest::new("GET", &format!("/{BUCKET}/large"))
        .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
        .to_bytes(endpoint);
    let mut stream = TcpStream::connect(endpoint.authority()).await?;
    stream.write_all(&request).await?;
    let mut received = vec![0; 4_096];
    let length = stream.read(&mut received).await?;
    received.truncate(length);
    ensure!(received.starts_with(b"HTTP/1.1 200"), "{received:?}");
    Ok((stream, received))
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_first_then_the_listener_and_a_download_ends_well() -> Result<()> {
    let mut servers = start("drain_delay = \"3s\"\nshutdown_grace = \"30s\"")?;
    bounded(LIMIT, async {
        let body = pattern(3, SIZE);
        let (mut stream, mut received) = begun(&servers, &body).await?;
        let client = servers.gateway.endpoint.s3()?;
        ensure!(servers.admin.readiness().await?.0);
        let stopped = Instant::now();
        servers.gateway.process.signal("TERM")?;
        let document = servers
            .admin
            .until_ready(false, Duration::from_secs(2))
            .await?;
        ensure!(document.to_string().contains("stopping"), "{document:#}");
        ensure!(servers.admin.get("/livez").await?.status == 200);
        // Whoever has not heard yet is served.
        ensure!(get(&client, BUCKET, "large").await? == body);
        ensure!(
            stopped.elapsed() < Duration::from_secs(3),
            "too slow a machine to tell"
        );
        let authority = servers.gateway.endpoint.authority().to_owned();
        loop {
            if TcpStream::connect(&authority).await.is_err() {
                break;
            }
            ensure!(
                stopped.elapsed() < Duration::from_secs(15),
                "it still accepts"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ensure!(
            stopped.elapsed() >= Duration::from_secs(3),
            "it stopped accepting too soon"
        );
        ensure!(
            !servers.gateway.process.has_ended()?,
            "it did not wait for the download"
        );
        stream.read_to_end(&mut received).await?;
        ensure!(received.ends_with(&body), "the download was cut");
        let status = servers.gateway.process.ended(Duration::from_secs(20))?;
        ensure!(status.success(), "{status}");
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_period_has_an_end_and_a_second_signal_does_not_wait_for_it() -> Result<()> {
    for (limits, second) in [
        ("shutdown_grace = \"1s\"", false),
        ("drain_delay = \"1m\"\nshutdown_grace = \"1m\"", true),
    ] {
        let mut servers = start(limits)?;
        bounded(LIMIT, async {
            let body = pattern(3, SIZE);
            let (_stuck, _) = begun(&servers, &body).await?;
            servers.gateway.process.signal("TERM")?;
            if second {
                servers
                    .admin
                    .until_ready(false, Duration::from_secs(5))
                    .await?;
                servers.gateway.process.signal("INT")?;
            }
            let status = servers.gateway.process.ended(Duration::from_secs(10))?;
            ensure!(status.success() != second, "{status}");
            let logged = servers.gateway.process.logged()?;
            let word = if second {
                "second signal"
            } else {
                "grace period is over"
            };
            ensure!(logged.contains(word), "{logged}");
            Ok(())
        })
        .await
        .with_context(|| servers.gateway.process.last_words())?;
    }
    Ok(())
}
