//! Clients that take their time: with heads, with bodies, and with the answers that they asked for.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use sealgate_tests::{content::pattern, raw_http::RawAnswer, rig::put};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    bounds::Bounds,
    idle::a_place,
    load::{Load, press},
    scene::{BUCKET, Storage, download, on_scene, upload},
    sizes::ended,
};

/// Between two bytes of a slow client.
const PAUSE: Duration = Duration::from_millis(100);

/// What the gateway waits for anything that makes no progress here, in seconds.
const PATIENCE: u64 = 2;

/// An object that no buffers on its way hold whole.
const LARGE: usize = 24 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_come_byte_by_byte() -> Result<()> {
    let bounds = Bounds {
        connections: 300,
        header_timeout: PATIENCE,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        press(scene, "slow heads", &["closed"], async |load| {
            let mut clients = JoinSet::new();
            for _ in 0..a_place()? * scene.bounds.connections {
                let address = scene.crowd.authority().to_owned();
                clients.spawn(drip_heads(address, Arc::clone(load)));
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Sends heads that never end, one byte after the other, and comes back when the connection is closed.
async fn drip_heads(address: String, load: Arc<Load>) -> Result<()> {
    while !load.is_over() {
        let dripping = async {
            let mut stream = TcpStream::connect(&address).await?;
            let head = format!("GET /{BUCKET}/key HTTP/1.1\r\nx-slow: ");
            if stream.write_all(head.as_bytes()).await.is_err() {
                return Ok(());
            }
            let mut received = [0; 1024];
            loop {
                match tokio::time::timeout(PAUSE, stream.read(&mut received)).await {
                    Ok(Ok(length)) if length > 0 => {
                        let text = String::from_utf8_lossy(&received);
                        ensure!(text.contains(" 408 ") || text.contains(" 400 "), "{text}");
                    }
                    Ok(_) => break,
                    Err(_) if stream.write_all(b"a").await.is_err() => break,
                    Err(_) => {}
                }
            }
            Ok(())
        };
        tokio::select! {
            outcome = dripping => outcome?,
            () = load.over() => return Ok(()),
        }
        load.count("closed");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_come_byte_by_byte_or_stop() -> Result<()> {
    let bounds = Bounds {
        idle_timeout: PATIENCE,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        // Whoever sends a byte now and then is given up as well.
        let wanted = ["503 SlowDown", "400 RequestTimeout"];
        press(scene, "slow bodies", &wanted, async |load| {
            let mut clients = JoinSet::new();
            for number in 0..scene.bounds.tenfold() {
                // Small ones take memory from the beginning, large ones a connection to the storage.
                let length = [64 << 10, 1 << 20, 1 << 30][usize::try_from(number % 3)?];
                let request = scene.signed(upload(&format!("slow-{number}"), length))?;
                let head = request.bytes(&scene.crowd);
                let address = scene.crowd.authority().to_owned();
                let drips = number % 2 == 0;
                clients.spawn(drip_body(address, head, drips, Arc::clone(load)));
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Sends a head and the beginning of a body, and then one byte after the other, or nothing more.
async fn drip_body(address: String, head: Vec<u8>, drips: bool, load: Arc<Load>) -> Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.write_all(&head).await?;
    let (mut reader, mut writer) = stream.split();
    let mut received = Vec::new();
    let sending = async {
        let mut is_open = writer.write_all(&pattern(2, 10_000)).await.is_ok();
        while drips && is_open {
            tokio::time::sleep(PAUSE).await;
            is_open = writer.write_all(b"a").await.is_ok();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        read = reader.read_to_end(&mut received) => {
            let answer = RawAnswer::parse(&received, read.is_err())?;
            ensure!(load.answered(&answer)?, "{}", answer.status);
        }
        () = load.over() => load.count("was waited for"),
        () = sending => {}
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_stop_are_given_up() -> Result<()> {
    let bounds = Bounds {
        idle_timeout: PATIENCE,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        press(
            scene,
            "stalled bodies",
            &["400 RequestTimeout"],
            async |load| {
                let mut clients = JoinSet::new();
                for number in 0..scene.bounds.crowd {
                    let length = [64 << 10, 1 << 20, 1 << 30][usize::try_from(number % 3)?];
                    let request = scene.signed(upload(&format!("stalled-{number}"), length))?;
                    let head = request.bytes(&scene.crowd);
                    let address = scene.crowd.authority().to_owned();
                    clients.spawn(stall(address, head, Arc::clone(load)));
                }
                load.is_pressing();
                ended(&mut clients).await
            },
        )
        .await
    })
    .await
}

/// Sends a head and the beginning of a body, and waits for what comes of it.
async fn stall(address: String, head: Vec<u8>, load: Arc<Load>) -> Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.write_all(&head).await?;
    stream.write_all(&pattern(2, 10_000)).await?;
    let mut received = Vec::new();
    let is_reset = stream.read_to_end(&mut received).await.is_err();
    let answer = RawAnswer::parse(&received, is_reset)?;
    load.answered(&answer)?;
    ensure!(
        answer.error_code().as_deref() == Some("RequestTimeout"),
        "{} {}",
        answer.status,
        answer.text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_fetches() -> Result<()> {
    let bounds = Bounds {
        idle_timeout: PATIENCE,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        let through = scene.gateway.endpoint.s3()?;
        put(&through, BUCKET, "large", &pattern(9, LARGE)).await?;
        press(
            scene,
            "answers not fetched",
            &["200", "503"],
            async |load| {
                let mut clients = JoinSet::new();
                for _ in 0..scene.bounds.tenfold() {
                    let head = scene.signed(download("large"))?.bytes(&scene.crowd);
                    let address = scene.crowd.authority().to_owned();
                    clients.spawn(ask_and_sleep(address, head, Arc::clone(load)));
                }
                load.is_pressing();
                ended(&mut clients).await
            },
        )
        .await
    })
    .await
}

/// Asks for an object, reads the beginning of the answer, and then nothing more.
async fn ask_and_sleep(address: String, head: Vec<u8>, load: Arc<Load>) -> Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.write_all(&head).await?;
    let mut beginning = [0; 12];
    tokio::select! {
        read = stream.read_exact(&mut beginning) => { read?; }
        () = load.over() => return Ok(()),
    }
    let status = String::from_utf8_lossy(&beginning);
    let status = status.split(' ').nth(1).unwrap_or_default();
    ensure!(matches!(status, "200" | "503"), "{status}");
    load.count(status);
    load.over().await;
    Ok(())
}
