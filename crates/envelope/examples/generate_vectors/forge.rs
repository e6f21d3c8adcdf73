//! A writer that keeps no rule: what it makes carries valid tags and MACs, so that a reader must check the rules.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sealgate_envelope::suite::{Backend, Suite, aead};
use sha2::Sha256;

use crate::Outcome;
use crate::seeded::Seeded;

/// The label of a purpose for a suite's number, known or not.
pub(crate) fn label(suite: u8, purpose: &str) -> Vec<u8> {
    let mut label = [b"sealgate", &[1, suite][..], purpose.as_bytes()].concat();
    label.resize(24, 0);
    label
}

pub(crate) fn expand(key: &[u8; 32], info: &[u8]) -> Outcome<[u8; 32]> {
    let mut derived = [0; 32];
    Hkdf::<Sha256>::from_prk(key)
        .map_err(|error| error.to_string())?
        .expand(info, &mut derived)
        .map_err(|error| error.to_string())?;
    Ok(derived)
}

pub(crate) fn mac(key: &[u8; 32], message: &[u8]) -> Outcome<[u8; 32]> {
    Ok(Hmac::<Sha256>::new_from_slice(key)?
        .chain_update(message)
        .finalize()
        .into_bytes()
        .into())
}

/// SEAL; an unknown suite is computed as AES-256-GCM.
pub(crate) fn seal(
    suite: u8,
    key: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    plaintext: &[u8],
) -> Outcome<Vec<u8>> {
    let suite = Suite::from_code(suite).unwrap_or(Suite::Aes256Gcm);
    let mut buffer = [plaintext, &[0; 16]].concat();
    aead(suite, Backend::default(), key)?.seal(&nonce, aad, &mut buffer)?;
    Ok(buffer)
}

pub(crate) fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A wrap's bytes.
pub(crate) fn wrap(provider: u8, blob: &[u8]) -> Vec<u8> {
    let length = u16::try_from(blob.len()).unwrap_or(u16::MAX);
    [&[provider][..], &[0x5a; 8], &length.to_be_bytes(), blob].concat()
}

/// One object, every field of it free.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u8,
    pub(crate) suite: u8,
    pub(crate) flags: u8,
    pub(crate) exponent: u8,
    pub(crate) working_key_id: [u8; 16],
    pub(crate) working_key: [u8; 32],
    pub(crate) data_key: [u8; 32],
    pub(crate) wrap_salt: [u8; 32],
    pub(crate) object_id: [u8; 16],
    pub(crate) length: u64,
    pub(crate) created: u64,
    /// The sealed metadata's plaintext, padding and all.
    pub(crate) metadata: Vec<u8>,
    /// The number of wraps, and the wraps.
    pub(crate) wraps: Vec<u8>,
    pub(crate) domain: String,
    pub(crate) object_key: String,
    /// Added behind the last wrap, before the MAC.
    pub(crate) excess: Vec<u8>,
}

impl Forge {
    /// A correct single object of `length` bytes, without metadata.
    pub(crate) fn new(seed: &str, length: u64) -> Self {
        let mut random = Seeded::new(seed);
        Self {
            magic: *b"SGHD",
            version: 1,
            suite: 1,
            flags: 0,
            exponent: 16,
            working_key_id: random.array(),
            working_key: random.array(),
            data_key: random.array(),
            wrap_salt: random.array(),
            object_id: random.array(),
            length,
            created: 1_700_000_000_000,
            metadata: vec![0; 32],
            wraps: [vec![1], wrap(1, &[0x77; 40])].concat(),
            domain: "deployment/bucket".to_owned(),
            object_key: "a key".to_owned(),
            excess: Vec::new(),
        }
    }

    pub(crate) fn key(&self, purpose: &str, info: &[u8]) -> Outcome<[u8; 32]> {
        expand(
            &self.data_key,
            &[&label(self.suite, purpose)[..], info].concat(),
        )
    }

    /// All of the header but the MAC.
    fn unauthenticated_header(&self) -> Outcome<Vec<u8>> {
        let wrap_label = label(self.suite, "wrap");
        let wrap_key = expand(
            &self.working_key,
            &[&wrap_label[..], &self.wrap_salt].concat(),
        )?;
        let wrap_aad = [&wrap_label[..], &self.object_id].concat();
        let sealed_data_key = seal(self.suite, &wrap_key, [0; 12], &wrap_aad, &self.data_key)?;
        let nonce = [0x4d; 12];
        let metadata_aad = [label(self.suite, "meta"), self.object_id.to_vec()].concat();
        let metadata = seal(
            self.suite,
            &self.key("meta", &[])?,
            nonce,
            &metadata_aad,
            &self.metadata,
        )?;
        let metadata_length = u16::try_from(12 + metadata.len())?;
        Ok([
            &self.magic[..],
            &[self.version, self.suite, self.flags, self.exponent],
            &self.working_key_id,
            &self.wrap_salt,
            &self.object_id,
            &self.length.to_be_bytes(),
            &self.created.to_be_bytes(),
            &sealed_data_key,
            &metadata_length.to_be_bytes(),
            &nonce,
            &metadata,
            &self.wraps,
            &self.excess,
        ]
        .concat())
    }

