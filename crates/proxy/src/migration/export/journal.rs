//! What an export has done: a line of JSON that says from where to where, and one for each object, appended when it is complete. It is the
//! manifest of what could not be kept in files, and what another run goes on from. One command at a time has it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest line that is read: a key, a path of it, and 2 KB of metadata, each escaped, with room to spare.
const MAXIMUM_LINE: u64 = 1 << 20;

/// The format of journals, in their first line. Whoever reads another one must not guess.
const VERSION: u32 = 1;

/// From where to where: the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    sealgate_export: u32,
    source: Source,
    /// None for the directory that the journal lies in, wherever that is moved to.
    destination: Option<Target>,
    /// Whether objects were taken as they are stored, sealed, with their headers.
    #[serde(default, skip_serializing_if = "is_false")]
    as_stored: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives a reference to the field"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    endpoint: String,
    bucket: String,
    prefix: String,
}

/// A bucket that is exported to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The storage.
    pub(crate) endpoint: String,
    /// The bucket.
    pub(crate) bucket: String,
    /// The deployment whose gateways can read it; none where it is in the clear.
    pub(crate) deployment: Option<String>,
}

impl Route {
    /// From a bucket of a storage, of keys that begin with `prefix`.
    pub(crate) fn new(
        endpoint: &(impl fmt::Display + ?Sized),
        bucket: &str,
        prefix: &str,
        destination: Option<Target>,
    ) -> Self {
        Self {
            sealgate_export: VERSION,
            source: Source {
                endpoint: endpoint.to_string(),
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
            },
            destination,
            as_stored: false,
        }
    }

    /// The same, of objects as they are stored, or not.
    pub(crate) fn with_as_stored(mut self, as_stored: bool) -> Self {
        self.as_stored = as_stored;
        self
    }

    /// Whether a journal that begins with this says what a copy of a bucket holds.
    ///
    /// # Errors
    ///
    /// When it is that of something else.
    pub(crate) fn check_copy_of(&self, bucket: &str) -> anyhow::Result<()> {
        ensure!(
            self.sealgate_export == VERSION,
            "the journal has the format {}, and this program knows {VERSION}: use the program that wrote it",
            self.sealgate_export
        );
        ensure!(
            self.as_stored && self.destination.is_none(),
            "this is no copy of what is stored, but what `sealgate export` or `recovery open` has decrypted: nothing is left to open here"
        );
        ensure!(
            self.source.bucket == bucket,
            "this is a copy of the bucket {}, and its objects open for that one only: name it, and its directory, so",
            self.source.bucket
        );
        Ok(())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source {
            endpoint,
            bucket,
            prefix,
        } = &self.source;
        write!(
            formatter,
            "{endpoint} bucket {bucket} prefix {prefix:?} to "
        )?;
        match &self.destination {
            None if self.as_stored => formatter.write_str("files, as they are stored"),
            None => formatter.write_str("files"),
            Some(Target {
                endpoint,
                bucket,
                deployment: None,
            }) => write!(formatter, "{endpoint} bucket {bucket}, in the clear"),
            Some(Target {
                endpoint,
                bucket,
                deployment: Some(deployment),
            }) => write!(
                formatter,
                "{endpoint} bucket {bucket}, sealed by {deployment}"
            ),
        }
    }
}

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
    /// None in a dry run.
    file: Option<Mutex<File>>,
    /// By target: what lies there.
    done: HashMap<Digest16, Digest16>,
}

impl Journal {
    /// Reads the journal at `path`, or begins one. A last line that was cut off by a crash is dropped. `on_target` hears of everything that was
    /// exported before.
    ///
    /// # Errors
    ///
    /// When it is that of an export from or to somewhere else, or no journal, or when another command has it.
    pub(crate) fn open(
        path: &Path,
        route: &Route,
        on_target: impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("the journal {shown} cannot be opened"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another export is writing to the journal {shown}; wait for it, or export to somewhere else"
            ),
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, journal = %shown, "the journal cannot be locked: run no other export to the same place");
            }
        }
        let (done, complete) = read(&file, path, route, on_target)?;
        file.set_len(complete)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .with_context(|| format!("the journal {shown} cannot be written"))?;
        if complete == 0 {
            write_line(&mut file, route)?;
        }
        Ok(Self {
            file: Some(Mutex::new(file)),
            done,
        })
    }

    /// Reads what there is, and never writes.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub(crate) fn look_at(path: &Path, route: &Route) -> anyhow::Result<Self> {
        let done = match File::open(path) {
            Ok(file) => read(&file, path, route, |_| {})?.0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => {
                let shown = path.display();
                return Err(error).with_context(|| format!("the journal {shown} cannot be opened"));
            }
        };
        Ok(Self { file: None, done })
    }

    /// Whether exactly this object was brought to this target before.
    pub(crate) fn has(
        &self,
        target: &str,
        key: &str,
        version_id: Option<&str>,
        entity_tag: &str,
        modified: Option<&str>,
    ) -> bool {
        let identity = identity(key, version_id, entity_tag, modified);
        self.done.get(&Digest16::of(&[target])) == Some(&identity)
    }

    /// Whether something of this export lies at the target, so that it may be replaced.
    pub(crate) fn owns(&self, target: &str) -> bool {
        self.done.contains_key(&Digest16::of(&[target]))
    }

    /// Appends a line.
    pub(crate) fn append(&self, line: &Line) -> anyhow::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        write_line(&mut file, line)
    }
}

fn write_line(file: &mut File, line: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
        .context("the journal cannot be written")
}

