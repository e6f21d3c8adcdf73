//! The receiver's copy of a log: the same files, byte for byte, extended only by lines that a checkpoint signs.
//!
//! What is pushed is the text of the files themselves: lines, each checkpoint of the history behind the lines that it covers, and a checkpoint
//! at the end. The copy has all lines before, so it needs no proof of consistency: it computes every root itself. Nothing of a push is kept
//! unless all of it is right.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use crate::{
    checkpoint::Checkpoint,
    directory::{Directory, Segment, open_appending, replace_file, sync_directory},
    history::{self, HistoryError},
    key::{SigningKey, VerifyingKey},
    limits::MAX_LINE,
    line::{self, LineError},
    merkle::{Frontier, Hash},
    note::Note,
    writer::{OpenError, first_line, lock, recover},
};

/// Why a push is refused.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It does not begin where the copy ends, which happens when an answer was lost: the sender goes on from there.
    #[error("the copy has {size} lines, and the push begins with line {found}")]
    Elsewhere {
        /// What the copy has.
        size: u64,
        /// Where the push begins.
        found: u64,
    },
    /// The log's key signed something that excludes what it signed before. `evidence` is the note that proves it.
    #[error("FORK: {what}")]
    Fork {
        /// What.
        what: String,
        /// The signed checkpoint that does not fit.
        evidence: String,
    },
    /// It is no push.
    #[error("line {number} of the push is wrong: {what}")]
    Malformed {
        /// Which line of the push, from 1.
        number: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The disk refuses.
    #[error("the copy can't be written: {0}")]
    Io(#[from] io::Error),
}

/// The copy of one log. One process holds it at a time.
#[derive(Debug)]
pub struct Mirror {
    directory: Directory,
    key: VerifyingKey,
    frontier: Frontier,
    last: Hash,
    segment: Option<(Segment, u64)>,
    history_length: u64,
    checkpoint: Option<Note>,
    /// After a failed write: what is on the disk is not known, and nothing more is taken before it is opened again.
    is_broken: bool,
    _lock: File,
}

/// What a push adds, while it is checked.
struct Addition {
    frontier: Frontier,
    last: Hash,
    signed: u64,
    /// For each segment, what is appended.
    segments: Vec<(Segment, Vec<u8>)>,
    history: Vec<u8>,
    checkpoint: Option<Note>,
}

impl Mirror {
    /// Opens the copy of a log, or begins it. Lines after the last checkpoint, of a push that a crash interrupted, are cut off.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(directory: Directory, key: VerifyingKey) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Io {
            path: directory.root().to_owned(),
            cause,
        };
        directory.create().map_err(failed)?;
        let lock = lock(&directory)?;
        let (mut recovered, checkpoint) = recover(&directory, &key)?;
        recovered.remove_empty()?;
        if recovered.frontier.size() > recovered.signed {
            cut(&directory, recovered.signed).map_err(failed)?;
            recovered = recover(&directory, &key)?.0;
            recovered.remove_empty()?;
        }
        Ok(Self {
            frontier: recovered.frontier,
            last: recovered.last,
            segment: recovered.segment,
            history_length: recovered.history_length,
            checkpoint,
            directory,
            key,
            is_broken: false,
            _lock: lock,
        })
    }

    /// How many lines the copy has, all of them signed.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The last checkpoint, as the log signed it.
    pub fn checkpoint(&self) -> Option<&Note> {
        self.checkpoint.as_ref()
    }

    /// The files of the copy.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Compares the copy with the newest checkpoint of the log itself, which is never behind it: a log that is was rolled back.
    ///
    /// # Errors
    /// [`PushError::Fork`], and [`PushError::Malformed`] where the log did not sign it.
    pub fn compare(&self, note: &Note) -> Result<(), PushError> {
        let claimed =
            Checkpoint::verify(note, &self.key).map_err(|error| PushError::Malformed {
                number: 0,
                what: error.to_string(),
            })?;
        if claimed.size < self.size() {
            return Err(PushError::Fork {
                what: format!(
                    "{} ends after {} lines, and {} were taken from it before: it was rolled back",
                    claimed.origin,
                    claimed.size,
                    self.size()
                ),
                evidence: note.to_string(),
            });
        }
        if claimed.size == self.size() && claimed.root != self.frontier.root() {
            return Err(fork(&claimed, note));
        }
        Ok(())
    }

    /// Takes a push. When it returns without an error, all of it is durable.
    ///
    /// # Errors
    /// [`PushError`]; nothing was taken.
    pub fn push(&mut self, pushed: &[u8]) -> Result<(), PushError> {
        if self.is_broken {
            let what = "an earlier write failed; start the receiver again";
            return Err(io::Error::other(what).into());
        }
        let addition = self.check(pushed)?;
        if let Err(error) = self.write(&addition) {
            self.is_broken = true;
            return Err(error.into());
        }
        self.frontier = addition.frontier;
        self.last = addition.last;
        if let Some((segment, bytes)) = addition.segments.last() {
            let before = match &self.segment {
                Some((current, length)) if current == segment => *length,
                _ => 0,
            };
            self.segment = Some((segment.clone(), before + bytes.len() as u64));
        }
        self.history_length += addition.history.len() as u64;
        self.checkpoint = addition.checkpoint;
        Ok(())
    }

    fn check(&self, pushed: &[u8]) -> Result<Addition, PushError> {
        let mut addition = Addition {
            frontier: self.frontier.clone(),
            last: self.last,
            signed: self.frontier.size(),
            segments: Vec::new(),
            history: Vec::new(),
            checkpoint: None,
        };
        for (number, line) in (1..).zip(pushed.split_inclusive(|byte| *byte == b'\n')) {
            let malformed = |what: String| PushError::Malformed { number, what };
            if line.last() != Some(&b'\n') || line.len() > MAX_LINE {
                return Err(malformed("incomplete, or too long".to_owned()));
            }
            if history::is_checkpoint(line) {
                self.check_checkpoint(line, &mut addition)
                    .map_err(|error| match error {
                        CheckpointError::Fork(fork) => fork,
                        CheckpointError::Other(what) => malformed(what),
                    })?;
            } else {
                let checked = self.check_line(line, number, &mut addition);
                if let (Err(PushError::Malformed { .. }), 1) = (&checked, number)
                    && let Some((claimed, note)) = signed_claim(pushed, &self.key)
                {
                    // Right at the seam, and the log stands by it.
                    return Err(fork(&claimed, &note));
                }
                checked?;
            }
        }
        if addition.signed != addition.frontier.size() {
            return Err(PushError::Malformed {
                number: 0,
                what: "its last lines have no checkpoint".to_owned(),
            });
        }
        Ok(addition)
    }

    fn check_line(
        &self,
        bytes: &[u8],
        number: u64,
        addition: &mut Addition,
    ) -> Result<(), PushError> {
        let malformed = |what: String| PushError::Malformed { number, what };
        let (header, event) = line::read(bytes).map_err(|error| malformed(error.to_string()))?;
        let size = addition.frontier.size();
        if header.seq != size {
            if number == 1 {
                return Err(PushError::Elsewhere {
                    size,
                    found: header.seq,
                });
            }
            let what = format!(
                "it is record {}, and record {size} belongs there",
                header.seq
            );
            return Err(malformed(what));
        }
        if header.prev != addition.last.to_base64() {
            return Err(malformed(
                "it does not have the hash of the line before".to_owned(),
            ));
        }
        if header.signed != addition.signed {
            let what = format!(
                "it was written after a checkpoint of {} lines, and the last one is of {}",
                header.signed, addition.signed
            );
            return Err(malformed(what));
        }
        let segment = self.directory.segment(size);
        if event.kind == crate::event::Kind::Segment {
            let tree = first_line(&segment, header.seq, event.kind, event.tree.as_deref());
            if tree.as_ref() != Some(&addition.frontier) {
                return Err(malformed(
                    "the tree of the lines before is another one".to_owned(),
                ));
            }
            addition.segments.push((segment, Vec::new()));
        } else if addition.segments.is_empty() {
            let Some((current, _)) = &self.segment else {
                return Err(malformed(
                    "a log begins with the record of a segment".to_owned(),
                ));
            };
            addition.segments.push((current.clone(), Vec::new()));
        }
        if let Some((_, appended)) = addition.segments.last_mut() {
            appended.extend_from_slice(bytes);
        }
        addition.last = Hash::leaf(bytes);
        addition.frontier.append(addition.last);
        Ok(())
    }

    fn check_checkpoint(
        &self,
        line: &[u8],
        addition: &mut Addition,
    ) -> Result<(), CheckpointError> {
        let other = |error: HistoryError| CheckpointError::Other(error.to_string());
        let (checkpoint, note) = history::read(line, &self.key).map_err(other)?;
        if checkpoint.size <= addition.signed || checkpoint.size != addition.frontier.size() {
            return Err(CheckpointError::Other(format!(
                "a checkpoint of {} lines stands behind line {}",
                checkpoint.size,
                addition.frontier.size()
            )));
        }
        if checkpoint.root != addition.frontier.root() {
            // The lines form a chain from those that were signed before: the log's key signed something else.
            return Err(CheckpointError::Fork(fork(&checkpoint, &note)));
        }
        addition.signed = checkpoint.size;
        addition.history.extend_from_slice(line);
        addition.checkpoint = Some(note);
        Ok(())
    }

    fn write(&self, addition: &Addition) -> io::Result<()> {
        for (segment, bytes) in &addition.segments {
            let durable = match &self.segment {
                Some((current, length)) if current == segment => *length,
                _ => 0,
            };
            append(&segment.path, durable, bytes)?;
        }
        if !addition.history.is_empty() {
            let path = self.directory.checkpoints();
            append(&path, self.history_length, &addition.history)?;
        }
        Ok(())
    }

    /// Countersigns the last checkpoint: at `time`, in seconds since 1970, the copy extends everything that was seen before. Kept beside the files.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn countersign(&self, key: &SigningKey, time: u64) -> io::Result<Option<Note>> {
        let Some(mut note) = self.checkpoint.clone() else {
            return Ok(None);
        };
        note.cosign(key, time);
        let text = note.to_string();
        replace_file(&self.directory.countersigned(), text.as_bytes())?;
        Ok(Some(note))
    }
}

