//! The history of checkpoints, read in step with the lines that they are about.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::PathBuf,
};

use super::report::{Fault, Finding, Report};
use crate::{
    checkpoint::Checkpoint, directory::Directory, history, key::VerifyingKey, lines::Lines,
};

/// The history, from its beginning on.
pub(super) struct Past {
    path: PathBuf,
    lines: Option<Lines<BufReader<File>>>,
    next: Option<(Checkpoint, bool)>,
    /// The size of the last one that counted.
    last: u64,
    /// How long the file was before any line was read: those checkpoints are about lines that were there already. Later ones may be about
    /// lines that a gateway has written since.
    length_before: u64,
    /// Whether the last line was incomplete when it was read.
    is_torn: bool,
}

impl Past {
    pub(super) fn open(directory: &Directory) -> io::Result<Self> {
        let path = directory.checkpoints();
        let (lines, length_before) = match Lines::open(&path) {
            Ok(lines) => (Some(lines), fs::metadata(&path)?.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, 0),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            lines,
            next: None,
            last: 0,
            length_before,
            is_torn: false,
        })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The size of the last checkpoint that was taken.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether the last line was incomplete when it was read the last time.
    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// That the last line is incomplete, and stays so.
    pub(super) fn torn(&self) -> Finding {
        Finding {
            fault: Fault::Truncated,
            file: self.path.clone(),
            line: None,
            sequence: None,
            message: "the last checkpoint is incomplete".to_owned(),
        }
    }

    /// The next checkpoint of at most this size, and whether it was there before any line was read.
    pub(super) fn take_up_to(
        &mut self,
        size: u64,
        key: &VerifyingKey,
        report: &mut Report,
    ) -> io::Result<Option<(Checkpoint, bool)>> {
        if self.next.is_none() {
            self.next = self.read(key, report)?;
        }
        let taken = self.next.take_if(|(checkpoint, _)| checkpoint.size <= size);
        if let Some((checkpoint, _)) = &taken {
            self.last = checkpoint.size;
            report.checkpoints += 1;
        }
        Ok(taken)
    }

    fn read(
        &mut self,
        key: &VerifyingKey,
        report: &mut Report,
    ) -> io::Result<Option<(Checkpoint, bool)>> {
        self.is_torn = false;
        let Some(lines) = &mut self.lines else {
            return Ok(None);
        };
        while let Some(raw) = lines.next_line()? {
            let finding = |fault, message: String| Finding {
                fault,
                file: self.path.clone(),
                line: Some(raw.number),
                sequence: None,
                message,
            };
            match history::read(&raw.bytes, key) {
                Ok((checkpoint, _)) if checkpoint.size > self.last => {
                    return Ok(Some((checkpoint, raw.offset < self.length_before)));
                }
                Ok((checkpoint, _)) => report.add(finding(
                    Fault::Misplaced,
                    format!(
                        "a checkpoint of {} lines stands after one of {}",
                        checkpoint.size, self.last
                    ),
                )),
                Err(_) if !raw.is_whole => {
                    // The rest of it may come.
                    self.is_torn = true;
                    lines.unread(&raw)?;
                    return Ok(None);
                }
                Err(error) => report.add(finding(
                    Fault::Altered,
                    format!("this checkpoint does not count: {error}"),
                )),
            }
        }
        Ok(None)
    }
}
