//! Connections on which nothing happens: as many as there are places for, and more.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sealgate_tests::{
    endpoint::Endpoint, process_resources::Resources, raw_connection::RawConnection,
    raw_http::RawRequest,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, sync::Semaphore, task::JoinSet};

use crate::{
    bounds::{Bounds, allow_connections},
    load::{Load, lasting, press},
    scene::{BUCKET, Storage, on_scene},
    sizes::ended,
};

/// Connections that nobody uses.
const IDLE: u64 = 10_000;

/// Connections that are opened at the same time.
const AT_ONCE: usize = 200;

/// What a head may have before its end without being too long, as far as it is sent.
const BEGUN: usize = 28 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_cost_little_and_keep_nobody_out() -> Result<()> {
    allow_connections(IDLE)?;
    let bounds = Bounds {
        connections: IDLE + 200,
        header_timeout: 300,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        press(scene, "10,000 idle connections", &[], async |load| {
            let _open = open_all(IDLE, AT_ONCE, |number| {
                let crowd = scene.crowd.clone();
                async move { open(&crowd, number).await }
            })
            .await?;
            let held = Resources::of(scene.gateway.process.id())?.sockets;
            ensure!(held as u64 >= IDLE, "the gateway has {held} sockets");
            load.count(&format!("{held} sockets"));
            load.is_pressing();
            load.over().await;
            Ok(())
        })
        .await
    })
    .await
}

/// Opens so many connections, of which so many are being opened at the same time; each by its number, from 0 on.
pub(crate) async fn open_all<C, F>(
    count: u64,
    at_once: usize,
    open: impl Fn(u64) -> F,
) -> Result<Vec<C>>
where
    C: Send + 'static,
    F: Future<Output = Result<C>> + Send + 'static,
{
    let opening = Arc::new(Semaphore::new(at_once));
    let mut clients = JoinSet::new();
    for number in 0..count {
        let (opening, connecting) = (Arc::clone(&opening), open(number));
        clients.spawn(async move {
            let _turn = opening.acquire().await?;
            connecting.await
        });
    }
    let mut connections = Vec::new();
    while let Some(connection) = clients.join_next().await {
        connections.push(connection??);
    }
    Ok(connections)
}

/// A connection on which nothing happens any more: from its beginning on, within a head, or behind an answer.
async fn open(crowd: &Endpoint, number: u64) -> Result<RawConnection> {
    let mut connection = RawConnection::open(crowd).await?;
    match number % 3 {
        0 => {}
        1 => {
            let head = format!("GET /{BUCKET} HTTP/1.1\r\nx-long: {}", "a".repeat(BEGUN));
            connection.write(head.as_bytes()).await?;
        }
        _ => {
            ask_in_vain(&mut connection, crowd).await?;
        }
    }
    Ok(connection)
}

/// Asks for what nobody may have, and is told so over the same connection.
pub(crate) async fn ask_in_vain(connection: &mut RawConnection, endpoint: &Endpoint) -> Result<()> {
    let request = RawRequest::new("GET", &format!("/{BUCKET}/key")).bytes(endpoint);
    connection.write(&request).await?;
    let answer = connection.answer(false).await?;
    let code = answer.error_code().unwrap_or_default();
    // Many ask at once.
    ensure!(
        matches!(code.as_str(), "AccessDenied" | "SlowDown"),
        "{}",
        answer.text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_idle_makes_room_when_all_places_are_taken() -> Result<()> {
    let bounds = Bounds {
        connections: 200,
        header_timeout: 300,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        press(
            scene,
            "more idle connections than places",
            &["closed"],
            async |load| {
                let mut clients = JoinSet::new();
                for _ in 0..a_place()? * scene.bounds.connections {
                    let address = scene.crowd.authority().to_owned();
                    clients.spawn(come_back(address, Arc::clone(load)));
                }
                // Until the gateway has as many as it takes.
                loop {
                    let held = Resources::of(scene.gateway.process.id())?.sockets;
                    if held as u64 >= scene.bounds.connections {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                load.is_pressing();
                ended(&mut clients).await
            },
        )
        .await
    })
    .await
}

/// Clients for each place. With many more, the system itself drops connections, and clients come again after seconds.
pub(crate) fn a_place() -> Result<u64> {
    let (_, is_long) = lasting()?;
    Ok(if is_long { 10 } else { 2 })
}

/// Says nothing, and connects again whenever the connection is closed.
async fn come_back(address: String, load: Arc<Load>) -> Result<()> {
    loop {
        let idle = async {
            let mut stream = TcpStream::connect(&address).await.context("connecting")?;
            let mut received = Vec::new();
            // With an end or with a reset.
            stream.read_to_end(&mut received).await.ok();
            ensure!(received.is_empty(), "an answer to nothing");
            load.count("closed");
            Ok(())
        };
        tokio::select! {
            outcome = idle => outcome?,
            () = load.over() => return Ok(()),
        }
    }
}
