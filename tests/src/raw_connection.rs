//! One HTTP/1.1 connection, byte by byte: several requests on it, and the answers as they come.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    endpoint::Endpoint,
    raw_http::{RawAnswer, decode_chunked},
};

/// How long an answer may pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);

/// A connection that stays open until one side closes it.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawConnection {
    /// Connects without TLS.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn open(endpoint: &Endpoint) -> Result<Self> {
        let stream = TcpStream::connect(endpoint.authority()).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Goes on with a connection that is there.
    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the other side has closed the connection.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(())
    }

    /// Reads one answer to its end. `to_head` says that the request was HEAD, whose answer has no body whatever its head says.
    ///
    /// # Errors
    /// If the connection ends, or pauses for too long, before the answer does.
    pub async fn answer(&mut self, to_head: bool) -> Result<RawAnswer> {
        loop {
            if let Some(length) = self.length_of_answer(to_head)? {
                let rest = self.received.split_off(length);
                let answer = std::mem::replace(&mut self.received, rest);
                return RawAnswer::parse(&answer, false);
            }
            if self.read().await? == 0 {
                bail!(
                    "the connection ended within an answer: {:?}",
                    String::from_utf8_lossy(&self.received)
                );
            }
        }
    }

    /// What still comes until the connection ends, and whether it ends with a reset.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn rest(&mut self) -> Result<(Vec<u8>, bool)> {
        loop {
            match self.read().await {
                Ok(0) => return Ok((std::mem::take(&mut self.received), false)),
                Ok(_) => {}
                Err(error) if error.is::<std::io::Error>() => {
                    return Ok((std::mem::take(&mut self.received), true));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&mut self) -> Result<usize> {
        let reading = self.stream.read_buf(&mut self.received);
        let length = tokio::time::timeout(PAUSE_LIMIT, reading)
            .await
            .map_err(|_| anyhow!("nothing came for {PAUSE_LIMIT:?}"))??;
        Ok(length)
    }

    /// How long the first answer is, once it is there.
    fn length_of_answer(&self, to_head: bool) -> Result<Option<usize>> {
        let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") else {
            return Ok(None);
        };
        let (head, body) = self.received.split_at(end + 4);
        let head = RawAnswer::parse(head, false)?;
        if to_head || head.status == 204 || head.status == 304 {
            return Ok(Some(end + 4));
        }
        if head.header("transfer-encoding") == Some("chunked") {
            return Ok(decode_chunked(body).1.map(|length| end + 4 + length));
        }
        let length: usize = head
            .header("content-length")
            .context("an answer without length")?
            .parse()?;
        Ok((body.len() >= length).then_some(end + 4 + length))
    }
}
