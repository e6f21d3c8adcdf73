//! The commit region: the sealed record at the end of the stored body, and how to find it there.

use subtle::ConstantTimeEq;

use super::CommitRecord;
use crate::decode::Reader;
use crate::error::{Error, Result};
use crate::label::{MAC_LENGTH, Purpose, authenticate};
use crate::layout::{self, commit_region_length};
use crate::object::ObjectSecrets;
use crate::suite::{NONCE_LENGTH, TAG_LENGTH, seal_to_vec};

/// The first bytes of the tail.
const TAIL_MAGIC: [u8; 4] = *b"SGCR";

/// Bytes of the tail: magic and the length of the sealed record.
const TAIL_LENGTH: usize = 8;

/// What sealing adds to the record: s and a tag.
const SEALED_RECORD_OVERHEAD: usize = MAC_LENGTH + TAG_LENGTH;

/// Bytes to fetch first when a commit region is larger: enough for about 180 parts with the widest checksums.
const FIRST_SUFFIX_LENGTH: u64 = 16 * 1024;

/// How many bytes at the end of a stored body to fetch first for its commit record: the whole region where it is
/// small, else 16 KiB, which hold the record of most objects.
pub fn first_suffix_length(sealed_length: u64) -> u64 {
    let region = layout::plaintext_length(sealed_length).map_or(0, commit_region_length);
    region.min(FIRST_SUFFIX_LENGTH)
}

/// What the end of a stored body gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommitSearch {
    /// The record, authentic and in agreement with the header and the body's length.
    Found(CommitRecord),
    /// The record is longer than what was given: pass this many bytes of the end, at most 1,280,256.
    NeedMore {
        /// Bytes of the end of the stored body.
        suffix_length: u64,
    },
}

impl CommitRecord {
    /// The commit region: everything behind the segments, so that the body gets its length C(P). Two machines that
    /// complete the same upload make the same bytes.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the record is not that of `object`.
    pub fn seal_region(&self, object: &ObjectSecrets) -> Result<Vec<u8>> {
        if self.object_id != object.object_id() {
            return Err(Error::misuse("the commit record is that of another object"));
        }
        let record = self.encode();
        let sealed_length = record.len().saturating_add(SEALED_RECORD_OVERHEAD);
        let tail = encode_tail(sealed_length)?;
        let aad = associated_data(object, tail);
        let s = synthetic(object, &aad, &record)?;
        let sealed = seal_to_vec(
            object.aead(Purpose::Commit, [&s])?.as_ref(),
            &[0; NONCE_LENGTH],
            &aad,
            &record,
        )?;

        let layout = self.layout();
        let region_length = layout
            .sealed_length()
            .checked_sub(layout.segments_length())
            .and_then(|length| usize::try_from(length).ok());
        let padding = region_length
            .and_then(|length| length.checked_sub(sealed_length.checked_add(TAIL_LENGTH)?))
            .ok_or_else(|| Error::misuse("the commit record does not fit into its region"))?;
        let mut region = vec![0; padding];
        region.extend_from_slice(&s);
        region.extend_from_slice(&sealed);
        region.extend_from_slice(&tail);
        Ok(region)
    }

    /// Opens the record from `suffix`, the last bytes of a stored body of `sealed_length` bytes, and checks it against
    /// the header and that length. Every byte of padding in `suffix` is checked too.
    ///
    /// # Errors
    /// [`Error::Stored`] if the body has a length that no sealed object of this header has, or the record is missing,
    /// forged, of another object, or does not fit; [`Error::Misuse`] if `suffix` is longer than the body.
    pub fn open_suffix(
        object: &ObjectSecrets,
        suffix: &[u8],
        sealed_length: u64,
    ) -> Result<CommitSearch> {
        let implied = layout::plaintext_length(sealed_length)
            .ok_or_else(|| Error::stored("no sealed object has the length of this body"))?;
        if object
            .body()
            .plaintext_length()
            .is_some_and(|length| length != implied)
        {
            return Err(Error::stored(
                "the body does not have the length that the header demands",
            ));
        }
        if suffix.len() as u64 > sealed_length {
            return Err(Error::misuse("the suffix is longer than the body"));
        }
        let Found {
            padding,
            sealed,
            tail,
            needed,
        } = match find(suffix, sealed_length, implied)? {
            Search::Found(found) => found,
            Search::NeedMore(suffix_length) => {
                return Ok(CommitSearch::NeedMore { suffix_length });
            }
        };
        let record = Self::open(object, sealed, tail)?;
        if record.plaintext_length() != implied {
            return Err(Error::stored(
                "the body does not have the length that the commit record demands",
            ));
        }
        let padding_length = sealed_length
            .checked_sub(record.layout().segments_length())
            .and_then(|region| region.checked_sub(needed))
            .ok_or_else(|| Error::stored("the commit record overlaps the segments"))?;
        let fetched = usize::try_from(padding_length)
            .unwrap_or(usize::MAX)
            .min(padding.len());
        if padding.iter().rev().take(fetched).any(|byte| *byte != 0) {
            return Err(Error::stored("the commit region's padding is not zero"));
        }
        Ok(CommitSearch::Found(record))
    }

