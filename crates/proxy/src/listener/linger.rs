//! The end of a connection on which the client may still be sending.
//!
//! An upload that is refused early is answered while its body is on the way. Closing the socket then would make the system reset
//! the connection, since there are bytes that nobody has read, and a reset may overtake the answer (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::limits::{LINGER_BYTES, LINGER_QUIET, LINGER_TIME};

/// What one read throws away at most, in bytes.
const DISCARDED_AT_ONCE: usize = 16 * 1024;

/// A stream that, once it is shut down, reads and drops what the peer still sends, within limits.
pub(super) struct LingeringClose<S> {
    stream: S,
    /// From the moment when our side has said all that it will.
    rest: Option<Rest>,
}

/// What may still come before the connection is closed whatever the peer does.
struct Rest {
    bytes: usize,
    end: Instant,
    /// Until the peer is taken to have nothing more to send; never later than `end`.
    quiet: Pin<Box<Sleep>>,
}

impl Rest {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            bytes: LINGER_BYTES,
            end: now + LINGER_TIME,
            quiet: Box::pin(tokio::time::sleep_until(now + LINGER_QUIET)),
        }
    }

    /// Whether more may follow these bytes.
    fn count(&mut self, length: usize) -> bool {
        self.bytes = self.bytes.saturating_sub(length);
        let now = Instant::now();
        self.quiet.as_mut().reset(self.end.min(now + LINGER_QUIET));
        self.bytes > 0 && now < self.end
    }
}

impl<S> LingeringClose<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, rest: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringClose<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rest.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let rest = this.rest.get_or_insert_with(Rest::new);
        let mut discarded = [0; DISCARDED_AT_ONCE];
        loop {
            let mut buffer = ReadBuf::new(&mut discarded);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if !rest.count(buffer.filled().len()) {
                        return Poll::Ready(Ok(()));
                    }
                }
                // The peer has closed its side too, or is gone: there is nothing left to lose.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(rest.quiet.as_mut().poll(context));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, LingeringClose<TcpStream>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), LingeringClose::new(accepted.unwrap().0))
    }

    #[tokio::test]
    async fn a_client_that_goes_on_sending_gets_the_whole_answer() {
        let (mut client, mut server) = pair().await;
        let answering = tokio::spawn(async move {
            server.write_all(b"refused").await.unwrap();
            server.shutdown().await.unwrap();
        });
        client.write_all(&vec![7; 8 * 1024 * 1024]).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"refused");
        drop(client);
        answering.await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_client_is_not_waited_for() {
        let (_client, mut server) = pair().await;
        let started = Instant::now();
        server.shutdown().await.unwrap();
        assert!(started.elapsed() < 2 * LINGER_QUIET);
    }

    #[test]
    fn a_client_without_end_is_cut_off() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _guard = runtime.enter();
        let mut rest = Rest::new();
        assert!(rest.count(LINGER_BYTES - 1));
        assert!(!rest.count(1));
    }
}
