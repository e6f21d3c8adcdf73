use std::fs;

use async_trait::async_trait;
use sealgate_envelope::key_service::{
    EncryptionContext, RewrapSource, UnwrapPermit, key_service_error,
};
use sealgate_envelope::{
    Error, KeyReference, Provider, Result as EnvelopeResult, WorkingKey, Wrap,
};

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
use KeyServiceFailure::{NotFound, Unavailable};

#[tokio::test]
async fn what_is_not_there_is_never_taken_for_destroyed() {
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
    assert_eq!(condition(&usable, &chosen()).await, Condition::Disabled);
    // Whoever has disabled it may want to keep it: it goes only where a person was shown that.
    let found = readiness(&usable, &chosen()).await;
    assert!(
        matches!(&found, Readiness::Not(cause) if cause.contains("disabled")),
        "{found:?}"
    );
    let ready = readiness(&fake(Ok(Enabled)), &chosen()).await;
    assert_eq!(ready, Readiness::Ready);
    // Without a date nobody can tell whether it is the deletion that was asked for.
    let going = condition(&fake(Ok(PendingDeletion)), &chosen()).await;
    assert!(matches!(going, Condition::Unknown(_)), "{going:?}");
    // A token of the same label, with another serial number.
    let mut other = chosen();
    other.full_name = "arn;serial=2".to_owned();
    let found = condition(&usable, &other).await;
    assert!(matches!(found, Condition::Unknown(_)), "{found:?}");
    let found = readiness(&usable, &other).await;
    assert!(
        matches!(&found, Readiness::Not(cause) if cause.contains("was to be destroyed")),
        "{found:?}"
    );
}

#[tokio::test]
async fn another_key_behind_the_same_service_is_not_touched() {
    let service = Fake {
        reference: [2; 8],
        ..fake(Ok(Enabled))
    };
    let found = readiness(&service, &chosen()).await;
    assert!(
        matches!(&found, Readiness::Not(cause) if cause.contains("was to be destroyed")),
        "{found:?}"
    );
}

#[test]
fn a_missing_file_is_destroyed_only_if_its_zeros_were_noted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    for state in [KeyState::Planned, KeyState::Asked] {
        assert_eq!(next_step(&path, &state).unwrap(), FileStep::Missing);
    }
    let noted = next_step(&path, &KeyState::Overwritten).unwrap();
    assert_eq!(noted, FileStep::Remove);
    let key_id = LocalKeyService::create(&path).unwrap().key_id().to_owned();
    let condition = || condition_of_file(&path, || content_of_key_file(&path, &key_id));
    for state in [KeyState::Planned, KeyState::Asked] {
        assert_eq!(next_step(&path, &state).unwrap(), FileStep::Overwrite);
    }
    assert_eq!(condition(), Condition::Usable);
    // Noted, and the file has a key: it was put back, and is not removed as if it were zeros.
    assert!(removed(&path, &chosen()).is_err() && path.exists());
    LocalKeyService::overwrite_file(&path, &key_id).unwrap();
    assert_eq!(condition(), Condition::Zeros);
    // Killed before it was noted: the zeros may be in memory alone.
    let again = next_step(&path, &KeyState::Asked).unwrap();
    assert_eq!(again, FileStep::OverwriteAgain);
    // Nobody has asked for it: then they are not ours.
    let not_ours = next_step(&path, &KeyState::Planned).unwrap();
    assert_eq!(not_ours, FileStep::Missing);
    assert_eq!(
        removed(&path, &chosen()).unwrap().manner,
        "file overwritten and removed"
    );
    assert!(!path.exists());
    assert_eq!(condition(), Condition::Missing);
    // Killed between removal and note.
    removed(&path, &chosen()).unwrap();
}

#[test]
fn only_what_is_no_whole_key_may_be_half_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    let key_id = LocalKeyService::create(&path).unwrap().key_id().to_owned();
    // Another key there: whole, and somebody's.
    let other = content_of_key_file(&path, &"0".repeat(32));
    assert!(matches!(other, Condition::Other(_)), "{other:?}");
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(0);
    fs::write(&path, &bytes).unwrap();
    let found = condition_of_file(&path, || content_of_key_file(&path, &key_id));
    assert!(
        matches!(&found, Condition::Unknown(cause) if cause.contains("half overwritten")),
        "{found:?}"
    );
}
