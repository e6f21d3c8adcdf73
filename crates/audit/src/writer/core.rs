//! The one thread's view of a log: it appends batches, signs checkpoints, and trusts nothing that was not synced.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use time::OffsetDateTime;

use super::{
    Position,
    disk::{Disk, Output},
    journal,
    recovery::{OpenError, Recovered, recover},
};
use crate::{
    checkpoint::Checkpoint,
    directory::{Directory, Segment},
    event::{Event, Kind},
    history,
    key::SigningKey,
    line::{Header, Prepared},
    merkle::{Frontier, Hash},
};

/// Bytes of lines after which a checkpoint is signed, however young the last one is: they travel to the receiver in one piece.
const UNSIGNED_BYTES: u64 = 1 << 20;

/// So much of the end of the history is written again when a log is opened: more than its last line.
const HISTORY_TAIL: u64 = 64 << 10;

/// How a log is kept.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) directory: Directory,
    pub(super) key: SigningKey,
    pub(super) segment_size: u64,
    pub(super) checkpoint_interval: Duration,
    pub(super) software: String,
}

/// A file that is appended to, and how much of it is durable.
struct Appended {
    output: Box<dyn Output>,
    durable: u64,
}

pub(super) struct Core {
    settings: Settings,
    disk: Box<dyn Disk>,
    /// Tree and hash of the last line: of durable lines only.
    frontier: Frontier,
    last: Hash,
    signed: u64,
    signed_at: Instant,
    unsigned_bytes: u64,
    written: u64,
    /// The segment that is appended to; none before the first line.
    segment: Option<(Segment, u64)>,
    day: time::Date,
    segment_file: Option<Box<dyn Output>>,
    history: Appended,
    /// Where the lines of `unsynced` are durable; opened at its beginning when there is one.
    journal: Option<Box<dyn Output>>,
    /// The lines at the end of the segment that are durable in the journal alone.
    unsynced: Vec<u8>,
    buffer: Vec<u8>,
}

impl Core {
    /// Opens the log: cuts off what was being written when an earlier process ended, and records the start.
    pub(super) fn open(settings: Settings, disk: Box<dyn Disk>) -> Result<Self, OpenError> {
        let (recovered, _) = recover(&settings.directory, settings.key.public())?;
        recovered.remove_empty()?;
        let failed = |cause| OpenError::Io {
            path: settings.directory.root().to_owned(),
            cause,
        };
        let Recovered {
            mut frontier,
            mut last,
            signed,
            history_length,
            mut segment,
            signed_length,
            is_closed,
            mut cut_bytes,
            empty: _,
        } = recovered;
        let mut unsynced = Vec::new();
        let history_path = settings.directory.checkpoints();
        if history_length > 0 {
            let from = history_length.saturating_sub(HISTORY_TAIL);
            disk.rewrite(&history_path, from, history_length)
                .map_err(failed)?;
        }
        if let Some((segment, length)) = &mut segment {
            disk.rewrite(&segment.path, signed_length, *length)
                .map_err(failed)?;
            // Nothing follows what was closed in order: the journal holds older lines, or somebody else's.
            if !is_closed {
                let path = settings.directory.journal();
                unsynced = journal::following(&path, &mut frontier, &mut last).map_err(failed)?;
            }
            let found = unsynced.len() as u64;
            *length += found;
            // So much of what is cut of the segment comes back.
            cut_bytes = cut_bytes.saturating_sub(found);
        }
        let history = disk.open(&history_path, history_length).map_err(failed)?;
        let mut core = Self {
            disk,
            frontier,
            last,
            signed,
            signed_at: Instant::now(),
            unsigned_bytes: 0,
            written: 0,
            segment,
            day: OffsetDateTime::now_utc().date(),
            segment_file: None,
            history: Appended {
                output: history,
                durable: history_length,
            },
            journal: None,
            unsynced,
            buffer: Vec::new(),
            settings,
        };
        core.restart(None, cut_bytes)
            .map_err(|cause| OpenError::Io {
                path: core.settings.directory.root().to_owned(),
                cause,
            })?;
        Ok(core)
    }

    /// Opens the files again after a failure, cut to what is known to be durable, and records that.
    pub(super) fn reopen(&mut self, reason: &str) -> io::Result<()> {
        let directory = &self.settings.directory;
        // A segment whose first line is not durable is none.
        let following = directory.segment(self.frontier.size());
        let is_current = self.segment.as_ref().is_some_and(|(s, _)| *s == following);
        if !is_current && following.path.exists() {
            fs::remove_file(&following.path)?;
        }
        self.history.output = self
            .disk
            .open(&directory.checkpoints(), self.history.durable)?;
        self.restart(Some(reason), 0)
    }

    fn restart(&mut self, reason: Option<&str>, cut_bytes: u64) -> io::Result<()> {
        self.open_segment()?;
        let start = Event {
            software: Some(self.settings.software.clone()),
            cut_bytes: (cut_bytes > 0).then_some(cut_bytes),
            reason: reason.map(str::to_owned),
            ..Event::new(Kind::Start)
        };
        self.commit(&[prepared(start)?])?;
        self.sign()
    }

