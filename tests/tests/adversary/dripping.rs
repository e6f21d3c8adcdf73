//! Answers that come a byte at a time, wherever the gateway reads them: each is given up, and whoever left meanwhile keeps nobody's place.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use futures_util::future::{join_all, try_join_all};
use sealgate_tests::{
    content::pattern,
    multipart::upload_part,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::state_bucket,
    servers::{Asked, Ending},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    judgement::Outcome,
    material::{Kind, Material, store},
    scene::{Scene, begin, with_scene},
    state::records,
};

const LIMIT: Duration = Duration::from_mins(4);

/// Less than the gateway waits for in silence, so that each byte comes in time.
const PAUSE: Duration = Duration::from_secs(1);

const PLACES: usize = 4;
const IMPATIENT: &str = "\n[limits]\nidle_timeout = \"3s\"\nupstream_response_timeout = \"3s\"\n";
const NARROW: &str = "\n[limits]\nidle_timeout = \"3s\"\nupstream_response_timeout = \"3s\"\nconcurrent_requests = 4\n";

/// Several times what the gateway waits for, and far less than any of these answers takes.
const GIVEN_UP: Duration = Duration::from_secs(25);

/// Has the chosen answers for a path drip behind their first bytes.
fn drip(
    scene: &Scene,
    path: &str,
    after: usize,
    chosen: impl Fn(&Asked) -> bool + Send + Sync + 'static,
) {
    scene.adversary.alter(path, chosen, move |reply| {
        reply.ending = Ending::Dripping {
            after,
            pause: PAUSE,
        };
    });
}

/// The read of a commit record alone: the last bytes of an object.
fn is_of_suffix(asked: &Asked) -> bool {
    let range = asked.headers.get("range");
    asked.method == "GET" && range.is_some_and(|range| range.as_bytes().starts_with(b"bytes=-"))
}

fn is_get(asked: &Asked) -> bool {
    asked.method == "GET"
}

