//! What one connection over TLS holds at most: hundreds that each push as much into the gateway as its buffers take, in every way that needs no place among
//! the requests, and in two that need one.

use std::{any::Any, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sealgate_tests::{
    content::pattern, process_resources::Resources, raw_http::RawRequest, rig::put,
    tls_client::trusting,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    sync::{Barrier, Semaphore},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::{
    bounds::{Bounds, EACH_CONNECTION_OVER_TLS, EACH_REQUEST, allow_connections},
    http_2_frames as frames,
    load::{lasting, press},
    scene::{BUCKET, Scene, Storage, Transport, download, on_scene_over},
};

/// Handshakes at the same time.
const AT_ONCE: usize = 50;

/// Requests that follow each other, each of a key that its answer has in five times as many bytes. Their answers are more than the system keeps.
const PIPELINED: usize = 600;
const KEY: usize = 1_000;

/// What the system keeps of answers that nobody reads.
const RECEIVED: u32 = 8 << 10;

/// How long what is sent may not be taken before it is taken to be all that ever will.
const STALL: Duration = Duration::from_millis(500);

/// For how long the gateway takes no more when it has taken all.
const LOOK: Duration = Duration::from_secs(2);

/// Fields of a head of HTTP/2, of one byte and of three, that are nearly too many.
const FIELDS: usize = 1_100;
const LONGER_FIELDS: usize = 1_050;

/// An object that no buffers on its way hold whole.
const LARGE: usize = 24 << 20;

/// What is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Push {
    /// A handshake whose first message is nearly as long as one may be.
    Hello,
    /// A head that is nearly too long, and no end of it.
    Head,
    /// One request after the other, whose answers nobody reads.
    Pipelined,
    /// Header fields that are small, many, and never all, over HTTP/2.
    Fields,
    /// As many requests as may be at once over HTTP/2, to which no answer may be sent.
    Requests,
    /// The same with heads that are small on the wire, and nearly too long.
    Heads,
    /// The same with bodies, and fields of one more head over the same connection.
    Bodies,
    /// A request with a place, whose answer nobody reads.
    Download,
    /// The same over HTTP/2.
    DownloadOverHttp2,
}

impl Push {
    fn name(self) -> &'static str {
        match self {
            Self::Hello => "long handshakes",
            Self::Head => "long heads",
            Self::Pipelined => "answers not read",
            Self::Fields => "fields without end (HTTP/2)",
            Self::Requests => "answers withheld (HTTP/2)",
            Self::Heads => "64 long heads at once (HTTP/2)",
            Self::Bodies => "bodies and fields (HTTP/2)",
            Self::Download => "downloads not read",
            Self::DownloadOverHttp2 => "downloads not read (HTTP/2)",
        }
    }

    fn has_a_place(self) -> bool {
        matches!(self, Self::Download | Self::DownloadOverHttp2)
    }

    /// With what a connection over HTTP/2 begins.
    fn beginning(self) -> Option<Vec<u8>> {
        match self {
            Self::Hello | Self::Head | Self::Pipelined | Self::Download => None,
            Self::DownloadOverHttp2 => Some(frames::open_windows()),
            Self::Fields | Self::Requests | Self::Heads | Self::Bodies => {
                Some(frames::without_window())
            }
        }
    }

    /// What follows.
    fn bytes(self, scene: &Scene) -> Result<Vec<u8>> {
        let host = scene.crowd.authority();
        let target = format!("/{BUCKET}/key");
        let head = |method| frames::head(method, host, &target, &[]);
        let requests = |block: &[u8]| -> Vec<u8> {
            let heads = frames::streams().flat_map(|stream| frames::headers(stream, block, true));
            heads.collect()
        };
        Ok(match self {
            Self::Hello => long_hello(),
            Self::Head => {
                format!("GET {target} HTTP/1.1\r\nx-long: {}", "a".repeat(31 << 10)).into_bytes()
            }
            Self::Pipelined => {
                let target = format!("/{BUCKET}/{}", "&".repeat(KEY));
                let one = RawRequest::new("GET", &target).bytes(&scene.crowd);
                one.repeat(PIPELINED)
            }
            Self::Fields => frames::headers_without_end(1, &long_block(&head("GET"))),
            Self::Requests => requests(&head("GET")),
            Self::Heads => requests(&[head("GET"), frames::repeated("a", "", FIELDS)].concat()),
            Self::Bodies => {
                let (first, bodies) = (1, frames::streams().skip(1));
                let block = frames::head("PUT", host, &target, &[("content-length", "1000000")]);
                let heads = bodies.clone();
                let heads = heads.flat_map(|stream| frames::headers(stream, &block, false));
                let bodies =
                    bodies.flat_map(|stream| frames::data(stream, &[7; 16 << 10]).repeat(4));
                let last = first + 2 * 64;
                let fields = frames::headers_without_end(last, &long_block(&head("GET")));
                heads.chain(bodies).chain(fields).collect()
            }
            Self::Download => scene.signed(download("large"))?.bytes(&scene.crowd),
            Self::DownloadOverHttp2 => {
                let signed = scene.signed(download("large"))?;
                let fields: Vec<_> = signed
                    .headers()
                    .filter(|(name, _)| *name != "host")
                    .collect();
                frames::headers(
                    1,
                    &frames::head("GET", host, signed.target(), &fields),
                    true,
                )
            }
        })
    }
}

