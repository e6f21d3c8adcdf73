//! What a log sends to its receiver: the text of its files from a size on, up to some checkpoint.

use std::{
    fs::File,
    io::{self, BufReader},
};

use crate::{
    checkpoint::Checkpoint,
    directory::{Directory, Segment},
    history,
    key::VerifyingKey,
    lines::Lines,
};

/// Bytes of one push, unless the lines of one checkpoint take more.
pub const PUSH_SIZE: usize = 4 << 20;

/// The most bytes of one push: a checkpoint is signed after each MiB, and a batch may add four.
pub const MAX_PUSH: usize = 16 << 20;

/// Reads a log from some line on, in the order in which a receiver takes it. It keeps its place in the files between pushes.
#[derive(Debug)]
pub struct Reader {
    directory: Directory,
    key: VerifyingKey,
    /// The sequence of the next line.
    next: u64,
    segment: Option<(Segment, Lines<BufReader<File>>)>,
    /// Where the history goes on, in bytes.
    history_offset: u64,
}

/// One push.
#[derive(Debug, PartialEq, Eq)]
pub struct Push {
    /// Its text.
    pub text: Vec<u8>,
    /// The size of the log up to its end.
    pub size: u64,
    /// Bytes of it that are lines, and no checkpoints.
    pub records_length: u64,
}

impl Reader {
    /// From line `start` on, of which a checkpoint of that size was signed.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn new(directory: Directory, key: VerifyingKey, start: u64) -> io::Result<Self> {
        let mut reader = Self {
            directory,
            key,
            next: start,
            segment: None,
            history_offset: 0,
        };
        if let Some(mut history) = reader.open_history()? {
            while let Some((checkpoint, _, after)) = next_checkpoint(&mut history, &reader.key)? {
                if checkpoint.size > start {
                    break;
                }
                reader.history_offset = after;
            }
        }
        Ok(reader)
    }

    /// The next push, up to a checkpoint of `signed` lines; `None` where everything has been read.
    ///
    /// `signed` is what is known to be durable ([`Position::signed`](crate::Position::signed)): a checkpoint that is being written may be lost with
    /// the power, and a receiver that had it would take its log for one that was rolled back.
    ///
    /// # Errors
    /// Where a file can't be read, or lines that were signed are not there.
    pub fn next_push(&mut self, signed: u64) -> io::Result<Option<Push>> {
        let mut text = Vec::new();
        let mut records_length = 0;
        let mut history = self.open_history()?;
        let Some(history) = &mut history else {
            return Ok(None);
        };
        while text.len() < PUSH_SIZE {
            let Some((checkpoint, line, after)) = next_checkpoint(history, &self.key)? else {
                break;
            };
            if checkpoint.size > signed {
                break;
            }
            while self.next < checkpoint.size {
                let line = self.line()?;
                records_length += line.len() as u64;
                text.extend(line);
                if text.len() > MAX_PUSH {
                    return Err(io::Error::other("the lines of one checkpoint are too long"));
                }
            }
            text.extend(line);
            self.history_offset = after;
        }
        Ok((!text.is_empty()).then_some(Push {
            text,
            size: self.next,
            records_length,
        }))
    }

    fn open_history(&self) -> io::Result<Option<Lines<BufReader<File>>>> {
        match Lines::open(&self.directory.checkpoints()) {
            Ok(mut lines) => {
                lines.seek(self.history_offset)?;
                Ok(Some(lines))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The line of the next sequence.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut found = match &mut self.segment {
            Some((_, lines)) => lines.next_line()?,
            None => None,
        };
        if found.is_none() {
            // The beginning, or the next segment begins with the next line.
            let (segment, mut lines) = self.find()?;
            found = lines.next_line()?;
            self.segment = Some((segment, lines));
        }
        let raw = found.filter(|raw| raw.is_whole).ok_or_else(|| {
            io::Error::other(format!("record {} was signed and is not there", self.next))
        })?;
        self.next += 1;
        Ok(raw.bytes)
    }

    fn find(&self) -> io::Result<(Segment, Lines<BufReader<File>>)> {
        let segments = self.directory.segments()?;
        let found = segments
            .into_iter()
            .rfind(|segment| segment.first <= self.next);
        let missing = || io::Error::other(format!("record {} is not there any more", self.next));
        let segment = found.ok_or_else(missing)?;
        let mut lines = Lines::open(&segment.path)?;
        for _ in segment.first..self.next {
            lines.next_line()?.ok_or_else(missing)?;
        }
        Ok((segment, lines))
    }
}

fn next_checkpoint(
    lines: &mut Lines<BufReader<File>>,
    key: &VerifyingKey,
) -> io::Result<Option<(Checkpoint, Vec<u8>, u64)>> {
    let Some(raw) = lines.next_line()?.filter(|raw| raw.is_whole) else {
        return Ok(None);
    };
    let (checkpoint, _) = history::read(&raw.bytes, key).map_err(io::Error::other)?;
    let after = raw.offset + raw.bytes.len() as u64;
    Ok(Some((checkpoint, raw.bytes, after)))
}
