//! The registry record of a working key: all its wraps, so that rotation touches no object.

use super::{check_length, split_mac};
use crate::decode::{Reader, put_prefixed};
use crate::domain::Domain;
use crate::error::{Error, Result};
use crate::keys::{WorkingKey, WorkingKeyId};
use crate::label::{FORMAT_VERSION, MAC_LENGTH, Purpose, authenticate, expand, verify};
use crate::wrap::Wrap;

const MAGIC: [u8; 4] = *b"SGWK";

/// The most wraps in a registry record.
const MAXIMUM_REGISTRY_WRAPS: usize = 16;

/// The prefix of every registry record.
pub fn registry_prefix() -> &'static str {
    "registry/"
}

/// The name of a working key's record.
pub fn registry_name(id: WorkingKeyId) -> String {
    format!("{}{id}", registry_prefix())
}

/// What is known of a working key beside the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryRecord {
    /// Its identifier.
    pub id: WorkingKeyId,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// The only domain that it seals for.
    pub domain: Domain,
    /// Its wraps, 1 to 16.
    pub wraps: Vec<Wrap>,
}

impl RegistryRecord {
    /// The record's bytes, under the working key itself.
    ///
    /// # Errors
    /// [`Error::Misuse`] unless there are 1 to 16 wraps.
    pub fn encode(&self, key: &WorkingKey) -> Result<Vec<u8>> {
        let count = u8::try_from(self.wraps.len())
            .ok()
            .filter(|count| (1..=MAXIMUM_REGISTRY_WRAPS).contains(&usize::from(*count)))
            .ok_or_else(|| {
                Error::misuse(format!(
                    "a registry record holds 1 to {MAXIMUM_REGISTRY_WRAPS} wraps"
                ))
            })?;
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FORMAT_VERSION, 0, 0, 0]);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.created.to_be_bytes());
        put_prefixed(&mut bytes, self.domain.as_str().as_bytes())?;
        bytes.push(count);
        for wrap in &self.wraps {
            wrap.encode(&mut bytes);
        }
        let mac = authenticate(&*mac_key(key)?, &[&bytes])?;
        bytes.extend_from_slice(&mac);
        check_length(bytes)
    }

    /// Reads the record found under [`registry_name`]`(expected)`.
    ///
    /// # Errors
    /// [`Error::Stored`] for anything that section 10 does not allow, and for the record of another key.
    pub fn parse(bytes: &[u8], expected: WorkingKeyId) -> Result<UnverifiedRegistryRecord> {
        let (before, mac) = split_mac(bytes)?;
        let mut reader = Reader::new(before);
        if reader.array()? != MAGIC {
            return Err(Error::stored("the registry record's magic is wrong"));
        }
        if reader.array()? != [FORMAT_VERSION, 0, 0, 0] {
            return Err(Error::stored("the registry record's version is unknown"));
        }
        let id = WorkingKeyId::from_bytes(reader.array()?);
        if id != expected {
            return Err(Error::stored(
                "the registry record is that of another working key",
            ));
        }
        let created = reader.u64()?;
        let domain = Domain::new(reader.prefixed_text()?)
            .map_err(|_| Error::stored("the domain in the registry record is not allowed"))?;
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAXIMUM_REGISTRY_WRAPS {
            return Err(Error::stored(
                "the registry record's number of wraps is not allowed",
            ));
        }
        let wraps = (0..count)
            .map(|_| Wrap::decode(&mut reader))
            .collect::<Result<_>>()?;
        reader.end()?;
        Ok(UnverifiedRegistryRecord {
            record: Self {
                id,
                created,
                domain,
                wraps,
            },
            before: before.to_vec(),
            mac: *mac,
        })
    }
}

/// A registry record that nobody has verified yet.
#[derive(Clone, Debug)]
pub struct UnverifiedRegistryRecord {
    record: RegistryRecord,
    before: Vec<u8>,
    mac: [u8; MAC_LENGTH],
}

impl UnverifiedRegistryRecord {
    /// The wraps to try; the key that one of them gives verifies the record.
    pub fn wraps(&self) -> &[Wrap] {
        &self.record.wraps
    }

    /// The domain that the record claims: nothing may be decided by it.
    pub fn claimed_domain(&self) -> &Domain {
        &self.record.domain
    }

    /// When the record claims that the key was made, in milliseconds since 1970: nothing may be decided by it.
    pub fn claimed_creation(&self) -> u64 {
        self.record.created
    }

    /// Verifies the record with the unwrapped key, for the domain that the reader expects.
    ///
    /// # Errors
    /// [`Error::Stored`] if the MAC is wrong or the record is of another domain.
    pub fn verify(self, key: &WorkingKey, domain: &Domain) -> Result<RegistryRecord> {
        verify(
            &*mac_key(key)?,
            &[&self.before],
            &self.mac,
            "the registry record's MAC is wrong",
        )?;
        if self.record.domain != *domain {
            return Err(Error::stored("the registry record is of another domain"));
        }
        Ok(self.record)
    }
}

fn mac_key(key: &WorkingKey) -> Result<zeroize::Zeroizing<[u8; 32]>> {
    expand(key.expose(), &[&Purpose::Registry.label(None)])
}
