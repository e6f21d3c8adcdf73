//! The files that a configuration names, so that somebody can look whether they have changed.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file up to this length is known by its content. Longer ones are libraries of tokens, which are known by what the file system says.
const CONTENT_LIMIT: u64 = 1 << 20;

/// A directory with up to this many entries is known by them.
const ENTRY_LIMIT: usize = 10_000;

/// A file that a key of the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferencedFile {
    /// The key, such as `listener.tls.certificate`.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// Whether nobody else may read it.
    pub is_secret: bool,
}

/// What a file held when it was looked at. Links are followed, so one that points elsewhere now counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// The SHA-256 of its content; of a directory, of the names and the contents of the files in it.
    Content([u8; 32]),
    /// Device, inode, length, and the times of the last change, of a long file.
    Place(u64, u64, u64, i64, i64),
    /// It cannot be read.
    Absent,
}

impl Fingerprint {
    /// Looks at a file. What was read of it is wiped: it may be a key.
    pub fn of(path: &Path) -> Self {
        Self::read(path).unwrap_or(Self::Absent)
    }

    fn read(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        if found.is_dir() {
            return Self::read_directory(path);
        }
        if found.len() > CONTENT_LIMIT {
            return Ok(Self::Place(
                found.dev(),
                found.ino(),
                found.len(),
                found.ctime(),
                found.ctime_nsec(),
            ));
        }
        let capacity = usize::try_from(found.len()).unwrap_or_default() + 1;
        let mut content = zeroize::Zeroizing::new(Vec::with_capacity(capacity));
        file.take(CONTENT_LIMIT + 1).read_to_end(&mut content)?;
        Ok(Self::Content(Sha256::digest(&*content).into()))
    }

    /// Directories in it are passed over: nothing reads what is in them, and a Kubernetes volume has some of its own.
    fn read_directory(path: &Path) -> std::io::Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path)?.take(ENTRY_LIMIT) {
            let path = entry?.path();
            if path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        let mut digest = Sha256::new();
        for file in files {
            let name = file.file_name().unwrap_or_default().as_encoded_bytes();
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name);
            let fingerprint = format!("{:?}", Self::of(&file));
            digest.update((fingerprint.len() as u64).to_be_bytes());
            digest.update(fingerprint);
        }
        Ok(Self::Content(digest.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_points_elsewhere_is_a_change_and_a_touch_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("one"), "one").unwrap();
        std::fs::write(path("two"), "two").unwrap();
        std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
        let before = Fingerprint::of(&path("link"));
        std::fs::write(path("one"), "one").unwrap();
        assert_eq!(Fingerprint::of(&path("link")), before);
        std::fs::remove_file(path("link")).unwrap();
        assert_eq!(Fingerprint::of(&path("link")), Fingerprint::Absent);
        std::os::unix::fs::symlink(path("two"), path("link")).unwrap();
        assert_ne!(Fingerprint::of(&path("link")), before);
    }

    #[test]
    fn a_directory_changes_with_the_names_and_the_contents_of_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let look = || Fingerprint::of(directory.path());
        let empty = look();
        std::fs::create_dir(path("inner")).unwrap();
        std::fs::write(path("inner/a"), "a").unwrap();
        assert_eq!(look(), empty);
        std::fs::write(path("one"), "one").unwrap();
        let one = look();
        assert_ne!(one, empty);
        std::fs::write(path("one"), "two").unwrap();
        assert_ne!(look(), one);
        std::fs::write(path("one"), "one").unwrap();
        assert_eq!(look(), one);
        std::fs::rename(path("one"), path("other")).unwrap();
        assert_ne!(look(), one);
    }

    #[test]
    fn a_long_file_is_known_without_being_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(CONTENT_LIMIT + 1).unwrap();
        assert!(matches!(
            Fingerprint::of(file.path()),
            Fingerprint::Place(..)
        ));
    }
}
