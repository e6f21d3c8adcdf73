//! Rotations that meet what is under way already, and the age of what they make.

use std::time::Duration;

use super::support::{Bench, domain, permit, settle};
use crate::domain::Domain;
use crate::error::KeyServiceFailure;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_key_whose_making_began_before_a_rotation_is_followed_by_another() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    keyring.sealing_key(&domain()).await.unwrap();
    bench.clock.advance(bench.limits.sealing_soft_age);
    bench.services[0].close_gate();
    let (writer, rotator) = (keyring.clone(), keyring.clone());
    let writing = tokio::spawn(async move { writer.sealing_key(&domain()).await });
    settle().await;
    assert_eq!(bench.services[0].generates(), 2, "the renewal has begun");
    let rotating = tokio::spawn(async move { rotator.rotate(None).await });
    settle().await;
    bench.services[0].open_gate();
    let rotation = rotating.await.unwrap();
    assert_eq!((rotation.made, rotation.failed), (1, 0));
    assert_eq!(bench.services[0].generates(), 3);
    let begun_before = writing.await.unwrap().unwrap();
    let now = keyring.sealing_key(&domain()).await.unwrap();
    assert_ne!(begun_before.id(), now.id());
    assert_eq!(bench.services[0].generates(), 3, "the new key seals");
}

#[tokio::test]
async fn a_domain_that_goes_on_with_its_key_does_not_count_as_rotated() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    keyring.sealing_key(&domain()).await.unwrap();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    let domain = domain();
    let (rotation, written) = tokio::join!(keyring.rotate(None), keyring.sealing_key(&domain));
    assert!(written.is_ok());
    assert_eq!((rotation.made, rotation.failed), (0, 1));
}

#[tokio::test]
async fn a_domain_whose_key_service_is_slow_holds_up_no_other() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    for name in ["a", "b"] {
        let domain = Domain::new(name).unwrap();
        keyring.sealing_key(&domain).await.unwrap();
    }
    bench.services[0].close_gate();
    let rotator = keyring.clone();
    let rotating = tokio::spawn(async move { rotator.rotate(None).await });
    settle().await;
    assert_eq!(bench.services[0].generates(), 4, "both are under way");
    bench.services[0].open_gate();
    let rotation = rotating.await.unwrap();
    assert_eq!((rotation.made, rotation.failed), (2, 0));
}

#[tokio::test]
async fn the_age_of_a_key_for_reading_counts_from_before_its_making() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    bench.services[0].close_gate();
    let maker = keyring.clone();
    let making = tokio::spawn(async move { maker.sealing_key(&domain()).await });
    settle().await;
    bench
        .clock
        .advance(bench.limits.cache_age.saturating_sub(SECOND));
    bench.services[0].open_gate();
    let key = making.await.unwrap().unwrap();
    let (permit, place) = (permit(), domain());
    let open = || keyring.opening_key(&permit, key.id(), key.inline_wraps(), &place);
    let asked = bench.services[0].unwraps();
    open().await.unwrap();
    assert_eq!(bench.services[0].unwraps(), asked, "it is cached");
    bench.clock.advance(SECOND);
    open().await.unwrap();
    assert_eq!(bench.services[0].unwraps(), asked + 1, "it is asked again");
}
