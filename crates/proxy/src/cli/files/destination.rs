//! Where bytes go: a file that appears whole or not at all, or standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempPath;

use super::is_stream;

/// What names of temporary files begin with.
const TEMPORARY_PREFIX: &str = ".sealgate-";

/// An output that nothing was written to yet.
#[derive(Debug)]
pub(in crate::cli) struct Destination {
    path: PathBuf,
    overwrite: bool,
}

impl Destination {
    /// Checks what can be checked before any work is done.
    pub(in crate::cli) fn new(path: &Path, overwrite: bool) -> anyhow::Result<Self> {
        if !is_stream(path) {
            let shown = path.display();
            match std::fs::metadata(path) {
                Ok(metadata) if !metadata.is_file() => {
                    bail!(
                        "{shown} is not a regular file; name another output, or use `-` and redirect it"
                    )
                }
                Ok(_) => ensure!(
                    overwrite,
                    "{shown} exists; name another output, or overwrite it with --force"
                ),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("{shown} can't be written"));
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            overwrite,
        })
    }

    /// Starts writing. A file is written beside its place under another name, readable by its owner alone.
    pub(in crate::cli) fn start(self) -> anyhow::Result<(Output, Completion)> {
        if is_stream(&self.path) {
            return Ok((
                Output::Stream(BufWriter::new(io::stdout())),
                Completion { target: None },
            ));
        }
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let (file, temporary) = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempfile_in(&directory)
            .with_context(|| format!("no file can be made in {}", directory.display()))?
            .into_parts();
        let target = Target {
            temporary,
            path: self.path,
            directory,
            overwrite: self.overwrite,
        };
        Ok((
            Output::File(file),
            Completion {
                target: Some(target),
            },
        ))
    }
}

/// What takes the bytes.
#[derive(Debug)]
pub(in crate::cli) enum Output {
    File(File),
    Stream(BufWriter<io::Stdout>),
}

impl Output {
    /// Makes everything durable that was written.
    pub(in crate::cli) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::File(file) => file.sync_all(),
            Self::Stream(_) => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

/// The last step. Dropped without it, a file that was begun is removed.
#[derive(Debug)]
#[must_use]
pub(in crate::cli) struct Completion {
    target: Option<Target>,
}

#[derive(Debug)]
struct Target {
    temporary: TempPath,
    path: PathBuf,
    directory: PathBuf,
    overwrite: bool,
}

impl Completion {
    /// Gives the file its name, durably.
    pub(in crate::cli) fn commit(self) -> anyhow::Result<()> {
        let Some(target) = self.target else {
            return Ok(());
        };
        let shown = target.path.display();
        let renamed = if target.overwrite {
            target.temporary.persist(&target.path)
        } else {
            // Again without overwriting: somebody may have made the file in the meantime.
            target.temporary.persist_noclobber(&target.path)
        };
        renamed
            .map_err(|error| error.error)
            .with_context(|| format!("{shown} can't be written"))?;
        let directory = File::open(&target.directory).and_then(|directory| directory.sync_all());
        directory.with_context(|| format!("{} can't be made durable", target.directory.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_only_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let (mut output, completion) = Destination::new(&path, false).unwrap().start().unwrap();
        output.write_all(b"whole").unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        completion.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn nothing_is_left_of_a_file_that_was_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        std::fs::write(&path, "before").unwrap();
        let (mut output, completion) = Destination::new(&path, true).unwrap().start().unwrap();
        output.write_all(b"half").unwrap();
        drop((output, completion));
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
    }

    #[test]
    fn files_are_overwritten_only_on_demand() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let late = Destination::new(&path, false).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert!(
            Destination::new(&path, false)
                .unwrap_err()
                .to_string()
                .contains("--force")
        );
        let (output, completion) = late.start().unwrap();
        output.finish().unwrap();
        assert!(completion.commit().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn devices_and_directories_are_not_replaced() {
        for path in ["/dev/null", "/"] {
            let error = Destination::new(Path::new(path), true)
                .unwrap_err()
                .to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
    }
}
