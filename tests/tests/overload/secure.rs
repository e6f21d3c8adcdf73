//! Loads over TLS and HTTP/2, where one connection carries many requests, and a client can hold back each of them by itself.

use std::{
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use sealgate_tests::{
    content::pattern,
    endpoint::Endpoint,
    http_2::{self, Connection, Connector, full},
    process_resources::Resources,
    raw_http::RawRequest,
    rig::put,
};
use tokio::task::JoinSet;

use crate::{
    bounds::{Bounds, allow_connections},
    idle::{a_place, open_all},
    load::{IMPATIENCE, Load, lasting, press},
    scene::{BUCKET, Storage, Transport, UNSIGNED, download, on_scene_over, upload},
    sizes::{OVERLOAD, ended},
};

/// Clients that share a connection.
const SHARING: u64 = 10;

/// Requests at once on one connection: as many as the gateway takes.
const STREAMS: usize = 64;

/// Connections whose clients withhold the windows of all their answers.
const WITHHOLDING: u64 = 100;

/// TLS handshakes at the same time.
const AT_ONCE: usize = 50;

/// The length of small objects.
const SMALL: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_as_many_requests_over_http_2() -> Result<()> {
    let bounds = Bounds::default();
    on_scene_over(Transport::Http2, Storage::Minio, bounds, async |scene| {
        let body: Arc<[u8]> = pattern(7, SMALL).into();
        let through = scene.gateway.endpoint.s3()?;
        put(&through, BUCKET, "whole", &body).await?;
        let connector = Connector::new(&scene.crowd)?;
        press(scene, "64 KiB over HTTP/2", &OVERLOAD, async |load| {
            let mut clients = JoinSet::new();
            for group in 0..scene.bounds.tenfold() / SHARING {
                let connection = connector.connect().await?;
                for member in 0..SHARING {
                    let key = format!("whole-{group}-{member}");
                    let request = if member % 2 == 0 {
                        upload(&key, body.len() as u64).body(&body)
                    } else {
                        download("whole")
                    };
                    clients.spawn(again_and_again(
                        connection.clone(),
                        scene.crowd.clone(),
                        request,
                        Arc::clone(&body),
                        Arc::clone(load),
                    ));
                }
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Sends one request after the other over a connection that others use too.
async fn again_and_again(
    mut connection: Connection,
    crowd: Endpoint,
    request: RawRequest,
    expected: Arc<[u8]>,
    load: Arc<Load>,
) -> Result<()> {
    while !load.is_over() {
        let request = request.clone().sign(&crowd, UNSIGNED, SystemTime::now())?;
        let answer = http_2::send(&mut connection, &crowd, &request).await?;
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
async fn idle_connections_over_http_2_cost_little_and_keep_nobody_out() -> Result<()> {
    let (_, is_long) = lasting()?;
    let count: u64 = if is_long { 10_000 } else { 1_000 };
    allow_connections(count)?;
    let bounds = Bounds {
        connections: count + 200,
        header_timeout: 300,
        ..Bounds::default()
    };
    on_scene_over(Transport::Http2, Storage::Devstore, bounds, async |scene| {
        let connector = Connector::new(&scene.crowd)?;
        press(scene, "idle connections over HTTP/2", &[], async |load| {
            let _open = open_all(count, AT_ONCE, |number| {
                let (connector, crowd) = (connector.clone(), scene.crowd.clone());
                async move {
                    let mut connection = connector.connect().await?;
                    if number % 2 == 0 {
                        // Nobody may have it, and many ask at once.
                        let nobody = RawRequest::new("GET", &format!("/{BUCKET}/key"));
                        let answer = http_2::send(&mut connection, &crowd, &nobody).await?;
                        ensure!(matches!(answer.status, 403 | 503), "{}", answer.status);
                    }
                    Ok(connection)
                }
            })
            .await?;
            let held = Resources::of(scene.gateway.process.id())?;
            ensure!(held.sockets as u64 >= count, "{} sockets", held.sockets);
            load.count(&format!(
                "{} sockets, {} MiB",
                held.sockets,
                held.resident >> 10
            ));
            load.is_pressing();
            load.over().await;
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_idle_over_http_2_makes_room() -> Result<()> {
    let bounds = Bounds {
        connections: 100,
        header_timeout: 300,
        ..Bounds::default()
    };
    on_scene_over(Transport::Http2, Storage::Devstore, bounds, async |scene| {
        let connector = Connector::new(&scene.crowd)?;
        let kind = "more idle connections over HTTP/2 than places";
        press(scene, kind, &["closed"], async |load| {
            let mut clients = JoinSet::new();
            let served = Arc::new(AtomicUsize::new(0));
            for _ in 0..a_place()? * scene.bounds.connections {
                let (connector, load) = (connector.clone(), Arc::clone(load));
                clients.spawn(come_back(connector, load, Arc::clone(&served)));
            }
            // Until the gateway has as many as it takes.
            while served.load(Ordering::Relaxed) < usize::try_from(scene.bounds.connections)? {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Says nothing, and connects again whenever the connection is closed.
async fn come_back(connector: Connector, load: Arc<Load>, served: Arc<AtomicUsize>) -> Result<()> {
    loop {
        let idle = async {
            // Within the handshake it may have to go as well.
            if let Ok(connection) = connector.connect().await {
                served.fetch_add(1, Ordering::Relaxed);
                while !connection.is_closed() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            load.count("closed");
        };
        tokio::select! {
            () = idle => {}
            () = load.over() => return Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_whose_windows_are_withheld() -> Result<()> {
    let bounds = Bounds {
        idle_timeout: 2,
        ..Bounds::default()
    };
    on_scene_over(Transport::Http2, Storage::Devstore, bounds, async |scene| {
        let through = scene.gateway.endpoint.s3()?;
        put(&through, BUCKET, "small", &pattern(9, SMALL)).await?;
        let connector = Connector::new(&scene.crowd)?.with_window(1);
        let wanted = ["200", "503", "given up"];
        press(scene, "windows withheld", &wanted, async |load| {
            let mut clients = JoinSet::new();
            for _ in 0..WITHHOLDING {
                let request = scene.signed(download("small"))?;
                let (connector, crowd) = (connector.clone(), scene.crowd.clone());
                clients.spawn(withhold(connector, crowd, request, Arc::clone(load)));
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Asks for an object as often as it may at once, takes one byte of each answer, and asks again when they are given up.
async fn withhold(
    connector: Connector,
    crowd: Endpoint,
    request: RawRequest,
    load: Arc<Load>,
) -> Result<()> {
    while !load.is_over() {
        let mut connection = connector.connect().await?;
        let mut unread = Vec::new();
        for _ in 0..STREAMS {
            let asked = http_2::request(&crowd, &request, full(""))?;
            let answer = tokio::select! {
                answer = connection.send_request(asked) => answer?,
                () = load.over() => return Ok(()),
            };
            load.count(answer.status().as_str());
            unread.push(answer);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(4)) => {}
            () = load.over() => return Ok(()),
        }
        if let Some(answer) = unread.pop() {
            use http_body_util::BodyExt as _;
            ensure!(
                answer.into_body().collect().await.is_err(),
                "an answer that nobody took was still there"
            );
            load.count("given up");
        }
    }
    Ok(())
}
