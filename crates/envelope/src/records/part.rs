//! The part record: an object without content whose name says, sealed, how a part was uploaded.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use crate::checksum::{Checksum, ChecksumAlgorithm};
use crate::decode::Reader;
use crate::error::{Error, Result};
use crate::keys::{AttemptId, UploadHash};
use crate::label::Purpose;
use crate::object::{ObjectSecrets, PartId};
use crate::random::{Random, random_array};
use crate::suite::{NONCE_LENGTH, seal_to_vec};

/// The most characters of the sealed path segment: a nonce, 114 bytes and a tag in base32.
const MAXIMUM_SEALED_TEXT_LENGTH: usize = 228;

/// The prefix of an upload's part records.
pub fn part_record_prefix(upload: UploadHash) -> String {
    format!("uploads/{upload}/parts/")
}

/// The name of a part that is held back in the state bucket.
pub fn stash_name(upload: UploadHash, part: PartId) -> String {
    format!(
        "uploads/{upload}/stash/{:05}/{}",
        part.number(),
        part.attempt()
    )
}

/// SHA-256 of an ETag that the storage gave, without quotes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EtagHash([u8; 32]);

impl EtagHash {
    /// The hash of an ETag, which may stand in double quotes.
    pub fn of(etag: &str) -> Self {
        let bare = etag
            .strip_prefix('"')
            .and_then(|etag| etag.strip_suffix('"'))
            .unwrap_or(etag);
        Self(Sha256::digest(bare.as_bytes()).into())
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Where the segments of a part are while its upload is open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PartLocation {
    /// In the storage's multipart upload, as the part with this ETag.
    Upstream(EtagHash),
    /// In the state bucket, under [`stash_name`].
    Stash,
}

/// What is known of an uploaded part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartRecord {
    /// Number and attempt.
    pub id: PartId,
    /// Bytes of plaintext.
    pub plaintext_length: u64,
    /// CRC64NVME of the plaintext.
    pub crc64nvme: u64,
    /// Where its segments are.
    pub location: PartLocation,
    /// The checksum that the client gave or asked for.
    pub checksum: Option<Checksum>,
}

impl PartRecord {
    /// The name of the record: all of it.
    ///
    /// # Errors
    /// [`Error::Machine`] without entropy.
    pub fn seal_name(
        &self,
        object: &ObjectSecrets,
        upload: UploadHash,
        random: &mut dyn Random,
    ) -> Result<String> {
        let mut plaintext = Vec::new();
        plaintext.extend_from_slice(&self.plaintext_length.to_be_bytes());
        plaintext.extend_from_slice(&self.crc64nvme.to_be_bytes());
        match &self.location {
            PartLocation::Upstream(etag) => {
                plaintext.push(0);
                plaintext.extend_from_slice(etag.as_bytes());
            }
            PartLocation::Stash => {
                plaintext.push(1);
                plaintext.extend_from_slice(&[0; 32]);
            }
        }
        match &self.checksum {
            Some(checksum) => {
                plaintext.push(checksum.algorithm().code());
                plaintext.extend_from_slice(checksum.value());
            }
            None => plaintext.push(0),
        }
        let nonce: [u8; NONCE_LENGTH] = random_array(random)?;
        let sealed = seal_to_vec(
            object.aead(Purpose::PartRecord, [])?.as_ref(),
            &nonce,
            &associated_data(object, upload, self.id),
            &plaintext,
        )?;
        let text = BASE32_NOPAD
            .encode(&[&nonce[..], &sealed].concat())
            .to_ascii_lowercase();
        Ok(format!(
            "{}{:05}/{}/{text}",
            part_record_prefix(upload),
            self.id.number(),
            self.id.attempt()
        ))
    }
}

/// The name of a part record, taken apart but not opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartRecordName {
    upload: UploadHash,
    id: PartId,
    sealed: Vec<u8>,
}

impl PartRecordName {
    /// Takes a name apart.
    ///
    /// # Errors
    /// [`Error::Stored`] if it is not the name of a part record, to the letter.
    pub fn parse(name: &str) -> Result<Self> {
        let refused = |detail: &'static str| move || Error::stored(detail);
        let segments: Vec<&str> = name.split('/').collect();
        let ["uploads", upload, "parts", number, attempt, sealed] = segments.as_slice() else {
            return Err(Error::stored("a name is not that of a part record"));
        };
        let upload = upload.parse()?;
        let number = Some(*number)
            .filter(|digits| {
                digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit())
            })
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(refused("the part number in a name is not five digits"))?;
        let id = PartId::multipart(number, attempt.parse::<AttemptId>()?)
            .map_err(|_| Error::stored("the part number in a name is not allowed"))?;
        if sealed.len() > MAXIMUM_SEALED_TEXT_LENGTH
            || sealed.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            return Err(Error::stored("a part record is too long or not lower case"));
        }
        let sealed = BASE32_NOPAD
            .decode(sealed.to_ascii_uppercase().as_bytes())
            .map_err(|_| Error::stored("a part record is not canonical base32"))?;
        Ok(Self { upload, id, sealed })
    }

    /// Number and attempt, as the name has them: authentic once it is [opened](Self::open).
    pub fn id(&self) -> PartId {
        self.id
    }

    /// Opens the record, of the upload whose secrets and hash these are.
    ///
    /// # Errors
    /// [`Error::Stored`] if it is of another upload, part or attempt, or anything about it is not valid.
    pub fn open(&self, object: &ObjectSecrets, upload: UploadHash) -> Result<PartRecord> {
        if self.upload != upload {
            return Err(Error::stored("a part record is of another upload"));
        }
        let (nonce, sealed) = self
            .sealed
            .split_first_chunk::<NONCE_LENGTH>()
            .ok_or_else(|| Error::stored("a part record is too short"))?;
        let mut sealed = sealed.to_vec();
        let plaintext = object
            .aead(Purpose::PartRecord, [])?
            .open(
                nonce,
                &associated_data(object, upload, self.id),
                &mut sealed,
            )
            .map_err(|_| Error::stored("a part record does not open"))?;
        let mut reader = Reader::new(plaintext);
        let plaintext_length = reader.u64()?;
        let crc64nvme = reader.u64()?;
        let stashed = reader.u8()?;
        let etag: [u8; 32] = reader.array()?;
        let location = match stashed {
            0 => PartLocation::Upstream(EtagHash(etag)),
            1 if etag == [0; 32] => PartLocation::Stash,
            _ => return Err(Error::stored("a part record's location is not allowed")),
        };
        let checksum = ChecksumAlgorithm::from_code(reader.u8()?)?
            .map(|algorithm| Checksum::decode(algorithm, &mut reader))
            .transpose()?;
        reader.end()?;
        Ok(PartRecord {
            id: self.id,
            plaintext_length,
            crc64nvme,
            location,
            checksum,
        })
    }
}

fn associated_data(object: &ObjectSecrets, upload: UploadHash, part: PartId) -> Vec<u8> {
    [
        &object.label(Purpose::PartRecord)[..],
        object.object_id().as_bytes(),
        upload.as_bytes(),
        &part.number().to_be_bytes(),
        part.attempt().as_bytes(),
    ]
    .concat()
}
