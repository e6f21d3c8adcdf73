//! A gateway with limits that are easily reached, and two identities: a crowd, and a client that does nothing wrong.

use std::{
    any::Any,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    ops::AsyncFnOnce,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use sealgate_tests::{
    admin::AdminEndpoint,
    certificates,
    content::pattern,
    endpoint::Endpoint,
    http_2::{self, Connector},
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::bounded,
    servers::{Devstore, Gateway, GatewaySettings, KeyServer, Minio},
};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    sync::{Mutex, MutexGuard},
};

use crate::{bounds::Bounds, load::lasting};

/// The bucket of everything.
pub(crate) const BUCKET: &str = "overload";

/// A body that the signature says nothing of.
pub(crate) const UNSIGNED: Payload<'_> = Payload::Named("UNSIGNED-PAYLOAD");

/// Within what time a client that does nothing wrong has its object stored and read again, whatever others do.
const ROUND_TRIP: Duration = Duration::from_mins(1);

/// What stands for a load balancer: it names its clients in a PROXY protocol header. Connections from this machine itself belong to no address.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The length of its objects.
const OBJECT: usize = 64 << 10;

/// How long one test may take beyond the time that its load lasts.
const LIMIT: Duration = Duration::from_mins(4);

/// One load at a time: they would be each other's.
static TURN: Mutex<()> = Mutex::const_new(());

/// What the gateway stands in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Minio,
    /// The storage of `sealgate dev`, where another one would bring nothing.
    Devstore,
}

/// How clients reach the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Http1,
    /// Over TLS.
    Http2,
}

/// Everything that runs.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) bounds: Bounds,
    /// The gateway as the crowd sees it.
    pub(crate) crowd: Endpoint,
    pub(crate) admin: AdminEndpoint,
    trips: AtomicU64,
    _storage: Box<dyn Any>,
    _key_server: KeyServer,
    _directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    async fn start(storage: Storage, transport: Transport, bounds: Bounds) -> Result<Self> {
        let turn = TURN.lock().await;
        let directory = tempfile::tempdir()?;
        let (storage, endpoint): (Box<dyn Any>, _) = match storage {
            Storage::Minio => {
                let minio = Minio::start(directory.path())?;
                let endpoint = minio.endpoint.clone();
                (Box::new(minio), endpoint)
            }
            Storage::Devstore => {
                let store = Devstore::start(directory.path())?;
                let endpoint = store.endpoint.clone();
                (Box::new(store), endpoint)
            }
        };
        let key_server = KeyServer::start(directory.path(), None)?;
        let secret = "a secret of the crowd";
        let tls = match transport {
            Transport::Http1 => None,
            Transport::Http2 => Some(certificates::make(directory.path())?),
        };
        let admin = AdminEndpoint::new(None)?;
        let settings = GatewaySettings {
            tls,
            listener: format!("proxy_protocol = [\"{BALANCER}\"]"),
            more: format!("{}{}", bounds.tables()?, admin.table()),
            environment: vec![("CROWD_SECRET".to_owned(), secret.to_owned())],
            ..GatewaySettings::new(&endpoint, &key_server.endpoint)
        };
        let gateway = Gateway::start(settings, directory.path())?;
        let through = gateway.endpoint.s3()?;
        through.create_bucket().bucket(BUCKET).send().await?;
        let crowd = gateway.endpoint.with_credentials("SGCROWD", secret);
        Ok(Self {
            gateway,
            bounds,
            crowd,
            admin,
            trips: AtomicU64::new(0),
            _storage: storage,
            _key_server: key_server,
            _directory: directory,
            _turn: turn,
        })
    }

    /// Stores an object and reads it again, each over a connection of its own, and tells how long it took.
    ///
    /// # Errors
    /// If either is refused, or takes too long, or other bytes come back.
    pub(crate) async fn round_trip(&self) -> Result<Duration> {
        let number = self.trips.fetch_add(1, Ordering::Relaxed);
        let body = pattern(number, OBJECT);
        let began = Instant::now();
        let trip = async {
            let stored = upload("aside", body.len() as u64).body(&body);
            succeeded(&self.ask(stored).await?)?;
            let read = self.ask(download("aside")).await?;
            succeeded(&read)?;
            ensure!(read.body == body, "other bytes");
            Ok(())
        };
        tokio::time::timeout(ROUND_TRIP, trip)
            .await
            .map_err(|_| anyhow!("not done within {ROUND_TRIP:?}"))??;
        Ok(began.elapsed())
    }

    /// Asks as the client that does nothing wrong, over a connection of its own.
    async fn ask(&self, request: RawRequest) -> Result<RawAnswer> {
        let endpoint = &self.gateway.endpoint;
        let request = request.sign(endpoint, UNSIGNED, SystemTime::now())?;
        if endpoint.ca_file.is_none() {
            return request.send(endpoint).await;
        }
        let mut connection = Connector::new(endpoint)?.connect().await?;
        http_2::send(&mut connection, endpoint, &request).await
    }

    /// A connection of the client at this address.
    ///
    /// # Errors
    /// If it is refused.
    pub(crate) async fn connect_from(&self, client: Ipv4Addr) -> Result<TcpStream> {
        connect_from(self.crowd.authority(), client).await
    }

    /// How many connections had to end because there was no room, for this reason.
    ///
    /// # Errors
    /// If the gateway does not tell.
    pub(crate) async fn closed_for_room(&self, reason: &str) -> Result<u64> {
        let name = "sealgate_connections_closed_for_room_total";
        self.metric(&format!("{name}{{reason=\"{reason}\"}}")).await
    }

    /// A figure among the gateway's metrics.
    ///
    /// # Errors
    /// If it is not there.
    pub(crate) async fn metric(&self, name: &str) -> Result<u64> {
        let text = self.admin.get("/metrics").await?.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.with_context(|| format!("no {name}"))?.trim();
        Ok(value.parse()?)
    }

    /// A request of the crowd, signed.
    ///
    /// # Errors
    /// If it can't be signed.
    pub(crate) fn signed(&self, request: RawRequest) -> Result<RawRequest> {
        request.sign(&self.crowd, UNSIGNED, SystemTime::now())
    }
}