/// A message of a handshake that is told to be nearly 64 KiB long, but for its last bytes, in records of TLS, which hold 16 KiB.
fn long_hello() -> Vec<u8> {
    let message = [vec![1, 0, 0xff, 0xf0], vec![3; 0xffe0]].concat();
    let records = message.chunks(16 << 10).map(|part| {
        let length = u16::try_from(part.len()).unwrap_or_default();
        [&[22, 3, 1][..], &length.to_be_bytes(), part].concat()
    });
    records.collect::<Vec<_>>().concat()
}

/// A head of HTTP/2 with fields that are nearly too many, and all differ.
fn long_block(head: &[u8]) -> Vec<u8> {
    let fields = (0..LONGER_FIELDS).flat_map(|number| frames::field(&format!("{number:x}"), ""));
    head.iter().copied().chain(fields).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_tls_holds_no_more_than_is_stated() -> Result<()> {
    let (_, is_long) = lasting()?;
    if !is_long {
        for push in [Push::Pipelined, Push::Heads, Push::Bodies] {
            pushed(push, 200).await?;
        }
        return Ok(());
    }
    // With more of these the machine is what everybody waits for.
    pushed(Push::Pipelined, 500).await?;
    for push in [
        Push::Hello,
        Push::Head,
        Push::Fields,
        Push::Requests,
        Push::Heads,
        Push::Bodies,
    ] {
        for count in [500, 1_000] {
            pushed(push, count).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_tls_with_a_request_holds_no_more_than_is_stated() -> Result<()> {
    let (_, is_long) = lasting()?;
    for push in [Push::Download, Push::DownloadOverHttp2] {
        pushed(push, if is_long { 500 } else { 100 }).await?;
    }
    Ok(())
}

/// So many connections push this at the same moment, and hold it.
async fn pushed(push: Push, count: u64) -> Result<()> {
    allow_connections(count)?;
    let requests = if push.has_a_place() { count } else { 12 };
    let bounds = Bounds {
        connections: count + 50,
        requests: requests + 4,
        crowd: requests,
        header_timeout: 300,
        ..Bounds::default()
    };
    on_scene_over(Transport::Http2, Storage::Devstore, bounds, async |scene| {
        let through = scene.gateway.endpoint.s3()?;
        put(&through, BUCKET, "large", &pattern(9, LARGE)).await?;
        let kind = format!("{count} over TLS: {}", push.name());
        press(scene, &kind, &[], async |load| {
            let process = scene.gateway.process.id();
            let before = Resources::of(process)?.resident;
            let open = open(scene, push, count).await?;
            let after = settled(process).await?;
            ensure!(after.sockets as u64 >= count, "{} sockets", after.sockets);
            let each = after.peak.saturating_sub(before) / count;
            load.count(&format!("{each} KiB a connection"));
            let place = if push.has_a_place() { EACH_REQUEST } else { 0 };
            let bound = EACH_CONNECTION_OVER_TLS + place;
            ensure!(each <= bound, "{each} KiB a connection, not {bound}");
            load.is_pressing();
            load.over().await;
            drop(open);
            Ok(())
        })
        .await
    })
    .await
}

/// What a process holds once that does not grow any more.
async fn settled(process: u32) -> Result<Resources> {
    let mut last = Resources::of(process)?;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = Resources::of(process)?;
        if now.peak == last.peak {
            return Ok(now);
        }
        last = now;
    }
}

/// What is open until it is dropped.
type Open = Box<dyn Any + Send>;

async fn open(scene: &Scene, push: Push, count: u64) -> Result<Vec<Open>> {
    let ca_file = scene.crowd.ca_file.as_ref().context("no authority")?;
    let mut config = trusting(ca_file)?;
    let beginning = push.beginning();
    let protocol = if beginning.is_some() {
        "h2"
    } else {
        "http/1.1"
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let pusher = Pusher {
        address: scene.crowd.authority().parse()?,
        connector: TlsConnector::from(Arc::new(config)),
        is_hello: push == Push::Hello,
        beginning,
        bytes: push.bytes(scene)?,
        turns: Semaphore::new(AT_ONCE),
        together: Barrier::new(usize::try_from(count)?),
    };
    let pusher = Arc::new(pusher);
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let pusher = Arc::clone(&pusher);
        clients.spawn(async move { pusher.push().await });
    }
    let mut open = Vec::new();
    while let Some(client) = clients.join_next().await {
        open.push(client??);
    }
    Ok(open)
}

struct Pusher {
    address: SocketAddr,
    connector: TlsConnector,
    is_hello: bool,
    beginning: Option<Vec<u8>>,
    bytes: Vec<u8>,
    turns: Semaphore,
    together: Barrier,
}

impl Pusher {
    async fn push(&self) -> Result<Open> {
        let turn = self.turns.acquire().await?;
        let socket = TcpSocket::new_v4()?;
        // So that it is the gateway that keeps what is not read, and not the system.
        socket.set_recv_buffer_size(RECEIVED)?;
        let mut stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        if self.is_hello {
            stream.write_all(&self.bytes).await?;
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from("127.0.0.1")?;
        let mut stream = self.connector.connect(name, stream).await?;
        if let Some(beginning) = &self.beginning {
            stream.write_all(beginning).await?;
            let mut received = Vec::new();
            while !frames::has_wide_window(&received) {
                let length = stream.read_buf(&mut received).await?;
                ensure!(length > 0, "the connection ended at its beginning");
            }
        }
        drop(turn);
        self.together.wait().await;
        let sending = async {
            stream.write_all(&self.bytes).await?;
            stream.flush().await
        };
        // Not taken, it is not held either.
        tokio::time::timeout(STALL, sending).await.ok();
        Ok(Box::new(stream))
    }
}
