//! Where bytes come from: a file, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sealgate_envelope::io::SealedFile;

use super::is_stream;

/// An input that is open.
#[derive(Debug)]
pub(in crate::cli) struct Input {
    path: PathBuf,
    /// `None` for standard input.
    file: Option<File>,
    length: Option<u64>,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(in crate::cli) fn open(path: &Path) -> anyhow::Result<Self> {
        if is_stream(path) {
            return Ok(Self {
                path: path.to_owned(),
                file: None,
                length: None,
            });
        }
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("{shown} can't be read"))?;
        let metadata = file
            .metadata()
            .with_context(|| format!("{shown} can't be read"))?;
        ensure!(
            !metadata.is_dir(),
            "{shown} is a directory; name a file, or pipe an archive of it into `-`"
        );
        let length = metadata.is_file().then_some(metadata.len());
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            length,
        })
    }

    /// The length, where it is known beforehand.
    pub(in crate::cli) fn length(&self) -> Option<u64> {
        self.length
    }

    /// For messages.
    pub(in crate::cli) fn name(&self) -> String {
        if self.file.is_some() {
            self.path.display().to_string()
        } else {
            "standard input".to_owned()
        }
    }

    /// Its bytes.
    pub(in crate::cli) fn into_reader(self) -> Box<dyn Read + Send> {
        match self.file {
            Some(file) => Box::new(file),
            None => Box::new(io::stdin()),
        }
    }

    /// A file to seek in. What comes from a pipe is kept, as it is, in an unnamed temporary file.
    pub(in crate::cli) fn into_file(self) -> anyhow::Result<File> {
        if self.length.is_some()
            && let Some(file) = self.file
        {
            return Ok(file);
        }
        let mut file = tempfile::tempfile().context("no temporary file could be made")?;
        io::copy(&mut self.into_reader(), &mut file)
            .context("the input can't be kept in a temporary file")?;
        Ok(file)
    }

    /// The sealed file that it is. What comes from a pipe is spooled, as it is, because the commit record is at its end.
    pub(in crate::cli) fn into_sealed_file(self) -> anyhow::Result<SealedFile<File>> {
        let name = self.name();
        let sealed = match (self.file, self.length) {
            (Some(file), Some(_)) => SealedFile::read(file),
            (Some(pipe), None) => SealedFile::spool(pipe),
            (None, _) => SealedFile::spool(io::stdin().lock()),
        };
        sealed.with_context(|| format!("{name} can't be opened"))
    }
}
