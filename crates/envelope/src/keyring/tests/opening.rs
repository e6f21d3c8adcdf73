//! Reading: single flight, cache, refusals, outages, revocation, registry.

use std::sync::Arc;
use std::time::Duration;

use super::support::{Bench, domain, failure, permit, settle};
use crate::domain::Domain;
use crate::error::{Error, Fault, KeyServiceFailure};
use crate::keyring::registry::RegistryStore;
use crate::keyring::{Keyring, KeyringLimits, SealingKey};
use crate::keys::{KeyReference, WorkingKey, WorkingKeyId};
use crate::records::RegistryRecord;
use crate::wrap::{Provider, Wrap};

const SECOND: Duration = Duration::from_secs(1);

async fn open(keyring: &Keyring, sealing: &SealingKey) -> Result<Arc<WorkingKey>, Error> {
    keyring
        .opening_key(&permit(), sealing.id(), sealing.inline_wraps(), &domain())
        .await
}

/// A key that one process sealed with, and another process that has to read.
async fn sealed_elsewhere(bench: &Bench) -> (SealingKey, Keyring) {
    let sealing = bench.keyring().sealing_key(&domain()).await.unwrap();
    (sealing, bench.keyring())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_simultaneous_first_reads_make_one_unwrap() {
    let bench = Bench::new(1);
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    let before = bench.services[0].unwraps();
    bench.services[0].close_gate();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (keyring, sealing) = (keyring.clone(), sealing.clone());
        readers.spawn(async move { open(&keyring, &sealing).await.unwrap() });
    }
    while keyring.status().joins < 999 {
        tokio::task::yield_now().await;
    }
    bench.services[0].open_gate();
    for key in readers.join_all().await {
        assert_eq!(*key, *sealing.key());
    }
    assert_eq!(bench.services[0].unwraps() - before, 1);
    let status = keyring.status();
    assert_eq!(
        (
            status.unwraps,
            status.joins,
            status.pending_unwraps,
            status.cached_keys
        ),
        (1, 999, 0, 1)
    );
}

#[tokio::test]
async fn after_a_flush_the_key_service_is_asked_again_and_may_refuse() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let key = keyring.sealing_key(&domain()).await.unwrap();
    let (permit, place) = (permit(), domain());
    let open = || keyring.opening_key(&permit, key.id(), key.inline_wraps(), &place);
    open().await.unwrap();
    let before = bench.services[0].unwraps();
    assert_eq!(keyring.flush(), 2, "one for reading, one for sealing");
    open().await.unwrap();
    assert_eq!(bench.services[0].unwraps(), before + 1);

    keyring.flush();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    open().await.unwrap_err();
    keyring.sealing_key(&domain()).await.unwrap_err();
}

#[tokio::test]
async fn an_unwrap_that_began_before_a_flush_leaves_nothing_behind() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let key = keyring.sealing_key(&domain()).await.unwrap();
    keyring.flush();
    bench.services[0].close_gate();
    let (permit, place) = (permit(), domain());
    let open = keyring.opening_key(&permit, key.id(), key.inline_wraps(), &place);
    let mut open = std::pin::pin!(open);
    let begun = tokio::time::timeout(std::time::Duration::from_millis(10), &mut open).await;
    assert!(begun.is_err(), "it waits at the gate");
    keyring.flush();
    bench.services[0].open_gate();
    open.await.unwrap();
    let status = keyring.status();
    assert_eq!((status.cached_keys, status.pending_unwraps), (0, 0));
}

#[tokio::test]
async fn keys_made_here_open_without_a_call() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let sealing = keyring.sealing_key(&domain()).await.unwrap();
    let before = bench.services[0].unwraps();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    assert_eq!(*open(&keyring, &sealing).await.unwrap(), *sealing.key());
    assert_eq!(bench.services[0].unwraps(), before);
}

