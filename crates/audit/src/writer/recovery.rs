//! What a log is when it is opened: whole, or with a line that was being written when a process ended.

use std::{fs, io, path::PathBuf};

use crate::{
    checkpoint::Checkpoint,
    directory::{Directory, Segment},
    event::Kind,
    history,
    key::VerifyingKey,
    line,
    lines::Lines,
    merkle::{Frontier, Hash},
    note::Note,
};

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refuses.
    #[error("{path} can't be used: {cause}", path = .path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Another process writes the log.
    #[error("another process writes the log in {directory}; two writers would fork it: give each gateway its own directory and key", directory = .0.display())]
    Locked(PathBuf),
    /// What is there is not what was signed.
    #[error(
        "the audit log in {directory} is not what it signed: {what}. Nothing is appended to it. `sealgate audit verify {directory} --key PUBLIC_KEY` names every file and record that is wrong, and the receiver has a copy. To go on: move {directory} away and keep it, make a key of another name with `sealgate audit keygen`, name it and a new directory in the configuration, and give its public key to the receiver",
        directory = .directory.display()
    )]
    Damaged {
        /// The log.
        directory: PathBuf,
        /// What was found, and in which file.
        what: String,
    },
}

/// What a log is.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) frontier: Frontier,
    /// The hash of the last line.
    pub(crate) last: Hash,
    /// The size of the last checkpoint.
    pub(crate) signed: u64,
    /// The length of the history that counts, in bytes.
    pub(crate) history_length: u64,
    /// The segment to append to, and the length of it that counts.
    pub(crate) segment: Option<(Segment, u64)>,
    /// The length of that segment up to the end of what is signed.
    pub(crate) signed_length: u64,
    /// Whether the log was closed in order: its last record is a signed `stop`.
    pub(crate) is_closed: bool,
    /// Bytes of lines that were being written.
    pub(crate) cut_bytes: u64,
    /// Segments without one whole line: whoever goes on with the log removes them.
    pub(crate) empty: Vec<PathBuf>,
}

impl Recovered {
    /// Removes what was begun and holds nothing, before anything is appended.
    pub(crate) fn remove_empty(&self) -> Result<(), OpenError> {
        for path in &self.empty {
            fs::remove_file(path).map_err(failed(path.clone()))?;
        }
        Ok(())
    }
}

/// How many records a log has, and whether they are what its checkpoints sign. Reads the end of it, changes nothing, and may be asked while
/// somebody writes.
///
/// # Errors
/// [`OpenError`], as opening it for writing would say.
pub fn inspect(directory: &Directory, key: &VerifyingKey) -> Result<u64, OpenError> {
    let is_begun = directory.segments_directory().exists() || directory.checkpoints().exists();
    if !is_begun {
        return Ok(0);
    }
    let (recovered, _) = recover(directory, key)?;
    Ok(recovered.frontier.size())
}

/// Reads the end of a log and decides what counts. Changes nothing.
pub(crate) fn recover(
    directory: &Directory,
    key: &VerifyingKey,
) -> Result<(Recovered, Option<Note>), OpenError> {
    let damaged = |what: String| OpenError::Damaged {
        directory: directory.root().to_owned(),
        what,
    };
    let (checkpoint, history_length, cut_history) = last_checkpoint(directory, key)?;
    let (checkpoint, note) = checkpoint.unzip();
    let (signed, root) = checkpoint.map_or((0, Hash::empty()), |last| (last.size, last.root));
    let mut segments = directory
        .segments()
        .map_err(failed(directory.segments_directory()))?;
    let mut cut_bytes = cut_history;
    let mut empty = Vec::new();
    let history = directory.checkpoints();
    loop {
        let Some(segment) = segments.pop() else {
            if signed > 0 {
                return Err(damaged(format!(
                    "{} has a signed checkpoint of {signed} records, and {} has no file with one",
                    history.display(),
                    directory.segments_directory().display()
                )));
            }
            let recovered = Recovered {
                frontier: Frontier::new(),
                last: Hash::empty(),
                signed,
                history_length,
                segment: None,
                signed_length: 0,
                is_closed: false,
                cut_bytes,
                empty,
            };
            return Ok((recovered, note));
        };
        let read = read_segment(&segment, signed, root).map_err(failed(segment.path.clone()))?;
        let read = read.map_err(damaged)?;
        cut_bytes += read.cut_bytes;
        let Some((frontier, last)) = read.end else {
            if segment.first < signed {
                return Err(damaged(format!(
                    "{} {}, and {} has a signed checkpoint of {signed} records",
                    segment.path.display(),
                    read.stopped.as_deref().unwrap_or("is empty"),
                    history.display()
                )));
            }
            empty.push(segment.path);
            continue;
        };
        if frontier.size() < signed {
            let (missing, path) = (signed - frontier.size(), segment.path.display());
            let what = read.stopped.unwrap_or_else(|| {
                format!("ends with record {}", frontier.size().saturating_sub(1))
            });
            return Err(damaged(format!(
                "{path} {what}, and {} has a signed checkpoint of {signed} records: the last {missing} are missing or altered",
                history.display()
            )));
        }
        let recovered = Recovered {
            is_closed: read.last_kind == Some(Kind::Stop) && frontier.size() == signed,
            frontier,
            last,
            signed,
            history_length,
            segment: Some((segment, read.length)),
            signed_length: read.signed_length,
            cut_bytes,
            empty,
        };
        return Ok((recovered, note));
    }
}

