//! What is wrong with a configuration: all of it at once, each with its place and its fix.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::referenced::ReferencedFile;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1; `None` where the file could not be read at all.
    pub line: Option<usize>,
    /// The key with its tables, for example `upstream.region` or `identity[0].name`; empty for the whole file.
    pub key: String,
    /// The cause.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// A configuration that can't be used. `Display` writes one line a problem, in the order of the file.
#[derive(Debug)]
pub struct ConfigError {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            if let Some(file) = &self.file {
                write!(formatter, "{}:", file.display())?;
            }
            match problem.line {
                Some(line) if self.file.is_some() => write!(formatter, "{line}: ")?,
                Some(line) => write!(formatter, "line {line}: ")?,
                None => formatter.write_str(" ")?,
            }
            if !problem.key.is_empty() {
                write!(formatter, "{}: ", problem.key)?;
            }
            write!(formatter, "{}; {}", problem.message, problem.fix)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Says that a problem was noted, where `None` already means something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted;

/// Collects problems while a document is read.
pub(super) struct Report<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    files: RefCell<Vec<ReferencedFile>>,
}

impl<'a> Report<'a> {
    /// A report on `text`, to which spans of bytes refer.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            problems: RefCell::default(),
            files: RefCell::default(),
        }
    }

    /// Notes that a key names a file.
    pub(super) fn refer_to(&self, key: &str, path: &Path, is_secret: bool) {
        self.files.borrow_mut().push(ReferencedFile {
            key: key.to_owned(),
            path: path.to_owned(),
            is_secret,
        });
    }

    /// The files that were named so far.
    pub(super) fn files(&self) -> Vec<ReferencedFile> {
        self.files.borrow().clone()
    }

    /// Notes a problem. Messages must not repeat values: one of them may be a secret in the wrong place.
    pub(super) fn add(
        &self,
        span: &Range<usize>,
        key: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let line = line_at(self.text, span.start);
        self.problems.borrow_mut().push(Problem {
            line: Some(line),
            key: key.to_owned(),
            message: message.into(),
            fix: fix.into(),
        });
    }

    /// All problems, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// The line of a byte offset, counted from 1.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let text = "a\nb\n\nc";
        let lines: Vec<usize> = (0..=text.len())
            .map(|offset| line_at(text, offset))
            .collect();
        assert_eq!(lines, [1, 1, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn problems_are_shown_in_order_with_file_line_key_and_fix() {
        let text = "a\nb\n";
        let report = Report::new(text);
        report.add(&(2..3), "second", "is wrong", "correct it");
        report.add(&(0..1), "", "is odd", "look again");
        let error = ConfigError {
            file: Some("gate.toml".into()),
            problems: report.into_problems(),
        };
        assert_eq!(
            error.to_string(),
            "gate.toml:1: is odd; look again\ngate.toml:2: second: is wrong; correct it"
        );
    }
}