#[tokio::test]
async fn a_dropped_reader_does_not_stop_the_unwrap() {
    let bench = Bench::new(1);
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    bench.services[0].close_gate();
    let before = bench.services[0].unwraps();
    let first = tokio::time::timeout(Duration::from_millis(5), open(&keyring, &sealing)).await;
    assert!(first.is_err(), "the reader gave up");
    let second = tokio::spawn({
        let (keyring, sealing) = (keyring.clone(), sealing.clone());
        async move { open(&keyring, &sealing).await }
    });
    settle().await;
    bench.services[0].open_gate();
    assert_eq!(*second.await.unwrap().unwrap(), *sealing.key());
    assert_eq!(bench.services[0].unwraps() - before, 1);
}

#[tokio::test]
async fn another_domain_is_refused_even_when_the_key_is_cached() {
    let bench = Bench::new(1);
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    open(&keyring, &sealing).await.unwrap();
    let other = Domain::new("deployment/other").unwrap();
    let result = keyring
        .opening_key(&permit(), sealing.id(), sealing.inline_wraps(), &other)
        .await;
    assert_eq!(failure(result), KeyServiceFailure::Refused);
}

#[tokio::test]
async fn refusals_are_remembered_for_a_while_and_spoil_nothing_genuine() {
    let bench = Bench::new(1);
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    let genuine = &sealing.wraps()[0];
    let forged = [Wrap::new(genuine.provider(), genuine.key_reference(), vec![1; 24]).unwrap()];
    let before = bench.services[0].unwraps();
    // The registry knows the key, so a forged wrap is looked past; without the registry it is refused.
    let lonely = Keyring::builder(Arc::clone(&bench.services[0]) as _)
        .clock(Arc::clone(&bench.clock) as _)
        .build()
        .unwrap();
    for _ in 0..5 {
        let result = lonely
            .opening_key(&permit(), sealing.id(), &forged, &domain())
            .await;
        assert_eq!(failure(result), KeyServiceFailure::Refused);
    }
    assert_eq!(bench.services[0].unwraps() - before, 1);
    assert_eq!(lonely.status().remembered_failures, 4);
    assert_eq!(*open(&lonely, &sealing).await.unwrap(), *sealing.key());
    bench.clock.advance(KeyringLimits::default().refusal_memory);
    let key = lonely
        .opening_key(&permit(), sealing.id(), &forged, &domain())
        .await
        .unwrap();
    assert_eq!(*key, *sealing.key(), "a cached key needs no wrap");
    let key = keyring
        .opening_key(&permit(), sealing.id(), &forged, &domain())
        .await
        .unwrap();
    assert_eq!(*key, *sealing.key(), "the registry has the genuine wrap");
}

#[tokio::test]
async fn a_flood_of_forged_headers_reaches_the_key_service_only_so_often() {
    let bench = Bench::new(1);
    let (sealing, _) = sealed_elsewhere(&bench).await;
    let limits = KeyringLimits {
        recent_refusals: 10,
        ..KeyringLimits::default()
    };
    let keyring = Keyring::builder(Arc::clone(&bench.services[0]) as _)
        .clock(Arc::clone(&bench.clock) as _)
        .limits(limits)
        .build()
        .unwrap();
    open(&keyring, &sealing).await.unwrap();
    let genuine = &sealing.wraps()[0];
    let forged = [Wrap::new(genuine.provider(), genuine.key_reference(), vec![1; 24]).unwrap()];
    let forge = async |number: u8| {
        let id = WorkingKeyId::from_bytes([number; 16]);
        failure(keyring.opening_key(&permit(), id, &forged, &domain()).await)
    };
    let before = bench.services[0].unwraps();
    for number in 0..10 {
        assert_eq!(forge(number).await, KeyServiceFailure::Refused);
    }
    for number in 10..100 {
        assert_eq!(forge(number).await, KeyServiceFailure::Throttled);
    }
    assert_eq!(bench.services[0].unwraps() - before, 10);
    assert_eq!(
        *open(&keyring, &sealing).await.unwrap(),
        *sealing.key(),
        "a key that is known serves meanwhile"
    );
    bench.clock.advance(limits.refusal_memory);
    assert_eq!(forge(200).await, KeyServiceFailure::Refused);
    assert_eq!(bench.services[0].unwraps() - before, 11);
}

