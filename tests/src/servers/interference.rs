//! A proxy between a client and a server that lets everything pass, until it is told to interfere.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How long a request whose answer is made up here may take to arrive; it is small.
const REQUEST_PAUSE: Duration = Duration::from_millis(50);

/// What is read and passed on at once.
const PIECE: usize = 16 << 10;

/// What becomes of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interference {
    /// They reach the server.
    None,
    /// They are accepted, and nothing is ever answered.
    Silence,
    /// They are closed without a word.
    Hangup,
    /// Every request gets this answer, which must be a whole one of HTTP/1.1.
    Answer(String),
    /// They wait, also those that are open, and go on afterwards as if nothing had been.
    Stall,
    /// Every piece waits so long before it goes on.
    Slow(Duration),
    /// They are cut when this many bytes have passed in one direction.
    CutAfter(usize),
    /// What the client says reaches the server, and what the server answers gets lost.
    LoseAnswers,
}

impl Interference {
    /// An answer with this status and body.
    pub fn answer(status: &str, body: &str) -> Self {
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Whether connections need not wait for its end.
    fn goes_on(&self) -> bool {
        *self != Self::Stall
    }

    /// Whether connections outlive it.
    fn keeps_connections(&self) -> bool {
        matches!(self, Self::None | Self::Stall | Self::Slow(_))
    }
}

/// The proxy. When it changes its mind, it cuts what is connected, unless connections outlive both what it did and what it does now.
#[derive(Debug)]
pub struct Interferer {
    /// Where clients find it, over plaintext HTTP.
    pub url: String,
    mind: watch::Sender<Interference>,
    struck: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Interferer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Interferer {
    /// Starts it on a free port, in front of the server at this URL, letting everything pass.
    ///
    /// # Errors
    /// If there is no port, or the URL has no socket address.
    pub async fn start(server: &str) -> Result<Self> {
        let server: SocketAddr = server
            .strip_prefix("http://")
            .context("not plaintext http")?
            .parse()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (mind, told) = watch::channel(Interference::None);
        let struck = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&struck);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (told, counter) = (told.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    // A connection that fails is what its client sees; there is nobody else to tell.
                    tokio::select! {
                        () = interfered(told.clone(), &counter) => {}
                        _ = serve(client, server, told) => {}
                    }
                });
            }
        });
        Ok(Self {
            url,
            mind,
            struck,
            task,
        })
    }

    /// Changes what becomes of connections, also of those that are open.
    pub fn interfere(&self, interference: Interference) {
        self.mind.send_replace(interference);
    }

    /// How many connections were interfered with so far, each once for every time that it was.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}

/// Returns when a connection has to be cut.
async fn interfered(mut told: watch::Receiver<Interference>, struck: &AtomicU64) {
    loop {
        let (keeps, strikes) = {
            let mind = told.borrow_and_update();
            (mind.keeps_connections(), *mind != Interference::None)
        };
        if strikes {
            struck.fetch_add(1, Ordering::Relaxed);
        }
        if told.changed().await.is_err() {
            return;
        }
        if !keeps || !told.borrow().keeps_connections() {
            struck.fetch_add(u64::from(keeps), Ordering::Relaxed);
            return;
        }
    }
}

async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    mut told: watch::Receiver<Interference>,
) -> Result<()> {
    let mind = told.borrow_and_update().clone();
    match mind {
        Interference::Silence => std::future::pending().await,
        Interference::Hangup => {}
        Interference::Answer(answer) => {
            // Whatever comes until the client waits: an answer before that would reset the connection.
            let mut request = Vec::new();
            loop {
                let reading = client.read_buf(&mut request);
                match tokio::time::timeout(REQUEST_PAUSE, reading).await {
                    Ok(Ok(1..)) => {}
                    _ => break,
                }
            }
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
        }
        _ => {
            told.wait_for(Interference::goes_on).await?;
            let server = TcpStream::connect(server).await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::try_join!(
                pump(from_client, to_server, false, told.clone()),
                pump(from_server, to_client, true, told)
            )?;
        }
    }
    Ok(())
}

/// Passes one direction on until its end.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    answers: bool,
    mut told: watch::Receiver<Interference>,
) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut passed = 0;
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        let mind = told.wait_for(Interference::goes_on).await?.clone();
        let read = piece.get(..length).unwrap_or_default();
        match mind {
            Interference::LoseAnswers if answers => {}
            Interference::CutAfter(limit) if passed + length > limit => {
                to.write_all(read.get(..limit.saturating_sub(passed)).unwrap_or_default())
                    .await?;
                bail!("cut");
            }
            Interference::Slow(pause) => {
                tokio::time::sleep(pause).await;
                to.write_all(read).await?;
            }
            _ => to.write_all(read).await?,
        }
        passed += length;
    }
}
