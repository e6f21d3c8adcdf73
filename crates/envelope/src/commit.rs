//! The commit record: proof that an object was completed by someone with its key, and of which parts (FORMAT.md,
//! section 6).

mod region;

pub use region::{CommitSearch, check_region_shape, first_suffix_length};

use crate::checksum::{Checksum, ChecksumKind, ChecksumType};
use crate::decode::Reader;
use crate::error::{Error, Result};
use crate::keys::{AttemptId, ObjectId, UploadHash};
use crate::layout::MAXIMUM_PARTS;
use crate::object::{ObjectSecrets, PartId};
use crate::parts::ObjectLayout;
use crate::segment::SealedPart;

/// One part in a commit record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitPart {
    /// Number and attempt.
    pub id: PartId,
    /// Bytes of plaintext.
    pub plaintext_length: u64,
    /// The part's checksum, of the object's algorithm; none exactly where the object has none.
    pub checksum: Option<Checksum>,
}

impl From<SealedPart> for CommitPart {
    /// A part without a checksum.
    fn from(part: SealedPart) -> Self {
        Self {
            id: part.id,
            plaintext_length: part.plaintext_length,
            checksum: None,
        }
    }
}

/// The checksum of a whole object, as S3 shows it, and what it covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectChecksum {
    /// The value, without the `-N` that S3 writes behind a composite one.
    pub checksum: Checksum,
    /// Whether it covers the bytes, or the checksums of the parts.
    pub r#type: ChecksumType,
}

/// What is said about a completed object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitRecord {
    object_id: ObjectId,
    upload: Option<UploadHash>,
    checksum: Option<ObjectChecksum>,
    parts: Vec<CommitPart>,
    layout: ObjectLayout,
}

impl CommitRecord {
    /// The record of an object that is complete with these parts. `upload`: the hash of the storage's upload id, for
    /// a multipart object in S3.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the parts break a rule of section 6 or do not fit the header: numbers strictly ascending,
    /// at most 10,000, every part but the last at least 5 MiB; for a header with a length, exactly its one part.
    pub fn new(
        object: &ObjectSecrets,
        parts: Vec<CommitPart>,
        upload: Option<UploadHash>,
        checksum: Option<ObjectChecksum>,
    ) -> Result<Self> {
        let layout = ObjectLayout::new(
            parts.iter().map(|part| (part.id, part.plaintext_length)),
            true,
        )?;
        match object.body().plaintext_length() {
            Some(plaintext_length) => {
                let single = PartId::single(object.object_id());
                let agrees = upload.is_none()
                    && layout.plaintext_length() == plaintext_length
                    && parts.iter().map(|part| part.id).eq([single]);
                if !agrees {
                    return Err(Error::misuse(
                        "the commit record does not agree with the header's length",
                    ));
                }
            }
            None if parts.iter().any(|part| part.id.number() == 0) => {
                return Err(Error::misuse(
                    "the parts of a multipart object are numbered from 1",
                ));
            }
            None => {}
        }
        let algorithm = checksum
            .as_ref()
            .map(|checksum| checksum.checksum.algorithm());
        if parts
            .iter()
            .any(|part| part.checksum.as_ref().map(Checksum::algorithm) != algorithm)
        {
            return Err(Error::misuse(
                "every part needs a checksum of the object's algorithm",
            ));
        }
        Ok(Self {
            object_id: object.object_id(),
            upload,
            checksum,
            parts,
            layout,
        })
    }

    /// The record of an object that is one part, whose length the header names; its checksum, if there is one, is
    /// that of the part too.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a multipart object.
    pub fn single(object: &ObjectSecrets, checksum: Option<Checksum>) -> Result<Self> {
        let plaintext_length = object
            .body()
            .plaintext_length()
            .ok_or_else(|| Error::misuse("the parts of a multipart object must be named"))?;
        let part = CommitPart {
            id: PartId::single(object.object_id()),
            plaintext_length,
            checksum: checksum.clone(),
        };
        let checksum = checksum.map(|checksum| ObjectChecksum {
            checksum,
            r#type: ChecksumType::FullObject,
        });
        Self::new(object, vec![part], None, checksum)
    }

    /// The object that was completed.
    pub fn object_id(&self) -> ObjectId {
        self.object_id
    }

