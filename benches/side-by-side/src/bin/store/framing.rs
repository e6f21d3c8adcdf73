//! The framing of aws-chunked, taken away while a body arrives.

use bytes::{Buf, Bytes};

/// Where in the framing the next byte is. What does not look like framing ends the content, as the last chunk does.
#[derive(Debug)]
pub(crate) enum Framing {
    /// In a line that says how long the chunk is, of which this has arrived.
    Length(Vec<u8>),
    /// In a chunk, or in the two bytes behind it: so many are left.
    Chunk(usize),
    /// Behind the last chunk.
    Trailer,
}

impl Framing {
    /// At the beginning of a body.
    pub(crate) fn new() -> Self {
        Self::Length(Vec::new())
    }

    /// Takes content from the front of `framed`; `None` where there is none left in it.
    pub(crate) fn content(&mut self, framed: &mut Bytes) -> Option<Bytes> {
        while !framed.is_empty() {
            match self {
                Self::Length(line) => {
                    let byte = framed.get_u8();
                    if byte != b'\n' {
                        line.push(byte);
                        continue;
                    }
                    let text = String::from_utf8_lossy(line);
                    let length = text.split([';', '\r']).next().unwrap_or_default();
                    *self = match usize::from_str_radix(length, 16) {
                        Ok(length) if length > 0 => Self::Chunk(length + 2),
                        _ => Self::Trailer,
                    };
                }
                Self::Chunk(left) => {
                    // The line break behind a chunk is not content.
                    let content = framed.len().min(left.saturating_sub(2));
                    if content > 0 {
                        *left -= content;
                        return Some(framed.split_to(content));
                    }
                    framed.advance(1);
                    *left -= 1;
                    if *left == 0 {
                        *self = Self::new();
                    }
                }
                Self::Trailer => framed.clear(),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_their_trailer_are_taken_away_wherever_the_body_is_cut() {
        let whole = Bytes::from(
            "3\r\nabc\r\n2;chunk-signature=00\r\nde\r\n0\r\nx-amz-checksum-crc32c:AAAA\r\n\r\n",
        );
        for length in 1..=whole.len() {
            let (mut framing, mut content) = (Framing::new(), Vec::new());
            for piece in whole.chunks(length) {
                let mut piece = Bytes::copy_from_slice(piece);
                while let Some(data) = framing.content(&mut piece) {
                    content.extend_from_slice(&data);
                }
            }
            assert_eq!(content, b"abcde", "in pieces of {length}");
        }
    }
}