    /// Opens the segment, cut to what was synced of it, and writes the lines again that are durable in the journal alone.
    fn open_segment(&mut self) -> io::Result<()> {
        self.segment_file = None;
        let Some((segment, durable)) = &self.segment else {
            return Ok(());
        };
        let synced = durable.saturating_sub(self.unsynced.len() as u64);
        let mut file = self.disk.open(&segment.path, synced)?;
        file.append(&self.unsynced)?;
        self.segment_file = Some(file);
        self.settle()
    }

    pub(super) fn position(&self) -> Position {
        Position {
            size: self.frontier.size(),
            signed: self.signed,
            written: self.written,
        }
    }

    /// Appends events and returns the sequence of the first one, when all of them are durable.
    ///
    /// After an error nothing of the batch counts, and nothing can be appended before [`Self::reopen`].
    pub(super) fn commit(&mut self, events: &[Prepared]) -> io::Result<u64> {
        let mut frontier = self.frontier.clone();
        let mut last = self.last;
        self.buffer.clear();
        let is_following = self.is_segment_over();
        if is_following {
            self.sign()?;
            let segment = self.settings.directory.segment(self.frontier.size());
            self.segment_file = Some(self.disk.open(&segment.path, 0)?);
            let tree = frontier.nodes().iter().map(|node| node.to_base64());
            let event = Event {
                tree: Some(tree.collect()),
                ..Event::new(Kind::Segment)
            };
            let event = prepared(event)?;
            append(
                &event,
                self.signed,
                &mut frontier,
                &mut last,
                &mut self.buffer,
            )?;
        }
        let first = frontier.size();
        for event in events {
            append(
                event,
                self.signed,
                &mut frontier,
                &mut last,
                &mut self.buffer,
            )?;
        }
        let file = self.segment_file.as_mut().ok_or_else(closed)?;
        file.append(&self.buffer)?;
        let is_long = self.unsynced.len() + self.buffer.len() > journal::LENGTH;
        if is_following || is_long {
            self.settle()?;
        } else {
            let journal = match self.journal.take() {
                Some(journal) => journal,
                None => self.disk.open_journal(&self.settings.directory.journal())?,
            };
            let journal = self.journal.insert(journal);
            journal.append(&self.buffer)?;
            journal.sync()?;
            self.unsynced.extend_from_slice(&self.buffer);
        }
        if is_following {
            // Not before: until its first line is durable there is no such segment.
            self.segment = Some((self.settings.directory.segment(self.frontier.size()), 0));
            self.day = OffsetDateTime::now_utc().date();
        }
        let length = self.buffer.len() as u64;
        if let Some((_, durable)) = &mut self.segment {
            *durable += length;
        }
        self.unsigned_bytes += length;
        self.written += length;
        self.frontier = frontier;
        self.last = last;
        Ok(first)
    }

    /// When a checkpoint is due; `None` while there is nothing to sign.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.frontier.size() == self.signed {
            return None;
        }
        if self.unsigned_bytes >= UNSIGNED_BYTES {
            return Some(self.signed_at);
        }
        Some(self.signed_at + self.settings.checkpoint_interval)
    }

    /// Signs what is durable, if it is not signed yet.
    pub(super) fn sign(&mut self) -> io::Result<()> {
        self.signed_at = Instant::now();
        if self.frontier.size() == self.signed {
            return Ok(());
        }
        if !self.unsynced.is_empty() {
            self.settle()?;
        }
        let key = &self.settings.key;
        let checkpoint = Checkpoint::of(key.public().name(), &self.frontier);
        let line = history::write(&checkpoint.sign(key)).map_err(io::Error::other)?;
        self.history.output.append(&line)?;
        self.history.output.sync()?;
        self.history.durable += line.len() as u64;
        self.signed = self.frontier.size();
        self.unsigned_bytes = 0;
        Ok(())
    }

    /// Ends the log in order.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.commit(&[prepared(Event::new(Kind::Stop))?])?;
        self.sign()
    }

    /// Makes the segment durable by itself. The journal begins anew.
    fn settle(&mut self) -> io::Result<()> {
        self.segment_file.as_mut().ok_or_else(closed)?.sync()?;
        self.unsynced.clear();
        self.journal = None;
        Ok(())
    }

    fn is_segment_over(&self) -> bool {
        self.segment.as_ref().is_none_or(|(_, length)| {
            *length >= self.settings.segment_size || OffsetDateTime::now_utc().date() != self.day
        })
    }
}

fn closed() -> io::Error {
    io::Error::other("there is no segment to append to")
}

fn prepared(event: Event) -> io::Result<Prepared> {
    Prepared::new(event).map_err(io::Error::other)
}

fn append(
    event: &Prepared,
    signed: u64,
    frontier: &mut Frontier,
    last: &mut Hash,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    let header = Header {
        seq: frontier.size(),
        prev: last.to_base64(),
        signed,
    };
    *last = event.write(&header, buffer).map_err(io::Error::other)?;
    frontier.append(*last);
    Ok(())
}
