//! Files of keys and signatures on the machine of whoever signs.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use sealgate_access::PrivateKey;
use zeroize::Zeroizing;

/// The longest file of a key or a signature, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// Reads a short text.
pub(super) fn read_text(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_LIMIT + 1)
        .read_to_string(&mut text)
        .with_context(|| path.display().to_string())?;
    ensure!(
        text.len() as u64 <= FILE_LIMIT,
        "{} is longer than {FILE_LIMIT} bytes: it is another file",
        path.display()
    );
    Ok(text)
}

/// Reads a private key, which nobody else may read.
pub(super) fn read_private(path: &Path) -> anyhow::Result<PrivateKey> {
    let mode = std::fs::metadata(path)
        .with_context(|| path.display().to_string())?
        .permissions()
        .mode();
    let of_others = mode & 0o077;
    ensure!(
        of_others == 0,
        "{} can be read by others than its owner: chmod 600 it, and think about making a new key",
        path.display()
    );
    let text = read_text(path)?;
    PrivateKey::parse(&text).with_context(|| path.display().to_string())
}

/// Writes a file that must not exist, for its owner alone.
pub(super) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("{} can't be made", path.display()))
}

/// Waits until nobody else on this machine writes a file. The lock ends with what is returned.
pub(super) fn lock(path: &Path) -> anyhow::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(&name);
    let file = file.and_then(|file| file.lock().map(|()| file));
    file.with_context(|| format!("{} can't be locked", Path::new(&name).display()))
}

/// Replaces a file at once, so that whoever reads it sees the one or the other.
pub(super) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}
