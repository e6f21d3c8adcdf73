//! One address that presses its share of the connections: what it has beyond makes room, and nobody else is touched.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sealgate_tests::{
    endpoint::Endpoint, raw_connection::RawConnection, raw_http::RawRequest, rig::bounded,
};
use tokio::task::JoinSet;

use crate::{
    bounds::{Bounds, allow_connections},
    idle::ask_in_vain,
    load::{IMPATIENCE, Load, lasting, press},
    scene::{Scene, Storage, connect_from, download, on_scene, upload},
    sizes::ended,
};

/// Who presses, and two who do nothing wrong.
const PRESSING: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const OTHERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 3)];

/// Places, and what an address keeps of them.
const PLACES: u64 = 400;
const SHARE: u64 = 40;

/// Connections for each place.
const A_PLACE: u64 = 5;

/// Between two requests of a client that is never idle for long enough to make room.
const RESTLESS: Duration = Duration::from_millis(500);

/// Longer than a connection may be idle before others may have its place.
const LONG_IDLE: Duration = Duration::from_secs(3);

/// A piece of a body that takes as long as the load does, and the pause behind it.
const PIECE: usize = 1 << 10;
const PAUSE: Duration = Duration::from_millis(100);

/// How long a test may take beyond the load.
const LIMIT: Duration = Duration::from_mins(2);

fn bounds() -> Bounds {
    Bounds {
        connections: PLACES,
        of_an_address: Some(SHARE),
        header_timeout: 300,
        ..Bounds::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_presses_its_share_makes_room_and_nobody_else_does() -> Result<()> {
    allow_connections(A_PLACE * PLACES)?;
    on_scene(Storage::Devstore, bounds(), async |scene| {
        let wanted = OTHERS.map(served);
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let wanted = [wanted.as_slice(), &["closed"]].concat();
        let kind = "one address, five connections for each place";
        press(scene, kind, &wanted, async |load| {
            let mut idle = RawConnection::over(scene.connect_from(OTHERS[1]).await?);
            ask_in_vain(&mut idle, &scene.gateway.endpoint).await?;
            let mut others = JoinSet::new();
            let long = scene.connect_from(OTHERS[0]).await?;
            others.spawn(upload_slowly(
                RawConnection::over(long),
                scene.gateway.endpoint.clone(),
                Arc::clone(load),
            ));
            let mut clients = JoinSet::new();
            for number in 0..A_PLACE * PLACES {
                let gateway = scene.crowd.clone();
                clients.spawn(come_back(number, gateway, Arc::clone(load)));
            }
            bounded(LIMIT, until_full(scene)).await?;
            for client in OTHERS {
                let gateway = scene.gateway.endpoint.clone();
                others.spawn(be_served(client, gateway, Arc::clone(load)));
            }
            load.is_pressing();
            // So that the one that is idle has been so for long enough to go.
            tokio::time::sleep(LONG_IDLE).await;
            ask_in_vain(&mut idle, &scene.gateway.endpoint)
                .await
                .context("an idle connection of an address within its share")?;
            load.count("idle connections kept");
            ended(&mut clients).await?;
            ended(&mut others).await
        })
        .await?;
        let (share, idle) = (
            scene.closed_for_room("share").await?,
            scene.closed_for_room("idle").await?,
        );
        ensure!(
            share > 0 && idle == 0,
            "{share} beyond a share, {idle} idle"
        );
        Ok(())
    })
    .await
}

fn served(client: Ipv4Addr) -> String {
    format!("{client} served")
}

async fn until_full(scene: &Scene) -> Result<()> {
    while scene.metric("sealgate_connections ").await? < PLACES {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// One of the address that presses: says nothing, or begins a head, or asks for what nobody may have without end, and comes again when it was closed.
async fn come_back(number: u64, gateway: Endpoint, load: Arc<Load>) -> Result<()> {
    let stay = async || -> Result<()> {
        let stream = connect_from(gateway.authority(), PRESSING).await?;
        let mut connection = RawConnection::over(stream);
        // All of these end when the connection does.
        match number % 3 {
            0 => {
                connection.write(b"GET /").await.ok();
                closed(&mut connection).await
            }
            1 => closed(&mut connection).await,
            _ => {
                while ask_in_vain(&mut connection, &gateway).await.is_ok() {
                    tokio::time::sleep(RESTLESS).await;
                }
                Ok(())
            }
        }
    };
    loop {
        tokio::select! {
            outcome = stay() => outcome?,
            () = load.over() => return Ok(()),
        }
        load.count("closed");
        tokio::time::sleep(IMPATIENCE).await;
    }
}

/// Until the other side has closed a connection, however long that takes.
async fn closed(connection: &mut RawConnection) -> Result<()> {
    loop {
        // It gives up when nothing comes for long.
        if let Ok((received, _)) = connection.rest().await {
            ensure!(received.is_empty(), "an answer to nothing");
            return Ok(());
        }
    }
}

/// Stores an object and reads it, each over a connection of its own, again and again.
async fn be_served(client: Ipv4Addr, gateway: Endpoint, load: Arc<Load>) -> Result<()> {
    let key = format!("of-{client}");
    while !load.is_over() {
        let requests = [upload(&key, PIECE as u64).body(&[7; PIECE]), download(&key)];
        for request in requests {
            let bytes = sign(request, &gateway)?;
            let stream = connect_from(gateway.authority(), client).await?;
            let mut connection = RawConnection::over(stream);
            connection.write(&bytes).await?;
            let answer = connection.answer(false).await;
            let answer = answer.with_context(|| format!("{client}, within its share"))?;
            ensure!(answer.status == 200, "{client}: {}", answer.text());
        }
        load.count(&served(client));
    }
    Ok(())
}

/// Stores an object whose body takes as long as the load.
async fn upload_slowly(
    mut connection: RawConnection,
    gateway: Endpoint,
    load: Arc<Load>,
) -> Result<()> {
    let (least, _) = lasting()?;
    let pieces = (least + LIMIT).as_millis() / PAUSE.as_millis();
    let mut pieces = usize::try_from(pieces)?;
    let request = upload("slowly", (pieces * PIECE) as u64);
    connection.write(&sign(request, &gateway)?).await?;
    while pieces > 0 {
        connection.write(&[7; PIECE]).await?;
        pieces -= 1;
        if !load.is_over() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let answer = connection.answer(false).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    load.count("a running request kept");
    Ok(())
}

fn sign(request: RawRequest, gateway: &Endpoint) -> Result<Vec<u8>> {
    let now = std::time::SystemTime::now();
    Ok(request
        .sign(gateway, crate::scene::UNSIGNED, now)?
        .bytes(gateway))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_places_are_free_an_address_has_as_many_as_it_likes() -> Result<()> {
    allow_connections(PLACES)?;
    on_scene(Storage::Devstore, bounds(), async |scene| {
        let mut open = Vec::new();
        for _ in 0..PLACES - SHARE {
            open.push(RawConnection::over(scene.connect_from(PRESSING).await?));
        }
        tokio::time::sleep(LONG_IDLE).await;
        for connection in &mut open {
            ask_in_vain(connection, &scene.crowd).await?;
        }
        for reason in ["idle", "share", "refused"] {
            let count = scene.closed_for_room(reason).await?;
            ensure!(count == 0, "{count} closed: {reason}");
        }
        Ok(())
    })
    .await
}
