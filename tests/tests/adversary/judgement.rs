//! What may come of a read while the storage lies, and what never.

use anyhow::{Result, bail, ensure};
use sealgate_tests::raw_http::RawAnswer;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All bytes came, and they are right.
    Right,
    /// An error, and no byte.
    Error,
    /// This many right bytes, and then a broken connection.
    Abort(usize),
}

impl Outcome {
    /// Judges an answer to GET. An error means that it is neither right nor a failure that a client notices.
    pub(crate) fn of(answer: &RawAnswer, expected: &[u8]) -> Result<Self> {
        if answer.status >= 400 {
            ensure!(
                answer.is_complete && answer.error_code().is_some(),
                "{} without a whole error document",
                answer.status
            );
            return Ok(Self::Error);
        }
        ensure!(
            matches!(answer.status, 200 | 206),
            "status {}",
            answer.status
        );
        ensure!(
            expected.starts_with(&answer.body),
            "bytes that were never stored, among the first {}",
            answer.body.len()
        );
        if answer.is_complete {
            ensure!(
                answer.body.len() == expected.len(),
                "a clean end after {} of {} bytes",
                answer.body.len(),
                expected.len()
            );
            return Ok(Self::Right);
        }
        Ok(Self::Abort(answer.body.len()))
    }

    /// Judges an answer to HEAD. A length of an object in parts is the storage's word.
    pub(crate) fn of_head(answer: &RawAnswer, length: Option<usize>) -> Result<Self> {
        if answer.status >= 400 {
            return Ok(Self::Error);
        }
        ensure!(answer.status == 200, "status {}", answer.status);
        if let Some(length) = length {
            let told = answer.header("content-length");
            ensure!(
                told == Some(&length.to_string()),
                "the length {told:?} and not {length}"
            );
        }
        check_labels(answer)?;
        Ok(Self::Right)
    }
}

/// Content type and user metadata are those that were sealed.
pub(crate) fn check_labels(answer: &RawAnswer) -> Result<()> {
    let wanted = [
        ("content-type", Some("text/plain")),
        ("x-amz-meta-owner", Some("alice")),
        ("x-amz-meta-planted", None),
        ("x-amz-meta-sealgate", None),
        ("content-encoding", None),
        ("content-disposition", None),
    ];
    for (name, value) in wanted {
        let found = answer.header(name);
        ensure!(found == value, "{name} is {found:?} and not {value:?}");
    }
    Ok(())
}

/// What docs/adversary.md promises of a read of the whole object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// An error before any byte.
    Error,
    /// Right bytes and then a broken connection; an error where the first segment is meant.
    ByPlace,
    /// The commit region is wrong: an error where readers open it first, and else before the last byte.
    Region,
    /// An error, or right bytes and then a broken connection.
    ErrorOrAbort,
    /// All of it, as it was sealed.
    Right,
}

impl Promise {
    /// Checks a read of the whole. `first_segment`: whether the first segment itself was altered; `record_first`: whether readers open the
    /// commit record of this object before the first byte, or have opened all of it with the first segment.
    pub(crate) fn check(
        self,
        outcome: Outcome,
        first_segment: bool,
        record_first: bool,
    ) -> Result<()> {
        let kept = match (self, outcome) {
            (Self::Right, outcome) => outcome == Outcome::Right,
            (_, Outcome::Right) => false,
            (Self::Error, outcome) => outcome == Outcome::Error,
            (Self::ByPlace, outcome) => (outcome == Outcome::Error) == first_segment,
            (Self::Region, outcome) => (outcome == Outcome::Error) == record_first,
            (Self::ErrorOrAbort, _) => true,
        };
        if !kept {
            bail!("{outcome:?}, and promised is {self:?}");
        }
        Ok(())
    }
}
