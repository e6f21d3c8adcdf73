//! A proxy between a client and a server that lets everything pass, until it is told to interfere.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How long a request whose answer is made up here may take to arrive; it is small.
const REQUEST_PAUSE: Duration = Duration::from_millis(50);

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
}

impl Interference {
    /// An answer with this status and body.
    pub fn answer(status: &str, body: &str) -> Self {
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }
}

/// The proxy. What was connected is cut off whenever it changes its mind.
#[derive(Debug)]
pub struct Interferer {
    /// Where clients find it, over plaintext HTTP.
    pub url: String,
    mind: watch::Sender<Interference>,
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
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut told = told.clone();
                tokio::spawn(async move {
                    let interference = told.borrow_and_update().clone();
                    tokio::select! {
                        _ = told.changed() => {}
                        // A connection that fails is what its client sees; there is nobody else to tell.
                        _ = serve(client, server, interference) => {}
                    }
                });
            }
        });
        Ok(Self { url, mind, task })
    }

    /// Changes what becomes of connections, also of those that are open.
    pub fn interfere(&self, interference: Interference) {
        self.mind.send_replace(interference);
    }
}

async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    interference: Interference,
) -> Result<()> {
    match interference {
        Interference::None => {
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await?;
        }
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
    }
    Ok(())
}
