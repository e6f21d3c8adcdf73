use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::key_service::{
    KeyDescription, RewrapSource, UnwrapPermit, key_service_error,
};
use sealgate_envelope::{KeyReference, WorkingKey};

use super::super::gone::GoneKey;
use super::*;

#[test]
fn what_is_away_or_denied_to_us_is_not_gone() {
    let good = |failure| refuses_for_good(&key_service_error(failure, "x"));
    assert!(good(KeyServiceFailure::KeyUnusable) && good(KeyServiceFailure::NotFound));
    for failure in [
        KeyServiceFailure::Unavailable,
        KeyServiceFailure::Throttled,
        KeyServiceFailure::Denied,
        KeyServiceFailure::Malformed,
        KeyServiceFailure::Misconfigured,
    ] {
        assert!(!good(failure), "{failure:?}");
    }
}

#[tokio::test]
async fn it_is_the_kept_wraps_that_prove_whatever_the_storage_shows() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| LocalKeyService::create(directory.path().join(name)).unwrap();
    let (own, other) = (open("a"), open("b"));
    let id = "00112233445566778899aabbccddeeff";
    let context = EncryptionContext::new(Domain::new("alice").unwrap(), id.parse().unwrap());
    let (_, wrap) = own.generate(&context).await.unwrap();
    let object = SampledObject {
        version: StoredVersion {
            bucket: "data".to_owned(),
            key: "alice/x".to_owned(),
            version_id: None,
        },
        domain: "alice".to_owned(),
        working_key: id.to_owned(),
        wraps: vec![KeptWrap::of(&wrap)],
    };
    assert_eq!(object.wraps[0].wrap().unwrap(), wrap);
    let gone = GoneKey::local(own.key_id()).unwrap();
    let other: Arc<dyn KeyService> = Arc::new(other);
    let with = [Arc::clone(&other), Arc::new(own)];
    let tried = try_kept_wraps(&with, &object, &[]).await.unwrap();
    assert_eq!(tried, Kept::Opens);
    let without = [Arc::clone(&other), Arc::new(gone)];
    let tried = try_kept_wraps(&without, &object, &[]).await.unwrap();
    assert_eq!(tried, Kept::Refused);
    // A key that nobody asks, since its service is gone, shows nothing of what it has wrapped.
    let not_asked = [KeyName::of(&wrap)];
    let tried = try_kept_wraps(&without, &object, &not_asked).await.unwrap();
    assert_eq!(tried, Kept::NotTried);
    // Nobody was asked who could have opened it: that shows nothing.
    let nobody = try_kept_wraps(&[other], &object, &[]).await;
    assert!(nobody.is_err());
}

/// A key service that says that there is no such key.
#[derive(Debug)]
struct Nowhere(Provider);

fn not_found<T>() -> sealgate_envelope::Result<T> {
    Err(key_service_error(KeyServiceFailure::NotFound, "x"))
}

#[async_trait::async_trait]
impl KeyService for Nowhere {
    fn provider(&self) -> Provider {
        self.0
    }

    async fn key_reference(&self) -> sealgate_envelope::Result<KeyReference> {
        not_found()
    }

    async fn generate(
        &self,
        _: &EncryptionContext,
    ) -> sealgate_envelope::Result<(WorkingKey, Wrap)> {
        not_found()
    }

    async fn wrap(&self, _: &EncryptionContext, _: &WorkingKey) -> sealgate_envelope::Result<Wrap> {
        not_found()
    }

    async fn unwrap(
        &self,
        _: &UnwrapPermit,
        _: &EncryptionContext,
        _: &Wrap,
    ) -> sealgate_envelope::Result<WorkingKey> {
        not_found()
    }

    async fn rewrap(
        &self,
        _: &EncryptionContext,
        _: &Wrap,
        _: RewrapSource<'_>,
    ) -> sealgate_envelope::Result<Wrap> {
        not_found()
    }

    async fn describe(&self) -> sealgate_envelope::Result<KeyDescription> {
        not_found()
    }
}

#[tokio::test]
async fn a_key_of_aws_that_is_not_found_before_its_date_is_in_another_account() {
    let chosen = ChosenKey {
        key_service: Some("one".to_owned()),
        key: "aws-kms 0000000000000001".parse().unwrap(),
        full_name: "arn:1".to_owned(),
        place: "AWS KMS in eu-1".to_owned(),
    };
    let day = std::time::Duration::from_hours(24);
    let mut destroyed = DestroyedKey {
        key_service: chosen.key_service.clone(),
        key: chosen.key.clone(),
        full_name: chosen.full_name.clone(),
        place: chosen.place.clone(),
        manner: "deletion scheduled".to_owned(),
        done: Moment::now(),
        final_from: Moment::now().after(day),
        not_covered: None,
    };
    let at_aws = Nowhere(Provider::AwsKms);
    let refused = still_going(&at_aws, &chosen, &mut destroyed, 7).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("of another place"), "{refused}");
    destroyed.final_from = Moment::from_milliseconds(1_000);
    let gone = still_going(&at_aws, &chosen, &mut destroyed, 7).await;
    assert_eq!(gone.unwrap(), None);
    // Vault has confirmed that it deleted the key, and keeps none.
    destroyed.final_from = Moment::now().after(day);
    let vault = Nowhere(Provider::VaultTransit);
    let gone = still_going(&vault, &chosen, &mut destroyed, 7).await;
    assert_eq!(gone.unwrap(), None);
}