#[tokio::test]
async fn keys_that_are_not_configured_are_never_contacted() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let elsewhere = KeyReference::of(Provider::Local, "somebody else's").unwrap();
    let wraps = [
        Wrap::new(Provider::Local, elsewhere, vec![1]).unwrap(),
        Wrap::new(Provider::AwsKms, elsewhere, vec![1]).unwrap(),
        Wrap::new(Provider::from_code(200).unwrap(), elsewhere, vec![1]).unwrap(),
    ];
    let result = keyring
        .opening_key(
            &permit(),
            WorkingKeyId::from_bytes([1; 16]),
            &wraps,
            &domain(),
        )
        .await;
    assert_eq!(failure(result), KeyServiceFailure::NotConfigured);
    assert_eq!(bench.services[0].unwraps(), 0);
}

#[tokio::test]
async fn the_second_wrap_serves_while_the_first_service_is_down() {
    let bench = Bench::new(2);
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    assert_eq!(sealing.wraps().len(), 2);
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    assert_eq!(*open(&keyring, &sealing).await.unwrap(), *sealing.key());
    let status = keyring.status();
    assert!(!status.key_services[0].healthy && status.key_services[1].healthy);
}

#[tokio::test]
async fn cached_keys_outlive_an_outage_by_the_grace_only() {
    let mut bench = Bench::new(1);
    bench.limits.outage_grace = SECOND * 100;
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    open(&keyring, &sealing).await.unwrap();
    for failure_of_service in [KeyServiceFailure::Unavailable, KeyServiceFailure::Throttled] {
        bench.services[0].fail(Some(failure_of_service));
        bench.clock.advance(bench.limits.cache_age);
        open(&keyring, &sealing).await.unwrap();
        // Once the outage is known, nobody waits for the service, but it is asked again beside.
        bench.clock.advance(SECOND * 10);
        bench.services[0].close_gate();
        let before = bench.services[0].unwraps();
        for _ in 0..10 {
            open(&keyring, &sealing).await.unwrap();
        }
        settle().await;
        assert_eq!(bench.services[0].unwraps() - before, 1);
        bench.services[0].open_gate();
        settle().await;
        bench.services[0].fail(None);
        bench.clock.advance(SECOND * 10);
        open(&keyring, &sealing).await.unwrap();
        settle().await;
        let hits = keyring.status().hits;
        open(&keyring, &sealing).await.unwrap();
        assert_eq!(
            keyring.status().hits,
            hits + 1,
            "fresh again after the outage"
        );
    }
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    bench
        .clock
        .advance(bench.limits.cache_age + bench.limits.outage_grace);
    assert_eq!(
        failure(open(&keyring, &sealing).await),
        KeyServiceFailure::Unavailable
    );
    assert_eq!(keyring.status().cached_keys, 0);
}

#[tokio::test]
async fn a_key_that_was_taken_away_stops_serving_at_the_cache_age() {
    for taken in [
        KeyServiceFailure::Denied,
        KeyServiceFailure::KeyUnusable,
        KeyServiceFailure::NotFound,
    ] {
        let bench = Bench::new(1);
        let (sealing, keyring) = sealed_elsewhere(&bench).await;
        open(&keyring, &sealing).await.unwrap();
        bench.services[0].fail(Some(taken));
        bench
            .clock
            .advance(bench.limits.cache_age.saturating_sub(SECOND));
        open(&keyring, &sealing).await.unwrap();
        bench.clock.advance(SECOND);
        assert_eq!(failure(open(&keyring, &sealing).await), taken);
        assert_eq!(keyring.status().cached_keys, 0);
        // An outage afterwards brings nothing back.
        bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
        bench.clock.advance(SECOND * 10);
        assert_eq!(
            failure(open(&keyring, &sealing).await),
            KeyServiceFailure::Unavailable
        );
    }
}

