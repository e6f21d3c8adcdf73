//! Writing sealed files.

use std::io::{self, Write};

use super::FILE_MAGIC;
use crate::commit::CommitRecord;
use crate::error::Error;
use crate::header::{Carrier, HeaderBuilder};
use crate::keys::AttemptId;
use crate::object::{Body, ObjectSecrets, PartId};
use crate::random::{OsRandom, Random};
use crate::sealer::Sealer;

/// Sealed bytes are passed on when this many are ready.
const FLUSH_LENGTH: usize = 1 << 20;

/// Seals what is written to it into `W`, in bounded memory (about 2 MiB).
///
/// Only [`finish`](Self::finish) completes the file. A writer that is dropped before leaves a file that never opens;
/// delete it. After one failure every later call fails.
#[derive(Debug)]
pub struct SealWriter<W: Write, R: Random + Clone = OsRandom> {
    writer: W,
    object: ObjectSecrets,
    sealer: Sealer<R>,
    buffer: Vec<u8>,
    failed: bool,
}

impl<W: Write> SealWriter<W> {
    /// Starts a file: writes its header. With `plaintext_length` exactly so many bytes must follow; without, the length
    /// is found at the end.
    ///
    /// # Errors
    /// Those of [`HeaderBuilder::seal`] and of the writer.
    pub fn new(
        writer: W,
        header: HeaderBuilder<'_>,
        plaintext_length: Option<u64>,
    ) -> io::Result<Self> {
        Self::with_random(writer, header, plaintext_length, OsRandom)
    }
}

impl<W: Write, R: Random + Clone> SealWriter<W, R> {
    /// As [`new`](SealWriter::new), with other random numbers: for tests.
    ///
    /// # Errors
    /// As [`new`](SealWriter::new).
    pub fn with_random(
        mut writer: W,
        header: HeaderBuilder<'_>,
        plaintext_length: Option<u64>,
        mut random: R,
    ) -> io::Result<Self> {
        let body = plaintext_length.map_or(Body::Multipart, |plaintext_length| Body::Single {
            plaintext_length,
        });
        let sealed = header.carrier(Carrier::File).seal(body, &mut random)?;
        let id = match body {
            Body::Multipart => PartId::multipart(1, AttemptId::generate(&mut random)?)?,
            Body::Single { .. } | Body::Verified { .. } => {
                PartId::single(sealed.secrets.object_id())
            }
        };
        let bytes = sealed.header.as_bytes();
        let length =
            u32::try_from(bytes.len()).map_err(|_| Error::misuse("the header is too long"))?;
        writer.write_all(&FILE_MAGIC)?;
        writer.write_all(&length.to_be_bytes())?;
        writer.write_all(bytes)?;
        Ok(Self {
            writer,
            sealer: Sealer::with_random(&sealed.secrets, id, random)?,
            object: sealed.secrets,
            buffer: Vec::with_capacity(FLUSH_LENGTH.saturating_add(1 << 17)),
            failed: false,
        })
    }

    /// Bytes of plaintext written so far.
    pub fn plaintext_length(&self) -> u64 {
        self.sealer.plaintext_length()
    }

    /// Seals the last segment, writes the commit region, flushes, and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer, and [`Error::Misuse`] inside if the plaintext did not have the promised length or a call
    /// had failed.
    pub fn finish(mut self) -> io::Result<W> {
        if self.failed {
            return Err(failed());
        }
        let part = self.sealer.finish(&mut self.buffer)?;
        let record = match self.object.body() {
            Body::Multipart => CommitRecord::new(&self.object, vec![part.into()], None, None)?,
            Body::Single { .. } | Body::Verified { .. } => {
                CommitRecord::single(&self.object, None)?
            }
        };
        self.buffer.extend(record.seal_region(&self.object)?);
        self.writer.write_all(&self.buffer)?;
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn push(&mut self, plaintext: &[u8]) -> io::Result<()> {
        self.sealer.push(plaintext, &mut self.buffer)?;
        let ready = self.buffer.len().saturating_sub(self.sealer.withheld());
        if ready >= FLUSH_LENGTH {
            self.writer
                .write_all(self.buffer.get(..ready).unwrap_or_default())?;
            self.buffer.drain(..ready);
        }
        Ok(())
    }
}

impl<W: Write, R: Random + Clone> Write for SealWriter<W, R> {
    /// Takes at most 1 MiB of `plaintext`.
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(failed());
        }
        let taken = plaintext.get(..FLUSH_LENGTH).unwrap_or(plaintext);
        self.push(taken)?;
        self.failed = false;
        Ok(taken.len())
    }

    /// Does nothing: the segment that is still growing cannot be written before it is sealed.
    fn flush(&mut self) -> io::Result<()> {
        if self.failed { Err(failed()) } else { Ok(()) }
    }
}

fn failed() -> io::Error {
    Error::misuse("the file could not be sealed, an earlier call has failed").into()
}
