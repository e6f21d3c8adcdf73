//! Where lines are durable before their segment is: a file whose length never changes.
//!
//! To sync a file that has grown, a file system writes where it ends as well, which takes as long again, and with a journal of its own longer.
//! So lines go to their segment, where readers find them, and once more to this file, which is what is synced. When a checkpoint is due, the
//! segment is synced, and the journal begins anew over what it held. What it holds counts only at a start after a power failure: lines that
//! follow the last one of the log.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read as _, Write as _},
    path::Path,
};

use crate::{
    directory::sync_directory,
    line,
    lines::Lines,
    merkle::{Frontier, Hash},
};

/// How long the journal is: what one checkpoint covers, and room for what comes meanwhile.
pub(super) const LENGTH: usize = 2 << 20;

/// Opens the journal at its beginning; makes it where there is none of the right length.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if file.metadata()?.len() != LENGTH as u64 {
        // Written, and not only allocated: a block that was never written costs what a longer file does.
        file.set_len(0)?;
        io::copy(&mut io::repeat(0).take(LENGTH as u64), &mut file)?;
        file.flush()?;
        file.sync_all()?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))?;
        file = options.open(path)?;
    }
    Ok(file)
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