/// The next whole line, its end included; none at the end, or where the last line was cut off.
///
/// # Errors
///
/// When it is longer than any line of a journal.
pub(super) fn next_line(
    reader: &mut impl BufRead,
    path: &Path,
    number: u64,
) -> anyhow::Result<Option<Vec<u8>>> {
    let shown = path.display();
    let mut line = Vec::new();
    let length = reader
        .by_ref()
        .take(MAXIMUM_LINE)
        .read_until(b'\n', &mut line)
        .with_context(|| format!("the journal {shown} cannot be read"))?;
    if line.last() == Some(&b'\n') {
        return Ok(Some(line));
    }
    ensure!(
        (length as u64) < MAXIMUM_LINE,
        "line {number} of {shown} is too long for that of an export; move the file away to begin anew"
    );
    Ok(None)
}

/// What was done, by target, and how many bytes of the journal are whole lines.
fn read(
    file: &File,
    path: &Path,
    route: &Route,
    mut on_target: impl FnMut(&str),
) -> anyhow::Result<(HashMap<Digest16, Digest16>, u64)> {
    let shown = path.display();
    let mut done = HashMap::new();
    let mut complete = 0;
    let mut reader = BufReader::new(file);
    for number in 1_u64.. {
        let Some(line) = next_line(&mut reader, path, number)? else {
            break;
        };
        let length = line.len();
        let no_journal = || {
            format!(
                "line {number} of {shown} is not that of an export; move the file away to begin anew"
            )
        };
        if number == 1 {
            let found: Route = serde_json::from_slice(&line).with_context(no_journal)?;
            ensure!(
                found.sealgate_export == VERSION,
                "the journal {shown} has the format {}, and this program knows {VERSION}: use the program that wrote it, or move the file away to begin anew",
                found.sealgate_export
            );
            ensure!(
                found == *route,
                "the journal {shown} is of another export: from {found}; this one is from {route}. Export to another directory, or name another --journal; if both are the same under other names, write them as before"
            );
        } else {
            let line: Line = serde_json::from_slice(&line).with_context(no_journal)?;
            on_target(&line.target);
            done.insert(Digest16::of(&[&line.target]), line.identity());
        }
        complete += length as u64;
    }
    Ok((done, complete))
}

impl Line {
    fn identity(&self) -> Digest16 {
        identity(
            &self.key,
            self.version_id.as_deref(),
            &self.entity_tag,
            self.last_modified.as_deref(),
        )
    }
}

fn identity(
    key: &str,
    version_id: Option<&str>,
    entity_tag: &str,
    modified: Option<&str>,
) -> Digest16 {
    Digest16::of(&[
        key,
        version_id.unwrap_or_default(),
        entity_tag,
        modified.unwrap_or_default(),
    ])
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

    fn route(bucket: &str) -> Route {
        Route::new("https://s3.example.org/", bucket, "", None)
    }

    fn open(path: &Path, route: &Route) -> anyhow::Result<Journal> {
        Journal::open(path, route, |_| {})
    }

    #[test]
    fn the_journal_of_another_export_is_refused_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        open(&path, &route("b"))
            .unwrap()
            .append(&line("a", "x"))
            .unwrap();
        let written = std::fs::read(&path).unwrap();
        let target = Target {
            endpoint: "https://s3.example.org/".to_owned(),
            bucket: "b".to_owned(),
            deployment: None,
        };
        for other in [
            route("c"),
            Route::new("https://s3.example.net/", "b", "", None),
            Route::new("https://s3.example.org/", "b", "p/", None),
            Route::new("https://s3.example.org/", "b", "", Some(target)),
        ] {
            let error = open(&path, &other).unwrap_err().to_string();
            assert!(error.contains("bucket b prefix \"\" to files"), "{error}");
            assert!(error.contains(&other.to_string()), "{error}");
            assert!(Journal::look_at(&path, &other).is_err());
        }
        let mut later = route("b");
        later.sealgate_export = 2;
        let error = open(&path, &later).unwrap_err().to_string();
        assert!(error.contains("another export"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), written);
        assert!(open(&path, &route("b")).unwrap().owns("a"));
    }

    #[test]
    fn two_exports_at_once_do_not_share_a_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let first = open(&path, &route("b")).unwrap();
        let error = open(&path, &route("b")).unwrap_err().to_string();
        assert!(error.contains("another export is writing"), "{error}");
        drop(first);
        open(&path, &route("b")).unwrap();
    }

    #[test]
    fn a_dry_run_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Journal::look_at(&path, &route("b")).unwrap();
        journal.append(&line("a", "x")).unwrap();
        assert!(!path.exists() && !journal.owns("a"));
    }

    #[test]
    fn another_run_knows_what_is_done_and_a_torn_line_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = open(&path, &route("b")).unwrap();
        journal.append(&line("a", "x")).unwrap();
        journal.append(&line("b", "x")).unwrap();
        drop(journal);
        let torn = std::fs::read(&path).unwrap();
        std::fs::write(&path, &torn[..torn.len() - 5]).unwrap();
        let journal = open(&path, &route("b")).unwrap();
        assert!(journal.has("a", "k", None, "x", None));
        assert!(
            !journal.has("a", "k", None, "y", None),
            "it was written again since"
        );
        let later = Some("Thu, 26 Nov 2026 07:00:00 GMT");
        assert!(
            !journal.has("a", "k", None, "x", later),
            "its header may be another"
        );
        assert!(journal.owns("a") && !journal.owns("b"));
        journal.append(&line("c", "x")).unwrap();
        drop(journal);
        let journal = open(&path, &route("b")).unwrap();
        assert!(journal.has("a", "k", None, "x", None) && journal.has("c", "k", None, "x", None));
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        std::fs::write(&path, "something else\n").unwrap();
        let error = format!("{:#}", open(&path, &route("b")).unwrap_err());
        assert!(error.contains("move the file away"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"something else\n");
    }
}
