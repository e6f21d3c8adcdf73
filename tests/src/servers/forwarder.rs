//! An HTTP server in front of the storage that closes and stalls connections on purpose.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{endpoint::Endpoint, random::Random};

/// The longest head and the longest answer that are passed on.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// How a forwarder treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Every request is answered; a connection that was answered is closed at a random moment: at once, a little later, when the next
    /// request arrives, or in the middle of it.
    Restless,
    /// Answers to GET requests for keys that contain `slow` come in pieces with pauses between them; for `stuck`, they stop in the middle.
    Sluggish,
    /// Uploads to keys that contain `full` are refused after a mebibyte of their body; the answers to those that contain `late` come after the
    /// pause.
    Refusing,
}

/// What the storage says in the middle of an upload that it does not want.
const REFUSAL: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// Bytes of an upload's body before the refusal.
const REFUSED_AFTER: usize = 1 << 20;

/// A server between the gateway and its storage. It takes a new connection to the storage for each request.
#[derive(Debug)]
pub struct Forwarder {
    /// Where the gateway finds it, with the storage's credentials.
    pub endpoint: Endpoint,
    broken: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forwarder {
    /// Starts it on a free port. `pause` is that between two pieces of a slow answer.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(storage: &Endpoint, mood: Mood, pause: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = Endpoint {
            url: format!("http://{}", listener.local_addr()?),
            ..storage.clone()
        };
        let storage = storage.authority().to_owned();
        let broken = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&broken);
        let task = tokio::spawn(async move {
            let mut seed = 1;
            while let Ok((stream, _)) = listener.accept().await {
                seed += 1;
                let connection = Connection {
                    stream,
                    received: Vec::new(),
                    storage: storage.clone(),
                    mood,
                    pause,
                    random: Random(seed),
                    broken: Arc::clone(&counter),
                };
                // A connection that fails is what its client sees; there is nobody else to tell.
                tokio::spawn(async move { connection.serve().await.ok() });
            }
        });
        Ok(Self {
            endpoint,
            broken,
            task,
        })
    }

    /// How many requests found their connection closed, or were refused in the middle of their body.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    storage: String,
    mood: Mood,
    pause: Duration,
    /// The same choices in every run, as far as the order of events is the same.
    random: Random,
    broken: Arc<AtomicU64>,
}

impl Connection {
    async fn serve(mut self) -> Result<()> {
        self.stream.set_nodelay(true)?;
        // The first request of a connection is always served: what arrives on a fresh one must not fail.
        let mut is_first = true;
        loop {
            if !is_first && self.mood == Mood::Restless {
                match self.random.below(5) {
                    0 => return Ok(()),
                    1 => {
                        let idle = Duration::from_millis(self.random.below(30) as u64);
                        // Whoever is quick enough is served.
                        if tokio::time::timeout(idle, self.stream.readable())
                            .await
                            .is_err()
                        {
                            return Ok(());
                        }
                    }
                    2 => {
                        self.stream.readable().await?;
                        let mut first = [0];
                        if self.stream.peek(&mut first).await? > 0 {
                            self.broken.fetch_add(1, Ordering::Relaxed);
                        }
                        return Ok(());
                    }
                    3 => {
                        let limit = self.random.below(100_000);
                        while self.received.len() < limit {
                            let reading = self.stream.read_buf(&mut self.received);
                            let idle = Duration::from_millis(20);
                            match tokio::time::timeout(idle, reading).await {
                                Ok(Ok(length)) if length > 0 => {}
                                _ => break,
                            }
                        }
                        if !self.received.is_empty() {
                            self.broken.fetch_add(1, Ordering::Relaxed);
                        }
                        return Ok(());
                    }
                    _ => {}
                }
            }
            let Some(head) = self.read_head().await? else {
                return Ok(());
            };
            let target = head.split(' ').nth(1).unwrap_or_default();
            let refuses = self.mood == Mood::Refusing && head.starts_with("PUT ");
            if refuses && target.contains("full") {
                return self.refuse(&head).await;
            }
            let is_late = refuses && target.contains("late");
            let answer = self.ask_storage(&head).await?;
            if is_late {
                tokio::time::sleep(self.pause).await;
            }
            self.answer(&head, &answer).await?;
            is_first = false;
        }
    }

