//! The key service of a command that moves ciphertext and has no keys.

use async_trait::async_trait;
use sealgate_envelope::{
    Error, KeyReference, Provider, Result, WorkingKey, Wrap,
    key_service::{EncryptionContext, KeyDescription, KeyService, RewrapSource, UnwrapPermit},
};

/// It makes and opens nothing.
#[derive(Debug)]
pub(super) struct NoKeys;

fn refused<T>() -> Result<T> {
    Err(Error::misuse("this command has no keys"))
}

#[async_trait]
impl KeyService for NoKeys {
    fn provider(&self) -> Provider {
        Provider::Local
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        refused()
    }

    async fn generate(&self, _: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        refused()
    }

    async fn wrap(&self, _: &EncryptionContext, _: &WorkingKey) -> Result<Wrap> {
        refused()
    }

    async fn unwrap(
        &self,
        _: &UnwrapPermit,
        _: &EncryptionContext,
        _: &Wrap,
    ) -> Result<WorkingKey> {
        refused()
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        refused()
    }

    async fn describe(&self) -> Result<KeyDescription> {
        refused()
    }
}
