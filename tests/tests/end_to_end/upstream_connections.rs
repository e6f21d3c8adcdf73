//! A storage that closes its connections whenever it likes, or is slow.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata as _,
    types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier},
};
use sealgate_tests::{
    content::pattern,
    rig::{bounded, get, put},
    servers::{Forwarder, Gateway, GatewaySettings, KeyServer, Minio, forwarder::Mood},
};
use tempfile::TempDir;

const BUCKET: &str = "connections";
const LIMIT: Duration = Duration::from_mins(4);

/// Clients at once, and what each of them does how often.
const CLIENTS: u64 = 8;
const ROUNDS: u64 = 25;

struct Setting {
    gateway: Gateway,
    forwarder: Forwarder,
    // In this order: the directory goes last.
    _servers: (Minio, KeyServer),
    _directory: TempDir,
}

async fn start(mood: Mood, more: &str) -> Result<Setting> {
    start_with(mood, more, Duration::from_millis(200)).await
}

/// `pause` is that of the mood.
async fn start_with(mood: Mood, more: &str, pause: Duration) -> Result<Setting> {
    let directory = tempfile::tempdir()?;
    let minio = Minio::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let forwarder = Forwarder::start(&minio.endpoint, mood, pause).await?;
    let settings = GatewaySettings {
        more: more.to_owned(),
        ..GatewaySettings::new(&forwarder.endpoint, &key_server.endpoint)
    };
    let gateway = Gateway::start(settings, directory.path())?;
    gateway
        .endpoint
        .s3()?
        .create_bucket()
        .bucket(BUCKET)
        .send()
        .await?;
    Ok(Setting {
        gateway,
        forwarder,
        _servers: (minio, key_server),
        _directory: directory,
    })
}