/// Asks, and fails where the answer is not at its end in time.
async fn answer_in_time(
    scene: &Scene,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<RawAnswer> {
    tokio::time::timeout(GIVEN_UP, scene.ask(method, target, headers))
        .await
        .with_context(|| format!("{method} {target} {headers:?}: not given up in {GIVEN_UP:?}"))?
}

async fn is_given_up(
    scene: &Scene,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<()> {
    let answer = answer_in_time(scene, method, target, headers).await?;
    ensure!(
        answer.status == 503,
        "{method} {target} {headers:?}: {}: {}",
        answer.status,
        answer.text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_region_or_record_that_drips_is_given_up() -> Result<()> {
    with_scene(IMPATIENT, LIMIT, async |scene| {
        let small = Material::make(scene, "aes", "small", Kind::Single(1_000)).await?;
        let late = Material::make(scene, "aes", "late", Kind::Single((1 << 20) + 1)).await?;
        drip(scene, &small.path(), small.region(), is_get);
        drip(scene, &late.path(), 0, is_of_suffix);
        let (small, late) = (small.path(), late.path());
        try_join_all([
            is_given_up(scene, "GET", &small, &[]),
            is_given_up(scene, "GET", &late, &[]),
            is_given_up(scene, "GET", &late, &[("range", "bytes=0-9")]),
        ])
        .await?;
        // And what it was is in the log, with what to turn.
        let log = scene.gateway.process.logged()?;
        ensure!(
            log.contains("limits.idle_timeout"),
            "the log names no setting"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_the_storage_that_drip_are_given_up() -> Result<()> {
    with_scene(IMPATIENT, LIMIT, async |scene| {
        let upload = begin(&scene.client, "aes", "waiting").await?;
        upload_part(&scene.client, ("aes", "waiting"), &upload, 1, b"part").await?;
        let state = state_bucket(&scene.bare).await?;
        let records = records(scene, &state, "uploads/").await?;
        ensure!(!records.is_empty(), "no records");
        for (name, _) in records {
            drip(scene, &format!("/{state}/{name}"), 0, is_get);
        }
        drip(scene, "/aes", 100, is_get);
        let parts = format!("/aes/waiting?uploadId={upload}");
        try_join_all([
            is_given_up(scene, "GET", "/aes?list-type=2", &[]),
            is_given_up(scene, "GET", &parts, &[]),
        ])
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_give_up_what_drips() -> Result<()> {
    with_scene(IMPATIENT, LIMIT, async |scene| {
        let late = Kind::Single((1 << 20) + 1);
        for (key, length) in [("of-source", 0), ("answer", 0), ("of-copy", 1_000)] {
            let kind = if length == 0 {
                late.clone()
            } else {
                Kind::Single(length)
            };
            let plaintext = vec![7; kind.length()];
            store(scene, "aes", key, &kind, &plaintext).await?;
        }
        drip(scene, "/aes/of-source", 0, is_of_suffix);
        drip(scene, "/aes/answer-to", 0, |asked| asked.method == "PUT");
        drip(scene, "/aes/of-copy-to", 0, is_of_suffix);
        let copies = ["of-source", "answer", "of-copy"].map(async |key| {
            let source = format!("/aes/{key}");
            let headers = [("x-amz-copy-source", &*source)];
            is_given_up(scene, "PUT", &format!("{source}-to"), &headers).await
        });
        try_join_all(copies).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_a_copy_that_drips_gives_back_the_place() -> Result<()> {
    with_scene(NARROW, LIMIT, async |scene| {
        let late = Material::make(scene, "aes", "late", Kind::Single((1 << 20) + 1)).await?;
        let quick = Material::make(scene, "chacha", "quick", Kind::Single(1_000)).await?;
        drip(scene, &late.path(), 0, is_of_suffix);
        let source = late.path();
        let clients = (0..PLACES).map(|number| {
            let source = source.clone();
            async move {
                let headers = [("x-amz-copy-source", &*source)];
                let target = format!("/aes/copy-{number}");
                let asked = scene.ask("PUT", &target, &headers);
                let _ = tokio::time::timeout(Duration::from_secs(1), asked).await;
            }
        });
        join_all(clients).await;
        scene.adversary.behave(&late.path());
        let answer = scene.ask("GET", &quick.path(), &[]).await?;
        ensure!(
            answer.error_code().as_deref() == Some("SlowDown"),
            "not all places are taken: {}",
            answer.status
        );
        let left = Instant::now();
        loop {
            let answer = scene.ask("GET", &quick.path(), &[]).await?;
            if Outcome::of(&answer, &quick.plaintext)? == Outcome::Right {
                return Ok(());
            }
            ensure!(
                left.elapsed() < GIVEN_UP,
                "no place has come back {GIVEN_UP:?} after all clients left"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_is_not_taken_for_a_storage_that_drips() -> Result<()> {
    with_scene(IMPATIENT, LIMIT, async |scene| {
        let large = Kind::Single(24 << 20);
        let plaintext = pattern(3, large.length());
        store(scene, "aes", "large", &large, &plaintext).await?;
        let endpoint = &scene.gateway.endpoint;
        let request = RawRequest::new("GET", "/aes/large").sign(
            endpoint,
            Payload::Signed(b""),
            SystemTime::now(),
        )?;
        let mut stream = TcpStream::connect(endpoint.authority()).await?;
        stream.write_all(&request.to_bytes(endpoint)).await?;
        let (started, mut received) = (Instant::now(), Vec::new());
        while (&mut stream)
            .take(1 << 20)
            .read_to_end(&mut received)
            .await?
            > 0
        {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        ensure!(received.ends_with(&plaintext), "{} bytes", received.len());
        // Several times what the storage is waited for.
        ensure!(
            started.elapsed() > Duration::from_secs(9),
            "{:?}",
            started.elapsed()
        );
        Ok(())
    })
    .await
}
