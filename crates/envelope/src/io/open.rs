//! Reading sealed files.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::{FILE_MAGIC, PREAMBLE_LENGTH};
use crate::commit::{CommitRecord, CommitSearch};
use crate::decode::Reader;
use crate::domain::{Domain, Place};
use crate::error::{Error, Result};
use crate::header::{Header, MAXIMUM_FILE_HEADER_LENGTH, OpenedHeader};
use crate::keys::WorkingKey;
use crate::layout::{SEALED_SEGMENT_LENGTH, commit_region_length, plaintext_length};
use crate::metadata::Metadata;
use crate::object::Body;
use crate::opener::Opener;
use crate::parts::ObjectLayout;
use crate::suite::Backend;

/// A sealed file whose header was read and is not open yet: it names the working key that is needed.
#[derive(Debug)]
pub struct SealedFile<R> {
    pub(super) reader: R,
    pub(super) header: Header,
    pub(super) body_start: u64,
}

/// Reads magic and header; leaves the reader at the body.
pub(super) fn read_header(reader: &mut impl Read) -> io::Result<(Header, u64)> {
    let mut preamble = [0; PREAMBLE_LENGTH];
    read_exact(reader, &mut preamble)?;
    let mut fields = Reader::new(&preamble);
    if fields.array()? != FILE_MAGIC {
        return Err(Error::stored("the file is not a sealed file").into());
    }
    let length = usize::try_from(fields.u32()?)
        .ok()
        .filter(|length| *length <= MAXIMUM_FILE_HEADER_LENGTH)
        .ok_or_else(|| Error::stored("the file's header is too long"))?;
    let mut header = vec![0; length];
    read_exact(reader, &mut header)?;
    let start = PREAMBLE_LENGTH.saturating_add(length) as u64;
    Ok((Header::parse(&header)?, start))
}

/// As `Read::read_exact`, but an early end is the stored data's fault.
fn read_exact(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
    reader
        .read_exact(buffer)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::stored("the file is cut short").into(),
            _ => error,
        })
}

impl<R: Read + Seek> SealedFile<R> {
    /// Reads the header of a sealed file that begins at the start of `reader`.
    ///
    /// # Errors
    /// Those of the reader, and [`Error::Stored`] inside if it is no sealed file.
    pub fn read(mut reader: R) -> io::Result<Self> {
        reader.seek(SeekFrom::Start(0))?;
        let (header, body_start) = read_header(&mut reader)?;
        Ok(Self {
            reader,
            header,
            body_start,
        })
    }

    /// The header, not authentic yet: it says which working key to get, and from which wraps.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Opens the file with its working key for the domain it is expected to be of. Header, commit record and the
    /// length of the file are verified before any plaintext can be read.
    ///
    /// # Errors
    /// Those of the reader, and [`Error::Stored`] inside if the file is not genuine, not complete, or of another
    /// domain.
    pub fn open(self, working_key: &WorkingKey, domain: &Domain) -> io::Result<OpenReader<R>> {
        self.open_with(working_key, domain, Backend::default())
    }

    /// As [`open`](Self::open), computed by `backend`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        mut self,
        working_key: &WorkingKey,
        domain: &Domain,
        backend: Backend,
    ) -> io::Result<OpenReader<R>> {
        let header = self
            .header
            .open_with(working_key, Place::file(domain), backend)?;
        let end = self.reader.seek(SeekFrom::End(0))?;
        let sealed_length = end
            .checked_sub(self.body_start)
            .ok_or_else(|| Error::stored("the file is cut short"))?;
        let region_length = plaintext_length(sealed_length)
            .map(commit_region_length)
            .ok_or_else(|| Error::stored("no sealed file has this length"))?;
        let start = end
            .checked_sub(region_length)
            .ok_or_else(|| Error::stored("the file is cut short"))?;
        self.reader.seek(SeekFrom::Start(start))?;
        let mut region = vec![0; usize::try_from(region_length).unwrap_or_default()];
        read_exact(&mut self.reader, &mut region)?;
        let record = match CommitRecord::open_suffix(header.secrets(), &region, sealed_length)? {
            CommitSearch::Found(record) => record,
            CommitSearch::NeedMore { .. } => {
                return Err(Error::stored("the commit record is incomplete").into());
            }
        };
        check_parts(&record, header.body())?;
        Ok(OpenReader {
            layout: record.layout().clone(),
            header,
            reader: self.reader,
            body_start: self.body_start,
            position: 0,
            opener: None,
            segment: vec![0; SEALED_SEGMENT_LENGTH],
            released: 0..0,
            failure: None,
        })
    }
}