/// A key that is beyond the cache's age and serves during an outage of its first key service, with a wrap of another.
async fn serving_in_an_outage(bench: &Bench) -> (SealingKey, Keyring) {
    let sealing = bench.keyring().sealing_key(&domain()).await.unwrap();
    let lonely = Keyring::builder(Arc::clone(&bench.services[0]) as _)
        .clock(Arc::clone(&bench.clock) as _)
        .limits(bench.limits)
        .build()
        .unwrap();
    open(&lonely, &sealing).await.unwrap();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    bench.clock.advance(bench.limits.cache_age);
    open(&lonely, &sealing).await.unwrap();
    bench.services[0].fail(None);
    (sealing, lonely)
}

#[tokio::test]
async fn a_forged_wrap_of_a_withdrawn_version_drops_no_key_that_a_genuine_one_opened() {
    let bench = Bench::new(1);
    let (sealing, keyring) = serving_in_an_outage(&bench).await;
    let genuine = &sealing.wraps()[0];
    let blob = b"vault:v-1:AAAA".to_vec();
    let forged = [Wrap::new(genuine.provider(), genuine.key_reference(), blob).unwrap()];
    bench.services[0].withdraw(&forged[0]);
    for _ in 0..2 {
        // The key serves, whatever the header of this object says; the forged wrap is tried beside.
        keyring
            .opening_key(&permit(), sealing.id(), &forged, &domain())
            .await
            .unwrap();
        settle().await;
    }
    // One of the outage before, and one of the forged wrap, which is not tried again at once.
    assert_eq!(keyring.status().failures, 2);
    assert_eq!(keyring.status().cached_keys, 1);
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    assert_eq!(*open(&keyring, &sealing).await.unwrap(), *sealing.key());
}

#[tokio::test]
async fn a_genuine_wrap_that_is_withdrawn_takes_its_key_away() {
    let bench = Bench::new(1);
    let (sealing, keyring) = serving_in_an_outage(&bench).await;
    bench.services[0].withdraw(&sealing.wraps()[0]);
    bench.clock.advance(bench.limits.outage_memory);
    open(&keyring, &sealing).await.unwrap();
    settle().await;
    assert_eq!(
        failure(open(&keyring, &sealing).await),
        KeyServiceFailure::KeyUnusable
    );
    assert_eq!(keyring.status().cached_keys, 0);
}

#[tokio::test]
async fn a_key_taken_away_during_an_outage_stops_serving_when_the_service_is_back() {
    let bench = Bench::new(1);
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    open(&keyring, &sealing).await.unwrap();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    bench.clock.advance(bench.limits.cache_age);
    open(&keyring, &sealing).await.unwrap();
    bench.services[0].fail(Some(KeyServiceFailure::KeyUnusable));
    bench.clock.advance(bench.limits.outage_memory);
    open(&keyring, &sealing).await.unwrap();
    settle().await;
    assert_eq!(
        failure(open(&keyring, &sealing).await),
        KeyServiceFailure::KeyUnusable
    );
}

#[tokio::test]
async fn one_refusing_service_is_not_hidden_by_another_ones_outage() {
    let bench = Bench::new(2);
    let (sealing, keyring) = sealed_elsewhere(&bench).await;
    open(&keyring, &sealing).await.unwrap();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    bench.services[1].fail(Some(KeyServiceFailure::KeyUnusable));
    bench.clock.advance(bench.limits.cache_age);
    assert_eq!(
        failure(open(&keyring, &sealing).await),
        KeyServiceFailure::KeyUnusable
    );
}

#[tokio::test]
async fn a_registry_record_is_believed_only_with_its_mac() {
    let bench = Bench::new(1);
    let sealing = bench.keyring().sealing_key(&domain()).await.unwrap();
    let record = bench
        .registry
        .records
        .get(sealing.id())
        .await
        .unwrap()
        .unwrap();
    let opened = bench
        .keyring()
        .opening_key(&permit(), sealing.id(), &[], &domain())
        .await
        .unwrap();
    assert_eq!(*opened, *sealing.key());

    // A byte of the time of creation, and one of the MAC.
    for position in [25, record.len() - 1] {
        let mut tampered = record.clone();
        tampered[position] ^= 1;
        let mut other = Bench::new(1);
        other.services.clone_from(&bench.services);
        other
            .registry
            .records
            .put_if_absent(sealing.id(), &tampered)
            .await
            .unwrap();
        let error = other
            .keyring()
            .opening_key(&permit(), sealing.id(), &[], &domain())
            .await
            .unwrap_err();
        assert_eq!(error.fault(), Fault::StoredData, "{error:?}");
    }
}

