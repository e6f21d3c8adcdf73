//! Documents that are signed byte for byte: orders, which change while they are carried out, and certificates, which never do.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};

use super::signing::{PublicKey, SigningKey, beside};

/// The longest document that is read.
const DOCUMENT_LIMIT: u64 = 64 << 20;

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
pub(super) fn write_with_signature(
    path: &Path,
    document: &[u8],
    key: &SigningKey,
) -> anyhow::Result<()> {
    let signature = format!("{}\n", key.sign(document));
    write_whole(&beside(path, ".sig"), signature.as_bytes())?;
    write_whole(path, document)
}

/// The bytes of a document whose signature beside it verifies.
pub(super) fn read_verified(path: &Path, key: &PublicKey) -> anyhow::Result<Vec<u8>> {
    let document = read(path)?;
    let signature = read(&beside(path, ".sig"))?;
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

/// At any time there is the old content or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let written = tempfile::NamedTempFile::new_in(directory).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}
