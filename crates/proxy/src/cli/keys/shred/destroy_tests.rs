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
        "arn".clone_into(&mut description.key_name);
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
    for failure in [Denied, Misconfigured] {
        assert_eq!(attempt(failure, Ok(Enabled), false).await, "refused");
        assert_eq!(attempt(failure, Ok(Disabled), true).await, "refused");
    }
    for failure in [Unavailable, Throttled, Malformed, NotFound] {
        assert_eq!(attempt(failure, Ok(Enabled), false).await, "unknown");
    }
    // An earlier attempt was heard after all.
    assert_eq!(attempt(Denied, Ok(PendingDeletion), false).await, "unknown");
    assert_eq!(attempt(Denied, Ok(PendingDeletion), true).await, "unknown");
}

#[tokio::test]
async fn a_key_that_is_not_told_is_not_asked_for() {
    for described in [Denied, NotFound, Unavailable] {
        // Nothing was asked of it, so nothing was done.
        assert_eq!(attempt(Denied, Err(described), false).await, "refused");
        assert_eq!(attempt(Denied, Err(described), true).await, "unknown");
    }
}

#[tokio::test]
async fn what_is_not_there_is_never_taken_for_destroyed() {
    for was_asked in [false, true] {
        let came = attempt(NotFound, Err(NotFound), was_asked).await;
        assert_ne!(came, "destroyed", "{was_asked}");
    }
    let service = fake(Err(NotFound));
    assert_eq!(condition(&service, &chosen()).await, Condition::Missing);
}

fn fake(described: Result<KeyAvailability, KeyServiceFailure>) -> Fake {
    Fake {
        reference: REFERENCE,
        deletion: Unavailable,
        described,
    }
}

#[tokio::test]
async fn a_key_is_usable_only_if_it_is_the_one_that_is_meant() {
    let usable = fake(Ok(Disabled));
    assert_eq!(condition(&usable, &chosen()).await, Condition::Usable);
    let going = fake(Ok(PendingDeletion));
    assert_eq!(condition(&going, &chosen()).await, Condition::Going);
    // A token of the same label, with another serial number.
    let mut other = chosen();
    other.full_name = "arn;serial=2".to_owned();
    let found = condition(&usable, &other).await;
    assert!(matches!(found, Condition::Unknown(_)), "{found:?}");
    assert!(matches!(
        end(&usable, &other, 7, false).await,
        Attempt::Refused(_)
    ));
}

#[tokio::test]
async fn another_key_behind_the_same_service_is_not_touched() {
    let service = Fake {
        reference: [2; 8],
        ..fake(Ok(Enabled))
    };
    let refused = end(&service, &chosen(), 7, false).await;
    assert!(
        matches!(&refused, Attempt::Refused(cause) if cause.contains("was to be destroyed")),
        "{refused:?}"
    );
    // The one that was asked for may be going all the same.
    let unknown = end(&service, &chosen(), 7, true).await;
    assert!(matches!(unknown, Attempt::Unknown(_)), "{unknown:?}");
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
    let is_there = || LocalKeyService::is_in_file(&path, &key_id);
    for state in [&KeyState::Planned, &asked, &refused] {
        assert_eq!(next_step(&path, state).unwrap(), FileStep::Overwrite);
    }
    assert_eq!(condition_of_file(&path, is_there), Condition::Usable);
    // Another key there: nothing is done, and that is a refusal.
    let other = "0".repeat(32);
    assert!(!LocalKeyService::is_in_file(&path, &other));
    let state = overwritten(is_there, || LocalKeyService::overwrite_file(&path, &other));
    assert!(matches!(state.unwrap(), KeyState::Refused(_)));
    // Noted, and the file has a key: it was put back, and is not removed as if it were zeros.
    assert!(removed(&path, &chosen()).is_err() && path.exists());
    let state = overwritten(is_there, || LocalKeyService::overwrite_file(&path, &key_id));
    assert_eq!(state.unwrap(), KeyState::Overwritten);
    assert_eq!(condition_of_file(&path, is_there), Condition::Zeros);
    // Killed before it was noted: the zeros may be in memory alone.
    assert_eq!(next_step(&path, &asked).unwrap(), FileStep::OverwriteAgain);
    // Nobody has asked for it: then they are not ours.
    assert_eq!(
        next_step(&path, &KeyState::Planned).unwrap(),
        FileStep::Missing
    );
    assert_eq!(
        removed(&path, &chosen()).unwrap().manner,
        "file overwritten and removed"
    );
    assert!(!path.exists());
    assert_eq!(condition_of_file(&path, is_there), Condition::Missing);
    // Killed between removal and note.
    removed(&path, &chosen()).unwrap();
}

#[test]
fn a_file_that_holds_neither_the_key_nor_zeros_may_be_anything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    let key_id = LocalKeyService::create(&path).unwrap().key_id().to_owned();
    let is_there = || LocalKeyService::is_in_file(&path, &key_id);
    // Half of it was overwritten, and then the disk refused.
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(0);
    fs::write(&path, &bytes).unwrap();
    let state = overwritten(is_there, || Err(Error::misuse("the disk is full")));
    assert!(state.is_err(), "nothing was done, it says: {state:?}");
    let found = condition_of_file(&path, is_there);
    assert!(
        matches!(&found, Condition::Unknown(cause) if cause.contains("half overwritten")),
        "{found:?}"
    );
    fs::remove_file(&path).unwrap();
    let state = overwritten(is_there, || LocalKeyService::overwrite_file(&path, "x"));
    assert!(state.is_err());
}
