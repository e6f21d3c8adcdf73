//! The upload record: what a multipart upload began with.

use super::{check_length, split_mac};
use crate::checksum::ChecksumKind;
use crate::decode::{Reader, put_prefixed};
use crate::error::{Error, Result};
use crate::header::{Header, MAXIMUM_OBJECT_HEADER_LENGTH};
use crate::keys::UploadHash;
use crate::label::{FORMAT_VERSION, MAC_LENGTH, Purpose, authenticate, verify};
use crate::object::{Body, ObjectSecrets};

const MAGIC: [u8; 4] = *b"SGUP";

/// The prefix of everything that belongs to one upload.
pub fn upload_prefix(upload: UploadHash) -> String {
    format!("uploads/{upload}/")
}

/// The name of an upload's record.
pub fn upload_record_name(upload: UploadHash) -> String {
    format!("uploads/{upload}/record")
}

/// What a multipart upload began with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadRecord {
    /// When the upload began, in milliseconds since 1970.
    pub created: u64,
    /// The checksum that the client named for parts and object.
    pub checksum: Option<ChecksumKind>,
    /// The bucket of the object to be.
    pub bucket: String,
    /// The key of the object to be.
    pub object_key: String,
    /// The upload id that the storage gave.
    pub upload_id: String,
    /// The header of the object to be.
    pub header: Header,
}

impl UploadRecord {
    /// The record's bytes, under the secrets of its header.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the header is not that of a multipart object or of `object` or is too long for S3, or the
    /// record would have more than 65,536 bytes.
    pub fn encode(&self, object: &ObjectSecrets) -> Result<Vec<u8>> {
        if self.header.body() != Body::Multipart || self.header.object_id() != object.object_id() {
            return Err(Error::misuse(
                "an upload record needs the multipart header of its own object",
            ));
        }
        if self.header.as_bytes().len() > MAXIMUM_OBJECT_HEADER_LENGTH {
            return Err(Error::misuse("the header of an upload is too long for S3"));
        }
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FORMAT_VERSION, 0, 0, 0]);
        bytes.extend_from_slice(&self.created.to_be_bytes());
        bytes.extend_from_slice(&ChecksumKind::encode(self.checksum));
        put_prefixed(&mut bytes, self.bucket.as_bytes())?;
        put_prefixed(&mut bytes, self.object_key.as_bytes())?;
        put_prefixed(&mut bytes, self.upload_id.as_bytes())?;
        put_prefixed(&mut bytes, self.header.as_bytes())?;
        let mac = authenticate(&*object.derive(Purpose::Upload, [])?, &[&bytes])?;
        bytes.extend_from_slice(&mac);
        check_length(bytes)
    }

    /// Reads a record's bytes.
    ///
    /// # Errors
    /// [`Error::Stored`] for anything that section 9 does not allow.
    pub fn parse(bytes: &[u8]) -> Result<UnverifiedUploadRecord> {
        let (before, mac) = split_mac(bytes)?;
        let mut reader = Reader::new(before);
        if reader.array()? != MAGIC {
            return Err(Error::stored("the upload record's magic is wrong"));
        }
        if reader.array()? != [FORMAT_VERSION, 0, 0, 0] {
            return Err(Error::stored("the upload record's version is unknown"));
        }
        let record = Self {
            created: reader.u64()?,
            checksum: ChecksumKind::decode(&mut reader)?,
            bucket: reader.prefixed_text()?.to_owned(),
            object_key: reader.prefixed_text()?.to_owned(),
            upload_id: reader.prefixed_text()?.to_owned(),
            header: Header::parse(reader.prefixed()?)?,
        };
        reader.end()?;
        if record.header.as_bytes().len() > MAXIMUM_OBJECT_HEADER_LENGTH {
            return Err(Error::stored(
                "the header in an upload record is too long for S3",
            ));
        }
        if record.header.body() != Body::Multipart {
            return Err(Error::stored(
                "the header in an upload record is not multipart",
            ));
        }
        Ok(UnverifiedUploadRecord {
            record,
            before: before.to_vec(),
            mac: *mac,
        })
    }
}

/// An upload record that nobody has verified yet.
#[derive(Clone, Debug)]
pub struct UnverifiedUploadRecord {
    record: UploadRecord,
    before: Vec<u8>,
    mac: [u8; MAC_LENGTH],
}

impl UnverifiedUploadRecord {
    /// The header to open first; its secrets verify the record.
    pub fn header(&self) -> &Header {
        &self.record.header
    }

    /// What the record claims, for a caller that does not know the bucket and key beforehand: it finds the domain by
    /// them, and then verifies the record for just these.
    pub fn claim(&self) -> &UploadRecord {
        &self.record
    }

    /// Verifies the record with the secrets of its header, opened for the bucket and key that the client asked for.
    ///
    /// # Errors
    /// [`Error::Stored`] if the MAC is wrong, or the record is about another upload, bucket or key than expected.
    pub fn verify(
        self,
        object: &ObjectSecrets,
        bucket: &str,
        object_key: &str,
        upload: UploadHash,
    ) -> Result<UploadRecord> {
        verify(
            &*object.derive(Purpose::Upload, [])?,
            &[&self.before],
            &self.mac,
            "the upload record's MAC is wrong",
        )?;
        let record = self.record;
        if record.bucket != bucket
            || record.object_key != object_key
            || UploadHash::of(&record.upload_id) != upload
            || record.header.object_id() != object.object_id()
        {
            return Err(Error::stored("the upload record is that of another upload"));
        }
        Ok(record)
    }
}
