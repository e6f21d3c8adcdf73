//! Where a chunked body ends (RFC 9112, section 7.1). Its content is hyper's business.

use std::io;

/// What chunk extensions or trailer fields may come to in one body, in bytes. Nobody sends any to S3: its trailers are inside of the body.
const ADDITIONS_LIMIT: usize = 16 * 1024;

/// Digits of a chunk's size: what fits 64 bits. Zeros in front of it could go on for ever otherwise.
const SIZE_DIGITS: u32 = 16;

/// Finds the end of one body, piece by piece.
#[derive(Debug, Default)]
pub struct ChunkedEnd {
    at: At,
    additions: usize,
    /// Of the size that is being read.
    digits: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    #[default]
    Start,
    Size(u64),
    Extension(u64),
    SizeLineFeed(u64),
    Data(u64),
    DataReturn,
    DataLineFeed,
    /// The start of a line after the last chunk.
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
    End,
}

impl ChunkedEnd {
    /// Whether the body is over.
    pub fn is_reached(&self) -> bool {
        self.at == At::End
    }

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// Where the framing is broken: nobody can tell then where the next request begins.
    pub fn find(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut index = 0;
        while let Some(byte) = bytes.get(index)
            && !self.is_reached()
        {
            if let At::Data(left) = self.at {
                let here = bytes.len() - index;
                let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                index += skipped;
                let left = left - skipped as u64;
                self.at = if left == 0 {
                    At::DataReturn
                } else {
                    At::Data(left)
                };
            } else {
                self.at = self.step(*byte).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the chunked framing of the body is broken",
                    )
                })?;
                index += 1;
            }
        }
        Ok(index)
    }

    fn step(&mut self, byte: u8) -> Option<At> {
        if matches!(self.at, At::Extension(_) | At::Trailer) {
            self.additions += 1;
            if self.additions > ADDITIONS_LIMIT {
                return None;
            }
        }
        match (self.at, byte) {
            (At::Start, _) => {
                self.digits = 1;
                Some(At::Size(digit(byte)?))
            }
            (At::Size(size) | At::Extension(size), b'\r') => Some(At::SizeLineFeed(size)),
            (At::Size(size), b';' | b' ' | b'\t') => Some(At::Extension(size)),
            (At::Size(size), _) => {
                self.digits += 1;
                if self.digits > SIZE_DIGITS {
                    return None;
                }
                let size = size.checked_mul(16)?;
                Some(At::Size(size.checked_add(digit(byte)?)?))
            }
            (At::Extension(_) | At::TrailerStart | At::Trailer, b'\n') => None,
            (At::Extension(size), _) => Some(At::Extension(size)),
            (At::SizeLineFeed(0) | At::TrailerLineFeed, b'\n') => Some(At::TrailerStart),
            (At::SizeLineFeed(size), b'\n') => Some(At::Data(size)),
            (At::DataReturn, b'\r') => Some(At::DataLineFeed),
            (At::DataLineFeed, b'\n') => Some(At::Start),
            (At::TrailerStart, b'\r') => Some(At::LastLineFeed),
            (At::Trailer, b'\r') => Some(At::TrailerLineFeed),
            (At::TrailerStart | At::Trailer, _) => Some(At::Trailer),
            (At::LastLineFeed, b'\n') => Some(At::End),
            _ => None,
        }
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is left after the end, if there is one, with the bytes in pieces of this length.
    fn rest(bytes: &[u8], piece: usize) -> io::Result<Option<Vec<u8>>> {
        let mut end = ChunkedEnd::default();
        let mut length = 0;
        for piece in bytes.chunks(piece) {
            length += end.find(piece)?;
            if end.is_reached() {
                return Ok(Some(bytes[length..].to_vec()));
            }
        }
        Ok(None)
    }

    #[test]
    fn the_end_is_found_however_the_bytes_come() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A;name=value\r\n0123456789\r\n00\r\nx-a: 1\r\nx-b: 2\r\n\r\n",
            "3 \r\n\r\n\r\r\n0\r\n\r\n",
            "0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n",
        ] {
            for piece in 1..8 {
                let bytes = format!("{body}GET /");
                let found = rest(bytes.as_bytes(), piece).unwrap();
                assert_eq!(
                    found.as_deref(),
                    Some(b"GET /".as_slice()),
                    "{body:?} {piece}"
                );
            }
        }
    }

    #[test]
    fn broken_framing_has_no_end() {
        for body in [
            "\r\n",
            "x\r\n",
            "3\nabc\n0\n\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            "10000000000000000\r\n",
            "00000000000000001\r\n",
            "3;a\nb\r\nabc\r\n",
            "0\r\nx\n\r\n",
            "0\r\n\rx",
        ] {
            assert!(rest(body.as_bytes(), 64).is_err(), "{body:?}");
        }
        let long = format!("1;{}\r\n", "a".repeat(ADDITIONS_LIMIT + 1));
        assert!(rest(long.as_bytes(), 64).is_err());
        assert_eq!(rest(b"3\r\nab", 64).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
            let _ = rest(&bytes, piece);
        }
    }
}
