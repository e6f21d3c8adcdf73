//! Export to files: each appears whole under its name or not at all, and never outside of the target directory.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempPath};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{path::OWN_PREFIX, source::Source};
use crate::migration::{Failure, Pace, one::sha256};

/// What lies in the target directory beside the files: journal, and files that are not complete.
const OWN_DIRECTORY: &str = "export";

/// The journal's name in there.
const JOURNAL: &str = "manifest.jsonl";

/// Beside the journal of a copy: how many bytes the journal had when everything was copied.
const COMPLETE: &str = "complete";

/// Bytes that are read at once from a file that is compared.
const COMPARED_LENGTH: usize = 256 * 1024;

/// A directory that objects are exported to.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    overwrite: bool,
    /// Where the file system takes two names for one: the files of this export, by device and number.
    placed: Option<Mutex<HashMap<(u64, u64), PathBuf>>>,
}

impl Files {
    /// A directory that nothing will be written to.
    pub(super) fn look_at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            overwrite: false,
            placed: None,
        }
    }

    /// Makes the directory.
    pub(super) fn prepare(directory: &Path, overwrite: bool) -> anyhow::Result<Self> {
        let shown = directory.display();
        fs::create_dir_all(directory).with_context(|| format!("{shown} cannot be made"))?;
        let mut files = Self {
            directory: directory
                .canonicalize()
                .with_context(|| format!("{shown} cannot be used"))?,
            overwrite,
            placed: None,
        };
        let own = files.own();
        fs::create_dir_all(&own).with_context(|| format!("{} cannot be made", own.display()))?;
        if folds_names(&own).with_context(|| format!("{} cannot be written", own.display()))? {
            files.placed = Some(Mutex::default());
        }
        Ok(files)
    }

    /// Removes what a killed command left of files that were not complete. Nobody else may be writing any: the journal is ours.
    pub(super) fn remove_incomplete(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.own()).context("the target directory cannot be listed")? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name != JOURNAL) {
                fs::remove_file(&path)
                    .with_context(|| format!("{} cannot be removed", path.display()))?;
            }
        }
        Ok(())
    }

    /// Notes that a file is of this export, if it is there.
    pub(super) fn note(&self, path: &Path) {
        if let Some(placed) = &self.placed
            && let Ok(metadata) = fs::symlink_metadata(self.directory.join(path))
        {
            let mut placed = placed.lock().unwrap_or_else(PoisonError::into_inner);
            placed
                .entry(number(&metadata))
                .or_insert_with(|| path.to_owned());
        }
    }

    pub(super) fn own(&self) -> PathBuf {
        self.directory.join(format!("{OWN_PREFIX}{OWN_DIRECTORY}"))
    }

    /// Where the journal is.
    pub(super) fn journal(&self) -> PathBuf {
        self.own().join(JOURNAL)
    }

    /// Notes that everything that is to be here is here, and in the journal. The next command that begins takes the note away with what is not
    /// complete.
    pub(super) fn mark_complete(&self) -> io::Result<()> {
        let length = fs::metadata(self.journal())?.len();
        fs::write(self.own().join(COMPLETE), length.to_string())
    }

    /// Whether that was noted, and the journal is as long as it was then.
    pub(super) fn is_complete(&self) -> bool {
        let noted = fs::read(self.own().join(COMPLETE));
        let length = fs::metadata(self.journal()).map(|found| found.len());
        matches!((noted, length), (Ok(noted), Ok(length)) if noted == length.to_string().as_bytes())
    }

    /// Whether a regular file of this length, or none if any will do, lies under a path.
    pub(super) fn has(&self, path: &Path, lengths: &[u64]) -> bool {
        fs::symlink_metadata(self.directory.join(path))
            .is_ok_and(|metadata| metadata.is_file() && lengths.contains(&metadata.len()))
    }

    /// Writes an object to its file. `is_owned` says that the file is one of this export and may be replaced.
    pub(super) async fn write(
        &self,
        path: &Path,
        mut source: Source,
        is_owned: bool,
        pace: &Pace,
    ) -> Result<[u8; 32], Failure> {
        let temporary = NamedTempFile::new_in(self.own()).map_err(|error| disk(path, &error))?;
        let (file, temporary) = temporary.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        while let Some(piece) = source.plaintext.next().await? {
            file.write_all(&piece)
                .await
                .map_err(|error| disk(path, &error))?;
            pace.bytes(piece.len()).await;
        }
        let hash = sha256(&source.plaintext.verified()?)?;
        file.flush().await.map_err(|error| disk(path, &error))?;
        file.sync_all().await.map_err(|error| disk(path, &error))?;
        let file = file.into_std().await;
        if let Some(modified) = source.modified {
            // For people and for rsync; the journal has it too.
            file.set_modified(modified).ok();
        }
        drop(file);
        let full = self.directory.join(path);
        if let Some(metadata) = existing(&full).map_err(|error| disk(path, &error))?
            && !(is_owned || self.overwrite)
            && self.other_name(path, &metadata).is_none()
        {
            let hash = same_or_refused(path, &full, &metadata, hash).await?;
            self.note(path);
            return Ok(hash);
        }
        self.place(path, temporary, is_owned || self.overwrite)
            .map_err(|error| {
                Failure::new(
                    format!("{error:#}"),
                    "export to an empty directory, on a file system that tells all names apart, or move away what is in the way",
                )
            })?;
        Ok(hash)
    }

    /// The name under which this file is one of the export already, if it is another one.
    fn other_name(&self, path: &Path, metadata: &Metadata) -> Option<PathBuf> {
        let placed = self.placed.as_ref()?;
        let placed = placed.lock().unwrap_or_else(PoisonError::into_inner);
        let other = placed.get(&number(metadata))?;
        (other != path).then(|| other.clone())
    }

    /// Gives a complete file its name.
    fn place(&self, path: &Path, temporary: TempPath, replace: bool) -> anyhow::Result<()> {
        let directory = self.make_directories(path)?;
        let full = self.directory.join(path);
        // The first without replacing: where two names are one, the file may have come into being meanwhile under the other.
        let placed = temporary.persist_noclobber(&full);
        let placed = match placed {
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists && replace => {
                let metadata = fs::symlink_metadata(&full)
                    .with_context(|| format!("{} cannot be looked at", path.display()))?;
                if let Some(other) = self.other_name(path, &metadata) {
                    bail!(
                        "{} and {} are one name to this file system, and the latter has its file",
                        path.display(),
                        other.display()
                    );
                }
                failed.path.persist(&full)
            }
            placed => placed,
        };
        placed
            .map_err(|error| error.error)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        self.note(path);
        File::open(&directory)
            .and_then(|directory| directory.sync_all())
            .with_context(|| format!("{} cannot be made durable", path.display()))
    }

    /// Makes the directories of a file one by one. A symbolic link among them would lead who knows where.
    fn make_directories(&self, path: &Path) -> anyhow::Result<PathBuf> {
        let mut directory = self.directory.clone();
        let parents = path.parent().into_iter().flat_map(Path::components);
        for part in parents {
            directory.push(part);
            match fs::symlink_metadata(&directory) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => bail!("{} is no directory", directory.display()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match fs::create_dir(&directory) {
                        Ok(()) => {}
                        // Made by the export of another object at the same time.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => {
                            return Err(error).with_context(|| {
                                format!("{} cannot be made", directory.display())
                            });
                        }
                    }
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be used", directory.display()));
                }
            }
        }
        Ok(directory)
    }
}

