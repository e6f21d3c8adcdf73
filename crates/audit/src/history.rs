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
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let is_end = |byte: &u8| *byte == b'\n';
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

/// The last checkpoint of a history, unverified; `None` where there is none yet.
///
/// # Errors
/// What the file system says, or where the line is none.
pub fn newest(path: &Path) -> io::Result<Option<Note>> {
    let Some(tail) = tail(path)?.filter(|tail| !tail.line.is_empty()) else {
        return Ok(None);
    };
    let line: HistoryLine = serde_json::from_slice(&tail.line)?;
    let note = Note::parse(&line.checkpoint).map_err(io::Error::other)?;
    Ok(Some(note))
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
}
