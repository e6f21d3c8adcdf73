//! However the bytes of a connection are cut, the gate lets the same through; what it has let through, it lets through again, unaltered; and of
//! a chunked body the same length is found in one piece as byte by byte.
#![no_main]

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use sealgate::listener::chunked::ChunkedEnd;
use sealgate::listener::gate::{Gate, REFUSAL_HEADER};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that arrive in pieces, and then no more.
struct Pieces<'a> {
    rest: &'a [u8],
    length: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.rest.is_empty() {
            return Poll::Pending;
        }
        let length = self.length.min(self.rest.len()).min(buffer.remaining());
        let (piece, rest) = self.rest.split_at(length);
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// What comes through, and whether the framing of a body was broken.
fn through(bytes: &[u8], length: usize) -> (Vec<u8>, bool) {
    let mut gate = pin!(Gate::new(Pieces {
        rest: bytes,
        length
    }));
    let mut context = Context::from_waker(Waker::noop());
    let mut received = Vec::new();
    loop {
        let mut buffer = [0; 64];
        let mut buffer = ReadBuf::new(&mut buffer);
        match gate.as_mut().poll_read(&mut context, &mut buffer) {
            Poll::Pending => return (received, false),
            Poll::Ready(Err(_)) => return (received, true),
            Poll::Ready(Ok(())) => received.extend_from_slice(buffer.filled()),
        }
    }
}

/// The bytes without the request that stands for a refusal, whose first line and host come before the header.
fn without_refusal(received: &[u8]) -> &[u8] {
    let text = b" / HTTP/1.1\r\nhost: malformed\r\nconnection: close\r\n";
    let end = received
        .windows(text.len())
        .position(|window| window == text);
    end.map_or(received, |end| {
        let kept = &received[..end];
        let method = [b"HEAD".as_slice(), b"GET"];
        let method = method.iter().find(|method| kept.ends_with(method));
        &kept[..kept.len() - method.expect("a refusal has a method").len()]
    })
}

/// How many bytes of the body are found, and whether its end is.
fn end(bytes: &[u8], length: usize) -> Option<(usize, bool)> {
    let mut end = ChunkedEnd::default();
    let mut found = 0;
    for piece in bytes.chunks(length) {
        found += end.find(piece).ok()?;
    }
    Some((found, end.is_reached()))
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(end(bytes, 1), end(bytes, bytes.len().max(1)));
    // The only thing that a client could send that looks like a refusal.
    let lower = bytes.to_ascii_lowercase();
    if lower.windows(15).any(|window| window == b"host: malformed") {
        return;
    }
    let (whole, broken) = through(bytes, usize::MAX);
    for length in [1, 7, 100] {
        let (pieces, pieces_broken) = through(bytes, length);
        assert_eq!(pieces_broken, broken);
        if !broken {
            assert_eq!(pieces, whole);
        }
    }
    let kept = without_refusal(&whole);
    let refusal = &whole[kept.len()..];
    assert!(
        refusal.is_empty()
            || String::from_utf8_lossy(refusal).contains(REFUSAL_HEADER)
                && refusal.ends_with(b"\r\n\r\n")
    );
    if !broken {
        assert_eq!(through(kept, 13).0, kept, "what was let through once");
    }
});
