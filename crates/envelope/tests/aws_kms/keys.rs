//! What the operations do when all is well, and what the key server refuses.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sealgate_envelope::key_service::{KeyAvailability, KeyService, RewrapSource};
use sealgate_envelope::keyring::Keyring;
use sealgate_envelope::keyring::registry::MemoryRegistry;
use sealgate_envelope::{Domain, KeyReference, KeyServiceFailure, Provider, WorkingKey, Wrap};

use crate::rig::{ALIAS, Rig, context, failure, permit};

#[tokio::test]
async fn a_generated_key_opens_with_its_context_only() {
    let rig = Rig::start().await;
    let service = rig.service().await;
    let (key, wrap) = service.generate(&context("d")).await.unwrap();
    assert_eq!(wrap.provider(), Provider::AwsKms);
    assert_eq!(
        wrap.key_reference(),
        KeyReference::of(Provider::AwsKms, &rig.arn()).unwrap()
    );
    assert_eq!(
        service
            .unwrap(&permit(), &context("d"), &wrap)
            .await
            .unwrap(),
        key
    );
    assert_eq!(
        failure(service.unwrap(&permit(), &context("e"), &wrap).await),
        KeyServiceFailure::Refused
    );

    let mut blob = wrap.blob().to_vec();
    *blob.last_mut().unwrap() ^= 1;
    let tampered = Wrap::new(Provider::AwsKms, wrap.key_reference(), blob).unwrap();
    assert_eq!(
        failure(service.unwrap(&permit(), &context("d"), &tampered).await),
        KeyServiceFailure::Refused
    );
}

#[tokio::test]
async fn an_existing_key_is_wrapped_too() {
    let rig = Rig::start().await;
    let service = rig.service().await;
    let key = WorkingKey::from_bytes([9; 32]);
    let wrap = service.wrap(&context("d"), &key).await.unwrap();
    assert_eq!(
        service
            .unwrap(&permit(), &context("d"), &wrap)
            .await
            .unwrap(),
        key
    );
}

#[tokio::test]
async fn a_wrap_of_another_key_is_not_even_sent() {
    let rig = Rig::start().await;
    let other = rig.service_for("alias/other").await;
    let (_, wrap) = other.generate(&context("d")).await.unwrap();
    let service = rig.service().await;
    service.key_reference().await.unwrap();
    let before = rig.faults.requests();
    assert_eq!(
        failure(service.unwrap(&permit(), &context("d"), &wrap).await),
        KeyServiceFailure::NotConfigured
    );
    assert_eq!(rig.faults.requests(), before);

    // A forged reference brings the blob to the service, which refuses it because KeyId is always sent.
    let forged = Wrap::new(
        Provider::AwsKms,
        service.key_reference().await.unwrap(),
        wrap.blob().to_vec(),
    )
    .unwrap();
    assert_eq!(
        failure(service.unwrap(&permit(), &context("d"), &forged).await),
        KeyServiceFailure::Refused
    );
}

#[tokio::test]
async fn rewrapping_happens_inside_the_service() {
    let rig = Rig::start().await;
    let (old, new) = (rig.service_for("alias/other").await, rig.service().await);
    let (key, wrap) = old.generate(&context("d")).await.unwrap();
    let before = rig.faults.decrypts.load(Ordering::SeqCst);
    let same = old
        .rewrap(&context("d"), &wrap, RewrapSource::SameKey)
        .await
        .unwrap();
    let old_name = old.describe().await.unwrap().key_name;
    let moved = new
        .rewrap(&context("d"), &wrap, RewrapSource::Key(&old_name))
        .await
        .unwrap();
    assert_eq!(rig.faults.decrypts.load(Ordering::SeqCst), before);
    assert_eq!(
        old.unwrap(&permit(), &context("d"), &same).await.unwrap(),
        key
    );
    assert_eq!(
        new.unwrap(&permit(), &context("d"), &moved).await.unwrap(),
        key
    );
    let result = new
        .rewrap(&context("e"), &wrap, RewrapSource::Key(&old_name))
        .await;
    assert_eq!(failure(result), KeyServiceFailure::Refused);
    let result = new
        .rewrap(&context("d"), &wrap, RewrapSource::SameKey)
        .await;
    assert_eq!(failure(result), KeyServiceFailure::NotConfigured);
}

