//! The request log: one line of JSON per request, with what was asked and how it ended, never a plaintext or a secret.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{KmsError, StartError};
use crate::operation::Operation;

/// What the log tells of one request. Members that are not known, because the request failed before, are left out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) time: OffsetDateTime,
    pub(crate) request_id: Uuid,
    remote: SocketAddr,
    /// The access key id of the request; without a principal beside it nobody has proved to own it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) access_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<Operation>,
    /// The ARN of the key, or what the request named when there is no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_context: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_encryption_context: Option<BTreeMap<String, String>>,
    outcome: &'static str,
    /// Which check refused a ciphertext, or which fault struck: the answer to the client does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    status: u16,
    duration_microseconds: u64,
    #[serde(skip)]
    started: Instant,
}

impl Record {
    /// The record of a request that begins now.
    pub(crate) fn new(remote: SocketAddr) -> Self {
        Self {
            time: OffsetDateTime::now_utc(),
            request_id: Uuid::new_v4(),
            remote,
            access_key_id: None,
            principal: None,
            operation: None,
            key_id: None,
            source_key_id: None,
            encryption_context: None,
            source_encryption_context: None,
            outcome: "Success",
            reason: None,
            status: 200,
            duration_microseconds: 0,
            started: Instant::now(),
        }
    }

    /// Notes how the request ended.
    pub(crate) fn end<T>(&mut self, result: &Result<T, KmsError>) {
        if let Err(error) = result {
            self.outcome = error.code().as_str();
            self.reason = error.reason();
            self.status = error.status();
        }
        self.duration_microseconds =
            u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
    }
}

/// Where records go.
#[derive(Debug)]
pub(crate) struct RequestLog(Option<Mutex<File>>);

impl RequestLog {
    /// A log that keeps nothing.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// A log that appends to a file, created with mode 0600 where it is missing.
    ///
    /// # Errors
    ///
    /// [`StartError::File`].
    pub(crate) fn append_to(path: &Path) -> Result<Self, StartError> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        let failed = |source| StartError::File {
            action: "open the request log",
            path: path.to_owned(),
            source,
        };
        file.map(|file| Self(Some(Mutex::new(file))))
            .map_err(failed)
    }

    /// Writes a record with one call, so that lines of several requests never mix.
    ///
    /// # Errors
    ///
    /// What the operating system answers; the request must be refused then, as nobody would know of it.
    pub(crate) fn write(&self, record: &Record) -> std::io::Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        file.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn one_line_per_request() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("requests.jsonl");
        let log = RequestLog::append_to(&path).unwrap();
        let mut record = Record::new("127.0.0.1:1".parse().unwrap());
        record.operation = Some(Operation::Decrypt);
        record.encryption_context =
            Some(BTreeMap::from([("a".to_owned(), "line\nbreak".to_owned())]));
        record.end(&Ok(()));
        log.write(&record).unwrap();
        record.end::<()>(&Err(KmsError::new(
            ErrorCode::Disabled,
            "the message stays out",
        )));
        log.write(&record).unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["operation"], "Decrypt");
        assert_eq!(lines[0]["encryption_context"]["a"], "line\nbreak");
        assert_eq!(
            (&lines[0]["outcome"], &lines[0]["status"]),
            (&"Success".into(), &200.into())
        );
        assert_eq!(
            (&lines[1]["outcome"], &lines[1]["status"]),
            (&"DisabledException".into(), &400.into())
        );
        assert!(!text.contains("stays out"));
    }
}
