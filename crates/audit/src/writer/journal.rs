//! Where lines are durable before their segment is: a file whose length never changes.
//!
//! To sync a file that has grown, a file system writes where it ends as well, which takes as long again, and with a journal of its own longer.
//! So lines go to their segment, where readers find them, and once more to this file, which is what is synced. When a checkpoint is due, the
//! segment is synced, and the journal begins anew over what it held. What it holds counts only at a start after a power failure: lines that
//! follow the last one of the log.

//!
//! Where the file system can, what is written goes past its cache (`O_DIRECT`), in whole blocks, which takes a third of the processor's time away.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::disk::Output;
use crate::{
    directory::sync_directory,
    line,
    lines::Lines,
    merkle::{Frontier, Hash},
};

/// How long the journal is: what one checkpoint covers, and room for what comes meanwhile.
pub(super) const LENGTH: usize = 2 << 20;

/// Past the cache only whole blocks are written, from memory that begins at such a multiple as well. No disk in use wants larger ones.
const BLOCK: usize = 4096;

/// The file, which is written over from its beginning on.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    is_direct: bool,
    /// What the last block that was written has of what was appended, if not all of it; it is written once more with what follows.
    begun: Vec<u8>,
    /// Where that block is in the file.
    position: u64,
    memory: Vec<u8>,
}

impl Journal {
    /// Opens the journal at its beginning; makes it where there is none of the right length.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = open(path, false)?;
        if file.metadata()?.len() != LENGTH as u64 {
            // Written, and not only allocated: a block that was never written costs what a longer file does.
            file.set_len(0)?;
            io::copy(&mut io::repeat(0).take(LENGTH as u64), &mut file)?;
            file.sync_all()?;
            sync_directory(path.parent().unwrap_or(Path::new(".")))?;
        }
        let direct = match open(path, true) {
            Ok(direct) => Some(direct),
            Err(error) if is_unfit(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            is_direct: direct.is_some(),
            file: direct.unwrap_or(file),
            begun: Vec::with_capacity(BLOCK),
            position: 0,
            memory: Vec::new(),
        })
    }
}

impl Output for Journal {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.begun.len() + bytes.len();
        let padded = length.next_multiple_of(BLOCK);
        self.memory.clear();
        self.memory.resize(padded + BLOCK, 0);
        let start = self.memory.as_ptr().align_offset(BLOCK);
        let blocks = self.memory.get_mut(start..start + padded);
        let blocks = blocks.ok_or_else(|| io::Error::other("memory can't be aligned"))?;
        let (before, rest) = blocks.split_at_mut(self.begun.len());
        before.copy_from_slice(&self.begun);
        let (new, _) = rest.split_at_mut(bytes.len());
        new.copy_from_slice(bytes);
        let blocks = &*blocks;
        match write_at(&mut self.file, blocks, self.position) {
            // A file can be opened so where it can't be written so.
            Err(error) if self.is_direct && is_unfit(&error) => {
                self.file = open(&self.path, false)?;
                self.is_direct = false;
                write_at(&mut self.file, blocks, self.position)?;
            }
            outcome => outcome?,
        }
        let whole = length - length % BLOCK;
        self.begun.clear();
        let begun = blocks.get(whole..length).unwrap_or_default();
        self.begun.extend_from_slice(begun);
        self.position += whole as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Opens the file, past the cache or not.
fn open(path: &Path, is_direct: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if is_direct {
        #[cfg(target_os = "linux")]
        {
            let flag = rustix::fs::OFlags::DIRECT.bits().cast_signed();
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flag);
        }
        #[cfg(not(target_os = "linux"))]
        return Err(ErrorKind::Unsupported.into());
    }
    options.open(path)
}

fn write_at(file: &mut File, bytes: &[u8], position: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(position))?;
    file.write_all(bytes)
}

/// Whether a file system can't write past its cache, or only in larger blocks.
fn is_unfit(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::Unsupported
    )
}

/// The lines of a journal that follow the last one of a log, whose tree and last leaf go on with them.
pub(crate) fn following(
    path: &Path,
    frontier: &mut Frontier,
    last: &mut Hash,
) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(text),
        Err(error) => return Err(error),
    };
    let mut lines = Lines::new(BufReader::new(file.take(LENGTH as u64)));
    while let Some(raw) = lines.next_line()? {
        let header = line::read(&raw.bytes).ok().map(|(header, _)| header);
        let Some(header) = header.filter(|_| raw.is_whole && !raw.is_long) else {
            break;
        };
        if header.seq < frontier.size() {
            continue;
        }
        if header.seq > frontier.size() || header.prev != last.to_base64() {
            break;
        }
        *last = Hash::leaf(&raw.bytes);
        frontier.append(*last);
        text.extend(raw.bytes);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_appended_is_at_the_beginning_past_the_cache_or_not(
            pieces in prop::collection::vec(prop_oneof![0..400usize, 4_000..4_200usize, 0..40_000usize], 1..12),
        ) {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("journal");
            let mut expected = Vec::new();
            let mut journal = Journal::open(&path).unwrap();
            for (number, length) in (1_u8..).zip(pieces) {
                if number == 8 {
                    // As where the file system does not take what the flag asks for.
                    journal.file = open(&path, false).unwrap();
                    journal.is_direct = false;
                }
                let piece = vec![number; length];
                journal.append(&piece).unwrap();
                journal.sync().unwrap();
                expected.extend(piece);
                let text = std::fs::read(&path).unwrap();
                prop_assert_eq!(text.len(), LENGTH);
                prop_assert!(text.starts_with(&expected));
            }
            // Again from the beginning, over what is there.
            Journal::open(&path).unwrap().append(b"anew").unwrap();
            prop_assert!(std::fs::read(&path).unwrap().starts_with(b"anew\0"));
        }
    }
}
