//! Reading a sealed file from a pipe.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::FILE_MAGIC;
use super::open::{SealedFile, read_header};

impl SealedFile<File> {
    /// Reads all of a pipe into an unnamed temporary file, ciphertext only, and the header from there. The commit
    /// record stands at the end, so nothing can be released before. What has no valid header is refused at once.
    ///
    /// # Errors
    /// Those of the pipe and of the temporary directory, and [`Error::Stored`](crate::Error::Stored) inside if it is no
    /// sealed file.
    pub fn spool(mut pipe: impl Read) -> io::Result<Self> {
        let (header, _) = read_header(&mut pipe)?;
        let mut file = tempfile::tempfile()?;
        let length = u32::try_from(header.as_bytes().len()).unwrap_or(u32::MAX);
        file.write_all(&FILE_MAGIC)?;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(header.as_bytes())?;
        io::copy(&mut pipe, &mut file)?;
        file.rewind()?;
        Self::read(file)
    }
}
