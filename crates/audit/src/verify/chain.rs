//! Finds which line was altered, from the hashes that lines have of the lines before them.
//!
//! Where the hash in line *n* is not that of line *n−1*, either may have been altered. Line *n+1* decides: if its hash fits line *n*, that one
//! is as it was written, and line *n−1* is not.

use std::path::PathBuf;

use super::report::{Fault, Finding};

/// A line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: u64,
    pub(super) sequence: u64,
}

/// A run of lines whose hashes do not fit.
#[derive(Debug)]
struct Run {
    before: Place,
    first: Place,
    count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Chain {
    previous: Option<Place>,
    run: Option<Run>,
}

impl Chain {
    /// Takes the next line; `fits` says whether its hash is that of the line before.
    pub(super) fn line(&mut self, place: Place, fits: bool) -> Option<Finding> {
        let before = self.previous.replace(place.clone());
        if fits {
            return self.close(false);
        }
        match &mut self.run {
            Some(run) => run.count += 1,
            None => {
                self.run = Some(Run {
                    before: before.unwrap_or_else(|| place.clone()),
                    first: place,
                    count: 1,
                });
            }
        }
        None
    }

    /// Forgets everything: the next line has no line before.
    pub(super) fn reset(&mut self) -> Option<Finding> {
        let finding = self.close(true);
        self.previous = None;
        finding
    }

    /// Ends a run: with a line that fits, or where nothing follows that could tell.
    fn close(&mut self, is_end: bool) -> Option<Finding> {
        let run = self.run.take()?;
        let (place, message) = match run.count {
            1 if is_end => {
                let next = run.first.line;
                let message = format!(
                    "this line or line {next} was altered: the one does not have the hash of the other"
                );
                (run.before, message)
            }
            1 => (run.before, "this line was altered".to_owned()),
            2 => (run.first, "this line was altered".to_owned()),
            count => {
                let message = format!("this line and the {} after it were altered", count - 2);
                (run.first, message)
            }
        };
        Some(Finding {
            fault: Fault::Altered,
            file: place.file,
            line: Some(place.line),
            sequence: Some(place.sequence),
            message,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(fits: &[bool]) -> Vec<(u64, String)> {
        let mut chain = Chain::default();
        let mut found = Vec::new();
        for (sequence, fits) in (0..).zip(fits) {
            let place = Place {
                file: PathBuf::new(),
                line: sequence + 1,
                sequence,
            };
            found.extend(chain.line(place, *fits));
        }
        found.extend(chain.reset());
        let short = |finding: Finding| (finding.sequence.unwrap(), finding.message);
        found.into_iter().map(short).collect()
    }

    #[test]
    fn the_line_after_the_next_one_decides() {
        assert_eq!(found(&[true; 4]), []);
        let content = found(&[true, true, false, true]);
        assert_eq!(content, [(1, "this line was altered".to_owned())]);
        let hash = found(&[true, true, false, false, true]);
        assert_eq!(hash, [(2, "this line was altered".to_owned())]);
        let many = found(&[true, false, false, false, true]);
        assert_eq!(
            many,
            [(1, "this line and the 1 after it were altered".to_owned())]
        );
        let (sequence, message) = found(&[true, true, false]).remove(0);
        assert_eq!(sequence, 1);
        assert!(message.contains("or line 3"), "{message}");
    }
}
