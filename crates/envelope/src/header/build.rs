//! Making headers: for a new object, and for another place of the same one.

use zeroize::Zeroizing;

use super::{
    FIXED_LENGTH, HEADER_MAGIC, Header, MAXIMUM_FILE_HEADER_LENGTH, MAXIMUM_HEADER_WRAPS,
    MAXIMUM_OBJECT_HEADER_LENGTH, OpenedHeader, SEGMENT_EXPONENT,
};
use crate::decode::put_prefixed;
use crate::domain::Place;
use crate::error::{Error, Result};
use crate::keys::{KEY_LENGTH, OBJECT_ID_LENGTH, WorkingKey, WorkingKeyId};
use crate::label::{FORMAT_VERSION, MAC_LENGTH, Purpose, authenticate, expand};
use crate::metadata::{Metadata, SEALED_METADATA_OVERHEAD};
use crate::object::{Body, ObjectSecrets};
use crate::random::{Drawn, Random, random_array};
use crate::suite::{Backend, NONCE_LENGTH, Suite, TAG_LENGTH, aead, seal_to_vec};
use crate::wrap::Wrap;

/// Length in bytes of what the working key is mixed with for each header.
const WRAP_SALT_LENGTH: usize = 32;

/// Random bytes of a header: that salt, and the nonce of the metadata.
const HEADER_RANDOM_LENGTH: usize = WRAP_SALT_LENGTH + NONCE_LENGTH;

/// Random bytes of an object's secrets: its data key and its id.
const SECRETS_LENGTH: usize = KEY_LENGTH + OBJECT_ID_LENGTH;

/// Where a header is kept, which limits its length.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Carrier {
    /// S3 user metadata: 1,500 bytes.
    #[default]
    Object,
    /// A file: 65,536 bytes.
    File,
}

impl Carrier {
    /// The most bytes of a header kept here.
    pub fn maximum_header_length(self) -> usize {
        match self {
            Self::Object => MAXIMUM_OBJECT_HEADER_LENGTH,
            Self::File => MAXIMUM_FILE_HEADER_LENGTH,
        }
    }
}

/// A working key with everything that a header says about it.
#[derive(Clone, Copy, Debug)]
pub struct HeaderKey<'a> {
    /// Its identifier.
    pub id: WorkingKeyId,
    /// The key.
    pub key: &'a WorkingKey,
    /// One or two wraps of it; any one of them suffices to read.
    pub wraps: &'a [Wrap],
}

/// A new header and the secrets that it seals.
#[derive(Debug)]
pub struct SealedHeader {
    /// To be stored.
    pub header: Header,
    /// To seal the body with.
    pub secrets: ObjectSecrets,
}

/// Collects what a header holds.
#[derive(Clone, Debug)]
pub struct HeaderBuilder<'a> {
    place: Place<'a>,
    working_key: HeaderKey<'a>,
    created: u64,
    metadata: Metadata,
    suite: Suite,
    backend: Backend,
    carrier: Carrier,
}

impl<'a> HeaderBuilder<'a> {
    /// A header for `place`, under `working_key`, made at `created` (milliseconds since 1970): without metadata, with
    /// the default suite and backend, short enough for S3.
    pub fn new(place: Place<'a>, working_key: HeaderKey<'a>, created: u64) -> Self {
        Self {
            place,
            working_key,
            created,
            metadata: Metadata::new(),
            suite: Suite::default(),
            backend: Backend::default(),
            carrier: Carrier::default(),
        }
    }

    /// With this metadata.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// With this suite. [`rebind`](Self::rebind) keeps the object's own.
    #[must_use]
    pub fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// Computed by this backend.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// To be kept here.
    #[must_use]
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// The header of a new object: a fresh data key and object id.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] if the metadata does not fit; [`Error::Misuse`] for a body over the limit or a
    /// number of wraps other than 1 or 2; [`Error::Machine`] without entropy.
    pub fn seal(self, body: Body, random: &mut dyn Random) -> Result<SealedHeader> {
        let mut drawn = Drawn::<{ SECRETS_LENGTH + HEADER_RANDOM_LENGTH }>::from(random)?;
        let secrets =
            ObjectSecrets::generate(self.suite, body, &mut drawn)?.with_backend(self.backend);
        let header = self.build(&secrets, &mut drawn)?;
        Ok(SealedHeader { header, secrets })
    }

