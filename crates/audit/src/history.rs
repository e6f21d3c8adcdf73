//! The history of checkpoints: one line each, `{"checkpoint":"<signed note>"}`, append-only.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::Checkpoint,
    key::VerifyingKey,
    limits::MAX_NOTE,
    line::{self, LineError},
    note::{Note, NoteError},
};

/// How much of the end of a history is read: at least its last line.
const TAIL: u64 = 4 * MAX_NOTE as u64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryLine {
    checkpoint: String,
}

/// Why a line of the history does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It is no such line.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Its note does not count.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Somebody else signed as well.
    #[error("signed by {0} too, which no history of a log is")]
    Foreign(String),
}

/// The line of a checkpoint, with its line feed.
///
/// # Errors
/// [`LineError`], which no note causes.
pub fn write(note: &Note) -> Result<Vec<u8>, LineError> {
    let mut line = line::canonical(&HistoryLine {
        checkpoint: note.to_string(),
    })?;
    line.push(b'\n');
    Ok(line)
}

/// Whether a line that comes over the network is one of these and no record.
pub fn is_checkpoint(line: &[u8]) -> bool {
    line.starts_with(b"{\"checkpoint\":")
}

/// Reads and verifies a line; exactly one signature, that of the log, is allowed.
///
/// # Errors
/// [`HistoryError`].
pub fn read(line: &[u8], key: &VerifyingKey) -> Result<(Checkpoint, Note), HistoryError> {
    let parsed: HistoryLine = serde_json::from_slice(line).map_err(|_| LineError::Form)?;
    let note = Note::parse(&parsed.checkpoint)?;
    let checkpoint = Checkpoint::verify(&note, key)?;
    if let Some(foreign) = note.signatures().get(1) {
        return Err(HistoryError::Foreign(foreign.name.clone()));
    }
    if write(&note)? != line {
        return Err(LineError::NotCanonical.into());
    }
    Ok((checkpoint, note))
}

/// The end of a history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last whole line; empty where there is none.
    pub(crate) line: Vec<u8>,
    /// The length of the file.
    pub(crate) length: u64,
    /// Bytes behind the last whole line.
    pub(crate) cut: u64,
}

/// Reads the end of a history; `None` where there is no file.
pub(crate) fn tail(path: &Path) -> io::Result<Option<Tail>> {
    let Some((mut bytes, length)) = end(path)? else {
        return Ok(None);
    };
    let whole = bytes.iter().rposition(is_end).map_or(0, |end| end + 1);
    let cut = (bytes.len() - whole) as u64;
    bytes.truncate(whole);
    let before = bytes.get(..whole.saturating_sub(1)).unwrap_or_default();
    let start = before.iter().rposition(is_end).map_or(0, |end| end + 1);
    Ok(Some(Tail {
        line: bytes.split_off(start.min(bytes.len())),
        length,
        cut,
    }))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what goes through slices hands over references"
)]
fn is_end(byte: &u8) -> bool {
    *byte == b'\n'
}

/// The last bytes of a history, and the length of all; `None` where there is no file.
fn end(path: &Path) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(Some((bytes, length)))
}

/// The last checkpoint of a history over no more than `signed` lines, unverified; `None` where there is none yet.
///
/// `signed` is what is known to be durable ([`Position::signed`](crate::Position::signed)): a later one is just being written.
///
/// # Errors
/// What the file system says, or where a line is none.
pub fn newest(path: &Path, signed: u64) -> io::Result<Option<Note>> {
    let Some((bytes, length)) = end(path)? else {
        return Ok(None);
    };
    let mut lines: Vec<_> = bytes.split_inclusive(is_end).collect();
    if length > TAIL {
        // Of the first one, the beginning is missing.
        lines.drain(..1);
    }
    for line in lines.into_iter().rev().filter(|line| line.ends_with(b"\n")) {
        let line: HistoryLine = serde_json::from_slice(line)?;
        let note = Note::parse(&line.checkpoint).map_err(io::Error::other)?;
        let checkpoint = Checkpoint::parse(note.text());
        if checkpoint.is_none_or(|checkpoint| checkpoint.size <= signed) {
            return Ok(Some(note));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::{Purpose, SigningKey},
        merkle::Frontier,
    };

    #[test]
    fn no_byte_of_a_line_can_be_changed_and_nobody_else_signs() {
        let key = SigningKey::generate("example.com/a", Purpose::Log).unwrap();
        let mut note = Checkpoint::of("example.com/a", &Frontier::new()).sign(&key);
        let line = write(&note).unwrap();
        assert!(is_checkpoint(&line));
        assert!(read(&line, key.public()).is_ok());
        for position in 0..line.len() {
            for flip in [1_u8, 0x20] {
                let mut altered = line.clone();
                altered[position] ^= flip;
                assert!(read(&altered, key.public()).is_err());
            }
        }
        let receiver = SigningKey::generate("example.com/r", Purpose::Cosigner).unwrap();
        note.cosign(&receiver, 1);
        let error = read(&write(&note).unwrap(), key.public()).unwrap_err();
        assert_eq!(error, HistoryError::Foreign("example.com/r".to_owned()));
    }

    #[test]
    fn a_checkpoint_that_is_being_written_is_not_the_newest() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("checkpoints.jsonl");
        let sizes = |signed| {
            let note = newest(&path, signed).unwrap()?;
            Some(Checkpoint::parse(note.text()).unwrap().size)
        };
        assert_eq!(sizes(9), None);
        let key = SigningKey::generate("example.com/a", Purpose::Log).unwrap();
        let mut frontier = Frontier::new();
        let mut text = Vec::new();
        // More than is read of the end.
        while text.len() < 2 * usize::try_from(TAIL).unwrap() {
            frontier.append(crate::merkle::Hash::leaf(b"line"));
            text.extend(write(&Checkpoint::of("example.com/a", &frontier).sign(&key)).unwrap());
        }
        std::fs::write(&path, &text).unwrap();
        let size = frontier.size();
        assert_eq!(sizes(size), Some(size));
        assert_eq!(sizes(size - 1), Some(size - 1));
        assert_eq!(sizes(0), None);
        // A line that is not whole is none.
        std::fs::write(&path, &text[..text.len() - 1]).unwrap();
        assert_eq!(sizes(size), Some(size - 1));
    }
}
