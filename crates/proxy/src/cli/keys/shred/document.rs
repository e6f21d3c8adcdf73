//! Documents that are signed byte for byte: orders, which change while they are carried out, and certificates, which never do.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};
use tempfile::{NamedTempFile, PersistError};

use super::signing::{PublicKey, SigningKey, beside};

/// What stands behind a document's name in that of its signature.
const SIGNATURE: &str = ".sig";

/// The longest document that is read.
const DOCUMENT_LIMIT: u64 = 256 << 20;

/// The JSON that is signed.
pub(super) fn encode(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a document with its signature in the first line, whole or not at all.
pub(super) fn write_signed(
    path: &Path,
    value: &impl Serialize,
    key: &SigningKey,
) -> anyhow::Result<()> {
    let document = encode(value)?;
    let signature = key.sign(&document);
    write_whole(path, &[signature.as_bytes(), b"\n", &document].concat())
}

/// Reads what [`write_signed`] wrote.
pub(super) fn read_signed<T: DeserializeOwned>(path: &Path, key: &PublicKey) -> anyhow::Result<T> {
    let bytes = read(path)?;
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        bail!("{} is cut short", path.display());
    };
    let (signature, document) = bytes.split_at(end);
    let document = document.get(1..).unwrap_or_default();
    let signature = std::str::from_utf8(signature).unwrap_or_default();
    ensure!(
        key.verifies(document, signature),
        "{} was not signed by the signing key {}, or was altered since",
        path.display(),
        key.fingerprint()
    );
    serde_json::from_slice(document)
        .with_context(|| format!("{} is signed and cannot be read", path.display()))
}

/// Writes a document, and its signature beside it: first the signature, so that a document that is there can be verified.
///
/// # Errors
///
/// Where there is a document already: it is never replaced.
pub(super) fn write_with_signature(
    path: &Path,
    document: &[u8],
    key: &SigningKey,
) -> anyhow::Result<()> {
    ensure!(!path.exists(), "{} exists", path.display());
    let signature = format!("{}\n", key.sign(document));
    write_whole(&beside(path, SIGNATURE), signature.as_bytes())?;
    write(path, document, |file| file.persist_noclobber(path))
}

/// That a document can be written there, and its signature: nothing is there yet, and a file can be made.
pub(super) fn try_place(path: &Path) -> anyhow::Result<()> {
    ensure!(!path.exists(), "{} exists", path.display());
    // As it is written later: where files cannot be linked, that fails, and must not fail only then.
    let trial = NamedTempFile::new_in(directory_of(path)).and_then(|file| {
        let trial = beside(file.path(), ".trial");
        file.persist_noclobber(&trial)
            .map_err(|error| error.error)?;
        fs::remove_file(&trial)
    });
    trial.with_context(|| format!("{} could not be written", path.display()))
}

/// The bytes of a document whose signature beside it verifies.
pub(super) fn read_verified(path: &Path, key: &PublicKey) -> anyhow::Result<Vec<u8>> {
    let document = read(path)?;
    let beside = beside(path, SIGNATURE);
    ensure!(
        beside.exists(),
        "there is no signature {}: it was written beside the certificate, with {SIGNATURE} behind its name; get it from where you have the certificate from, and put it there",
        beside.display()
    );
    let signature = read(&beside)?;
    let signature = std::str::from_utf8(&signature)
        .ok()
        .and_then(|text| text.strip_suffix('\n'));
    ensure!(
        signature.is_some_and(|signature| key.verifies(&document, signature)),
        "{} does not bear the signature of the key {}: it was altered, or another key signed it",
        path.display(),
        key.fingerprint()
    );
    Ok(document)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let metadata = fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?;
    ensure!(metadata.len() <= DOCUMENT_LIMIT, "{shown} is too long");
    fs::read(path).with_context(|| format!("{shown} cannot be read"))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// At any time there is the old content or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write(path, bytes, |file| file.persist(path))
}

fn write(
    path: &Path,
    bytes: &[u8],
    persist: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> anyhow::Result<()> {
    let directory = directory_of(path);
    let written = NamedTempFile::new_in(directory).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        persist(file).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_for_others_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.json");
        let (key, _) = SigningKey::open_or_create(&directory.path().join("key")).unwrap();
        let public = key.public().unwrap();
        try_place(&path).unwrap();
        let left = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 2, "the signing key and its public part alone");
        assert!(try_place(&directory.path().join("missing/c.json")).is_err());
        write_with_signature(&path, b"first", &key).unwrap();
        assert!(try_place(&path).is_err());
        assert!(write_with_signature(&path, b"second", &key).is_err());
        assert_eq!(read_verified(&path, &public).unwrap(), b"first");
        fs::remove_file(beside(&path, SIGNATURE)).unwrap();
        let refused = read_verified(&path, &public).unwrap_err().to_string();
        assert!(
            refused.contains("c.json.sig") && refused.contains("beside the certificate"),
            "{refused}"
        );
    }
}
