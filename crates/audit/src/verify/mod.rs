//! Finds out whether a log is what its key signed, and what was held elsewhere; if not, where.
//!
//! One pass over the lines and, in step, over the history of checkpoints; memory does not grow with the log. Without a checkpoint that was
//! held elsewhere, a log that was rolled back as a whole, or written anew by whoever has its key, looks like any other.

mod chain;
mod end;
mod held;
mod past;
mod report;
#[cfg(test)]
mod tests;

use std::{cmp::Ordering, io, path::PathBuf, thread, time::Duration};

use self::{
    chain::{Chain, Place},
    held::Verified,
    past::Past,
};
pub use self::{
    held::Held,
    report::{At, Fault, Finding, Report},
};
use crate::{
    checkpoint::Checkpoint,
    directory::{Directory, Segment},
    event::Kind,
    key::VerifyingKey,
    line::{self, Header},
    lines::{Lines, RawLine},
    merkle::{Frontier, Hash},
    writer::first_line,
};

/// Whose signatures count.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The key of the log.
    pub log: VerifyingKey,
    /// The keys of receivers. Where there are any, each held checkpoint must be countersigned by one of them.
    pub cosigners: Vec<VerifyingKey>,
}

/// What is to be verified, and how.
#[derive(Clone, Debug)]
pub struct Task {
    /// The files.
    pub directory: Directory,
    /// Whose signatures count.
    pub trusted: Trusted,
    /// Checkpoints that were held elsewhere.
    pub held: Vec<Held>,
    /// Whether the first segments may be missing, which a gateway removes once the receiver has them.
    pub may_be_pruned: bool,
    /// Whether nobody writes the log any more: then nothing may be behind the last checkpoint.
    pub is_closed: bool,
}

/// How often what is incomplete is read again, and how long after: whoever writes a log writes whole lines, and only a reader that comes in the
/// middle of it sees half of one.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 10 });

/// Verifies a log.
///
/// # Errors
/// Where a file can't be read; what is wrong with a log is in the report.
pub fn verify(task: &Task) -> io::Result<Report> {
    let mut walk = Walk::new(task)?;
    for held in &task.held {
        walk.hold(held, task, true);
    }
    if let Some(beside) = held::beside(&task.directory.countersigned())? {
        // It must agree, and proves no more than the files that it lies beside: it is rolled back together with them.
        walk.hold(&beside, task, false);
    }
    let segments = task.directory.segments()?;
    for (number, segment) in segments.iter().enumerate() {
        let is_last = number + 1 == segments.len();
        walk.segment(segment, task, number == 0, is_last)?;
    }
    walk.finish(task)
}

struct Walk {
    report: Report,
    key: VerifyingKey,
    is_closed: bool,
    past: Past,
    held: Vec<Verified>,
    chain: Chain,
    frontier: Frontier,
    /// The hash of the last line; none where it is not known.
    last: Option<Hash>,
    /// Whether the tree is not known any more, because a line is missing or altered; until the next segment, which brings its own.
    is_lost: bool,
    /// The size up to which a checkpoint was right.
    good: u64,
    /// The sequence that is expected next.
    expected: u64,
    /// The first line after the last checkpoint that was right.
    unproven: Option<At>,
    /// The record with which the log was closed, where no process has opened it since.
    closed_by: Option<u64>,
    /// The last `signed` of a line that was found wrong, so that each is reported once.
    wrong_signed: Option<u64>,
    place: PathBuf,
}

impl Walk {
    fn new(task: &Task) -> io::Result<Self> {
        let key = task.trusted.log.clone();
        Ok(Self {
            report: Report::new(key.name()),
            past: Past::open(&task.directory)?,
            key,
            is_closed: task.is_closed,
            held: Vec::new(),
            chain: Chain::default(),
            frontier: Frontier::new(),
            last: Some(Hash::empty()),
            is_lost: false,
            good: 0,
            expected: 0,
            unproven: None,
            closed_by: None,
            wrong_signed: None,
            place: task.directory.segments_directory(),
        })
    }