    /// The header, with a right MAC over whatever it is.
    pub(crate) fn header(&self) -> Outcome<Vec<u8>> {
        let header = self.unauthenticated_header()?;
        let place = [
            prefixed(self.domain.as_bytes()),
            prefixed(self.object_key.as_bytes()),
        ]
        .concat();
        let mac = mac(&self.key("header", &[])?, &[&header[..], &place].concat())?;
        Ok([&header[..], &mac].concat())
    }

    /// The segments of a part.
    pub(crate) fn segments(
        &self,
        number: u16,
        attempt: [u8; 16],
        plaintext: &[u8],
    ) -> Outcome<Vec<u8>> {
        let info = [&self.object_id[..], &number.to_be_bytes(), &attempt].concat();
        let key = self.key("body", &info)?;
        let count = plaintext.len().div_ceil(65_536);
        let mut sealed = Vec::new();
        for (index, segment) in plaintext.chunks(65_536).enumerate() {
            let nonce: [u8; 12] = Seeded::new(&format!("segment {number} {index}")).array();
            let last = u8::from(index + 1 == count);
            let aad = [&(index as u64).to_be_bytes()[..], &[last]].concat();
            sealed.extend(nonce);
            sealed.extend(seal(self.suite, &key, nonce, &aad, segment)?);
        }
        Ok(sealed)
    }

    /// The sealed record and its tail, of any record.
    pub(crate) fn sealed_record(&self, record: &[u8]) -> Outcome<Vec<u8>> {
        let length = u32::try_from(48 + record.len())?;
        let tail = [&b"SGCR"[..], &length.to_be_bytes()].concat();
        let aad = self.record_aad(&tail);
        let message = [&(aad.len() as u64).to_be_bytes()[..], &aad, record].concat();
        let s = mac(&self.key("commit-mac", &[])?, &message)?;
        self.record_under(s, record)
    }

    /// As [`Self::sealed_record`], but under any s.
    pub(crate) fn record_under(&self, s: [u8; 32], record: &[u8]) -> Outcome<Vec<u8>> {
        let length = u32::try_from(48 + record.len())?;
        let tail = [&b"SGCR"[..], &length.to_be_bytes()].concat();
        let sealed = seal(
            self.suite,
            &self.key("commit", &s)?,
            [0; 12],
            &self.record_aad(&tail),
            record,
        )?;
        Ok([&s[..], &sealed, &tail].concat())
    }

    fn record_aad(&self, tail: &[u8]) -> Vec<u8> {
        [
            &label(self.suite, "commit")[..],
            &self.object_id,
            &[self.flags],
            tail,
        ]
        .concat()
    }
}

/// A commit record, every field of it free.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) object_id: [u8; 16],
    pub(crate) length: u64,
    pub(crate) upload: [u8; 32],
    pub(crate) algorithm: u8,
    pub(crate) r#type: u8,
    pub(crate) checksum: Vec<u8>,
    pub(crate) count: u16,
    /// Number, length, attempt, checksum.
    pub(crate) parts: Vec<(u16, u64, [u8; 16], Vec<u8>)>,
    pub(crate) excess: Vec<u8>,
}

impl Record {
    /// The right record of a forged single object.
    pub(crate) fn single(forge: &Forge) -> Self {
        Self {
            object_id: forge.object_id,
            length: forge.length,
            upload: [0; 32],
            algorithm: 0,
            r#type: 0,
            checksum: Vec::new(),
            count: 1,
            parts: vec![(0, forge.length, forge.object_id, Vec::new())],
            excess: Vec::new(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = [
            &self.object_id[..],
            &self.length.to_be_bytes(),
            &self.upload,
            &[self.algorithm, self.r#type],
            &self.checksum,
            &self.count.to_be_bytes(),
        ]
        .concat();
        for (number, length, attempt, checksum) in &self.parts {
            bytes.extend(number.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            bytes.extend(attempt);
            bytes.extend(checksum);
        }
        bytes.extend(&self.excess);
        bytes
    }
}
