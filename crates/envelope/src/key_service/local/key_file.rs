//! The file that holds a local key: its one line, and the rules for making and reading it (FORMAT.md section 2).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::keys::KEY_LENGTH;

/// The first word of the line, with the version of the file's format.
const FORMAT_NAME: &str = "sealgate-local-key-1";
/// Bytes of the key's random identifier.
const KEY_ID_LENGTH: usize = 16;
/// The line is always this long: name, space, 32 hexadecimal digits, space, 43 base64url characters, line feed.
const FILE_LENGTH: usize = FORMAT_NAME.len() + 1 + 2 * KEY_ID_LENGTH + 1 + 43 + 1;

/// A key and its identifier, as a file holds them.
pub(super) struct KeyFile {
    /// 32 lower-case hexadecimal digits.
    pub(super) id: String,
    pub(super) key: Zeroizing<[u8; KEY_LENGTH]>,
}

impl KeyFile {
    pub(super) fn new(id: [u8; KEY_ID_LENGTH], key: Zeroizing<[u8; KEY_LENGTH]>) -> Self {
        Self {
            id: HEXLOWER.encode(&id),
            key,
        }
    }

    /// The line, with its line feed.
    fn to_line(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(FILE_LENGTH));
        for part in [FORMAT_NAME, " ", &self.id, " "] {
            line.push_str(part);
        }
        BASE64URL_NOPAD.encode_append(self.key.as_slice(), &mut line);
        line.push('\n');
        line
    }

    /// Reads exactly what [`to_line`](Self::to_line) writes; the error says which part is wrong and shows none of it.
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let line = text
            .strip_suffix(b"\n")
            .ok_or("it does not end with a line feed")?;
        let mut words = line.split(|byte| *byte == b' ');
        if words.next() != Some(FORMAT_NAME.as_bytes()) {
            return Err("it does not begin with sealgate-local-key-1");
        }
        let (Some(id), Some(key), None) = (words.next(), words.next(), words.next()) else {
            return Err("it is not three words with one space between them");
        };
        let id_is_valid = id.len() == 2 * KEY_ID_LENGTH && HEXLOWER.decode(id).is_ok();
        let id = std::str::from_utf8(id)
            .ok()
            .filter(|_| id_is_valid)
            .ok_or("its key id is not 32 lower-case hexadecimal digits")?;
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        let fits = BASE64URL_NOPAD.decode_len(key.len()) == Ok(KEY_LENGTH);
        if !fits
            || BASE64URL_NOPAD
                .decode_mut(key, bytes.as_mut_slice())
                .is_err()
        {
            return Err("its key is not 32 bytes in base64url without padding");
        }
        Ok(Self {
            id: id.to_owned(),
            key: bytes,
        })
    }

    /// Makes the file, which must not exist, readable by its owner only, and waits until it is on disk.
    pub(super) fn write_new(&self, path: &Path) -> Result<()> {
        let fault = |error: &io::Error| {
            let fix = if error.kind() == io::ErrorKind::AlreadyExists {
                "; a key file is never overwritten: open it instead, or choose another path"
            } else {
                ""
            };
            refusal(path, &format!("cannot be created: {error}{fix}"))
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| fault(&error))?;
        let written = file
            .write_all(self.to_line().as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| {
                let directory = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty())
                    .unwrap_or(Path::new("."));
                File::open(directory)?.sync_all()
            });
        written.map_err(|error| {
            // Nothing can depend on this key yet; half a file would only be in the way of the next try.
            let removed = std::fs::remove_file(path);
            drop(removed);
            fault(&error)
        })
    }

    /// Reads the file, unless anybody but its owner could have read it before us.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unreadable = |error: io::Error| refusal(path, &format!("cannot be read: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        check_file(path, &file)?;
        // One byte more than a valid file has, so that a longer one is noticed. The buffer never grows, so it leaves no
        // copies behind.
        let mut text = Zeroizing::new([0; FILE_LENGTH + 1]);
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
        Self::parse(text.get(..length).unwrap_or_default())
            .map_err(|fault| refusal(path, &format!("is not a local key file: {fault}")))
    }
}

/// Checks the open file, not the path, so that nobody can swap it in between.
fn check_file(path: &Path, file: &File) -> Result<()> {
    let metadata = file
        .metadata()
        .map_err(|error| refusal(path, &format!("cannot be examined: {error}")))?;
    if !metadata.is_file() {
        return Err(refusal(path, "is not a regular file"));
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        if mode & 0o077 != 0 {
            return Err(refusal(
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

fn refusal(path: &Path, fault: &str) -> Error {
    Error::misuse(format!("the local key file {} {fault}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] =
        b"sealgate-local-key-1 000102030405060708090a0b0c0d0e0f AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";

    fn sample() -> KeyFile {
        KeyFile::new(
            std::array::from_fn(|index| u8::try_from(index).unwrap()),
            Zeroizing::new(std::array::from_fn(|index| u8::try_from(index).unwrap())),
        )
    }

    #[test]
    fn line_is_as_specified() {
        assert_eq!(sample().to_line().as_bytes(), LINE);
        assert_eq!(LINE.len(), FILE_LENGTH);
        let parsed = KeyFile::parse(LINE).unwrap();
        assert_eq!(
            (parsed.id.as_str(), *parsed.key),
            (sample().id.as_str(), *sample().key)
        );
    }

    #[test]
    fn anything_but_the_exact_line_is_refused() {
        let text = String::from_utf8(LINE.to_vec()).unwrap();
        for (bad, part) in [
            (text.trim_end().to_owned(), "line feed"),
            (text.replace("key-1", "key-2"), "begin with"),
            (text.replace(' ', "  "), "three words"),
            (text.replace("0e0f", "0E0F"), "key id"),
            (text.replace("0e0f ", "0e "), "key id"),
            (text.replace("Hh8\n", "Hh9\n"), "base64url"),
            (text.replace("Hh8\n", "Hh8=\n"), "base64url"),
            (text.replace("Hh8\n", "\n"), "base64url"),
            (text.replace('\n', "\r\n"), "base64url"),
            (format!("{text}{text}"), "three words"),
            (String::new(), "line feed"),
        ] {
            let fault = KeyFile::parse(bad.as_bytes()).err().unwrap();
            assert!(fault.contains(part), "{bad:?}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn parsing_inverts_writing(id in any::<[u8; 16]>(), key in any::<[u8; 32]>()) {
            let written = KeyFile::new(id, Zeroizing::new(key));
            let read = KeyFile::parse(written.to_line().as_bytes()).unwrap();
            prop_assert_eq!(&read.id, &written.id);
            prop_assert_eq!(*read.key, key);
        }

        #[test]
        fn only_canonical_lines_parse(position in 0..LINE.len(), byte in any::<u8>()) {
            let mut line = LINE.to_vec();
            line[position] = byte;
            if let Ok(key) = KeyFile::parse(&line) {
                let canonical = key.to_line();
                prop_assert_eq!(canonical.as_bytes(), line.as_slice());
            }
        }
    }
}
