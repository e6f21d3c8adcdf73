//! The end of a key file, in two steps, so that whoever is interrupted between them can tell what has happened: it is
//! overwritten, and then removed.
//!
//! A file that is not there says nothing: it may lie on a medium that is away. Only who has noted that the first step was
//! done may take its absence for the second one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::line::{self, Content, MAXIMUM_LINE_LENGTH};
use super::{Kind, read_line, refusal, synchronise_directory};
use crate::error::{Error, Result};

/// What is left of a key file that is to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// It is there, and was not overwritten.
    Present,
    /// It holds zeros alone, and was not removed yet.
    Overwritten,
    /// There is no such file: it was removed, or lies elsewhere.
    Missing,
}

/// Looks at what is left of a key file. Blocks.
///
/// # Errors
///
/// [`Error::Misuse`] where it cannot be read.
pub fn remains(path: impl AsRef<Path>) -> Result<Remains> {
    let path = path.as_ref();
    let mut content = Zeroizing::new(Vec::with_capacity(MAXIMUM_LINE_LENGTH + 1));
    let read = File::open(path).and_then(|file| {
        let mut file = file.take(MAXIMUM_LINE_LENGTH as u64 + 1);
        file.read_to_end(&mut content)
    });
    match read {
        Ok(0) => Ok(Remains::Present),
        Ok(_) if content.iter().all(|byte| *byte == 0) => Ok(Remains::Overwritten),
        Ok(_) => Ok(Remains::Present),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Remains::Missing),
        Err(error) => Err(failed(path, "looked at", &error)),
    }
}

/// Removes a key file that was overwritten; nothing is done where it is removed already. Blocks.
///
/// # Errors
///
/// [`Error::Misuse`] where it was not overwritten, or cannot be removed.
pub fn remove_overwritten(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let fault = |error: io::Error| failed(path, "removed", &error);
    match remains(path)? {
        Remains::Present => {
            return Err(Error::misuse(format!(
                "{} was not overwritten, so it is not removed",
                path.display()
            )));
        }
        Remains::Missing => {}
        Remains::Overwritten => {
            // Behind a symbolic link it is the file that is removed first.
            let real = fs::canonicalize(path).map_err(fault)?;
            fs::remove_file(&real)
                .and_then(|()| synchronise_directory(&real))
                .map_err(fault)?;
        }
    }
    // A link that leads nowhere any more.
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path)
            .and_then(|()| synchronise_directory(path))
            .map_err(fault)?;
    }
    Ok(())
}

/// Overwrites the file with zeros and waits until they are on disk, if it is of this kind and its labels are those of the
/// secret that is meant. The file stays, for [`remove_overwritten`]. Blocks.
///
/// Copies of the file stay, and so may what the medium keeps of overwritten blocks.
pub(crate) fn overwrite(
    kind: &Kind,
    path: &Path,
    is_meant: impl Fn(&[String]) -> bool,
) -> Result<()> {
    let fault = |error: io::Error| refusal(kind, path, &format!("cannot be overwritten: {error}"));
    let line = read_line(kind, path)?;
    let content = line::parse(kind, &line)
        .map_err(|fault| refusal(kind, path, &format!("is not a {}: {fault}", kind.what)))?;
    let labels = match &content {
        Content::Clear(file) => file.labels.as_slice(),
        Content::Sealed(sealed) => sealed.labels(),
    };
    if !is_meant(labels) {
        return Err(refusal(
            kind,
            path,
            "has another key than the one that is to be destroyed; nothing was done",
        ));
    }
    write_zeros(path, line.len()).map_err(fault)
}

/// Writes the zeros of a file that holds nothing else once more, and waits until they are on disk: whoever finds them does not
/// know whether they ever left the memory of the system, which shows them also after a disk has refused them. Blocks.
///
/// # Errors
///
/// [`Error::Misuse`] where it holds something else, or cannot be written.
pub fn overwrite_again(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if remains(path)? != Remains::Overwritten {
        return Err(Error::misuse(format!(
            "{} holds other things than zeros; nothing was done",
            path.display()
        )));
    }
    let written = fs::metadata(path).and_then(|metadata| {
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        write_zeros(path, length.min(MAXIMUM_LINE_LENGTH + 1))
    });
    written.map_err(|error| failed(path, "overwritten", &error))
}

/// Whether the file is a whole one of this kind with the labels that are meant.
pub(crate) fn is_of(kind: &Kind, path: &Path, is_meant: impl Fn(&[String]) -> bool) -> bool {
    let Ok(line) = read_line(kind, path) else {
        return false;
    };
    match line::parse(kind, &line) {
        Ok(Content::Clear(file)) => is_meant(&file.labels),
        Ok(Content::Sealed(sealed)) => is_meant(sealed.labels()),
        Err(_) => false,
    }
}

fn write_zeros(path: &Path, length: usize) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

fn failed(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::misuse(format!("{} cannot be {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_missing_and_only_zeros_are_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        assert_eq!(remains(&path).unwrap(), Remains::Missing);
        remove_overwritten(&path).unwrap();
        for content in ["", "sealgate", "\0\0x"] {
            fs::write(&path, content).unwrap();
            assert_eq!(remains(&path).unwrap(), Remains::Present, "{content:?}");
            let refused = remove_overwritten(&path).unwrap_err();
            assert!(refused.detail().contains("not overwritten"), "{refused:?}");
            assert!(path.exists());
        }
        fs::write(&path, [0; 90]).unwrap();
        assert_eq!(remains(&path).unwrap(), Remains::Overwritten);
        remove_overwritten(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn zeros_are_written_again_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        assert!(overwrite_again(&path).is_err() && !path.exists());
        fs::write(&path, "\0\0sealgate").unwrap();
        assert!(overwrite_again(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"\0\0sealgate");
        fs::write(&path, [0; 90]).unwrap();
        overwrite_again(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [0; 90]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_goes_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("a.key"), directory.path().join("b"));
        fs::write(&path, [0; 90]).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        remove_overwritten(&link).unwrap();
        assert!(!path.exists() && fs::symlink_metadata(&link).is_err());
        // Interrupted between the two.
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(remains(&link).unwrap(), Remains::Missing);
        remove_overwritten(&link).unwrap();
        assert!(fs::symlink_metadata(&link).is_err());
    }
}