    fn add(&mut self, fault: Fault, line: Option<u64>, sequence: Option<u64>, message: String) {
        self.report.add(Finding {
            fault,
            file: self.place.clone(),
            line,
            sequence,
            message,
        });
    }

    fn hold(&mut self, held: &Held, task: &Task, is_from_elsewhere: bool) {
        match held::verify(held, &task.trusted) {
            Ok(mut verified) => {
                verified.is_from_elsewhere = is_from_elsewhere;
                for other in &self.held {
                    if let Some(finding) = forked(&verified, &other.checkpoint) {
                        self.report.add(finding);
                    }
                }
                for stranger in &verified.strangers {
                    let file = held.file.display();
                    self.report.remarks.push(format!(
                        "{file} is countersigned by {stranger}, whose key was not given: not checked"
                    ));
                }
                if is_from_elsewhere {
                    self.report.countersigned_at = self.report.countersigned_at.max(verified.time);
                }
                self.held.push(verified);
            }
            Err((fault, message)) => self.report.add(Finding {
                fault,
                file: held.file.clone(),
                line: None,
                sequence: None,
                message,
            }),
        }
    }

    fn segment(
        &mut self,
        segment: &Segment,
        task: &Task,
        is_first: bool,
        is_last: bool,
    ) -> io::Result<()> {
        self.place.clone_from(&segment.path);
        if is_first {
            self.report.first = segment.first;
            if segment.first > 0 {
                self.begin_late(segment.first, task);
            }
        }
        let mut lines = Lines::open(&segment.path)?;
        let mut is_begun = false;
        let mut looks = LOOKS;
        while let Some(raw) = lines.next_line()? {
            if !raw.is_whole && is_last {
                if looks > 0 {
                    looks -= 1;
                    thread::sleep(BETWEEN_LOOKS);
                    lines.unread(&raw)?;
                    continue;
                }
                self.unfinished(&raw)?;
                break;
            }
            if is_begun {
                self.line(&raw)?;
            } else {
                is_begun = true;
                self.first_line(segment, &raw)?;
            }
        }
        if !is_begun && !is_last {
            self.add(
                Fault::Missing,
                None,
                Some(segment.first),
                "the file is empty".to_owned(),
            );
            self.is_lost = true;
        }
        Ok(())
    }

    /// What is behind the last line feed: the beginning of the next record, or bytes that nobody who writes the log has written.
    fn unfinished(&mut self, raw: &RawLine) -> io::Result<()> {
        if !self.is_lost {
            // It may have been signed since the line before was read.
            self.compare(self.frontier.size())?;
        }
        let begins = |last: Hash| {
            let beginning = line::beginning(&Header {
                seq: self.expected,
                prev: last.to_base64(),
                signed: self.past.last(),
            });
            beginning
                .iter()
                .zip(&raw.bytes)
                .all(|(one, other)| one == other)
        };
        // Where the line before is not known, that is told already.
        let is_beginning = !raw.is_long && (self.is_lost || self.last.is_none_or(begins));
        let (sequence, offset, count) = (self.expected, raw.offset, raw.bytes.len());
        self.report.is_torn = is_beginning;
        if is_beginning && !self.is_closed {
            let file = self.place.display();
            self.report.remarks.push(format!(
                "{file} ends with an unfinished record {sequence}, {count} bytes from byte {offset} on: it is being written, or a process was killed while it was; a gateway that opens the log cuts it off and says so"
            ));
            return Ok(());
        }
        let message = if is_beginning {
            format!("an unfinished record, from byte {offset} on, in a log that nobody writes")
        } else {
            format!(
                "{count} bytes from byte {offset} on that are not the beginning of the next record: added, or left by a power failure"
            )
        };
        self.add(Fault::Added, Some(raw.number), Some(sequence), message);
        Ok(())
    }

