//! Reads files line by line, in bounded memory, whatever is in them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek as _, SeekFrom},
    path::Path,
};

use crate::limits::MAX_LINE;

/// One line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLine {
    /// Its bytes, with the line feed where there is one. Of a line that is too long, only the beginning.
    pub bytes: Vec<u8>,
    /// Which line of the file it is, from 1.
    pub number: u64,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Whether it ends with a line feed.
    pub is_whole: bool,
    /// Whether it is longer than a line may be.
    pub is_long: bool,
}

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    offset: u64,
    number: u64,
}

impl Lines<BufReader<File>> {
    /// The lines of a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufReader::with_capacity(
            256 << 10,
            File::open(path)?,
        )))
    }

    /// Goes on from this byte of the file, which must begin a line. Numbers of lines count from there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.source.seek(SeekFrom::Start(offset))?;
        self.offset = offset;
        Ok(())
    }

    /// Goes back before a line: what was read of it is read again, and what was written to it since.
    ///
    /// # Errors
    /// What the file system says.
    pub fn unread(&mut self, line: &RawLine) -> io::Result<()> {
        self.seek(line.offset)?;
        self.number = line.number - 1;
        Ok(())
    }
}

impl<R: BufRead> Lines<R> {
    /// The lines of anything.
    pub fn new(source: R) -> Self {
        Self {
            source,
            offset: 0,
            number: 0,
        }
    }

    /// The next line, if there is one.
    ///
    /// # Errors
    /// What the source says.
    pub fn next_line(&mut self) -> io::Result<Option<RawLine>> {
        let mut line = RawLine {
            bytes: Vec::with_capacity(512),
            number: self.number + 1,
            offset: self.offset,
            is_whole: false,
            is_long: false,
        };
        loop {
            let available = self.source.fill_buf()?;
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            let room = MAX_LINE.saturating_sub(line.bytes.len());
            let kept = available.get(..taken.min(room)).unwrap_or_default();
            line.bytes.extend_from_slice(kept);
            line.is_long |= taken > room;
            self.source.consume(taken);
            self.offset += taken as u64;
            if end.is_some() {
                line.is_whole = true;
                break;
            }
        }
        if self.offset == line.offset {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_numbers_and_places_and_are_never_longer_than_the_limit() {
        let long = vec![b'a'; MAX_LINE + 10];
        let text = [b"one\n".as_slice(), &long, b"\n\nlast"].concat();
        let mut lines = Lines::new(BufReader::with_capacity(7, text.as_slice()));
        let one = lines.next_line().unwrap().unwrap();
        assert_eq!(
            (one.bytes.as_slice(), one.number, one.offset),
            (b"one\n".as_slice(), 1, 0)
        );
        let long = lines.next_line().unwrap().unwrap();
        assert!(long.is_long && long.is_whole);
        assert_eq!((long.bytes.len(), long.offset), (MAX_LINE, 4));
        let empty = lines.next_line().unwrap().unwrap();
        assert_eq!(
            (empty.bytes.as_slice(), empty.number),
            (b"\n".as_slice(), 3)
        );
        let last = lines.next_line().unwrap().unwrap();
        assert!(!last.is_whole);
        assert_eq!(lines.next_line().unwrap(), None);
    }
}