    /// The hash of the storage's upload id, if there was one.
    pub fn upload(&self) -> Option<UploadHash> {
        self.upload
    }

    /// The object's checksum.
    pub fn checksum(&self) -> Option<&ObjectChecksum> {
        self.checksum.as_ref()
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[CommitPart] {
        &self.parts
    }

    /// Where the parts lie; an [`Opener`](crate::opener::Opener) accepts plans made of it.
    pub fn layout(&self) -> &ObjectLayout {
        &self.layout
    }

    /// Bytes of plaintext of the object.
    pub fn plaintext_length(&self) -> u64 {
        self.layout.plaintext_length()
    }

    /// The record's plaintext, a function of the record alone. [`seal_region`](Self::seal_region) seals it.
    pub fn encode(&self) -> Vec<u8> {
        let kind = self.checksum.as_ref().map(|checksum| ChecksumKind {
            algorithm: checksum.checksum.algorithm(),
            r#type: checksum.r#type,
        });
        let mut bytes = Vec::new();
        bytes.extend_from_slice(self.object_id.as_bytes());
        bytes.extend_from_slice(&self.plaintext_length().to_be_bytes());
        bytes.extend_from_slice(
            self.upload
                .map_or([0; 32], |upload| *upload.as_bytes())
                .as_slice(),
        );
        bytes.extend_from_slice(&ChecksumKind::encode(kind));
        if let Some(checksum) = &self.checksum {
            bytes.extend_from_slice(checksum.checksum.value());
        }
        // `ObjectLayout::new` allows 10,000 parts at most.
        let count = u16::try_from(self.parts.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&count.to_be_bytes());
        for part in &self.parts {
            bytes.extend_from_slice(&part.id.number().to_be_bytes());
            bytes.extend_from_slice(&part.plaintext_length.to_be_bytes());
            bytes.extend_from_slice(part.id.attempt().as_bytes());
            if let Some(checksum) = &part.checksum {
                bytes.extend_from_slice(checksum.value());
            }
        }
        bytes
    }

    /// Reads a record's plaintext, and checks it against the header. The bytes must be authentic: readers call
    /// [`open_suffix`](Self::open_suffix).
    ///
    /// # Errors
    /// [`Error::Stored`] for anything that section 6 does not allow, or that does not agree with the header.
    pub fn decode(object: &ObjectSecrets, bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        if ObjectId::from_bytes(reader.array()?) != object.object_id() {
            return Err(Error::stored("the commit record is that of another object"));
        }
        let plaintext_length = reader.u64()?;
        let upload: [u8; 32] = reader.array()?;
        let upload = (upload != [0; 32]).then(|| UploadHash::from_bytes(upload));
        let kind = ChecksumKind::decode(&mut reader)?;
        let read_checksum = |reader: &mut Reader<'_>| {
            kind.map(|kind| Checksum::decode(kind.algorithm, reader))
                .transpose()
        };
        let value = read_checksum(&mut reader)?;
        let checksum = kind.zip(value).map(|(kind, checksum)| ObjectChecksum {
            checksum,
            r#type: kind.r#type,
        });
        let count = reader.u16()?;
        if count == 0 || count > MAXIMUM_PARTS {
            return Err(Error::stored(
                "the commit record's number of parts is not allowed",
            ));
        }
        let mut parts = Vec::new();
        for _ in 0..count {
            let number = reader.u16()?;
            let plaintext_length = reader.u64()?;
            let attempt = AttemptId::from_bytes(reader.array()?);
            let id = if number == 0 && *attempt.as_bytes() == *object.object_id().as_bytes() {
                PartId::single(object.object_id())
            } else {
                PartId::multipart(number, attempt).map_err(|_| {
                    Error::stored("a part number in the commit record is not allowed")
                })?
            };
            parts.push(CommitPart {
                id,
                plaintext_length,
                checksum: read_checksum(&mut reader)?,
            });
        }
        reader.end()?;
        let record = Self::new(object, parts, upload, checksum).map_err(|error| {
            Error::stored(format!(
                "the commit record is not allowed: {}",
                error.detail()
            ))
        })?;
        if record.plaintext_length() != plaintext_length {
            return Err(Error::stored(
                "the lengths in the commit record do not add up",
            ));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests;
