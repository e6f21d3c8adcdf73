//! HTTP/2, frame by frame, as no library sends it (RFC 9113, and RFC 7541 without compression).

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACKNOWLEDGED: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// How a field begins that the other side is to remember, and one that it remembers, with its number.
const REMEMBERED: u8 = 0x40;
const INDEXED: u8 = 0x80;
const FIRST_OWN: u8 = 0x3e;

/// What stands before what a frame holds: its length, kind, flags and stream.
const HEAD: usize = 9;

/// The longest frame that may be sent to anybody.
const FRAME: usize = 16 << 10;

/// The beginning of a connection whose client lets no byte of an answer's body through.
pub(crate) fn without_window() -> Vec<u8> {
    with_window(0)
}

/// The beginning of a connection whose client lets through all that comes, and never says so again.
pub(crate) fn open_windows() -> Vec<u8> {
    let most = i32::MAX.unsigned_abs();
    let more = frame(WINDOW_UPDATE, 0, 0, &(most - 65_535).to_be_bytes());
    [with_window(most), more].concat()
}

fn with_window(bytes: u32) -> Vec<u8> {
    let setting = [&4_u16.to_be_bytes()[..], &bytes.to_be_bytes()].concat();
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    all.extend(frame(SETTINGS, 0, 0, &setting));
    // Whatever the gateway allows holds from then on.
    all.extend(frame(SETTINGS, ACKNOWLEDGED, 0, &[]));
    all
}

/// Whether the other side has let more through than everybody may send at first, with frames that begin with the connection.
pub(crate) fn has_wide_window(mut received: &[u8]) -> bool {
    while let Some(([high, middle, low, kind, ..], rest)) = received.split_first_chunk::<HEAD>() {
        if *kind == WINDOW_UPDATE {
            return true;
        }
        let length = u32::from_be_bytes([0, *high, *middle, *low]);
        received = rest.get(length as usize..).unwrap_or_default();
    }
    false
}

/// The numbers of as many streams as the gateway lets be open on one connection.
pub(crate) fn streams() -> impl Iterator<Item = u32> + Clone {
    (0..64).map(|number| 2 * number + 1)
}

/// A whole head, which may be all of the request.
pub(crate) fn headers(stream: u32, block: &[u8], is_last: bool) -> Vec<u8> {
    let last = if is_last { END_STREAM } else { 0 };
    frame(HEADERS, END_HEADERS | last, stream, block)
}

/// A head, in as many frames as it takes, and none of them its last.
pub(crate) fn headers_without_end(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for (number, part) in block.chunks(FRAME).enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        all.extend(frame(kind, 0, stream, part));
    }
    all
}

/// A piece of a body.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// The fields that each request has, and more.
pub(crate) fn head(method: &str, authority: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let always = [
        (":method", method),
        (":scheme", "https"),
        (":authority", authority),
        (":path", path),
    ];
    let fields = always.iter().chain(more);
    fields
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// A field that nobody has to remember (RFC 7541, section 6.2.2).
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(length(text.len()));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// A field so many times, each but the first in one byte: the other side remembers it (RFC 7541, sections 6.1 and 6.2.1). As the first that it has to
/// remember, and 61 are known to everybody.
pub(crate) fn repeated(name: &str, value: &str, times: usize) -> Vec<u8> {
    let first = field(name, value).into_iter().skip(1);
    let others = std::iter::repeat_n(INDEXED | FIRST_OWN, times - 1);
    std::iter::once(REMEMBERED)
        .chain(first)
        .chain(others)
        .collect()
}

/// The length of a text (RFC 7541, section 5.1, with a prefix of 7 bits).
fn length(length: usize) -> Vec<u8> {
    const PREFIX: usize = 127;
    let byte = |value: usize| u8::try_from(value).unwrap_or_default();
    if length < PREFIX {
        return vec![byte(length)];
    }
    let mut rest = length - PREFIX;
    let mut bytes = vec![byte(PREFIX)];
    while rest >= 128 {
        bytes.push(byte(rest % 128) | 128);
        rest /= 128;
    }
    bytes.push(byte(rest));
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let mut bytes: Vec<u8> = length.to_be_bytes().into_iter().skip(1).collect();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