    /// Between the record that closes a log and whatever follows, a process opens it.
    fn check_closed(&mut self, sequence: u64, raw: &RawLine) {
        match line::kind(&raw.bytes) {
            Some(Kind::Stop) => self.closed_by = Some(sequence),
            Some(Kind::Start) => self.closed_by = None,
            Some(Kind::Segment) => {}
            _ => {
                if let Some(end) = self.closed_by.take() {
                    let message = format!(
                        "the log was closed by record {end}, and no process has opened it again before this one"
                    );
                    self.add(Fault::Added, Some(raw.number), Some(sequence), message);
                }
            }
        }
    }

    /// The first segments are not here.
    fn begin_late(&mut self, first: u64, task: &Task) {
        if !task.may_be_pruned {
            let message = format!(
                "records 0 to {} are not here; where a gateway removed them because the receiver has them, verify with --pruned",
                first - 1
            );
            self.add(Fault::Missing, None, Some(0), message);
        }
        self.last = None;
        self.expected = first;
    }

    /// The first line of a file, which brings the tree of all lines before.
    fn first_line(&mut self, segment: &Segment, raw: &RawLine) -> io::Result<()> {
        let read = line::read(&raw.bytes).ok();
        let tree = read.and_then(|(header, event)| {
            first_line(segment, header.seq, event.kind, event.tree.as_deref())
        });
        let Some(tree) = tree else {
            let message = "the file does not begin with the record of a segment".to_owned();
            self.add(
                Fault::Altered,
                Some(raw.number),
                Some(segment.first),
                message,
            );
            self.is_lost = true;
            return self.line(raw);
        };
        if segment.first > self.expected {
            self.missing(segment.first, raw.number);
        }
        let is_late = self.last.is_none() && self.frontier.size() == 0;
        if !is_late && !self.is_lost && tree != self.frontier {
            let message = "the tree of the lines before is another one".to_owned();
            self.add(
                Fault::Altered,
                Some(raw.number),
                Some(segment.first),
                message,
            );
        }
        if is_late || self.is_lost {
            // What was lost before is reported; from here on the file's own tree counts, if the next checkpoint confirms it.
            self.report.findings.extend(self.chain.reset());
            self.frontier = tree;
            if self.is_lost {
                self.last = None;
            }
            self.is_lost = false;
            self.expected = segment.first;
            self.compare(segment.first)?;
        }
        self.line(raw)
    }

    fn line(&mut self, raw: &RawLine) -> io::Result<()> {
        let leaf = Hash::leaf(&raw.bytes);
        let header = (raw.is_whole && !raw.is_long)
            .then(|| line::read_header(&raw.bytes))
            .transpose();
        let Ok(Some(header)) = header else {
            let message = "not a record".to_owned();
            self.add(
                Fault::Altered,
                Some(raw.number),
                Some(self.expected),
                message,
            );
            self.lose();
            self.expected += 1;
            return Ok(());
        };
        match header.seq.cmp(&self.expected) {
            Ordering::Equal => {
                self.link(&header, raw);
                if !self.is_lost && header.signed > self.past.last() {
                    // Signed since the line before was read.
                    self.compare(self.frontier.size())?;
                }
                self.check_signed(&header, raw);
            }
            Ordering::Greater => self.missing(header.seq, raw.number),
            Ordering::Less => {
                let message = format!("record {} is expected here", self.expected);
                self.add(
                    Fault::Misplaced,
                    Some(raw.number),
                    Some(header.seq),
                    message,
                );
                self.lose();
                return Ok(());
            }
        }
        self.expected = header.seq + 1;
        self.last = Some(leaf);
        self.check_closed(header.seq, raw);
        if self.is_lost {
            return Ok(());
        }
        self.frontier.append(leaf);
        self.compare(self.frontier.size())?;
        if self.good == self.frontier.size() {
            self.unproven = None;
        } else if self.unproven.is_none() {
            self.unproven = Some(At {
                file: self.place.clone(),
                line: raw.number,
                sequence: header.seq,
            });
        }
        Ok(())
    }

