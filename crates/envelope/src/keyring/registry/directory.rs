//! A registry in a directory, for programs that embed this crate: one file a record, named by its identifier.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::HEXLOWER;

use super::{PutOutcome, RegistryStore};
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::key_service_error;
use crate::keys::WorkingKeyId;
use crate::random::{OsRandom, random_array};
use crate::records::MAXIMUM_RECORD_LENGTH;

/// Records as files of one directory. Several processes may share it.
///
/// A record appears whole or not at all: it is written beside its place, synchronised, and linked to its name.
#[derive(Debug)]
pub struct DirectoryRegistry {
    directory: Arc<Path>,
}

impl DirectoryRegistry {
    /// Opens a directory, and makes it if it is not there. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if it cannot be made or is something else than a directory.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|error| {
            Error::misuse(format!(
                "the registry directory {} cannot be made: {error}",
                directory.display()
            ))
        })?;
        Ok(Self {
            directory: directory.into(),
        })
    }

    /// Runs blocking file operations where they do not hold up other tasks.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let directory = Arc::clone(&self.directory);
        let failed = |cause: &str| {
            let detail = format!(
                "the registry directory {}: {cause}",
                self.directory.display()
            );
            key_service_error(KeyServiceFailure::Unavailable, &detail)
        };
        match tokio::task::spawn_blocking(move || operation(&directory)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(_) => Err(failed("the operation was broken off")),
        }
    }
}

#[async_trait]
impl RegistryStore for DirectoryRegistry {
    async fn put_if_absent(&self, id: WorkingKeyId, record: &[u8]) -> Result<PutOutcome> {
        if record.len() > MAXIMUM_RECORD_LENGTH {
            return Err(Error::misuse(
                "a registry record must have at most 65,536 bytes",
            ));
        }
        let suffix: [u8; 8] = random_array(&mut OsRandom)?;
        let record = record.to_vec();
        self.blocking(move |directory| {
            let temporary = directory.join(format!(".{id}.{}.tmp", HEXLOWER.encode(&suffix)));
            let outcome = write_durably(&temporary, &record)
                .and_then(|()| link(&temporary, &directory.join(id.to_string())));
            let removed = fs::remove_file(&temporary);
            let outcome = outcome?;
            removed?;
            File::open(directory)?.sync_all()?;
            Ok(outcome)
        })
        .await
    }

    async fn get(&self, id: WorkingKeyId) -> Result<Option<Vec<u8>>> {
        self.blocking(
            move |directory| match File::open(directory.join(id.to_string())) {
                Ok(file) => read_bounded(&file).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        )
        .await
    }

    async fn list(&self, after: Option<WorkingKeyId>, limit: usize) -> Result<Vec<WorkingKeyId>> {
        self.blocking(move |directory| {
            let mut ids = Vec::new();
            for entry in fs::read_dir(directory)? {
                let name = entry?.file_name();
                let id = name
                    .to_str()
                    .and_then(|name| name.parse::<WorkingKeyId>().ok());
                ids.extend(id.filter(|id| after.is_none_or(|after| *id > after)));
            }
            ids.sort_unstable();
            ids.truncate(limit);
            Ok(ids)
        })
        .await
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A hard link fails where the name is taken; a rename would replace what is there.
fn link(from: &Path, to: &Path) -> io::Result<PutOutcome> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(PutOutcome::Created),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(PutOutcome::Exists),
        Err(error) => Err(error),
    }
}

fn read_bounded(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAXIMUM_RECORD_LENGTH as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAXIMUM_RECORD_LENGTH {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a record has more than 65,536 bytes",
        ));
    }
    Ok(bytes)
}