/// A file of unknown length is one part, number 1, of no upload (section 8).
fn check_parts(record: &CommitRecord, body: Body) -> Result<()> {
    let one_part =
        record.upload().is_none() && record.parts().iter().map(|part| part.id.number()).eq([1]);
    if body == Body::Multipart && !one_part {
        return Err(Error::stored(
            "a file of unknown length must be one part, number 1",
        ));
    }
    Ok(())
}

/// Reads and seeks in the plaintext of a sealed file. Nothing comes out that was not authenticated; after one segment
/// that does not open every later read fails.
pub struct OpenReader<R> {
    reader: R,
    header: OpenedHeader,
    layout: ObjectLayout,
    body_start: u64,
    /// Of the next byte of plaintext to be read.
    position: u64,
    /// What opens the segments from `position` on, behind the released bytes; none after a seek.
    opener: Option<Opener>,
    segment: Vec<u8>,
    /// Bytes of `segment` that are plaintext and not read yet.
    released: Range<usize>,
    failure: Option<Error>,
}

impl<R> OpenReader<R> {
    /// The file's metadata.
    pub fn metadata(&self) -> &Metadata {
        self.header.metadata()
    }

    /// The opened header.
    pub fn header(&self) -> &OpenedHeader {
        &self.header
    }

    /// Bytes of plaintext.
    pub fn plaintext_length(&self) -> u64 {
        self.layout.plaintext_length()
    }
}

impl<R: Read + Seek> OpenReader<R> {
    /// Opens the next segment.
    fn advance(&mut self) -> io::Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let opener = match &mut self.opener {
            Some(opener) => opener,
            none => {
                let plan = self
                    .layout
                    .plan(self.position..self.layout.plaintext_length())?;
                let start = self.body_start.saturating_add(plan.ciphertext().start);
                self.reader.seek(SeekFrom::Start(start))?;
                none.insert(Opener::new(self.header.secrets(), plan)?)
            }
        };
        let Some(segment) = opener
            .next_length()
            .and_then(|length| self.segment.get_mut(..length))
        else {
            return Ok(());
        };
        if let Err(error) = self.reader.read_exact(segment) {
            // Where the reader now stands is unknown: the next attempt seeks again.
            self.opener = None;
            return Err(error);
        }
        match opener.open_segment(segment) {
            Ok(released) => self.released = released,
            Err(error) => {
                self.failure = Some(error.clone());
                return Err(error.into());
            }
        }
        Ok(())
    }
}

impl<R: Read + Seek> Read for OpenReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || (self.position >= self.plaintext_length() && self.failure.is_none()) {
            return Ok(0);
        }
        if self.released.is_empty() {
            self.advance()?;
        }
        let available = self.segment.get(self.released.clone()).unwrap_or_default();
        let count = available.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        self.released.start = self.released.start.saturating_add(count);
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for OpenReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.plaintext_length().checked_add_signed(offset),
        }
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a seek to before the start"))?;
        if position != self.position {
            self.position = position;
            self.released = 0..0;
            self.opener = None;
        }
        Ok(position)
    }
}

impl<R> fmt::Debug for OpenReader<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OpenReader")
            .field("header", &self.header)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