#[tokio::test]
async fn an_alias_is_resolved_once_and_an_arn_never() {
    let rig = Rig::start().await;
    let by_alias = rig.service().await;
    for _ in 0..3 {
        by_alias.generate(&context("d")).await.unwrap();
    }
    assert_eq!(rig.faults.describes.load(Ordering::SeqCst), 1);
    let by_arn = rig.service_for(&rig.arn()).await;
    assert_eq!(
        by_arn.key_reference().await.unwrap(),
        by_alias.key_reference().await.unwrap()
    );
    by_arn.generate(&context("d")).await.unwrap();
    assert_eq!(rig.faults.describes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_resolution_is_tried_again() {
    let rig = Rig::start().await;
    let service = rig.service().await;
    rig.faults
        .fail(sealgate_kms_mock::ErrorCode::KmsInternal, 100);
    assert_eq!(
        failure(service.key_reference().await),
        KeyServiceFailure::Unavailable
    );
    rig.faults
        .fail(sealgate_kms_mock::ErrorCode::KmsInternal, 1);
    service.key_reference().await.unwrap();
}

#[tokio::test]
async fn disabled_and_dying_keys_are_told_apart_from_outages() {
    let rig = Rig::start().await;
    let (service, administrator) = (rig.service().await, rig.administrator());
    let (_, wrap) = service.generate(&context("d")).await.unwrap();
    assert_eq!(
        service.describe().await.unwrap().availability,
        KeyAvailability::Enabled
    );

    administrator
        .disable_key()
        .key_id(rig.arn())
        .send()
        .await
        .unwrap();
    assert_eq!(
        service.describe().await.unwrap().availability,
        KeyAvailability::Disabled
    );
    assert_eq!(
        failure(service.unwrap(&permit(), &context("d"), &wrap).await),
        KeyServiceFailure::KeyUnusable
    );
    assert_eq!(
        failure(service.generate(&context("d")).await),
        KeyServiceFailure::KeyUnusable
    );

    administrator
        .schedule_key_deletion()
        .key_id(rig.arn())
        .pending_window_in_days(7)
        .send()
        .await
        .unwrap();
    assert_eq!(
        service.describe().await.unwrap().availability,
        KeyAvailability::PendingDeletion
    );
    assert_eq!(
        failure(service.unwrap(&permit(), &context("d"), &wrap).await),
        KeyServiceFailure::KeyUnusable
    );
}

#[tokio::test]
async fn unknown_keys_are_not_found() {
    let rig = Rig::start().await;
    let missing = rig.arn().replace("key/", "key/00000000-");
    let missing = &missing[..rig.arn().len()];
    assert_eq!(
        failure(rig.service_for("alias/none").await.key_reference().await),
        KeyServiceFailure::NotFound
    );
    assert_eq!(
        failure(rig.service_for(missing).await.generate(&context("d")).await),
        KeyServiceFailure::NotFound
    );
}

#[tokio::test]
async fn a_principal_that_may_not_decrypt_is_denied_and_can_still_write() {
    let rig = Rig::start().await;
    let writer = rig.writer().await;
    let (_, wrap) = writer.generate(&context("d")).await.unwrap();
    assert_eq!(
        failure(writer.unwrap(&permit(), &context("d"), &wrap).await),
        KeyServiceFailure::Denied
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_makes_one_decrypt_for_a_thousand_readers() {
    let rig = Rig::start().await;
    let registry = Arc::new(MemoryRegistry::default());
    let domain = Domain::new("deployment/bucket").unwrap();
    let writer = Keyring::builder(Arc::new(rig.service().await))
        .registry(Arc::clone(&registry) as _)
        .build()
        .unwrap();
    let sealing = writer.sealing_key(&domain).await.unwrap();

    let reader = Keyring::builder(Arc::new(rig.service_for(ALIAS).await))
        .registry(registry)
        .build()
        .unwrap();
    let before = rig.faults.decrypts.load(Ordering::SeqCst);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (reader, sealing, domain) = (reader.clone(), sealing.clone(), domain.clone());
        readers.spawn(async move {
            let key = reader
                .opening_key(&permit(), sealing.id(), sealing.inline_wraps(), &domain)
                .await
                .unwrap();
            assert_eq!(*key, *sealing.key());
        });
    }
    readers.join_all().await;
    assert_eq!(rig.faults.decrypts.load(Ordering::SeqCst) - before, 1);
}
