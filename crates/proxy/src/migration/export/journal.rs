//! What an export has done: one line of JSON for each object, appended when it is complete. It is the manifest of what could not be kept in
//! files, and what another run goes on from.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest line that is read: a key, a path of it, and 2 KB of metadata, each escaped, with room to spare.
const MAXIMUM_LINE: u64 = 1 << 20;

/// One object that was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The key.
    pub(crate) key: String,
    /// The version, in an export of all versions.
    pub(crate) version_id: Option<String>,
    /// Whether it is the current version.
    pub(crate) is_current: bool,
    /// Where it went: a path below the target directory, or a key of the target bucket.
    pub(crate) target: String,
    /// The storage's tag of the object that was read, which another run compares.
    pub(crate) entity_tag: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub(crate) sha256: String,
    /// When it was written, as the storage says it.
    pub(crate) last_modified: Option<String>,
    /// Content headers and user metadata.
    pub(crate) headers: BTreeMap<String, String>,
    /// Its tags.
    pub(crate) tags: BTreeMap<String, String>,
}

/// What is remembered of a line: enough to know an object again, in little memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Digest16([u8; 16]);

impl Digest16 {
    fn of(fields: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for field in fields {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(short)
    }
}

/// The journal, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Mutex<File>,
    /// By target: what lies there.
    done: HashMap<Digest16, Digest16>,
}

impl Journal {
    /// Reads the journal at `path`, or begins one. A last line that was cut off by a crash is dropped.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("the journal {shown} cannot be opened"))?;
        let mut done = HashMap::new();
        let mut complete = 0;
        let mut reader = BufReader::new(&file);
        for number in 1_u64.. {
            let mut line = Vec::new();
            let length = reader
                .by_ref()
                .take(MAXIMUM_LINE)
                .read_until(b'\n', &mut line)
                .with_context(|| format!("the journal {shown} cannot be read"))?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let line: Line = serde_json::from_slice(&line).with_context(|| {
                format!("line {number} of {shown} is not that of an export; move the file away to begin anew")
            })?;
            done.insert(Digest16::of(&[&line.target]), line.identity());
            complete += length as u64;
        }
        file.set_len(complete)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .with_context(|| format!("the journal {shown} cannot be written"))?;
        Ok(Self {
            file: Mutex::new(file),
            done,
        })
    }

    /// Whether exactly this object was brought to this target before.
    pub(crate) fn has(
        &self,
        target: &str,
        key: &str,
        version_id: Option<&str>,
        entity_tag: &str,
    ) -> bool {
        let identity = identity(key, version_id, entity_tag);
        self.done.get(&Digest16::of(&[target])) == Some(&identity)
    }

    /// Whether something of this export lies at the target, so that it may be replaced.
    pub(crate) fn owns(&self, target: &str) -> bool {
        self.done.contains_key(&Digest16::of(&[target]))
    }

    /// Appends a line.
    pub(crate) fn append(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text)
            .context("the journal cannot be written")
    }
}

impl Line {
    fn identity(&self) -> Digest16 {
        identity(&self.key, self.version_id.as_deref(), &self.entity_tag)
    }
}

fn identity(key: &str, version_id: Option<&str>, entity_tag: &str) -> Digest16 {
    Digest16::of(&[key, version_id.unwrap_or_default(), entity_tag])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &str, tag: &str) -> Line {
        Line {
            key: "k".to_owned(),
            version_id: None,
            is_current: true,
            target: target.to_owned(),
            entity_tag: tag.to_owned(),
            size: 3,
            sha256: "00".to_owned(),
            last_modified: None,
            headers: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn another_run_knows_what_is_done_and_a_torn_line_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        journal.append(&line("a", "x")).unwrap();
        journal.append(&line("b", "x")).unwrap();
        drop(journal);
        let torn = std::fs::read(&path).unwrap();
        std::fs::write(&path, &torn[..torn.len() - 5]).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert!(journal.has("a", "k", None, "x"));
        assert!(
            !journal.has("a", "k", None, "y"),
            "it was written again since"
        );
        assert!(journal.owns("a") && !journal.owns("b"));
        journal.append(&line("c", "x")).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert!(journal.has("a", "k", None, "x") && journal.has("c", "k", None, "x"));
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        std::fs::write(&path, "something else\n").unwrap();
        let error = format!("{:#}", Journal::open(&path).unwrap_err());
        assert!(error.contains("move the file away"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"something else\n");
    }
}
