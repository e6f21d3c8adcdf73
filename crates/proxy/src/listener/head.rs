//! What the head of an HTTP/1 request must look like before hyper sees it: such that everybody on the way agrees where the message ends.
//!
//! Between a client and us there may be proxies with other parsers. Whatever two parsers may read in two ways (RFC 9112, section 11.2) is
//! refused here, where hyper would choose one reading: a length beside a transfer encoding, two lengths, lines that end in a bare line feed.

/// Why a request is no HTTP/1 message that we accept. It answers for the connection: where the next request would begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first line is not `METHOD TARGET HTTP/1.1`.
    #[error(
        "The request line must be a method, a target and HTTP/1.1 or HTTP/1.0, with one space between them."
    )]
    RequestLine,
    /// A line feed without carriage return, or the reverse.
    #[error("Every line of the request's head must end with CR and LF.")]
    LineEnd,
    /// A line that is no `name: value`, or continues the one before it.
    #[error("Every header must be one line, with a colon right behind its name.")]
    Header,
    /// A control character.
    #[error("The request's head must not have control characters.")]
    Character,
    /// More than one, or not a number.
    #[error("Content-Length must occur once, and be a whole number.")]
    ContentLength,
    /// Anything but `chunked`, or beside a length, or in HTTP/1.0.
    #[error("Transfer-Encoding must be chunked alone, without Content-Length, and in HTTP/1.1.")]
    TransferEncoding,
    /// Longer than [`super::limits::HEAD_LIMIT`], or with more lines than [`super::limits::HEADER_COUNT_LIMIT`].
    #[error("Your request header and metadata size exceeds the maximum allowed size.")]
    TooLarge,
}

impl Malformed {
    /// All of them; the place of each is its number.
    const ALL: [Self; 7] = [
        Self::RequestLine,
        Self::LineEnd,
        Self::Header,
        Self::Character,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::TooLarge,
    ];

    /// A number for [`Self::from_number`].
    pub fn number(self) -> usize {
        Self::ALL
            .iter()
            .position(|one| *one == self)
            .unwrap_or_default()
    }

    /// The reason of a number that [`Self::number`] gave; any other number is a request line that is wrong.
    pub fn from_number(number: usize) -> Self {
        Self::ALL.get(number).copied().unwrap_or(Self::RequestLine)
    }
}

/// How long the body is that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Until its last chunk.
    Chunked,
}

/// Checks a whole head, from the request line to the empty line.
///
/// # Errors
/// [`Malformed`] for what two readers could take for two things.
pub fn check(head: &[u8]) -> Result<Framing, Malformed> {
    let lines = head.strip_suffix(b"\r\n\r\n").ok_or(Malformed::LineEnd)?;
    let mut lines = memchr::memmem::find_iter(lines, b"\r\n")
        .chain([lines.len()])
        .scan(0, |start, end| {
            let line = lines.get(*start..end);
            *start = end + 2;
            line
        });
    let is_http_1_1 = check_request_line(lines.next().unwrap_or_default())?;
    let mut length = None;
    let mut is_chunked = false;
    for (index, line) in lines.enumerate() {
        if index == super::limits::HEADER_COUNT_LIMIT {
            return Err(Malformed::TooLarge);
        }
        let (name, value) = split(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = read_length(value).ok_or(Malformed::ContentLength)?;
            if length.replace(number).is_some() {
                return Err(Malformed::ContentLength);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !is_http_1_1 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::TransferEncoding);
            }
            is_chunked = true;
        }
    }
    match (is_chunked, length) {
        (true, Some(_)) => Err(Malformed::TransferEncoding),
        (true, None) => Ok(Framing::Chunked),
        (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Whether it says HTTP/1.1; the other choice is HTTP/1.0.
fn check_request_line(line: &[u8]) -> Result<bool, Malformed> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Malformed::RequestLine);
    };
    let legal = |byte: &u8| byte.is_ascii_graphic() || *byte >= 0x80;
    if !is_token(method) || target.is_empty() || !target.iter().all(legal) {
        return Err(Malformed::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Malformed::RequestLine),
    }
}

/// The name and the trimmed value of a header line.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let colon = memchr::memchr(b':', line).ok_or(Malformed::Header)?;
    let (name, value) = line.split_at(colon);
    let value = trim(value.get(1..).unwrap_or_default());
    if !is_token(name) {
        return Err(Malformed::Header);
    }
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    if value.iter().any(is_control) {
        return Err(Malformed::Character);
    }
    Ok((name, value))
}

/// Without the blanks around it (RFC 9110, section 5.5): what Rust takes for white space holds line ends and form feeds too.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Digits alone: `parse` would take a sign.
fn read_length(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lines: &str) -> Result<Framing, Malformed> {
        check(format!("PUT /b/k HTTP/1.1\r\nHost: x\r\n{lines}\r\n").as_bytes())
    }

    #[test]
    fn plain_requests_pass_and_their_length_is_known() {
        assert_eq!(with(""), Ok(Framing::Length(0)));
        assert_eq!(with("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
        assert_eq!(with("content-length:5 \r\n"), Ok(Framing::Length(5)));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        assert_eq!(with("x-amz-meta-a: \t\r\n"), Ok(Framing::Length(0)));
        assert_eq!(
            check(b"GET http://x/b/k?a=b HTTP/1.0\r\n\r\n"),
            Ok(Framing::Length(0))
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        use Malformed::{Character, ContentLength, Header, TransferEncoding};
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        for (lines, reason) in [
            (both, TransferEncoding),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                TransferEncoding,
            ),
            ("Transfer-Encoding: identity\r\n", TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n", TransferEncoding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                TransferEncoding,
            ),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", ContentLength),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", ContentLength),
            ("Content-Length: 5, 5\r\n", ContentLength),
            ("Content-Length: +5\r\n", ContentLength),
            ("Content-Length: -5\r\n", ContentLength),
            ("Content-Length: 0x5\r\n", ContentLength),
            ("Content-Length:\r\n", ContentLength),
            ("Content-Length: 18446744073709551616\r\n", ContentLength),
            ("Content-Length : 5\r\n", Header),
            ("x-a: 1\r\n folded\r\n", Header),
            ("\tx-a: 1\r\n", Header),
            ("no colon\r\n", Header),
            (": 5\r\n", Header),
            ("x-a: 1\nContent-Length: 5\r\n", Character),
            ("x-a: 1\rContent-Length: 5\r\n", Character),
            ("x-a: \0\r\n", Character),
            ("x-a: 1\n\r\n", Character),
            ("Content-Length: 5\x0c\r\n", Character),
            ("Content-Length:\x0c5\r\n", Character),
        ] {
            assert_eq!(with(lines), Err(reason), "{lines:?}");
        }
        assert_eq!(
            check(b"PUT /b/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Err(TransferEncoding)
        );
    }

    #[test]
    fn a_request_line_has_three_words() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /",
            "GET /a b HTTP/1.1",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "G\tT / HTTP/1.1",
            "GET /\u{1} HTTP/1.1",
            "",
        ] {
            let head = format!("{line}\r\n\r\n");
            assert_eq!(
                check(head.as_bytes()),
                Err(Malformed::RequestLine),
                "{line:?}"
            );
        }
    }

    #[test]
    fn every_reason_survives_its_number() {
        for reason in Malformed::ALL {
            assert_eq!(Malformed::from_number(reason.number()), reason);
        }
    }
}
