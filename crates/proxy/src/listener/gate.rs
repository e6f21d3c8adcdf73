//! The way of an HTTP/1 connection's bytes to hyper: heads are let through once they are whole and checked.
//!
//! In the place of a head that is refused, hyper gets a small request of ours that names the reason, so that the refusal is answered as any
//! other, in its turn, with an error document; then nothing more. Bodies pass uncopied; only their ends are looked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use super::chunked::ChunkedEnd;
use super::head::{self, Framing, Malformed};
use super::limits::HEAD_LIMIT;

/// Carries the number of a [`Malformed`] to the service. A client that sends it is refused like one that is malformed.
pub const REFUSAL_HEADER: &str = "x-sealgate-malformed";

/// What one read takes at most while a head is awaited, in bytes.
const HEAD_READ: usize = 8 * 1024;

/// A stream that hands hyper only what [`head::check`] accepts.
pub struct Gate<S> {
    /// With the limit of what the next read may take, so that a body does not bring the head that follows it.
    stream: Take<S>,
    position: Position,
    /// Read and not yet looked at.
    pending: BytesMut,
    /// How much of `pending` has no line end that was not looked at: otherwise a head that comes byte by byte would be searched anew each time.
    searched: usize,
    /// Where the line begins that `searched` is in.
    line: usize,
    /// Looked at and not yet handed on.
    passed: BytesMut,
    /// What is told once all of that was handed on: without its head, hyper could not answer a request whose body is broken.
    broken: Option<io::Error>,
}

/// What comes next.
enum Position {
    Head,
    Length(u64),
    Chunked(ChunkedEnd),
    /// Nothing: a head was refused.
    Refused,
}

impl<S: AsyncRead> Gate<S> {
    /// A gate in front of a connection that begins with a head.
    pub fn new(stream: S) -> Self {
        Self {
            stream: stream.take(u64::MAX),
            position: Position::Head,
            pending: BytesMut::new(),
            searched: 0,
            line: 0,
            passed: BytesMut::new(),
            broken: None,
        }
    }

