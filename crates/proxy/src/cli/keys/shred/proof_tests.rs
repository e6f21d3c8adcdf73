use sealgate_envelope::key_service::key_service_error;
use sealgate_envelope::key_service::local::LocalKeyService;

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
