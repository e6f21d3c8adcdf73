//! The history of checkpoints, read in step with the lines that they are about.

use std::{
    fs::File,
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
    next: Option<(Checkpoint, u64)>,
    /// The size of the last one that counted.
    last: u64,
}

impl Past {
    pub(super) fn open(directory: &Directory) -> io::Result<Self> {
        let path = directory.checkpoints();
        let lines = match Lines::open(&path) {
            Ok(lines) => Some(lines),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            lines,
            next: None,
            last: 0,
        })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The size of the last checkpoint that was taken.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The next checkpoint of at most this size, and its line.
    pub(super) fn take_up_to(
        &mut self,
        size: u64,
        key: &VerifyingKey,
        report: &mut Report,
    ) -> io::Result<Option<(Checkpoint, u64)>> {
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
    ) -> io::Result<Option<(Checkpoint, u64)>> {
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
                    return Ok(Some((checkpoint, raw.number)));
                }
                Ok((checkpoint, _)) => report.add(finding(
                    Fault::Misplaced,
                    format!(
                        "a checkpoint of {} lines stands after one of {}",
                        checkpoint.size, self.last
                    ),
                )),
                Err(_) if !raw.is_whole => report.add(finding(
                    Fault::Truncated,
                    "the last checkpoint is incomplete".to_owned(),
                )),
                Err(error) => report.add(finding(
                    Fault::Altered,
                    format!("this checkpoint does not count: {error}"),
                )),
            }
        }
        Ok(None)
    }
}
