//! What stands in the place of a key that is destroyed: nothing that opens.

use async_trait::async_trait;
use sealgate_envelope::key_service::{
    EncryptionContext, KeyDescription, KeyService, RewrapSource, UnwrapPermit, key_service_error,
};
use sealgate_envelope::{
    Error, KeyReference, KeyServiceFailure, Provider, Result, WorkingKey, Wrap,
};

/// A key that is no more.
#[derive(Debug)]
pub(super) struct GoneKey {
    provider: Provider,
    reference: KeyReference,
}

impl GoneKey {
    /// A local key of this id.
    pub(super) fn local(id: &str) -> Result<Self> {
        Ok(Self {
            provider: Provider::Local,
            reference: KeyReference::of(Provider::Local, id)?,
        })
    }

    /// The key of this provider that wraps call by this reference.
    pub(super) fn new(provider: Provider, reference: KeyReference) -> Self {
        Self {
            provider,
            reference,
        }
    }
}

fn gone() -> Error {
    key_service_error(KeyServiceFailure::NotFound, "the key was destroyed")
}

#[async_trait]
impl KeyService for GoneKey {
    fn provider(&self) -> Provider {
        self.provider
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.reference)
    }

    async fn generate(&self, _: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        Err(gone())
    }

    async fn wrap(&self, _: &EncryptionContext, _: &WorkingKey) -> Result<Wrap> {
        Err(gone())
    }

    async fn unwrap(
        &self,
        _: &UnwrapPermit,
        _: &EncryptionContext,
        _: &Wrap,
    ) -> Result<WorkingKey> {
        Err(gone())
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        Err(gone())
    }

    async fn describe(&self) -> Result<KeyDescription> {
        Err(gone())
    }

    async fn schedule_deletion(
        &self,
        _: u8,
    ) -> Result<sealgate_envelope::key_service::KeyDeletion> {
        Err(gone())
    }
}