/// Everything that a client does, without a single retry of its own. Returns how many requests that were.
async fn work(client: Client, name: u64) -> Result<u64> {
    let small = pattern(name, 3_000);
    let large = pattern(name, (1 << 20) + 100_000);
    for round in 0..ROUNDS {
        let key = format!("{name}/{round}");
        put(&client, BUCKET, &key, &small).await?;
        ensure!(
            get(&client, BUCKET, &key).await? == small,
            "other bytes at {key}"
        );
        client.head_object().bucket(BUCKET).key(&key).send().await?;
        // Streamed, and with a condition.
        let streamed = format!("{key}-streamed");
        put(&client, BUCKET, &streamed, &large).await?;
        client
            .put_object()
            .bucket(BUCKET)
            .key(format!("{key}-once"))
            .if_none_match("*")
            .body(large.clone().into())
            .send()
            .await?;
        ensure!(
            get(&client, BUCKET, &streamed).await? == large,
            "other bytes at {streamed}"
        );
        let upload = client
            .create_multipart_upload()
            .bucket(BUCKET)
            .key(&key)
            .send()
            .await?;
        let id = upload.upload_id().unwrap_or_default();
        let part = client
            .upload_part()
            .bucket(BUCKET)
            .key(&key)
            .upload_id(id)
            .part_number(1)
            .body(small.clone().into())
            .send()
            .await?;
        let parts = CompletedPart::builder()
            .part_number(1)
            .set_e_tag(part.e_tag)
            .set_checksum_crc32(part.checksum_crc32)
            .build();
        client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key(&key)
            .upload_id(id)
            .multipart_upload(CompletedMultipartUpload::builder().parts(parts).build())
            .send()
            .await?;
        ensure!(
            get(&client, BUCKET, &key).await? == small,
            "other bytes at {key}"
        );
        let object = ObjectIdentifier::builder().key(&streamed).build()?;
        let deleted = client
            .delete_objects()
            .bucket(BUCKET)
            .delete(Delete::builder().objects(object).build()?)
            .send()
            .await?;
        ensure!(deleted.errors().is_empty(), "{deleted:?}");
        client
            .delete_object()
            .bucket(BUCKET)
            .key(format!("{key}-once"))
            .send()
            .await?;
    }
    Ok(ROUNDS * 12)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_closes_idle_connections_breaks_no_request() -> Result<()> {
    bounded(LIMIT, async {
        let setting = start(Mood::Restless, "").await?;
        let mut tasks = Vec::new();
        for name in 0..CLIENTS {
            tasks.push(tokio::spawn(Box::pin(work(
                setting.gateway.endpoint.s3()?,
                name,
            ))));
        }
        let (mut requests, mut failures) = (0, Vec::new());
        for task in tasks {
            match task.await? {
                Ok(count) => requests += count,
                Err(error) => failures.push(format!("{error:?}")),
            }
        }
        let broken = setting.forwarder.broken();
        println!("{requests} requests, {broken} of the gateway's own met a closed connection");
        ensure!(
            failures.is_empty(),
            "{} clients saw a failure, the first: {}\n{}",
            failures.len(),
            failures.join("\n"),
            setting.gateway.process.last_words()
        );
        ensure!(
            broken > requests / 10,
            "only {broken} of the gateway's requests met a closed connection: nothing was tested"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_storage_is_waited_for_and_a_stuck_one_given_up() -> Result<()> {
    bounded(LIMIT, async {
        let setting = start(Mood::Sluggish, "[limits]\nidle_timeout = \"2s\"\n").await?;
        let client = setting.gateway.endpoint.s3()?;
        let body = pattern(1, 300_000);
        for key in ["slow", "stuck", "quick"] {
            put(&client, BUCKET, key, &body).await?;
        }
        let others = async {
            for _ in 0..30 {
                ensure!(get(&client, BUCKET, "quick").await? == body);
            }
            Ok::<_, anyhow::Error>(())
        };
        let started = Instant::now();
        let (slow, stuck, others) = tokio::join!(
            get(&client, BUCKET, "slow"),
            get(&client, BUCKET, "stuck"),
            others
        );
        others?;
        // 20 pauses of 200 ms are longer than the time-out, and each of them is shorter.
        ensure!(slow? == body, "a slow storage gives other bytes");
        ensure!(stuck.is_err(), "half an object was taken for the whole");
        ensure!(
            started.elapsed() < Duration::from_mins(1),
            "a stuck storage was waited for {:?}",
            started.elapsed()
        );
        Ok(())
    })
    .await
}

/// Puts without any retry, so that what the gateway said is seen. Returns the status and the code.
async fn refused_put(client: &Client, key: &str, body: &[u8]) -> Result<(u16, String)> {
    let error = client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(body.to_vec().into())
        .send()
        .await
        .err()
        .with_context(|| format!("the upload of {key} succeeded"))?;
    let status = error
        .raw_response()
        .map(|answer| answer.status().as_u16())
        .with_context(|| format!("no answer at all: {error:?}"))?;
    Ok((status, error.code().unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_13_a_refusal_in_mid_upload_reaches_the_client_and_leaves_no_object() -> Result<()> {
    bounded(LIMIT, async {
        let limits = "[limits]\nupstream_response_timeout = \"2s\"\n";
        let pause = Duration::from_secs(20);
        let setting = start_with(Mood::Refusing, limits, pause).await?;
        let client = setting.gateway.endpoint.s3()?;
        let body = pattern(2, 20 << 20);
        for round in 0..5 {
            let (status, code) = refused_put(&client, &format!("full-{round}"), &body).await?;
            ensure!(
                (status, code.as_str()) == (503, "SlowDown"),
                "a refusal of the storage became {status} {code}"
            );
            let upload = client
                .create_multipart_upload()
                .bucket(BUCKET)
                .key("full-parts")
                .send()
                .await?;
            let part = client
                .upload_part()
                .bucket(BUCKET)
                .key("full-parts")
                .set_upload_id(upload.upload_id)
                .part_number(1)
                .body(body.clone().into())
                .send()
                .await;
            ensure!(
                part.is_err_and(|error| error.code() == Some("SlowDown")),
                "a refused part"
            );
        }
        ensure!(setting.forwarder.broken() >= 10, "nothing was refused");

        let started = Instant::now();
        let (status, code) = refused_put(&client, "late", &body).await?;
        ensure!(
            status >= 500 && started.elapsed() < pause,
            "a storage that does not answer became {status} {code} after {:?}",
            started.elapsed()
        );

        put(&client, BUCKET, "welcome", &body).await?;
        ensure!(get(&client, BUCKET, "welcome").await? == body);
        let listed = client.list_objects_v2().bucket(BUCKET).send().await?;
        let keys: Vec<_> = listed.contents().iter().filter_map(|o| o.key()).collect();
        // What is late was stored: no answer is no promise in either direction.
        ensure!(
            keys.iter().all(|key| ["late", "welcome"].contains(key)),
            "refused uploads have left {keys:?}"
        );
        Ok(())
    })
    .await
}
