//! One connection: writes a request, reads the answer.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

/// Large reads make the client cheap.
const BUFFER: usize = 512 << 10;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_mins(2);

/// Whom to ask.
pub(crate) struct Endpoint {
    address: SocketAddr,
    /// Host and port.
    pub(crate) authority: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// Reads a URL of an IP address and a port.
    pub(crate) fn new(url: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let (scheme, authority) = url.split_once("://").context("no URL")?;
        let tls = match scheme {
            "http" => None,
            "https" => {
                let mut roots = RootCertStore::empty();
                let ca = ca.context("--ca is missing")?;
                for certificate in CertificateDer::pem_file_iter(ca)? {
                    roots.add(certificate?)?;
                }
                let settings = ClientConfig::builder()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                Some(Arc::new(settings))
            }
            _ => bail!("{scheme} is neither http nor https"),
        };
        Ok(Self {
            address: authority.parse().context("neither IP address nor port")?,
            authority: authority.to_owned(),
            tls,
        })
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// What was answered.
pub(crate) struct Answer {
    /// The head, in lower case.
    head: String,
    /// Empty unless it was asked for.
    pub(crate) body: Vec<u8>,
    /// How long it was.
    pub(crate) length: u64,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.trim())
}

/// A connection that stays open.
pub(crate) struct Connection(BufReader<Box<dyn Stream>>);

impl Connection {
    /// Connects.
    pub(crate) fn open(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(endpoint.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let stream: Box<dyn Stream> = match &endpoint.tls {
            None => Box::new(socket),
            Some(settings) => {
                let name = ServerName::from(endpoint.address.ip());
                let tls = ClientConnection::new(Arc::clone(settings), name)?;
                Box::new(StreamOwned::new(tls, socket))
            }
        };
        Ok(Self(BufReader::with_capacity(BUFFER, stream)))
    }

    /// Sends a request and reads a 2xx answer, of whose body only the length is kept unless `keep` says so.
    pub(crate) fn ask(&mut self, head: &[u8], body: &[u8], keep: bool) -> anyhow::Result<Answer> {
        let stream = self.0.get_mut();
        if body.len() <= BUFFER {
            stream.write_all(&[head, body].concat())?;
        } else {
            stream.write_all(head)?;
            stream.write_all(body)?;
        }
        stream.flush()?;
        let is_head = head.starts_with(b"HEAD ");
        let head = self.head()?;
        let mut answer = Answer {
            head,
            body: Vec::new(),
            length: 0,
        };
        let is_good = answer.head.starts_with("http/1.1 2");
        let mut kept = (keep || !is_good).then(Vec::new);
        if is_head || answer.head.starts_with("http/1.1 204") {
            // No body follows, whatever the headers say.
        } else if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let length = u64::from_str_radix(self.line()?.trim(), 16)?;
                answer.length += length;
                self.body(length, kept.as_mut())?;
                self.line()?;
                if length == 0 {
                    break;
                }
            }
        } else {
            let length = answer.header("content-length").unwrap_or("0").parse()?;
            answer.length = length;
            self.body(length, kept.as_mut())?;
        }
        answer.body = kept.unwrap_or_default();
        ensure!(
            is_good,
            "{}\n{}",
            answer.head,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(answer)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(
            self.0.read_line(&mut line)? > 0,
            "the connection was closed"
        );
        Ok(line)
    }

    fn head(&mut self) -> anyhow::Result<String> {
        let mut head = String::new();
        loop {
            let line = self.line()?;
            if line == "\r\n" {
                return Ok(head);
            }
            head.push_str(&line.to_lowercase());
        }
    }

    fn body(&mut self, length: u64, mut kept: Option<&mut Vec<u8>>) -> anyhow::Result<()> {
        let mut missing = usize::try_from(length)?;
        while missing > 0 {
            let piece = self.0.fill_buf()?;
            ensure!(!piece.is_empty(), "the answer was cut off");
            let taken = missing.min(piece.len());
            if let Some(kept) = &mut kept {
                kept.extend(piece.iter().take(taken));
            }
            self.0.consume(taken);
            missing -= taken;
        }
        Ok(())
    }
}