#[tokio::test]
async fn a_record_under_another_name_is_refused() {
    let bench = Bench::new(1);
    let sealing = bench.keyring().sealing_key(&domain()).await.unwrap();
    let record = bench
        .registry
        .records
        .get(sealing.id())
        .await
        .unwrap()
        .unwrap();
    RegistryRecord::parse(&record, sealing.id()).unwrap();
    let other = WorkingKeyId::from_bytes([9; 16]);
    bench
        .registry
        .records
        .put_if_absent(other, &record)
        .await
        .unwrap();
    let error = bench
        .keyring()
        .opening_key(&permit(), other, &[], &domain())
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::StoredData);
}

#[tokio::test]
async fn too_many_different_unwraps_at_once_are_turned_away() {
    let mut bench = Bench::new(1);
    bench.limits.pending_unwraps = 2;
    bench.limits.concurrent_unwraps = 1;
    let reference = KeyReference::of(Provider::Local, "service 0").unwrap();
    let keyring = bench.keyring();
    bench.services[0].close_gate();
    let begin = |id: u8| {
        let keyring = keyring.clone();
        let wrap = Wrap::new(Provider::Local, reference, vec![id]).unwrap();
        async move {
            keyring
                .opening_key(
                    &permit(),
                    WorkingKeyId::from_bytes([id; 16]),
                    &[wrap],
                    &domain(),
                )
                .await
        }
    };
    let waiting = [tokio::spawn(begin(1)), tokio::spawn(begin(2))];
    settle().await;
    assert_eq!(
        bench.services[0].unwraps(),
        1,
        "the second waits for its turn"
    );
    assert_eq!(failure(begin(3).await), KeyServiceFailure::Throttled);
    bench.services[0].open_gate();
    for reader in waiting {
        assert_eq!(failure(reader.await.unwrap()), KeyServiceFailure::Refused);
    }
}

#[test]
fn outside_a_runtime_opening_says_so_instead_of_panicking() {
    let keyring = Bench::new(1).keyring();
    let permit = permit();
    let domain = domain();
    let mut future = std::pin::pin!(keyring.opening_key(
        &permit,
        WorkingKeyId::from_bytes([1; 16]),
        &[],
        &domain
    ));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) =
        std::future::Future::poll(future.as_mut(), &mut context)
    else {
        panic!("it must be an error at once");
    };
    assert_eq!(error.fault(), Fault::Caller);
}

#[tokio::test]
async fn a_service_that_is_down_is_spared_and_found_again() {
    let bench = Bench::new(1);
    let writer = bench.keyring();
    let key = writer.sealing_key(&domain()).await.unwrap();
    let reader = bench.keyring();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    let before = bench.services[0].unwraps();
    let open = || async {
        reader
            .opening_key(&permit(), key.id(), key.inline_wraps(), &domain())
            .await
    };
    // Longer than failures are remembered, and shorter than the breaker's pause: only the breaker spares the service.
    assert!(bench.limits.outage_memory < SECOND * 15);
    for _ in 0..8 {
        failure(open().await);
        bench.clock.advance(bench.limits.outage_memory);
    }
    let status = reader.status();
    let calls = bench.services[0].unwraps() - before;
    assert!(calls < 8 && status.key_services[0].spared > 0, "{status:?}");
    for _ in 0..5 {
        bench.clock.advance(bench.limits.outage_memory);
        failure(open().await);
    }
    assert!(reader.status().key_services[0].is_spared, "{status:?}");
    assert!(reader.status().key_services[0].outages >= 3);

    bench.services[0].fail(None);
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(*open().await.unwrap(), *key.key());
    assert!(!reader.status().key_services[0].is_spared);
}
