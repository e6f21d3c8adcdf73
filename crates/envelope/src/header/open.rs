//! Opening a header: from here on its fields are authentic.

use super::Header;
use super::build::encoded_place;
use crate::domain::Place;
use crate::error::{Error, Result};
use crate::keys::{DataKey, ObjectId, WorkingKey};
use crate::label::{MAC_LENGTH, Purpose, expand, verify};
use crate::layout;
use crate::metadata::Metadata;
use crate::object::{Body, ObjectSecrets};
use crate::parts::ObjectLayout;
use crate::suite::{Backend, NONCE_LENGTH, aead};
use zeroize::Zeroizing;

/// A header whose MAC was right for the expected place.
#[derive(Clone, Debug)]
pub struct OpenedHeader {
    secrets: ObjectSecrets,
    metadata: Metadata,
    created: u64,
}

impl Header {
    /// Opens the header with its working key, for the place where it was found, with the default backend.
    ///
    /// # Errors
    /// [`Error::Stored`] if the data key does not open, the MAC is wrong for `place`, or the metadata is not valid.
    pub fn open(&self, working_key: &WorkingKey, place: Place<'_>) -> Result<OpenedHeader> {
        self.open_with(working_key, place, Backend::default())
    }

    /// As [`open`](Self::open), computed by `backend`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        &self,
        working_key: &WorkingKey,
        place: Place<'_>,
        backend: Backend,
    ) -> Result<OpenedHeader> {
        let data_key = self.open_data_key(working_key, backend)?;
        let secrets = ObjectSecrets::new(data_key, self.suite, self.object_id, self.body)
            .with_backend(backend);
        let (before, mac) = self
            .bytes
            .split_last_chunk::<MAC_LENGTH>()
            .ok_or_else(|| Error::stored("the header has no MAC"))?;
        verify(
            &*secrets.derive(Purpose::Header, [])?,
            &[before, &encoded_place(place)?],
            mac,
            "the header's MAC is wrong for this domain and object key",
        )?;
        let metadata = self.open_metadata(&secrets)?;
        Ok(OpenedHeader {
            secrets,
            metadata,
            created: self.created,
        })
    }

    fn open_data_key(&self, working_key: &WorkingKey, backend: Backend) -> Result<DataKey> {
        let label = Purpose::Wrap.label(Some(self.suite));
        let key = expand(working_key.expose(), &[&label, &self.wrap_salt])?;
        let mut sealed = Zeroizing::new(self.sealed_data_key);
        let data_key = aead(self.suite, backend, &key)?
            .open(
                &[0; NONCE_LENGTH],
                &Purpose::Wrap.label_of(self.suite, self.object_id),
                sealed.as_mut_slice(),
            )
            .map_err(|_| Error::stored("the data key does not open under this working key"))?;
        DataKey::from_slice(data_key)
    }

    fn open_metadata(&self, secrets: &ObjectSecrets) -> Result<Metadata> {
        let (nonce, sealed) = self
            .sealed_metadata
            .split_first_chunk::<NONCE_LENGTH>()
            .ok_or_else(|| Error::stored("the sealed metadata is too short"))?;
        let mut sealed = sealed.to_vec();
        let plaintext = secrets
            .aead(Purpose::Metadata, [])?
            .open(
                nonce,
                &Purpose::Metadata.label_of(self.suite, self.object_id),
                &mut sealed,
            )
            .map_err(|_| Error::stored("the sealed metadata does not open"))?;
        Metadata::decode(plaintext, self.other_length())
    }
}

impl OpenedHeader {
    /// What opens the body and the records.
    pub fn secrets(&self) -> &ObjectSecrets {
        &self.secrets
    }

    /// The object's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// When the header was made, in milliseconds since 1970.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// The object's identifier.
    pub fn object_id(&self) -> ObjectId {
        self.secrets.object_id()
    }

    /// The kind of the body, and its length where known.
    pub fn body(&self) -> Body {
        self.secrets.body()
    }

    /// Checks the length of the stored body against the header, as far as the header tells.
    ///
    /// # Errors
    /// [`Error::Stored`] if no object of this kind has this stored length.
    pub fn check_sealed_length(&self, sealed_length: u64) -> Result<()> {
        let implied = layout::plaintext_length(sealed_length)
            .ok_or_else(|| Error::stored("no sealed object has the length of this body"))?;
        match self.body().plaintext_length() {
            Some(length) if length != implied => Err(Error::stored(
                "the body does not have the length that the header demands",
            )),
            _ => Ok(()),
        }
    }

    /// Where the segments of the only part lie; `None` for a multipart object, whose commit record tells.
    ///
    /// The layout of a [`Body::Single`] serves to plan what to fetch; an
    /// [`Opener`](crate::opener::Opener) takes only that of the commit record.
    pub fn layout(&self) -> Option<ObjectLayout> {
        ObjectLayout::single(&self.secrets)
    }
}
