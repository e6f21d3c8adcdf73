//! Ten times as many requests as there are places for, of 64 KiB, 1 MiB and 1 GiB: whoever finds no place is told so, whoever has one is served whole.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Context as _, Result, ensure};
use sealgate_tests::{
    content::pattern,
    endpoint::Endpoint,
    raw_http::{RawAnswer, RawRequest},
    rig::put,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    bounds::Bounds,
    load::{IMPATIENCE, Load, lasting, press},
    scene::{BUCKET, Scene, Storage, UNSIGNED, download, on_scene, upload},
};

/// The longest announced object.
const GIBIBYTE: u64 = 1 << 30;

/// An object that is read at leisure where the load lasts for seconds only.
const LARGE: u64 = 48 << 20;

/// Some are served and some told to come again, or it is no overload.
pub(crate) const OVERLOAD: [&str; 2] = ["200", "503 SlowDown"];

/// So much is sent of an upload that was not refused.
const UNDER_WAY: u64 = 8 << 20;

/// What one write sends of a long body.
const PIECE: usize = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_as_many_requests_of_64_kib() -> Result<()> {
    whole_objects("64 KiB", 64 << 10).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_as_many_requests_of_1_mib() -> Result<()> {
    whole_objects("1 MiB", 1 << 20).await
}

async fn whole_objects(kind: &str, length: usize) -> Result<()> {
    on_scene(Storage::Minio, Bounds::default(), async |scene| {
        let body: Arc<[u8]> = pattern(7, length).into();
        let through = scene.gateway.endpoint.s3()?;
        put(&through, BUCKET, "whole", &body).await?;
        press(scene, kind, &OVERLOAD, async |load| {
            let mut clients = JoinSet::new();
            for number in 0..scene.bounds.tenfold() {
                let key = format!("whole-{number}");
                let sent = upload(&key, length as u64).body(&body);
                let request = if number % 2 == 0 {
                    sent
                } else {
                    download("whole")
                };
                clients.spawn(again_and_again(
                    scene.crowd.clone(),
                    request,
                    Arc::clone(&body),
                    Arc::clone(load),
                ));
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Sends one request after the other, each over a connection of its own.
async fn again_and_again(
    crowd: Endpoint,
    request: RawRequest,
    expected: Arc<[u8]>,
    load: Arc<Load>,
) -> Result<()> {
    while !load.is_over() {
        let request = request.clone().sign(&crowd, UNSIGNED, SystemTime::now())?;
        let answer = request.send(&crowd).await?;
        if load.answered(&answer)? {
            tokio::time::sleep(IMPATIENCE).await;
        } else {
            ensure!(
                answer.body.is_empty() || answer.body == *expected,
                "other bytes"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_as_many_uploads_of_1_gib() -> Result<()> {
    on_scene(Storage::Minio, Bounds::default(), async |scene| {
        press(
            scene,
            "1 GiB up",
            &["under way", "503 SlowDown"],
            async |load| {
                let mut clients = JoinSet::new();
                for number in 0..scene.bounds.tenfold() {
                    let request = scene.signed(upload(&format!("long-{number}"), GIBIBYTE))?;
                    let head = request.bytes(&scene.crowd);
                    let address = scene.crowd.authority().to_owned();
                    clients.spawn(send_long(address, head, Arc::clone(load)));
                }
                load.is_pressing();
                ended(&mut clients).await
            },
        )
        .await?;
        let listed = scene.gateway.endpoint.s3()?.list_objects_v2();
        let listed = listed.bucket(BUCKET).prefix("long-").send().await?;
        ensure!(
            listed.contents().is_empty(),
            "an upload that was never finished is there"
        );
        Ok(())
    })
    .await
}

/// Sends bytes for as long as the load lasts, or until there is an answer.
async fn send_long(address: String, head: Vec<u8>, load: Arc<Load>) -> Result<()> {
    let piece = pattern(3, PIECE);
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&head).await?;
    let (mut reader, mut writer) = stream.split();
    let mut received = Vec::new();
    let sending = async {
        // It ends with an error once the gateway has closed the connection, behind its answer.
        let mut sent = 0;
        while writer.write_all(&piece).await.is_ok() {
            sent += piece.len() as u64;
            if sent == UNDER_WAY {
                load.count("under way");
            }
        }
        std::future::pending::<()>().await;
    };
    let answered = tokio::select! {
        read = reader.read_to_end(&mut received) => Some(read.is_err()),
        () = load.over() => None,
        () = sending => None,
    };
    match answered {
        Some(is_reset) => {
            let answer = RawAnswer::parse(&received, is_reset)?;
            ensure!(load.answered(&answer)?, "an upload ended before its end");
        }
        None => load.count("not finished"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_as_many_downloads_of_1_gib() -> Result<()> {
    on_scene(Storage::Minio, Bounds::default(), async |scene| {
        let (_, is_long) = lasting()?;
        let length = if is_long { GIBIBYTE } else { LARGE };
        store(scene, "long", length).await?;
        press(scene, "1 GiB down", &OVERLOAD, async |load| {
            let mut clients = JoinSet::new();
            for _ in 0..scene.bounds.tenfold() {
                let head = scene.signed(download("long"))?.bytes(&scene.crowd);
                let address = scene.crowd.authority().to_owned();
                clients.spawn(receive_long(address, head, length, Arc::clone(load)));
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Stores an object that is made while it is sent.
async fn store(scene: &Scene, key: &str, length: u64) -> Result<()> {
    let piece = pattern(3, PIECE);
    let request = scene.signed(upload(key, length))?;
    let mut stream = TcpStream::connect(scene.crowd.authority()).await?;
    stream.write_all(&request.to_bytes(&scene.crowd)).await?;
    for _ in 0..length / PIECE as u64 {
        stream.write_all(&piece).await?;
    }
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    let answer = RawAnswer::parse(&received, false)?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(())
}

/// Reads an object, and throws it away, for as long as the load lasts.
async fn receive_long(address: String, head: Vec<u8>, length: u64, load: Arc<Load>) -> Result<()> {
    while !load.is_over() {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(&head).await?;
        let mut beginning = vec![0; PIECE];
        let read = tokio::select! {
            read = stream.read(&mut beginning) => read?,
            () = load.over() => break,
        };
        beginning.truncate(read);
        if !beginning.starts_with(b"HTTP/1.1 200") {
            // The connection stays open behind a refusal of a request without a body.
            let answer = whole(&mut stream, beginning).await?;
            ensure!(load.answered(&answer)?, "{}", answer.status);
            tokio::time::sleep(IMPATIENCE).await;
            continue;
        }
        load.count("200");
        let mut piece = vec![0; PIECE];
        let mut received = read as u64;
        while received < length {
            let read = tokio::select! {
                read = stream.read(&mut piece) => read?,
                () = load.over() => return Ok(()),
            };
            ensure!(read > 0, "a download was cut after {received} bytes");
            received += read as u64;
        }
    }
    Ok(())
}

/// The rest of a short answer whose beginning is there.
async fn whole(stream: &mut TcpStream, mut received: Vec<u8>) -> Result<RawAnswer> {
    loop {
        if memchr::memmem::find(&received, b"\r\n\r\n").is_some() {
            let answer = RawAnswer::parse(&received, false)?;
            if answer.is_complete {
                return Ok(answer);
            }
        }
        ensure!(
            stream.read_buf(&mut received).await? > 0,
            "an answer was cut: {:?}",
            String::from_utf8_lossy(&received)
        );
    }
}

/// Waits until all clients have ended, or one has failed.
pub(crate) async fn ended(clients: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(client) = clients.join_next().await {
        client?.context("one of the crowd")?;
    }
    Ok(())
}