fn fork(claimed: &Checkpoint, note: &Note) -> PushError {
    PushError::Fork {
        what: format!(
            "the key of {} signed a checkpoint of {} lines that excludes the lines that it signed before",
            claimed.origin, claimed.size
        ),
        evidence: note.to_string(),
    }
}

/// The first checkpoint in a push that its log signed.
fn signed_claim(pushed: &[u8], key: &VerifyingKey) -> Option<(Checkpoint, Note)> {
    let mut lines = pushed.split_inclusive(|byte| *byte == b'\n');
    lines.find_map(|line| history::read(line, key).ok())
}

enum CheckpointError {
    Fork(PushError),
    Other(String),
}

/// Appends after the first `durable` bytes, which are all that counts so far.
fn append(path: &Path, durable: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = open_appending(path)?;
    let found = file.metadata()?.len();
    if found < durable {
        return Err(io::Error::other(format!("{} was cut", path.display())));
    }
    if found > durable {
        file.set_len(durable)?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    if durable == 0 {
        sync_directory(path.parent().unwrap_or(path))?;
    }
    Ok(())
}

/// Cuts off all lines from this sequence on.
fn cut(directory: &Directory, size: u64) -> io::Result<()> {
    for segment in directory.segments()? {
        if segment.first >= size {
            fs::remove_file(&segment.path)?;
            continue;
        }
        let mut lines = crate::lines::Lines::open(&segment.path)?;
        let mut sequence = segment.first;
        while let Some(raw) = lines.next_line()? {
            if sequence == size {
                let file = OpenOptions::new().write(true).open(&segment.path)?;
                file.set_len(raw.offset)?;
                file.sync_all()?;
                break;
            }
            sequence += 1;
        }
    }
    sync_directory(&directory.segments_directory())
}

impl From<LineError> for PushError {
    fn from(error: LineError) -> Self {
        Self::Malformed {
            number: 0,
            what: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::{
        Decision, Event, Log, LogOptions, Purpose, Verdict,
        push::{Push, Reader},
    };

    fn key() -> SigningKey {
        SigningKey::of_seed("example.com/one", Purpose::Log, [7; 32].into()).unwrap()
    }

    fn directory(place: &Path, name: &str) -> Directory {
        Directory::new(place.join(name))
    }

    /// Opens a log, records some events, each under its own checkpoint, and closes it.
    async fn write(directory: Directory, name: &str, count: usize) {
        let log = Log::open(LogOptions {
            segment_size: 1_500,
            checkpoint_interval: Duration::ZERO,
            ..LogOptions::new(directory, key())
        });
        let log = log.unwrap();
        for _ in 0..count {
            let decision = Decision {
                request: name.to_owned(),
                ..Decision::new(Verdict::Allow)
            };
            log.record(vec![Event::intent(decision)]).await.unwrap();
        }
        log.close();
    }

    fn pushes(directory: &Directory, start: u64) -> Vec<Push> {
        let mut reader = Reader::new(directory.clone(), key().public().clone(), start).unwrap();
        std::iter::from_fn(|| reader.next_push(u64::MAX).unwrap()).collect()
    }

    fn open(directory: &Directory) -> Mirror {
        Mirror::open(directory.clone(), key().public().clone()).unwrap()
    }

    fn files(directory: &Directory) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![directory.checkpoints()];
        let segments = directory.segments().unwrap();
        files.extend(segments.into_iter().map(|segment| segment.path));
        let read = |path: std::path::PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        };
        files.into_iter().map(read).collect()
    }

    #[tokio::test]
    async fn the_copy_is_the_log_byte_for_byte_over_restarts_of_both() {
        let place = tempfile::tempdir().unwrap();
        let (log, copy) = (
            directory(place.path(), "log"),
            directory(place.path(), "copy"),
        );
        for round in 0..4_u64 {
            write(log.clone(), "a", 7).await;
            let mut mirror = open(&copy);
            for push in pushes(&log, mirror.size()) {
                mirror.push(&push.text).unwrap();
                assert_eq!(mirror.size(), push.size);
            }
            assert_eq!(files(&log), files(&copy), "{round}");
        }
        let mut mirror = open(&copy);
        assert!(pushes(&log, mirror.size()).is_empty());
        // What was taken is not taken twice.
        let all = pushes(&log, 0).remove(0);
        let error = mirror.push(&all.text).unwrap_err();
        assert!(
            matches!(error, PushError::Elsewhere { found: 0, .. }),
            "{error}"
        );
        let receiver = SigningKey::generate("example.com/r", Purpose::Cosigner).unwrap();
        let note = mirror.countersign(&receiver, 7).unwrap().unwrap();
        assert_eq!(note.verify(receiver.public()), Ok(Some(7)));
    }

    #[tokio::test]
    async fn nothing_of_a_push_that_was_altered_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let (log, copy) = (
            directory(place.path(), "log"),
            directory(place.path(), "copy"),
        );
        write(log.clone(), "a", 3).await;
        let text = pushes(&log, 0).remove(0).text;
        let mut mirror = open(&copy);
        for position in 0..text.len() {
            let mut altered = text.clone();
            altered[position] ^= 1;
            assert!(mirror.push(&altered).is_err(), "{position}");
        }
        let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for missing in 0..lines.len() {
            let mut lines = lines.clone();
            lines.remove(missing);
            assert!(mirror.push(&lines.concat()).is_err(), "{missing}");
        }
        assert_eq!((mirror.size(), files_of(&copy)), (0, 0));
        mirror.push(&text).unwrap();
    }

    fn files_of(directory: &Directory) -> usize {
        directory.segments().unwrap().len()
    }

    #[tokio::test]
    async fn a_log_that_was_rolled_back_and_went_on_is_a_fork() {
        let place = tempfile::tempdir().unwrap();
        let (log, copy) = (
            directory(place.path(), "log"),
            directory(place.path(), "copy"),
        );
        write(log.clone(), "first", 2).await;
        let mut mirror = open(&copy);
        for push in pushes(&log, 0) {
            mirror.push(&push.text).unwrap();
        }
        // The log from a backup of before, with its key, goes on otherwise.
        let other = directory(place.path(), "other");
        write(other.clone(), "other", 9).await;
        let size = mirror.size();
        for push in pushes(&other, size) {
            let error = mirror.push(&push.text).unwrap_err();
            assert!(
                matches!(error, PushError::Fork { .. } | PushError::Malformed { .. }),
                "{error}"
            );
        }
        assert_eq!(mirror.size(), size);
        // A checkpoint of the same size is evidence at once.
        let mut frontier = Frontier::new();
        for _ in 0..size {
            frontier.append(Hash::leaf(b"other"));
        }
        let note = Checkpoint::of("example.com/one", &frontier).sign(&key());
        let error = mirror.compare(&note).unwrap_err();
        assert!(matches!(error, PushError::Fork { .. }), "{error}");
        mirror.compare(mirror.checkpoint().unwrap()).unwrap();
        let older = Checkpoint::of("example.com/one", &Frontier::new()).sign(&key());
        let error = mirror.compare(&older).unwrap_err();
        assert!(error.to_string().contains("rolled back"), "{error}");
    }

    #[tokio::test]
    async fn what_a_crash_left_of_a_push_is_cut_off() {
        let place = tempfile::tempdir().unwrap();
        let (log, copy) = (
            directory(place.path(), "log"),
            directory(place.path(), "copy"),
        );
        write(log.clone(), "a", 9).await;
        let mut mirror = open(&copy);
        for push in pushes(&log, 0) {
            mirror.push(&push.text).unwrap();
        }
        drop(mirror);
        let whole = files(&copy);
        // The history loses its last two checkpoints: the lines behind them count for nothing.
        let history = fs::read_to_string(copy.checkpoints()).unwrap();
        let lines: Vec<_> = history.split_inclusive('\n').collect();
        fs::write(copy.checkpoints(), lines[..lines.len() - 2].concat()).unwrap();
        let mut mirror = open(&copy);
        assert!(mirror.size() > 0);
        for push in pushes(&log, mirror.size()) {
            mirror.push(&push.text).unwrap();
        }
        assert_eq!(files(&copy), whole);
    }
}
