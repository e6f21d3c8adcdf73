//! Requests as no SDK would send them: signed right or wrong, with bodies that are short, long or altered.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    endpoint::{Endpoint, REGION},
    tls_client,
};

/// How long an answer may take, and how long it may pause.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The longest head of an answer.
const HEAD_LIMIT: usize = 65_536;

/// What the signature says of the body.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// The SHA-256 of these bytes, whatever is sent.
    Signed(&'a [u8]),
    /// A value of `x-amz-content-sha256` that is no hash.
    Named(&'a str),
}

/// A request in the making. Nothing is added that was not asked for.
#[derive(Clone, Debug)]
pub struct RawRequest {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    unsigned: Vec<(String, String)>,
    body: Vec<u8>,
}

impl RawRequest {
    /// A request with the target as it stands on the wire: path and query, percent-encoded.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            unsigned: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A header that the signature covers.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header that is added after signing.
    #[must_use]
    pub fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes that follow the head. `Content-Length` is a header like any other, and yours to give.
    #[must_use]
    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    /// Signs with the endpoint's credentials for a moment in time.
    ///
    /// # Errors
    /// If the request can't be signed at all.
    pub fn sign(
        mut self,
        endpoint: &Endpoint,
        payload: Payload<'_>,
        time: SystemTime,
    ) -> Result<Self> {
        let identity = Credentials::new(
            &endpoint.access_key_id,
            &endpoint.secret_access_key,
            None,
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("s3")
            .time(time)
            .settings(settings)
            .build()?
            .into();
        let body = match payload {
            Payload::Signed(bytes) => SignableBody::Bytes(bytes),
            Payload::Named(name) => SignableBody::Precomputed(name.to_owned()),
        };
        self.headers
            .insert(0, ("host".to_owned(), endpoint.authority().to_owned()));
        let uri = format!("{}{}", endpoint.url, self.target);
        let named = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let request = SignableRequest::new(&self.method, uri, named, body)?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let added: Vec<_> = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.headers.extend(added);
        Ok(self)
    }

    /// Alters the `Authorization` header after signing.
    #[must_use]
    pub fn alter_authorization(mut self, alter: impl Fn(&str) -> String) -> Self {
        for (name, value) in &mut self.headers {
            if name.eq_ignore_ascii_case("authorization") {
                *value = alter(value);
            }
        }
        self
    }

    /// Replaces the host after signing, as a proxy does.
    #[must_use]
    pub fn with_host(mut self, host: &str) -> Self {
        for (name, value) in &mut self.headers {
            if name.eq_ignore_ascii_case("host") {
                host.clone_into(value);
            }
        }
        self
    }

    /// Sends the request over a connection of its own, and reads what comes until the connection ends.
    ///
    /// After the body nothing more is sent, but the connection stays open for the answer.
    ///
    /// # Errors
    /// If there is no answer with a head.
    pub async fn send(&self, endpoint: &Endpoint) -> Result<RawAnswer> {
        let bytes = self.to_bytes(endpoint);
        exchange(endpoint, &bytes).await
    }

    /// The request as it goes over the wire: the head, which asks for the connection to be closed, and what was given as the body.
    pub fn to_bytes(&self, endpoint: &Endpoint) -> Vec<u8> {
        let last = self.clone().unsigned_header("connection", "close");
        last.bytes(endpoint)
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Path and query, as they stand on the wire.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What was given as the body.
    pub fn content(&self) -> &[u8] {
        &self.body
    }

    /// A header that signing has added, or that was given.
    pub fn signed(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers that the signature covers or that signing has added.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As [`Self::send`], but closes the sending side behind the body.
    ///
    /// # Errors
    /// If there is no answer with a head.
    pub async fn send_and_close(&self, endpoint: &Endpoint) -> Result<RawAnswer> {
        let mut stream = TcpStream::connect(endpoint.authority()).await?;
        stream.write_all(&self.bytes(endpoint)).await?;
        stream.shutdown().await?;
        let mut received = Vec::new();
        let reading = stream.read_to_end(&mut received);
        let outcome = tokio::time::timeout(ANSWER_LIMIT, reading)
            .await
            .map_err(|_| anyhow!("no answer within {ANSWER_LIMIT:?}"))?;
        RawAnswer::parse(&received, outcome.is_err())
    }

    /// The request as it goes over the wire, for a connection that stays open.
    pub fn bytes(&self, endpoint: &Endpoint) -> Vec<u8> {
        let is_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
        let host = ("host".to_owned(), endpoint.authority().to_owned());
        let host = (!self.headers.iter().any(is_host)).then_some(&host);
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.target)];
        for (name, value) in host.into_iter().chain(&self.headers).chain(&self.unsigned) {
            lines.push(format!("{name}: {value}"));
        }
        lines.push("\r\n".to_owned());
        let mut bytes = lines.join("\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

async fn exchange(endpoint: &Endpoint, request: &[u8]) -> Result<RawAnswer> {
    match &endpoint.ca_file {
        None => {
            let stream = TcpStream::connect(endpoint.authority()).await?;
            exchange_on(stream, request).await
        }
        Some(ca_file) => {
            let stream = tls_client::connect(endpoint.authority(), ca_file).await?;
            exchange_on(stream, request).await
        }
    }
}

async fn exchange_on(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    request: &[u8],
) -> Result<RawAnswer> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let request = request.to_vec();
    let sending = tokio::spawn(async move {
        // A server that refuses early may close before it has read everything; its answer counts.
        writer.write_all(&request).await.ok();
        writer
    });
    let mut received = Vec::new();
    let mut piece = vec![0; 65_536];
    let mut is_reset = false;
    loop {
        match tokio::time::timeout(ANSWER_LIMIT, reader.read(&mut piece)).await {
            Err(_) => return Err(anyhow!("no answer within {ANSWER_LIMIT:?}")),
            Ok(Ok(0)) => break,
            Ok(Ok(length)) => {
                received.extend_from_slice(piece.get(..length).unwrap_or_default());
            }
            Ok(Err(_)) => {
                is_reset = true;
                break;
            }
        }
    }
    sending.abort();
    RawAnswer::parse(&received, is_reset)
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What came of the body.
    pub body: Vec<u8>,
    /// Whether all of it came: as many bytes as were announced, or the last chunk.
    pub is_complete: bool,
}

impl RawAnswer {
    /// Takes apart what came over a connection, which has ended or has not, or ended with a reset.
    ///
    /// # Errors
    /// If it does not begin with the head of an answer.
    pub fn parse(received: &[u8], is_reset: bool) -> Result<Self> {
        let end = memchr::memmem::find(received, b"\r\n\r\n")
            .filter(|end| *end < HEAD_LIMIT)
            .ok_or_else(|| {
                anyhow!(
                    "the connection ended {} after {} bytes, without the head of an answer",
                    if is_reset { "with a reset" } else { "" },
                    received.len()
                )
            })?;
        let (head, rest) = received.split_at(end);
        let body = rest.get(4..).unwrap_or_default();
        let head = std::str::from_utf8(head).context("the head is not text")?;
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("no status line: {status_line:?}"))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        // Nothing here asks for `100 Continue`.
        ensure!(status != 100, "an interim answer that nobody asked for");
        let mut answer = Self {
            status,
            headers,
            body: body.to_vec(),
            is_complete: !is_reset,
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            let (decoded, end) = decode_chunked(body);
            answer.body = decoded;
            answer.is_complete = end.is_some();
        } else if let Some(length) = answer.header("content-length") {
            answer.is_complete = length.parse() == Ok(body.len());
        }
        Ok(answer)
    }

    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(candidate, _)| candidate == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of an S3 error document.
    pub fn error_code(&self) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once("<Code>")?;
        let (code, _) = rest.split_once("</Code>")?;
        Some(code.to_owned())
    }
}

/// The content of a chunked body (RFC 9112, section 7.1), and its length on the wire where its last chunk was there.
pub(crate) fn decode_chunked(body: &[u8]) -> (Vec<u8>, Option<usize>) {
    let mut decoded = Vec::new();
    let mut left = body;
    while let Some(end) = memchr::memmem::find(left, b"\r\n") {
        let (line, rest) = left.split_at(end);
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
        let rest = rest.get(2..).unwrap_or_default();
        match size {
            // Without trailers: we send none.
            Some(0) if rest.starts_with(b"\r\n") => {
                return (decoded, Some(body.len() - rest.len() + 2));
            }
            Some(size) if size > 0 && rest.len() >= size + 2 => {
                decoded.extend_from_slice(rest.get(..size).unwrap_or_default());
                left = rest.get(size + 2..).unwrap_or_default();
            }
            _ => {
                decoded.extend_from_slice(rest);
                return (decoded, None);
            }
        }
    }
    (decoded, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_body_is_told_from_a_whole_one() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let whole = RawAnswer::parse(format!("{head}hello").as_bytes(), false).unwrap();
        assert!(whole.is_complete && whole.body == b"hello" && whole.status == 200);
        let cut = RawAnswer::parse(format!("{head}hell").as_bytes(), false).unwrap();
        assert!(!cut.is_complete && cut.body == b"hell");
        let chunked = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n";
        let whole =
            RawAnswer::parse(format!("{chunked}3\r\nabc\r\n0\r\n\r\n").as_bytes(), false).unwrap();
        assert!(whole.is_complete && whole.body == b"abc");
        let cut = RawAnswer::parse(format!("{chunked}3\r\nabc\r\n").as_bytes(), false).unwrap();
        assert!(!cut.is_complete && cut.body == b"abc");
        assert!(RawAnswer::parse(b"", true).is_err());
    }

    #[test]
    fn the_code_of_an_error_is_read() {
        let answer = RawAnswer::parse(
            b"HTTP/1.1 403 Forbidden\r\n\r\n<Error><Code>AccessDenied</Code></Error>",
            false,
        )
        .unwrap();
        assert_eq!(answer.error_code().as_deref(), Some("AccessDenied"));
    }
}
