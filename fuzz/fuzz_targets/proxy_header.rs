//! Of a PROXY protocol header no byte too many is read, none too few, and what is read does not depend on what follows.
#![no_main]

use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use sealgate::listener::limits::PROXY_HEADER_LIMIT;
use sealgate::listener::proxy_protocol::read_header;

/// The client, and how many bytes were read.
fn read(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut rest = bytes;
    let outcome = {
        let mut reading = pin!(read_header(&mut rest));
        match reading
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("bytes in memory are there at once"),
        }
    };
    Some((outcome.ok()?, bytes.len() - rest.len()))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((client, length)) = read(bytes) else {
        return;
    };
    assert!(length <= PROXY_HEADER_LIMIT);
    let header = &bytes[..length];
    assert_eq!(read(header), Some((client, length)));
    assert_eq!(read(&header[..length - 1]), None, "the last byte counts");
    let followed = [header, b"PROXY TCP4 192.0.2.9 192.0.2.1 9 443\r\n"].concat();
    assert_eq!(read(&followed), Some((client, length)));
});
