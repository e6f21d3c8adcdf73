//! Seals a file and opens it again: `cargo run --example seal_file -- FILE`.
//!
//! Writes `FILE.sealed` beside it. The working key exists only in this process; a program would get it from a key
//! service through the keyring, and could then open the file later.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use sealgate_envelope::header::{HeaderBuilder, HeaderKey};
use sealgate_envelope::io::{SealWriter, SealedFile};
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::{
    Domain, KeyReference, OsRandom, Place, Provider, WorkingKey, WorkingKeyId, Wrap,
};

fn main() -> Result<(), Box<dyn Error>> {
    let path: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("usage: seal_file FILE")?
        .into();
    let mut sealed_path = path.clone().into_os_string();
    sealed_path.push(".sealed");

    let key = WorkingKey::generate(&mut OsRandom)?;
    let reference = KeyReference::of(Provider::Local, "an example")?;
    let wraps = [Wrap::new(Provider::Local, reference, vec![0; 61])?];
    let header_key = HeaderKey {
        id: WorkingKeyId::generate(&mut OsRandom)?,
        key: &key,
        wraps: &wraps,
    };
    let domain = Domain::file();
    let mut metadata = Metadata::new();
    if let Some(name) = path.file_name() {
        metadata.insert("file-name", name.to_string_lossy().as_bytes())?;
    }
    let created = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let header = HeaderBuilder::new(Place::file(&domain), header_key, u64::try_from(created)?)
        .metadata(metadata);

    // Only `finish` makes a complete file.
    let mut plaintext = File::open(&path)?;
    let length = plaintext.metadata()?.len();
    let mut writer = SealWriter::new(File::create(&sealed_path)?, header, Some(length))?;
    io::copy(&mut plaintext, &mut writer)?;
    writer.finish()?.sync_all()?;

    // `open` verifies header, commit record and length before the first byte can be read.
    let sealed = SealedFile::read(BufReader::new(File::open(&sealed_path)?))?;
    let mut reader = sealed.open(&key, &domain)?;
    let read = io::copy(&mut reader, &mut io::sink())?;
    let name = String::from_utf8_lossy(reader.metadata().value("file-name").unwrap_or_default());
    writeln!(io::stdout(), "{name}: {read} bytes sealed and opened again")?;
    Ok(())
}