/// What tells one file from another, whatever its name.
fn number(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Whether a directory takes different names for one: in upper and lower case, with a dot at the end, or a letter with its accent apart.
fn folds_names(directory: &Path) -> io::Result<bool> {
    let probe = tempfile::Builder::new()
        .prefix("probe-\u{e9}-")
        .suffix("-a")
        .tempfile_in(directory)?;
    let name = probe.path().file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let others = [
        format!("{}A", name.strip_suffix('a').unwrap_or_default()),
        format!("{name}."),
        name.replace('\u{e9}', "e\u{301}"),
    ];
    Ok(others
        .iter()
        .any(|other| directory.join(other).symlink_metadata().is_ok()))
}

fn disk(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("{} cannot be written: {error}", path.display()),
        "make room or give access, and run the command again: what is done is skipped",
    )
}

fn existing(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A file that this export does not know: the same bytes, when a command was killed before it could note them, or somebody else's.
async fn same_or_refused(
    path: &Path,
    full: &Path,
    metadata: &Metadata,
    expected: [u8; 32],
) -> Result<[u8; 32], Failure> {
    if metadata.is_file() && hash_of(full).await.map_err(|error| disk(path, &error))? == expected {
        return Ok(expected);
    }
    Err(Failure::new(
        format!("{} exists and is not of this export", path.display()),
        "export to an empty directory, or replace such files with --overwrite",
    ))
}

async fn hash_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; COMPARED_LENGTH];
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_complete_is_removed_and_the_journal_stays() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::prepare(directory.path(), false).unwrap();
        fs::write(files.journal(), "x").unwrap();
        fs::write(files.own().join("partial"), "x").unwrap();
        let files = Files::prepare(directory.path(), false).unwrap();
        files.remove_incomplete().unwrap();
        assert!(files.journal().exists());
        assert!(!files.own().join("partial").exists());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let files = Files::prepare(directory.path(), true).unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("a")).unwrap();
        let error = files.make_directories(Path::new("a/b")).unwrap_err();
        assert!(error.to_string().contains("is no directory"), "{error}");
        assert!(files.make_directories(Path::new("b/c/d")).is_ok());
        assert!(directory.path().join("b/c").is_dir());
    }

    #[test]
    fn two_keys_whose_names_are_one_never_share_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::prepare(directory.path(), true).unwrap();
        assert!(files.placed.is_none(), "names differ on this file system");
        files.placed = Some(Mutex::default());
        let place = |path: &str, bytes: &str| {
            let temporary = NamedTempFile::new_in(files.own()).unwrap();
            fs::write(temporary.path(), bytes).unwrap();
            files.place(Path::new(path), temporary.into_temp_path(), true)
        };
        place("A", "first").unwrap();
        // What a file system does that does not tell them apart.
        fs::hard_link(directory.path().join("A"), directory.path().join("a")).unwrap();
        let error = place("a", "second").unwrap_err().to_string();
        assert!(error.contains("a and A are one name"), "{error}");
        assert_eq!(fs::read(directory.path().join("A")).unwrap(), b"first");
        place("A", "changed").unwrap();
        assert_eq!(fs::read(directory.path().join("A")).unwrap(), b"changed");
    }

    #[tokio::test]
    async fn an_unknown_file_is_accepted_only_if_it_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "bytes").unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let same: [u8; 32] = Sha256::digest(b"bytes").into();
        assert!(same_or_refused(&path, &path, &metadata, same).await.is_ok());
        assert!(
            same_or_refused(&path, &path, &metadata, [0; 32])
                .await
                .is_err()
        );
    }
}