    fn open(object: &ObjectSecrets, sealed: &[u8], tail: [u8; TAIL_LENGTH]) -> Result<Self> {
        let (s, sealed) = sealed
            .split_first_chunk::<MAC_LENGTH>()
            .ok_or_else(|| Error::stored("the commit record is too short"))?;
        let aad = associated_data(object, tail);
        let mut sealed = sealed.to_vec();
        let record = object
            .aead(Purpose::Commit, [s])?
            .open(&[0; NONCE_LENGTH], &aad, &mut sealed)
            .map_err(|_| Error::stored("the commit record does not open"))?;
        if !bool::from(synthetic(object, &aad, record)?.ct_eq(s)) {
            return Err(Error::stored("the commit record's MAC is wrong"));
        }
        Self::decode(object, record)
    }
}

/// A record's place in the end of a stored body.
struct Found<'a> {
    /// What was given in front of the record.
    padding: &'a [u8],
    sealed: &'a [u8],
    tail: [u8; TAIL_LENGTH],
    /// Bytes of record and tail.
    needed: u64,
}

enum Search<'a> {
    Found(Found<'a>),
    /// The record is longer than what was given: so many bytes of the end are needed.
    NeedMore(u64),
}

/// Finds the record by its tail, which is not authentic yet. `implied`: the plaintext length that the body's length means.
fn find(suffix: &[u8], sealed_length: u64, implied: u64) -> Result<Search<'_>> {
    let Some((before, tail)) = suffix.split_last_chunk::<TAIL_LENGTH>() else {
        return Ok(Search::NeedMore(first_suffix_length(sealed_length)));
    };
    let record_length = decode_tail(*tail)?;
    let needed = record_length.saturating_add(TAIL_LENGTH as u64);
    if needed > commit_region_length(implied) {
        return Err(Error::stored("the commit record is longer than its region"));
    }
    let start = usize::try_from(record_length)
        .ok()
        .and_then(|record_length| before.len().checked_sub(record_length));
    Ok(
        match start.and_then(|start| before.split_at_checked(start)) {
            None => Search::NeedMore(needed),
            Some((padding, sealed)) => Search::Found(Found {
                padding,
                sealed,
                tail: *tail,
                needed,
            }),
        },
    )
}

/// Checks what can be told of a commit region without a key: that a record which fits ends the body. Nothing of it is
/// authentic; [`CommitRecord::open_suffix`] verifies.
///
/// # Errors
/// [`Error::Stored`] if a body of this length with this end is none that was completed.
pub fn check_region_shape(suffix: &[u8], sealed_length: u64) -> Result<()> {
    let implied = layout::plaintext_length(sealed_length)
        .ok_or_else(|| Error::stored("no sealed object has the length of this body"))?;
    match find(suffix, sealed_length, implied)? {
        Search::Found(found) if found.sealed.len() < SEALED_RECORD_OVERHEAD => {
            Err(Error::stored("the commit record is too short"))
        }
        Search::Found(_) | Search::NeedMore(_) => Ok(()),
    }
}

/// `A` of section 6.
fn associated_data(object: &ObjectSecrets, tail: [u8; TAIL_LENGTH]) -> Vec<u8> {
    let label = object.label(Purpose::Commit);
    [
        &label[..],
        object.object_id().as_bytes(),
        &[object.body().flags()],
        &tail,
    ]
    .concat()
}

/// `s` of section 6: a MAC over every input of the AEAD, which makes a key of its own for every record.
fn synthetic(object: &ObjectSecrets, aad: &[u8], record: &[u8]) -> Result<[u8; MAC_LENGTH]> {
    let key = object.derive(Purpose::CommitMac, [])?;
    authenticate(&key, &[&(aad.len() as u64).to_be_bytes(), aad, record])
}

fn encode_tail(sealed_length: usize) -> Result<[u8; TAIL_LENGTH]> {
    let length =
        u32::try_from(sealed_length).map_err(|_| Error::misuse("the commit record is too long"))?;
    let mut tail = [0; TAIL_LENGTH];
    let (magic, rest) = tail.split_at_mut(TAIL_MAGIC.len());
    magic.copy_from_slice(&TAIL_MAGIC);
    rest.copy_from_slice(&length.to_be_bytes());
    Ok(tail)
}

fn decode_tail(tail: [u8; TAIL_LENGTH]) -> Result<u64> {
    let mut reader = Reader::new(&tail);
    if reader.array()? != TAIL_MAGIC {
        return Err(Error::stored("the body does not end with a commit record"));
    }
    reader.u32().map(u64::from)
}