    /// Moves from `pending` to `passed` what may pass.
    fn advance(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match &mut self.position {
                Position::Refused => {
                    self.pending.clear();
                }
                Position::Head => {
                    // Empty lines in front of a request are skipped (RFC 9112, section 2.2).
                    while self.line == 0 && self.pending.starts_with(b"\r\n") {
                        self.pending.advance(2);
                        self.searched = 0;
                    }
                    match self.find_end() {
                        Ok(None) => return Ok(()),
                        Ok(Some(end)) => {
                            let head = self.pending.get(..end).unwrap_or_default();
                            match head::check(head) {
                                Ok(framing) => self.pass_head(end, framing),
                                Err(reason) => self.refuse(reason),
                            }
                        }
                        Err(reason) => self.refuse(reason),
                    }
                }
                Position::Length(left) => {
                    let length = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(self.pending.len());
                    *left -= length as u64;
                    if *left == 0 {
                        self.position = Position::Head;
                    }
                    let body = self.pending.split_to(length);
                    self.passed.unsplit(body);
                }
                Position::Chunked(end) => {
                    let length = end.find(&self.pending)?;
                    if end.is_reached() {
                        self.position = Position::Head;
                    }
                    let body = self.pending.split_to(length);
                    self.passed.unsplit(body);
                }
            }
        }
        Ok(())
    }

    /// The length of the head, once its empty line is there.
    fn find_end(&mut self) -> Result<Option<usize>, Malformed> {
        // Some other protocol, such as TLS, may never send a line feed.
        if self
            .pending
            .first()
            .is_some_and(|byte| !byte.is_ascii_graphic() && *byte != b'\r')
        {
            return Err(Malformed::RequestLine);
        }
        while let Some(found) = self
            .pending
            .get(self.searched..)
            .and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let end = self.searched + found;
            let line = self.pending.get(self.line..end).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(Malformed::LineEnd);
            };
            if line.is_empty() {
                return if end < HEAD_LIMIT {
                    Ok(Some(end + 1))
                } else {
                    Err(Malformed::TooLarge)
                };
            }
            self.searched = end + 1;
            self.line = end + 1;
        }
        self.searched = self.pending.len();
        if self.searched > HEAD_LIMIT {
            return Err(Malformed::TooLarge);
        }
        Ok(None)
    }

    fn pass_head(&mut self, end: usize, framing: Framing) {
        let head = self.pending.split_to(end);
        self.passed.unsplit(head);
        (self.searched, self.line) = (0, 0);
        self.position = match framing {
            Framing::Length(0) => Position::Head,
            Framing::Length(length) => Position::Length(length),
            Framing::Chunked => Position::Chunked(ChunkedEnd::default()),
        };
    }

    fn refuse(&mut self, reason: Malformed) {
        // An answer to HEAD has no body, whatever it says.
        let method = if self.pending.starts_with(b"HEAD ") {
            "HEAD"
        } else {
            "GET"
        };
        let request = format!(
            "{method} / HTTP/1.1\r\nhost: malformed\r\nconnection: close\r\n{REFUSAL_HEADER}: {}\r\n\r\n",
            reason.number()
        );
        self.passed.extend_from_slice(request.as_bytes());
        self.pending = BytesMut::new();
        self.position = Position::Refused;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.passed.is_empty() {
                let length = buffer.remaining().min(this.passed.len());
                buffer.put_slice(&this.passed.split_to(length));
                if this.passed.is_empty() {
                    // Lets go of what a long head needed.
                    this.passed = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.broken.take() {
                return Poll::Ready(Err(error));
            }
            match &mut this.position {
                // Not the end of the stream: hyper would take that for a client that went away, and drop its answer.
                Position::Refused => return Poll::Pending,
                Position::Length(left) => {
                    let before = buffer.filled().len();
                    this.stream.set_limit(*left);
                    ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                    *left -= (buffer.filled().len() - before) as u64;
                    if *left == 0 {
                        this.position = Position::Head;
                    }
                    return Poll::Ready(Ok(()));
                }
                Position::Head | Position::Chunked(_) => {
                    let mut piece = [0; HEAD_READ];
                    let mut piece = ReadBuf::new(&mut piece);
                    this.stream.set_limit(u64::MAX);
                    ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
                    if piece.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    this.pending.extend_from_slice(piece.filled());
                    this.broken = this.advance().err();
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Everything that comes through of bytes that arrive in pieces of this length, until nothing comes any more.
    async fn through(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut far, near) = tokio::io::duplex(bytes.len().max(1));
        let mut gate = Gate::new(near);
        let mut received = Vec::new();
        for piece in bytes.chunks(piece) {
            far.write_all(piece).await.unwrap();
            let mut buffer = [0; 50];
            while let Some(Ok(length)) =
                futures_util::FutureExt::now_or_never(gate.read(&mut buffer))
            {
                received.extend_from_slice(&buffer[..length]);
            }
        }
        received
    }

    const GOOD: &str = "PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET / HTTP/1.1\nno head: a body\
                        GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n\
                        PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\n\n\n\r\n0\r\n\r\n\
                        HEAD /b/k HTTP/1.1\r\nHost: x\r\n\r\n";

    #[tokio::test]
    async fn requests_and_bodies_pass_unaltered_in_pieces_of_any_length() {
        for piece in [1, 2, 3, 7, 60, 1_000] {
            let received = through(GOOD.as_bytes(), piece).await;
            assert_eq!(String::from_utf8(received).unwrap(), GOOD, "{piece}");
        }
    }

    #[tokio::test]
    async fn a_refused_head_is_replaced_and_nothing_follows_it() {
        let bad = "HEAD /b/k HTTP/1.1\r\nHost: x\nsmuggled: y\r\n\r\n";
        for piece in [1, 7, 1_000] {
            let received = through(format!("{GOOD}{bad}{GOOD}").as_bytes(), piece).await;
            let received = String::from_utf8(received).unwrap();
            let rest = received.strip_prefix(GOOD).unwrap();
            assert!(
                rest.starts_with("HEAD / HTTP/1.1\r\nhost: malformed\r\n"),
                "{rest}"
            );
            assert!(
                rest.contains(REFUSAL_HEADER) && rest.ends_with("\r\n\r\n"),
                "{rest}"
            );
            assert_eq!(rest.matches("\r\n\r\n").count(), 1, "{rest}");
        }
    }

    #[tokio::test]
    async fn a_head_passes_although_its_body_is_broken_in_the_same_piece() {
        let head = "PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (mut far, near) = tokio::io::duplex(1_000);
        far.write_all(format!("{head}no size\r\n").as_bytes())
            .await
            .unwrap();
        let mut gate = Gate::new(near);
        let mut received = vec![0; head.len()];
        gate.read_exact(&mut received).await.unwrap();
        assert_eq!(received, head.as_bytes());
        let error = gate.read(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let endless = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(HEAD_LIMIT));
        let received = String::from_utf8(through(endless.as_bytes(), 999).await).unwrap();
        let number = Malformed::TooLarge.number();
        assert!(
            received.contains(&format!("{REFUSAL_HEADER}: {number}\r\n")),
            "{received}"
        );
    }

    #[tokio::test]
    async fn another_protocol_is_refused_at_its_first_byte() {
        let received = through(&[0x16, 3, 1, 2, 0], 1).await;
        assert!(received.starts_with(b"GET / HTTP/1.1\r\nhost: malformed"));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 1..300), piece in 1_usize..50, good: bool) {
            let bytes = if good { [GOOD.as_bytes(), &bytes].concat() } else { bytes };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(through(&bytes, piece));
        }
    }
}