    /// The tree is not known any more.
    fn lose(&mut self) {
        self.is_lost = true;
        self.last = None;
        self.report.findings.extend(self.chain.reset());
    }

    fn missing(&mut self, found: u64, line: u64) {
        let message = format!(
            "records {} to {} are missing before this line",
            self.expected,
            found - 1
        );
        self.add(Fault::Missing, Some(line), Some(self.expected), message);
        self.lose();
    }

    fn link(&mut self, header: &Header, raw: &RawLine) {
        let fits = self.last.is_none_or(|last| header.prev == last.to_base64());
        let place = Place {
            file: self.place.clone(),
            line: raw.number,
            sequence: header.seq,
        };
        if let Some(finding) = self.chain.line(place, fits) {
            self.report.add(finding);
        }
    }

    /// Each line tells which checkpoint was the last one before it.
    fn check_signed(&mut self, header: &Header, raw: &RawLine) {
        let last = self.past.last();
        if self.is_lost || header.signed == last || self.wrong_signed == Some(header.signed) {
            return;
        }
        self.wrong_signed = Some(header.signed);
        let history = self.past.path().display();
        let message = format!(
            "written after a checkpoint of {} lines was signed, and in {history} the last one before is of {last} lines: one of the two was altered",
            header.signed
        );
        self.add(Fault::Missing, Some(raw.number), Some(header.seq), message);
    }

    /// Compares the tree with every checkpoint of its size, and takes note of those that were passed.
    fn compare(&mut self, size: u64) -> io::Result<()> {
        while let Some((checkpoint, _)) = self.past.take_up_to(size, &self.key, &mut self.report)? {
            self.meet(&checkpoint);
            if checkpoint.size == size {
                let file = self.past.path().clone();
                self.judge(&checkpoint, &file);
            }
        }
        for position in 0..self.held.len() {
            let Some(held) = self.held.get(position) else {
                break;
            };
            if held.checkpoint.size == size {
                let (checkpoint, file) = (held.checkpoint.clone(), held.file.clone());
                let is_matched = self.judge(&checkpoint, &file);
                if let Some(held) = self.held.get_mut(position) {
                    held.is_matched = is_matched;
                }
            }
        }
        Ok(())
    }

    /// A checkpoint of the history: held ones must be in it, as they are.
    fn meet(&mut self, checkpoint: &Checkpoint) {
        let mut forks = Vec::new();
        for held in &mut self.held {
            held.is_seen |= held.checkpoint == *checkpoint;
            forks.extend(forked(held, checkpoint));
        }
        for fork in forks {
            self.report.add(fork);
        }
    }

    fn judge(&mut self, checkpoint: &Checkpoint, file: &std::path::Path) -> bool {
        if self.is_lost || checkpoint.size != self.frontier.size() {
            return false;
        }
        if checkpoint.root == self.frontier.root() {
            self.good = checkpoint.size;
            return true;
        }
        let (good, size, file) = (self.good, checkpoint.size, file.display());
        let message = format!(
            "one of the records {good} to {} was altered, removed or exchanged: they are not those that the checkpoint of {size} lines in {file} signs",
            size.saturating_sub(1)
        );
        self.add(Fault::Altered, None, Some(good), message);
        self.lose();
        false
    }
}

/// Two checkpoints of one size with different roots: nobody but the log's key can have made both.
fn forked(held: &Verified, other: &Checkpoint) -> Option<Finding> {
    let is_fork = held.checkpoint.size == other.size && held.checkpoint.root != other.root;
    is_fork.then(|| Finding {
        fault: Fault::Forked,
        file: held.file.clone(),
        line: None,
        sequence: None,
        message: format!(
            "the log's key signed another tree of {} lines as well: {} here, {} elsewhere",
            other.size,
            held.checkpoint.root.to_base64(),
            other.root.to_base64()
        ),
    })
}
