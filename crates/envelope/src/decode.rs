//! Strict reading of fixed-width, big-endian fields.

use crate::error::{Error, Result};

/// A cursor over bytes that somebody else wrote: every read is checked, nothing is skipped silently.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| Error::stored("a structure is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| Error::stored("a structure is cut short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// `lp(x)` of section 1: a `u32` length and so many bytes. The bytes must be there, so no length allocates.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.u32()?)
            .map_err(|_| Error::stored("a length prefix is too large"))?;
        self.bytes(length)
    }

    /// `lp(text)`: as [`prefixed`](Self::prefixed), and UTF-8.
    pub(crate) fn prefixed_text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.prefixed()?).map_err(|_| Error::stored("a text is not UTF-8"))
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may follow.
    pub(crate) fn end(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::stored("bytes follow the end of a structure"))
        }
    }
}

/// Appends `lp(x)`.
///
/// # Errors
/// [`Error::Misuse`] if `bytes` has 4 GiB or more.
pub(crate) fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    let length =
        u32::try_from(bytes.len()).map_err(|_| Error::misuse("a field is longer than 4 GiB"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
