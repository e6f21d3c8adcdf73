//! Files that hold one secret key each: local key files and offline recovery keys (FORMAT.md section 2).
//!
//! A file is one line of ASCII. In version 1 the key stands in it as it is; in version 2 it is sealed with a passphrase.
//! Either is readable by its owner only, never overwritten when it is made, and replaced whole or not at all when its
//! passphrase changes.

mod destruction;
mod line;
mod passphrase;
mod sealing;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

pub use self::destruction::{Remains, overwrite_again, remains, remove_overwritten};
pub(crate) use self::destruction::{is_of, overwrite};
pub use self::passphrase::{MAXIMUM_PASSPHRASE_LENGTH, MINIMUM_PASSPHRASE_LENGTH, Passphrase};
pub use self::sealing::{
    MAXIMUM_ARGON2_LANES, MAXIMUM_ARGON2_MEMORY, MAXIMUM_ARGON2_PASSES, PassphraseCost,
};

use self::line::{Content, MAXIMUM_LINE_LENGTH};
use crate::error::{Error, Result};
use crate::keys::KEY_LENGTH;
use crate::random::{OsRandom, random_array};

/// What a file holds: the words of its line that differ from kind to kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// What the line begins with, without the version.
    pub(crate) name: &'static str,
    /// For messages.
    pub(crate) what: &'static str,
    /// What is told to whoever would overwrite one.
    pub(crate) overwriting: &'static str,
    /// The words between name and key, which are no secret.
    pub(crate) labels: &'static [Label],
}

/// One of these words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    /// For messages.
    pub(crate) what: &'static str,
    /// Whether a word is one.
    pub(crate) is_valid: fn(&str) -> bool,
}

/// A secret key and the labels beside it.
pub(crate) struct SecretFile {
    pub(crate) labels: Vec<String>,
    pub(crate) key: Zeroizing<[u8; KEY_LENGTH]>,
}

