//! What is behind the last line of a log, and what follows from the whole.

use std::{io, thread};

use super::{BETWEEN_LOOKS, Fault, Finding, LOOKS, Report, Task, Walk, held::Verified};
use crate::writer::following;

/// As [`LOOKS`], for the checkpoint of the last records.
const LOOKS_FOR_CHECKPOINT: u32 = if cfg!(test) { 1_000 } else { 100 };

/// What is in the history after the last line.
#[derive(Default)]
struct Rest {
    /// Up to which size the lines are covered by a checkpoint.
    covered: u64,
    /// The largest checkpoint that was there before any line was read.
    before: u64,
    /// The largest one beyond the last line.
    newest: u64,
}

impl Walk {
    pub(super) fn finish(mut self, task: &Task) -> io::Result<Report> {
        self.report.findings.extend(self.chain.reset());
        let size = if self.is_lost {
            self.expected
        } else {
            self.frontier.size()
        };
        self.report.size = size;
        if !self.is_lost {
            self.report.root = self.frontier.root().to_base64();
        }
        let Rest {
            covered,
            before,
            newest,
        } = self.rest_of_history(size)?;
        let signed = before;
        self.report.signed = self.good;
        self.report.unsigned = size.saturating_sub(covered);
        if self.report.unsigned > 0 {
            self.report.unsigned_from = self.unproven.take();
            // What a newer checkpoint covers came while the log was read.
            if newest <= size {
                self.judge_unsigned();
            }
        }
        if signed > size {
            let file = self.past.path().display();
            let message = format!(
                "the log ends after {size} records, and {file} has a checkpoint of {signed}: the records {size} to {} were cut off",
                signed - 1
            );
            self.add(Fault::Truncated, None, Some(size), message);
        }
        self.check_journal(size, task)?;
        for held in std::mem::take(&mut self.held) {
            self.settle(&held, size, task);
        }
        if task.held.is_empty() {
            self.report.remarks.push(
                "no checkpoint that was held elsewhere was compared: a log that was rolled back as a whole, or written anew with its key, can't be told from this one".to_owned(),
            );
        }
        Ok(self.report)
    }

    /// A gateway that opens the log takes lines of the journal that follow its last one. Where nobody writes it, there is to be none.
    fn check_journal(&mut self, size: u64, task: &Task) -> io::Result<()> {
        let (Some(mut last), true, false) = (self.last, self.is_closed, self.is_lost) else {
            return Ok(());
        };
        let mut frontier = self.frontier.clone();
        self.place = task.directory.journal();
        following(&self.place, &mut frontier, &mut last)?;
        let count = frontier.size() - size;
        if count > 0 {
            let message =
                format!("{count} records that follow the last one, in a log that nobody writes");
            self.add(Fault::Added, None, Some(size), message);
        }
        Ok(())
    }

    /// What no checkpoint covers may be there only while somebody writes.
    fn judge_unsigned(&mut self) {
        if let (true, Some(at)) = (self.is_closed, self.report.unsigned_from.clone()) {
            self.report.add(Finding {
                fault: Fault::Added,
                file: at.file,
                line: Some(at.line),
                sequence: Some(at.sequence),
                message: "no checkpoint covers this record and those after it, in a log that nobody writes".to_owned(),
            });
        }
    }

    /// Takes the checkpoints that come after the last line of a log of this size. A line that is being written is waited for; and where nobody
    /// writes any more, a checkpoint of the last records, because a receiver makes them durable before it.
    fn rest_of_history(&mut self, size: u64) -> io::Result<Rest> {
        let mut rest = Rest::default();
        let (mut looks, mut looks_for_checkpoint) = (LOOKS, LOOKS_FOR_CHECKPOINT);
        loop {
            if !self.is_lost {
                self.compare(size)?;
            }
            rest.covered = self.past.last().min(size).max(self.good);
            while let Some((checkpoint, was_there)) =
                self.past
                    .take_up_to(u64::MAX, &self.key, &mut self.report)?
            {
                self.meet(&checkpoint);
                rest.newest = rest.newest.max(checkpoint.size);
                if was_there {
                    rest.before = rest.before.max(checkpoint.size);
                }
            }
            if self.past.is_torn() {
                if looks == 0 {
                    self.report.add(self.past.torn());
                    return Ok(rest);
                }
                looks -= 1;
            } else {
                let is_covered = rest.covered.max(rest.newest) >= size;
                if is_covered || self.is_lost || !self.is_closed || looks_for_checkpoint == 0 {
                    return Ok(rest);
                }
                looks_for_checkpoint -= 1;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// What a held checkpoint proves in the end.
    fn settle(&mut self, held: &Verified, size: u64, task: &Task) {
        let signed = held.checkpoint.size;
        if signed > size {
            let message = format!(
                "the log ends after {size} records, and {} is a checkpoint of {signed}: the records {size} to {} were cut off",
                held.file.display(),
                signed - 1
            );
            self.add(Fault::Truncated, None, Some(size), message);
        } else if signed < self.report.first {
            let finding = Finding {
                fault: Fault::Unverifiable,
                file: held.file.clone(),
                line: None,
                sequence: None,
                message: format!(
                    "a checkpoint of {signed} lines, and the first that is here is record {}: hold a newer one",
                    self.report.first
                ),
            };
            self.report.add(finding);
        }
        if !held.is_seen && signed > 0 {
            let finding = Finding {
                fault: Fault::Missing,
                file: task.directory.checkpoints(),
                line: None,
                sequence: None,
                message: format!(
                    "the checkpoint of {signed} lines in {} is not in the history",
                    held.file.display()
                ),
            };
            self.report.add(finding);
        }
        if held.is_matched && held.is_from_elsewhere {
            self.report.held = self.report.held.max(Some(signed));
        }
    }
}
