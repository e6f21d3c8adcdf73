//! A connection whose peer takes nothing for too long is given up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::room::{Activity, Stalled};

/// A stream whose writes fail once one of them has made no progress for a given time.
///
/// Without it a client that stops reading in the middle of an answer would hold the operation's buffers for ever.
/// Reads are left alone: whether silence is a fault depends on what the connection is waiting for.
pub(super) struct WriteStallLimit<S> {
    stream: S,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    stalled: bool,
    /// Where it is told that an answer is still being sent.
    activity: Option<Activity>,
    /// While a write waits for the peer: hyper lets go of an answer's body before the last of it has left.
    sending: Option<Stalled>,
}

impl<S> WriteStallLimit<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            deadline: Box::pin(tokio::time::sleep(Duration::ZERO)),
            stalled: false,
            activity: None,
            sending: None,
        }
    }

    /// Counts as a request whatever is still to be sent, so that the connection does not have to make room for another meanwhile.
    pub(super) fn telling(self, activity: Activity) -> Self {
        Self {
            activity: Some(activity),
            ..self
        }
    }

    /// Passes progress on and turns a wait beyond the limit into an error.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            self.sending = None;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.sending = self.activity.as_ref().map(Activity::stall);
            self.deadline.as_mut().reset(Instant::now() + self.limit);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client stopped reading",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteStallLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteStallLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, shut_down)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::room::Room;
    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_peer_that_takes_nothing_fails_the_write() {
        let (near, _far) = tokio::io::duplex(16);
        let mut near = WriteStallLimit::new(near, LIMIT);
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_is_still_to_be_sent_counts_as_a_request() {
        let room = Room::new(1, 0);
        let seat = room.seat(None).await.unwrap();
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = WriteStallLimit::new(near, Duration::from_mins(1)).telling(seat.activity());
        assert!(!seat.is_busy());
        let writing = near.write_all(&[0; 24]);
        tokio::pin!(writing);
        let waits = std::future::poll_fn(|context| Poll::Ready(writing.as_mut().poll(context)));
        assert!(waits.await.is_pending());
        assert!(seat.is_busy());
        far.read_exact(&mut [0; 16]).await.unwrap();
        writing.await.unwrap();
        assert!(!seat.is_busy());
    }

    // Without a clock of its own, it would be about how busy the machine is.
    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_makes_progress_is_served() {
        let (near, mut far) = tokio::io::duplex(1);
        let mut near = WriteStallLimit::new(near, LIMIT);
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            while received.len() < 6 {
                tokio::time::sleep(LIMIT / 3).await;
                received.push(far.read_u8().await.unwrap());
            }
            received
        });
        near.write_all(b"abcdef").await.unwrap();
        assert_eq!(reader.await.unwrap(), b"abcdef");
    }
}