impl SecretFile {
    /// Makes the file, which must not exist, readable by its owner only, and waits until it is on disk. Blocks, with a
    /// passphrase also for the time of its derivation.
    pub(crate) fn write_new(
        &self,
        kind: &Kind,
        path: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<()> {
        let line = self.to_line(kind, passphrase)?;
        let fault = |error: &io::Error| {
            let fix = if error.kind() == io::ErrorKind::AlreadyExists {
                kind.overwriting
            } else {
                ""
            };
            refusal(kind, path, &format!("cannot be created: {error}{fix}"))
        };
        let file = create_private(path).map_err(|error| fault(&error))?;
        write_durably(file, path, line.as_bytes()).map_err(|error| {
            // Nothing can depend on this key yet; half a file would only be in the way of the next try.
            let removed = fs::remove_file(path);
            drop(removed);
            fault(&error)
        })
    }

    /// Reads the file, unless anybody but its owner could have read it before us. Blocks, with a passphrase also for the
    /// time of its derivation.
    pub(crate) fn read(kind: &Kind, path: &Path, passphrase: Option<&Passphrase>) -> Result<Self> {
        let line = read_line(kind, path)?;
        let content = line::parse(kind, &line)
            .map_err(|fault| refusal(kind, path, &format!("is not a {}: {fault}", kind.what)))?;
        match (content, passphrase) {
            (Content::Clear(file), None) => Ok(file),
            (Content::Clear(_), Some(_)) => Err(refusal(
                kind,
                path,
                "is not sealed with a passphrase, although one is given; seal it, or give none",
            )),
            (Content::Sealed(_), None) => Err(refusal(
                kind,
                path,
                "is sealed with a passphrase, and none is given; name its place: `passphrase` of the [[key_service]], or --passphrase with \
                 prompt, env:NAME or file:PATH",
            )),
            (Content::Sealed(sealed), Some(passphrase)) => sealed
                .open(passphrase)
                .map_err(|fault| refusal(kind, path, fault.as_str())),
        }
    }

    /// Puts the same key into the place of the file at `path`, sealed with `passphrase` or in the clear: the old content
    /// or the new one is there at any time, never a mixture.
    pub(crate) fn replace(
        &self,
        kind: &Kind,
        path: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<()> {
        let line = self.to_line(kind, passphrase)?;
        let fault = |error: io::Error| {
            refusal(
                kind,
                path,
                &format!("cannot be replaced: {error}; it is as it was"),
            )
        };
        // Behind a symbolic link it is the file that is replaced, not the link.
        let path = fs::canonicalize(path).map_err(fault)?;
        let suffix: [u8; 8] = random_array(&mut OsRandom)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", HEXLOWER.encode(&suffix)));
        let temporary = path.with_file_name(name);
        let replaced = create_private(&temporary).and_then(|file| {
            write_durably(file, &temporary, line.as_bytes())
                .and_then(|()| fs::rename(&temporary, &path))
                .inspect_err(|_| {
                    let removed = fs::remove_file(&temporary);
                    drop(removed);
                })
        });
        replaced.map_err(fault)?;
        synchronise_directory(&path).map_err(|error| {
            refusal(
                kind,
                &path,
                &format!(
                    "has the new content, but its directory cannot be synchronised: {error}; should the machine lose its power now, it may be \
                     as it was before: keep what opened it before as well"
                ),
            )
        })
    }

    fn to_line(&self, kind: &Kind, passphrase: Option<&Passphrase>) -> Result<Zeroizing<String>> {
        match passphrase {
            None => Ok(line::clear(kind, self)),
            Some(passphrase) => sealing::seal(kind, self, passphrase, PassphraseCost::default()),
        }
    }
}

/// Whether the file at `path` is sealed with a passphrase. Derives nothing.
pub(crate) fn is_sealed(kind: &Kind, path: &Path) -> Result<bool> {
    let line = read_line(kind, path)?;
    match line::parse(kind, &line) {
        Ok(Content::Clear(_)) => Ok(false),
        Ok(Content::Sealed(_)) => Ok(true),
        Err(fault) => Err(refusal(
            kind,
            path,
            &format!("is not a {}: {fault}", kind.what),
        )),
    }
}

/// The line of a local key file, or of a recovery key's, read and written anew from what was understood of it: the same bytes. None where it is no such
/// line. Nothing is derived from a passphrase, so it takes no time; meant for tests of the parser.
#[must_use]
pub fn rewritten(line: &[u8]) -> Option<Zeroizing<String>> {
    let kinds = [
        &crate::key_service::local::LOCAL_KEY,
        #[cfg(feature = "recovery")]
        &crate::key_service::recovery::RECOVERY_KEY,
    ];
    kinds.into_iter().find_map(|kind| {
        Some(match line::parse(kind, line).ok()? {
            Content::Clear(file) => line::clear(kind, &file),
            Content::Sealed(sealed) => {
                let head = line::sealed_head(kind, &sealed.labels, sealed.cost, &sealed.salt);
                Zeroizing::new(line::sealed(&head, &sealed.sealed))
            }
        })
    })
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_durably(mut file: File, path: &Path, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()?;
    synchronise_directory(path)
}

fn synchronise_directory(path: &Path) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_owned);
    File::open(directory)?.sync_all()
}

/// The whole file. The buffer never grows, so it leaves no copies behind.
fn read_line(kind: &Kind, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let unreadable = |error: io::Error| refusal(kind, path, &format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    check_file(kind, path, &file)?;
    // One byte more than a valid file can have, so that a longer one is noticed.
    let mut text = Zeroizing::new(vec![0; MAXIMUM_LINE_LENGTH + 1]);
    let mut length = 0;
    let mut file = file.take(text.len() as u64);
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    text.truncate(length);
    Ok(text)
}

/// Checks the open file, not the path, so that nobody can swap it in between.
fn check_file(kind: &Kind, path: &Path, file: &File) -> Result<()> {
    let metadata = file
        .metadata()
        .map_err(|error| refusal(kind, path, &format!("cannot be examined: {error}")))?;
    if !metadata.is_file() {
        return Err(refusal(kind, path, "is not a regular file"));
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        if mode & 0o077 != 0 {
            return Err(refusal(
                kind,
                path,
                &format!(
                    "has mode {:04o}: others than its owner have access to it; run: chmod 600 '{}' (and if others may have \
                     read it, stop using this key)",
                    mode & 0o7777,
                    path.display()
                ),
            ));
        }
    }
    Ok(())
}

fn refusal(kind: &Kind, path: &Path, fault: &str) -> Error {
    Error::misuse(format!("the {} {} {fault}", kind.what, path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_anew_as_it_was_read() {
        const CLEAR: &str = "sealgate-local-key-1 c5eb55be931a037a2278e63eb4f1371d teXCuWQ1ek7YilMZmH9aicqA6XCOb7X0wySY0y92nFQ\n";
        let sealed = "sealgate-local-key-2 c5eb55be931a037a2278e63eb4f1371d argon2id 64 2 2 H8HsJjgiM_dUYk9zYg1HjA 31ExRe6pDQWlHlF4hYb1q9gA4aHsZnBkPwmGx_o_Dyyrygz2DqgJGpauzICKQExQ 52c14196\n";
        for line in [CLEAR, sealed] {
            let again = rewritten(line.as_bytes());
            assert_eq!(again.as_deref().map(String::as_str), Some(line));
            assert!(
                rewritten(line.trim_end().as_bytes()).is_none(),
                "without its end"
            );
        }
    }
}
