//! The PROXY protocol, versions 1 and 2: how a load balancer that passes bytes on says whose they are
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! Who sends such a header is configured, never guessed: a peer that is named must send one, and from any other it is an HTTP request or a TLS
//! handshake that makes no sense.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::limits::PROXY_HEADER_LIMIT;

/// What a header of version 2 begins with. No header of version 1 is as short.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part of a header of version 2: signature, command, family, and the length of the rest.
const FIXED_LENGTH: usize = 16;

/// The longest header of version 1, its line end included.
const TEXT_LIMIT: usize = 107;

/// Why a connection has no header that could be believed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// Something else, such as a request.
    #[error("it does not begin with a PROXY protocol header")]
    Missing,
    /// A length that no proxy needs.
    #[error("its PROXY protocol header has {0} bytes, and at most {PROXY_HEADER_LIMIT} are read")]
    TooLong(usize),
    /// Not as the specification has it.
    #[error("its PROXY protocol header is malformed: {0}")]
    Malformed(String),
    /// The connection broke, or ended within it.
    #[error(transparent)]
    Transport(#[from] io::Error),
}

/// Reads exactly the header and returns the client that it names; none where the proxy speaks for itself, as in its health checks, or
/// does not know.
///
/// Not cancel safe: a connection whose header was not read to its end is of no use.
///
/// # Errors
/// [`ProxyProtocolError`]; the connection is of no use then.
pub async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(FIXED_LENGTH, 0);
        let (_, fixed) = header.split_at_mut(SIGNATURE.len());
        stream.read_exact(fixed).await?;
        let rest = match fixed {
            [_, _, high, low] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        let length = FIXED_LENGTH + rest;
        if length > PROXY_HEADER_LIMIT {
            return Err(ProxyProtocolError::TooLong(length));
        }
        header.resize(length, 0);
        let (_, rest) = header.split_at_mut(FIXED_LENGTH);
        stream.read_exact(rest).await?;
    } else if header.starts_with(b"PROXY ") {
        // Byte by byte, because what follows the line end is not ours.
        while !header.ends_with(b"\r\n") {
            if header.len() == TEXT_LIMIT {
                return Err(ProxyProtocolError::Malformed(format!(
                    "its line does not end within {TEXT_LIMIT} bytes"
                )));
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(ProxyProtocolError::Missing);
    }
    let settings = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (parsed, _) = ProxyHeader::parse(&header, settings)
        .map_err(|error| ProxyProtocolError::Malformed(error.to_string()))?;
    Ok(parsed.proxied_address().map(|address| address.source))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const AFTER: &[u8] = b"GET / HTTP/1.1\r\n";

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length[..], rest].concat()
    }

    /// 203.0.113.7:4711 to 192.0.2.1:443, and a field that nobody knows.
    fn binary_addresses() -> Vec<u8> {
        let mut rest = vec![203, 0, 113, 7, 192, 0, 2, 1];
        rest.extend(4711_u16.to_be_bytes());
        rest.extend(443_u16.to_be_bytes());
        rest.extend([0xe5, 0, 2, 1, 2]);
        rest
    }

    async fn read(header: &[u8]) -> Result<Option<SocketAddr>, ProxyProtocolError> {
        let bytes = [header, AFTER].concat();
        let mut stream = &bytes[..];
        let found = read_header(&mut stream).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, AFTER, "more or less than the header was read");
        Ok(found)
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_rest() {
        let client = Some("203.0.113.7:4711".parse().unwrap());
        let text = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";
        assert_eq!(read(text).await.unwrap(), client);
        assert_eq!(
            read(&binary(1, 0x11, &binary_addresses())).await.unwrap(),
            client
        );
        let text = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
        assert_eq!(
            read(text).await.unwrap(),
            Some("[2001:db8::7]:4711".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn a_proxy_that_speaks_for_itself_names_nobody() {
        assert_eq!(read(b"PROXY UNKNOWN\r\n").await.unwrap(), None);
        assert_eq!(read(&binary(0, 0, &[])).await.unwrap(), None);
    }

    #[tokio::test]
    async fn anything_else_is_refused_within_bounds() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let huge = binary(1, 0x11, &vec![0; PROXY_HEADER_LIMIT]);
        for bytes in [
            b"GET /bucket/key HTTP/1.1\r\nhost: x\r\n\r\n".as_slice(),
            b"PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n",
            b"PROXY TCP4 203.0.113.700 192.0.2.1 4711 443\r\n",
            b"PROXY TCP6 203.0.113.7 192.0.2.1 4711 443\r\n",
            b"PROXY UNKNOWN",
            &long,
            &huge,
            &binary(2, 0x11, &binary_addresses()),
            &binary(1, 0x11, &[1, 2, 3]),
        ] {
            let mut stream = bytes;
            let error = read_header(&mut stream).await;
            assert!(error.is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), signed: bool) {
            let bytes = if signed { [&SIGNATURE[..], &bytes].concat() } else { bytes };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read_header(&mut &bytes[..]));
        }
    }
}