    /// Refuses an upload of which a part has come, and closes the connection.
    async fn refuse(&mut self, head: &str) -> Result<()> {
        if header(head, "expect").is_some() {
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        while self.received.len() < REFUSED_AFTER {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(());
            }
        }
        self.broken.fetch_add(1, Ordering::Relaxed);
        let answer = format!(
            "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{REFUSAL}",
            REFUSAL.len()
        );
        self.stream.write_all(answer.as_bytes()).await?;
        self.stream.shutdown().await?;
        // A reset could overtake the answer, so what still comes is taken, for a while.
        let rest = async {
            let mut rest = vec![0; 64 << 10];
            while self
                .stream
                .read(&mut rest)
                .await
                .is_ok_and(|length| length > 0)
            {}
        };
        tokio::time::timeout(Duration::from_secs(2), rest)
            .await
            .ok();
        Ok(())
    }

    /// The head of the next request, without its empty line.
    async fn read_head(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") {
                let rest = self.received.split_off(end + 4);
                let head = std::mem::replace(&mut self.received, rest);
                let head = head.get(..end).unwrap_or_default();
                return Ok(Some(std::str::from_utf8(head)?.to_owned()));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
            ensure!(self.received.len() < MESSAGE_LIMIT, "a head without end");
        }
    }

    /// Sends the request to the storage, with its body while it arrives, and returns the whole answer.
    async fn ask_storage(&mut self, head: &str) -> Result<Vec<u8>> {
        let length = header(head, "content-length").map_or(Ok(0), str::parse)?;
        let (mut reader, mut writer) = TcpStream::connect(&self.storage).await?.into_split();
        let answer = tokio::spawn(async move {
            let mut answer = Vec::new();
            // A storage that refuses a body may reset the connection; what it said before counts.
            reader.read_to_end(&mut answer).await.ok();
            answer
        });
        let mut kept: Vec<&str> = head.split("\r\n").collect();
        if header(head, "expect").is_some() {
            // We ask for the body ourselves, and the storage does not have to.
            kept.retain(|line| !line.to_ascii_lowercase().starts_with("expect:"));
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        let kept = kept.join("\r\n");
        writer
            .write_all(format!("{kept}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut left: usize = length;
        while left > 0 {
            if self.received.is_empty() {
                let read = self.stream.read_buf(&mut self.received).await?;
                ensure!(read > 0, "the body ends early");
            }
            let rest = self.received.split_off(left.min(self.received.len()));
            let piece = std::mem::replace(&mut self.received, rest);
            left -= piece.len();
            writer.write_all(&piece).await?;
        }
        let answer = answer.await?;
        ensure!(answer.len() < MESSAGE_LIMIT, "an answer without end");
        Ok(answer)
    }

    async fn answer(&mut self, head: &str, answer: &[u8]) -> Result<()> {
        // The storage closes its connection; we may keep ours.
        let end = memchr::memmem::find(answer, b"\r\n\r\n").context("no answer")?;
        let (answer_head, body) = answer.split_at(end);
        let kept: Vec<&str> = std::str::from_utf8(answer_head)?
            .split("\r\n")
            .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
            .collect();
        let answer = [kept.join("\r\n").as_bytes(), body].concat();
        let is_get = head.starts_with("GET ") && self.mood == Mood::Sluggish;
        let target = head.split(' ').nth(1).unwrap_or_default();
        if is_get && target.contains("stuck") {
            let half = answer.get(..answer.len() / 2).unwrap_or_default();
            self.stream.write_all(half).await?;
            std::future::pending::<()>().await;
        }
        if is_get && target.contains("slow") {
            for piece in answer.chunks(answer.len() / 20 + 1) {
                self.stream.write_all(piece).await?;
                tokio::time::sleep(self.pause).await;
            }
            return Ok(());
        }
        self.stream.write_all(&answer).await?;
        Ok(())
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