fn failed(path: PathBuf) -> impl FnOnce(io::Error) -> OpenError {
    |cause| OpenError::Io { path, cause }
}

type LastCheckpoint = (Option<(Checkpoint, Note)>, u64, u64);

/// The last checkpoint, the length of the history up to its end, and how many bytes are behind.
fn last_checkpoint(directory: &Directory, key: &VerifyingKey) -> Result<LastCheckpoint, OpenError> {
    let path = directory.checkpoints();
    let tail = history::tail(&path).map_err(failed(path.clone()))?;
    let Some(tail) = tail else {
        return Ok((None, 0, 0));
    };
    let (line, length, cut) = (&tail.line, tail.length, tail.cut);
    if line.is_empty() {
        return Ok((None, length - cut, cut));
    }
    let last = history::read(line, key).map_err(|cause| OpenError::Damaged {
        directory: directory.root().to_owned(),
        what: format!("the last line of {} is {cause}", path.display()),
    })?;
    Ok((Some(last), length - cut, cut))
}

struct ReadSegment {
    /// The tree and the hash of the last line; `None` where there is not one whole line.
    end: Option<(Frontier, Hash)>,
    /// Bytes of lines that count.
    length: u64,
    /// Bytes of lines that are signed.
    signed_length: u64,
    last_kind: Option<Kind>,
    cut_bytes: u64,
    /// What is wrong with the first line that does not count, if there is one: the end of a sentence that begins with the file.
    stopped: Option<String>,
}

/// Reads a segment up to the first line that does not count. `Err` inside: what is wrong with lines that a checkpoint covers.
fn read_segment(
    segment: &Segment,
    signed: u64,
    root: Hash,
) -> io::Result<Result<ReadSegment, String>> {
    let total = fs::metadata(&segment.path)?.len();
    let mut lines = Lines::open(&segment.path)?;
    let mut end: Option<(Frontier, Hash)> = None;
    let (mut length, mut signed_length) = (0, 0);
    let mut last_kind = None;
    let mut stopped = None;
    let path = segment.path.display();
    while let Some(raw) = lines.next_line()? {
        if !raw.is_whole || raw.is_long {
            stopped = Some(format!("has no whole record in line {}", raw.number));
            break;
        }
        let (header, event) = match line::read(&raw.bytes) {
            Ok(read) => read,
            Err(error) => {
                stopped = Some(format!("has no record in line {}: {error}", raw.number));
                break;
            }
        };
        let next = match &end {
            None => first_line(segment, header.seq, event.kind, event.tree.as_deref()),
            Some((frontier, last)) => (header.seq == frontier.size()
                && header.prev == last.to_base64())
            .then(|| frontier.clone()),
        };
        let Some(mut frontier) = next else {
            stopped = Some(format!(
                "has in line {} a record that does not follow the one before",
                raw.number
            ));
            break;
        };
        if end.is_none() && frontier.size() == signed && frontier.root() != root {
            return Ok(Err(format!(
                "{path} begins with another tree than the checkpoint of {signed} lines signs"
            )));
        }
        let leaf = Hash::leaf(&raw.bytes);
        frontier.append(leaf);
        if frontier.size() == signed && frontier.root() != root {
            return Ok(Err(format!(
                "the lines up to line {} of {path} are not those that the checkpoint of {signed} lines signs",
                raw.number
            )));
        }
        length = raw.offset + raw.bytes.len() as u64;
        if frontier.size() <= signed {
            signed_length = length;
        }
        last_kind = Some(event.kind);
        end = Some((frontier, leaf));
    }
    Ok(Ok(ReadSegment {
        end,
        length,
        signed_length,
        last_kind,
        // While somebody writes, more may have come since.
        cut_bytes: total.saturating_sub(length),
        stopped,
    }))
}

/// The tree before the first line of a segment, if it is one.
pub(crate) fn first_line(
    segment: &Segment,
    seq: u64,
    kind: Kind,
    tree: Option<&[String]>,
) -> Option<Frontier> {
    if seq != segment.first || kind != Kind::Segment {
        return None;
    }
    let nodes = tree.unwrap_or_default();
    let nodes: Option<Vec<_>> = nodes.iter().map(|node| Hash::from_base64(node)).collect();
    Frontier::of_nodes(segment.first, nodes?)
}