/// A connection to a gateway of the client at this address.
///
/// # Errors
/// If it is refused.
pub(crate) async fn connect_from(gateway: &str, client: Ipv4Addr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((BALANCER, 0).into())?;
    let gateway: SocketAddr = gateway.parse()?;
    let mut stream = socket.connect(gateway).await?;
    stream.set_nodelay(true)?;
    let header = format!("PROXY TCP4 {client} 192.0.2.250 40000 443\r\n");
    stream.write_all(header.as_bytes()).await?;
    Ok(stream)
}

fn succeeded(answer: &RawAnswer) -> Result<()> {
    ensure!(
        answer.status == 200 && answer.is_complete,
        "{} {}",
        answer.status,
        answer.text()
    );
    Ok(())
}

/// A PUT of an object of so many bytes.
pub(crate) fn upload(key: &str, length: u64) -> RawRequest {
    RawRequest::new("PUT", &format!("/{BUCKET}/{key}"))
        .header("content-length", &length.to_string())
}

/// A GET of an object.
pub(crate) fn download(key: &str) -> RawRequest {
    RawRequest::new("GET", &format!("/{BUCKET}/{key}"))
}

/// Runs a test on a fresh scene, when no other one runs.
///
/// # Errors
/// Whatever the test says, with the gateway's last words.
pub(crate) async fn on_scene(
    storage: Storage,
    bounds: Bounds,
    test: impl AsyncFnOnce(&Scene) -> Result<()>,
) -> Result<()> {
    on_scene_over(Transport::Http1, storage, bounds, test).await
}

/// The same for clients that come this way.
///
/// # Errors
/// The same.
pub(crate) async fn on_scene_over(
    transport: Transport,
    storage: Storage,
    bounds: Bounds,
    test: impl AsyncFnOnce(&Scene) -> Result<()>,
) -> Result<()> {
    let scene = Scene::start(storage, transport, bounds);
    let scene = scene.await.context("the scene")?;
    let (least, _) = lasting()?;
    let outcome = bounded(LIMIT + 4 * least, test(&scene)).await;
    outcome.map_err(|error| {
        let mut text = format!("{error:#}\n\n");
        write!(text, "{}", scene.gateway.process.last_words()).ok();
        anyhow!(text)
    })
}
