use std::fs;

use async_trait::async_trait;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::key_service::{
    EncryptionContext, KeyDeletion, KeyDescription, RewrapSource, UnwrapPermit, key_service_error,
};
use sealgate_envelope::{Error, KeyReference, Provider, WorkingKey, Wrap};

use super::*;

/// A key service that answers a deletion with this failure, and afterwards describes its key so.
#[derive(Debug)]
struct Fake {
    reference: [u8; 8],
    deletion: KeyServiceFailure,
    described: Result<KeyAvailability, KeyServiceFailure>,
}

fn no<T>() -> EnvelopeResult<T> {
    Err(Error::misuse("nobody asks for this"))
}

#[async_trait]
impl KeyService for Fake {
    fn provider(&self) -> Provider {
        Provider::AwsKms
    }

    async fn key_reference(&self) -> EnvelopeResult<KeyReference> {
        Ok(KeyReference::from_bytes(self.reference))
    }

    async fn generate(&self, _: &EncryptionContext) -> EnvelopeResult<(WorkingKey, Wrap)> {
        no()
    }

    async fn wrap(&self, _: &EncryptionContext, _: &WorkingKey) -> EnvelopeResult<Wrap> {
        no()
    }

    async fn unwrap(
        &self,
        _: &UnwrapPermit,
        _: &EncryptionContext,
        _: &Wrap,
    ) -> EnvelopeResult<WorkingKey> {
        no()
    }

    async fn rewrap(
        &self,
        _: &EncryptionContext,
        _: &Wrap,
        _: RewrapSource<'_>,
    ) -> EnvelopeResult<Wrap> {
        no()
    }

    async fn describe(&self) -> EnvelopeResult<KeyDescription> {
        let availability = self
            .described
            .map_err(|failure| key_service_error(failure, "x"))?;
        // Only a key service makes one; it is altered.
        let directory = tempfile::tempdir().unwrap();
        let some = LocalKeyService::create(directory.path().join("some")).unwrap();
        let mut description = some.describe().await?;
        description.key_reference = KeyReference::from_bytes(self.reference);
        description.availability = availability;
        Ok(description)
    }

    async fn schedule_deletion(&self, _: u8) -> EnvelopeResult<KeyDeletion> {
        Err(key_service_error(self.deletion, "x"))
    }
}

const REFERENCE: [u8; 8] = [1; 8];

fn chosen() -> ChosenKey {
    ChosenKey {
        key_service: Some("one".to_owned()),
        key: KeyName::new(Provider::AwsKms, KeyReference::from_bytes(REFERENCE)),
        full_name: "arn".to_owned(),
        place: "AWS KMS in eu-1".to_owned(),
    }
}

use KeyAvailability::{Disabled, Enabled, PendingDeletion};
use KeyServiceFailure::{Denied, Malformed, Misconfigured, NotFound, Throttled, Unavailable};

/// What comes of an attempt, in a word.
async fn attempt(
    deletion: KeyServiceFailure,
    described: Result<KeyAvailability, KeyServiceFailure>,
    was_asked: bool,
) -> &'static str {
    let service = Fake {
        reference: REFERENCE,
        deletion,
        described,
    };
    match end(&service, &chosen(), 7, was_asked).await {
        Attempt::Destroyed(_) => "destroyed",
        Attempt::Refused(_) => "refused",
        Attempt::Unknown(_) => "unknown",
    }
}

#[tokio::test]
async fn a_definite_refusal_is_told_from_an_answer_that_got_lost() {
    for failure in [Denied, Misconfigured, NotFound] {
        // The deletion is denied, and so is the question about the key.
        assert_eq!(attempt(failure, Err(Denied), false).await, "refused");
        assert_eq!(attempt(failure, Ok(Enabled), false).await, "refused");
    }
    for failure in [Unavailable, Throttled, Malformed] {
        for described in [Ok(Enabled), Err(Unavailable)] {
            assert_eq!(attempt(failure, described, false).await, "unknown");
        }
    }
    // An earlier attempt was heard after all.
    assert_eq!(attempt(Denied, Ok(PendingDeletion), false).await, "unknown");
    assert_eq!(attempt(Denied, Ok(PendingDeletion), true).await, "unknown");
    // It was not, as the service says, or nobody can tell.
    assert_eq!(attempt(Denied, Ok(Disabled), true).await, "refused");
    assert_eq!(attempt(Denied, Err(Denied), true).await, "unknown");
}

#[tokio::test]
async fn what_is_not_there_counts_as_destroyed_only_after_an_attempt_whose_answer_got_lost() {
    assert_eq!(attempt(NotFound, Err(NotFound), false).await, "refused");
    assert_eq!(attempt(NotFound, Err(NotFound), true).await, "destroyed");
}

#[tokio::test]
async fn another_key_behind_the_same_service_is_not_touched() {
    let service = Fake {
        reference: [2; 8],
        deletion: Unavailable,
        described: Ok(Enabled),
    };
    for was_asked in [false, true] {
        let refused = end(&service, &chosen(), 7, was_asked).await;
        assert!(
            matches!(&refused, Attempt::Refused(cause) if cause.contains("was to be destroyed")),
            "{refused:?}"
        );
    }
}

#[test]
fn a_missing_file_is_destroyed_only_if_its_zeros_were_noted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    let (asked, refused) = (KeyState::Asked, KeyState::Refused(String::new()));
    for state in [&KeyState::Planned, &asked, &refused] {
        assert_eq!(next_step(&path, state).unwrap(), FileStep::Missing);
    }
    let noted = next_step(&path, &KeyState::Overwritten).unwrap();
    assert_eq!(noted, FileStep::Remove);
    let key_id = LocalKeyService::create(&path).unwrap().key_id().to_owned();
    for state in [&KeyState::Planned, &asked, &refused] {
        assert_eq!(next_step(&path, state).unwrap(), FileStep::Overwrite);
    }
    // Another key there: nothing is done, and that is a refusal.
    let other = "0".repeat(32);
    let state = overwritten(&path, || LocalKeyService::overwrite_file(&path, &other));
    assert!(matches!(state.unwrap(), KeyState::Refused(_)));
    // Noted, and the file has a key: it was put back, and is not removed as if it were zeros.
    assert!(removed(&path, &chosen()).is_err() && path.exists());
    let state = overwritten(&path, || LocalKeyService::overwrite_file(&path, &key_id));
    assert_eq!(state.unwrap(), KeyState::Overwritten);
    // Killed before it was noted.
    assert_eq!(next_step(&path, &asked).unwrap(), FileStep::Remove);
    assert_eq!(
        removed(&path, &chosen()).unwrap().manner,
        "file overwritten and removed"
    );
    assert!(!path.exists());
    // Killed between removal and note.
    removed(&path, &chosen()).unwrap();
}

#[test]
fn a_file_that_is_gone_while_it_is_overwritten_may_be_anything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    let state = overwritten(&path, || LocalKeyService::overwrite_file(&path, "x"));
    assert!(state.is_err());
    fs::write(&path, [0; 3]).unwrap();
    let state = overwritten(&path, || Err(Error::misuse("the disk is full")));
    assert!(state.is_err());
}
