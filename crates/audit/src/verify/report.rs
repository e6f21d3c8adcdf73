//! What a verification says.

use std::path::PathBuf;

use serde::Serialize;

use crate::limits::MAX_FINDINGS;

/// What is wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// A line that is there was changed.
    Altered,
    /// Lines or checkpoints are not there.
    Missing,
    /// There is something that nobody who writes the log has written.
    Added,
    /// A line stands where another belongs.
    Misplaced,
    /// The log ends before what was signed.
    Truncated,
    /// The key of the log signed two trees that exclude each other.
    Forked,
    /// A checkpoint is not signed by whom it should be.
    Unsigned,
    /// A checkpoint is about lines that are not here.
    Unverifiable,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The file.
    pub file: PathBuf,
    /// The line of the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The sequence of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// For people.
    pub message: String,
}

/// A record, by where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct At {
    /// The file.
    pub file: PathBuf,
    /// The line of the file, from 1.
    pub line: u64,
    /// The sequence of the record.
    pub sequence: u64,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The name of the log.
    pub log: String,
    /// The sequence of the first line that is here.
    pub first: u64,
    /// The sequence after the last line: the size of the tree.
    pub size: u64,
    /// The root of the tree of that size, in base64; empty where lines are missing or altered.
    pub root: String,
    /// Up to which size the lines are proven to be what the log's key signed.
    pub signed: u64,
    /// Up to which size they are proven to be what a checkpoint says that was held elsewhere.
    pub held: Option<u64>,
    /// Lines after the last checkpoint, which nothing proves.
    pub unsigned: u64,
    /// The first of them.
    pub unsigned_from: Option<At>,
    /// Checkpoints in the history.
    pub checkpoints: u64,
    /// Whether the last line is unfinished: it is being written, or a process ended while it was, or it was cut.
    pub is_torn: bool,
    /// When the newest held checkpoint was countersigned, in seconds since 1970.
    pub countersigned_at: Option<u64>,
    /// Everything that is wrong, the first hundred of it.
    pub findings: Vec<Finding>,
    /// Whether there is more.
    pub has_more_findings: bool,
    /// What could not be checked for lack of a key or a checkpoint.
    pub remarks: Vec<String>,
}

impl Report {
    pub(super) fn new(log: &str) -> Self {
        Self {
            log: log.to_owned(),
            first: 0,
            size: 0,
            root: String::new(),
            signed: 0,
            held: None,
            unsigned: 0,
            unsigned_from: None,
            checkpoints: 0,
            is_torn: false,
            countersigned_at: None,
            findings: Vec::new(),
            has_more_findings: false,
            remarks: Vec::new(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.has_more_findings = true;
        }
    }
}