    /// The header of an object whose body was sealed before its metadata was known, with secrets that were
    /// [generated](ObjectSecrets::generate) for it alone. Their suite counts, and not that of the builder.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_for(self, secrets: &ObjectSecrets, random: &mut dyn Random) -> Result<Header> {
        self.build(secrets, &mut Drawn::<HEADER_RANDOM_LENGTH>::from(random)?)
    }

    /// The header of a copy whose body is the very same stored bytes: data key, object id, suite and body stay, all
    /// else is made anew. Only within one domain and set of keys: whoever may open one of the copies can forge the
    /// other.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn rebind(self, original: &OpenedHeader, random: &mut dyn Random) -> Result<Header> {
        let mut drawn = Drawn::<HEADER_RANDOM_LENGTH>::from(random)?;
        self.build(original.secrets(), &mut drawn)
    }

    fn build(&self, secrets: &ObjectSecrets, random: &mut dyn Random) -> Result<Header> {
        let wraps = self.working_key.wraps;
        let wrap_count = u8::try_from(wraps.len()).unwrap_or(u8::MAX);
        if wraps.is_empty() || wraps.len() > MAXIMUM_HEADER_WRAPS {
            return Err(Error::misuse(format!(
                "a header holds 1 or {MAXIMUM_HEADER_WRAPS} wraps of its working key, not {}",
                wraps.len()
            )));
        }
        let wraps_length: usize = wraps.iter().map(Wrap::encoded_length).sum();
        let other_length = FIXED_LENGTH + 1 + wraps_length + MAC_LENGTH;
        let plaintext = self
            .metadata
            .encode(other_length, self.carrier.maximum_header_length())?;
        let wrap_salt: [u8; WRAP_SALT_LENGTH] = random_array(random)?;
        let nonce: [u8; NONCE_LENGTH] = random_array(random)?;
        let sealed_data_key = self.seal_data_key(secrets, &wrap_salt)?;
        let sealed_metadata = seal_to_vec(
            secrets.aead(Purpose::Metadata, [])?.as_ref(),
            &nonce,
            &Purpose::Metadata.label_of(secrets.suite(), secrets.object_id()),
            &plaintext,
        )?;
        let sealed_metadata_length =
            u16::try_from(plaintext.len().saturating_add(SEALED_METADATA_OVERHEAD))
                .map_err(|_| Error::misuse("the metadata is too long for a header"))?;

        let mut bytes =
            Vec::with_capacity(other_length.saturating_add(usize::from(sealed_metadata_length)));
        bytes.extend_from_slice(&HEADER_MAGIC);
        bytes.extend_from_slice(&[
            FORMAT_VERSION,
            secrets.suite().code(),
            secrets.body().flags(),
            SEGMENT_EXPONENT,
        ]);
        bytes.extend_from_slice(self.working_key.id.as_bytes());
        bytes.extend_from_slice(&wrap_salt);
        bytes.extend_from_slice(secrets.object_id().as_bytes());
        bytes.extend_from_slice(&secrets.body().length_field().to_be_bytes());
        bytes.extend_from_slice(&self.created.to_be_bytes());
        bytes.extend_from_slice(&sealed_data_key);
        bytes.extend_from_slice(&sealed_metadata_length.to_be_bytes());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed_metadata);
        bytes.push(wrap_count);
        for wrap in wraps {
            wrap.encode(&mut bytes);
        }
        let mac_key = secrets.derive(Purpose::Header, [])?;
        let mac = authenticate(&mac_key, &[&bytes, &encoded_place(self.place)?])?;
        bytes.extend_from_slice(&mac);
        Header::parse_owned(bytes)
    }

    fn seal_data_key(
        &self,
        secrets: &ObjectSecrets,
        wrap_salt: &[u8; WRAP_SALT_LENGTH],
    ) -> Result<[u8; KEY_LENGTH + TAG_LENGTH]> {
        let label = secrets.label(Purpose::Wrap);
        let key = expand(self.working_key.key.expose(), &[&label, wrap_salt])?;
        // Becomes ciphertext where it lies; wiped where it does not come to that.
        let mut sealed = Zeroizing::new([0; KEY_LENGTH + TAG_LENGTH]);
        for (to, from) in sealed.iter_mut().zip(secrets.data_key().expose()) {
            *to = *from;
        }
        aead(secrets.suite(), secrets.backend(), &key)?.seal(
            &[0; NONCE_LENGTH],
            &Purpose::Wrap.label_of(secrets.suite(), secrets.object_id()),
            sealed.as_mut_slice(),
        )?;
        Ok(*sealed)
    }
}

/// `lp(domain) ‖ lp(object key)`.
pub(super) fn encoded_place(place: Place<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    put_prefixed(&mut bytes, place.domain().as_str().as_bytes())?;
    put_prefixed(&mut bytes, place.object_key().as_bytes())?;
    Ok(bytes)
}
