//! The files of one log.
//!
//! ```text
//! <directory>/
//!   lock                                 held by the one process that writes
//!   segments/00000000000000000000.jsonl  lines, append-only; the name is the sequence of the first
//!   segments/00000000000000004711.jsonl  … the next file, once one is large enough or the day (UTC) is over
//!   journal                              the last lines once more, where they are durable before their segment is
//!   checkpoints.jsonl                    every checkpoint that was signed, append-only
//!   countersigned                        the newest checkpoint that the receiver countersigned, where there is one
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// The ending of the names of segments.
const SEGMENT_SUFFIX: &str = ".jsonl";

/// Digits of a sequence in the name of a segment, so that names sort as numbers.
const SEQUENCE_DIGITS: usize = 20;

/// Where the files of a log are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    root: PathBuf,
}

/// One file of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The sequence of its first line.
    pub first: u64,
    /// The file.
    pub path: PathBuf,
}

impl Directory {
    /// The files under `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the directories that are missing, for the owner only.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(&self) -> io::Result<()> {
        make_private(&self.root)?;
        make_private(&self.segments_directory())?;
        sync_directory(&self.root)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that the writer locks.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Where lines are durable before their segment is.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The history of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints.jsonl")
    }

    /// The newest checkpoint that the receiver countersigned.
    pub fn countersigned(&self) -> PathBuf {
        self.root.join("countersigned")
    }

    /// Where the segments are.
    pub fn segments_directory(&self) -> PathBuf {
        self.root.join("segments")
    }

    /// The file of the segment that begins with this sequence.
    pub fn segment(&self, first: u64) -> Segment {
        let name = format!("{first:0SEQUENCE_DIGITS$}{SEGMENT_SUFFIX}");
        Segment {
            first,
            path: self.segments_directory().join(name),
        }
    }

    /// The segments that there are, in order. Files of other names are none.
    ///
    /// # Errors
    /// What the file system says.
    pub fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(self.segments_directory())? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(digits) = name
                .to_str()
                .and_then(|name| name.strip_suffix(SEGMENT_SUFFIX))
            else {
                continue;
            };
            let is_sequence =
                digits.len() == SEQUENCE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
            if let (true, Ok(first)) = (is_sequence, digits.parse()) {
                segments.push(Segment {
                    first,
                    path: entry.path(),
                });
            }
        }
        segments.sort_by_key(|segment| segment.first);
        Ok(segments)
    }
}

/// Makes what was created in a directory, or removed from it, last.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Opens a file for appending, for its owner only where it is new.
pub(crate) fn open_appending(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Replaces a small file, so that after a crash there is the old one or the new one.
///
/// # Errors
/// What the file system says.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_in_the_order_of_their_sequences() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path().join("log"));
        directory.create().unwrap();
        for first in [100, 0, 99, u64::MAX] {
            fs::write(directory.segment(first).path, b"").unwrap();
        }
        for name in ["notes.txt", "1.jsonl", "0000000000000000000x.jsonl"] {
            fs::write(directory.segments_directory().join(name), b"").unwrap();
        }
        let firsts: Vec<_> = directory.segments().unwrap();
        let firsts: Vec<_> = firsts.iter().map(|segment| segment.first).collect();
        assert_eq!(firsts, [0, 99, 100, u64::MAX]);
    }

    #[test]
    fn a_small_file_is_replaced_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("countersigned");
        replace_file(&path, b"one").unwrap();
        replace_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
