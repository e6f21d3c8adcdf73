//! Writing: one key per domain and process, self-check, registry first, renewal with age.

use std::sync::Arc;
use std::time::Duration;

use super::support::{Bench, domain, failure, permit, settle};
use crate::domain::Domain;
use crate::error::KeyServiceFailure;
use crate::keyring::registry::RegistryStore;
use crate::keyring::{Keyring, SealingPolicy};
use crate::records::RegistryRecord;
use crate::wrap::Wrap;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_one_key_per_domain() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let mut writers = tokio::task::JoinSet::new();
    for index in 0..200 {
        let keyring = keyring.clone();
        let domain = Domain::new(format!("d/{}", index % 2)).unwrap();
        writers.spawn(async move { (index % 2, keyring.sealing_key(&domain).await.unwrap().id()) });
    }
    let mut ids: Vec<_> = writers.join_all().await;
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0].1, ids[1].1);
    assert_eq!(bench.services[0].generates(), 2);
    assert_eq!(keyring.status().sealing_keys, 2);
}

#[tokio::test]
async fn two_processes_never_share_a_sealing_key() {
    let bench = Bench::new(1);
    let first = bench.keyring().sealing_key(&domain()).await.unwrap();
    let second = bench.keyring().sealing_key(&domain()).await.unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(bench.registry.records.list(None, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_record_is_written_before_first_use() {
    let bench = Bench::new(2);
    let keyring = bench.keyring();
    bench.registry.set_down(true);
    assert_eq!(
        failure(keyring.sealing_key(&domain()).await),
        KeyServiceFailure::Unavailable
    );
    bench.registry.set_down(false);
    bench.clock.advance(bench.limits.renewal_pause);
    let key = keyring.sealing_key(&domain()).await.unwrap();
    let bytes = bench.registry.records.get(key.id()).await.unwrap().unwrap();
    let record = RegistryRecord::parse(&bytes, key.id())
        .unwrap()
        .verify(key.key(), &domain())
        .unwrap();
    assert_eq!(
        (record.wraps.as_slice(), record.created),
        (key.wraps(), key.created())
    );
}

#[tokio::test]
async fn a_service_that_opens_to_another_key_seals_nothing() {
    let bench = Bench::new(1);
    bench.services[0].lie();
    assert_eq!(
        failure(bench.keyring().sealing_key(&domain()).await),
        KeyServiceFailure::Malformed
    );
    assert!(
        bench
            .registry
            .records
            .list(None, 9)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_failure_is_remembered_so_that_an_outage_is_not_hammered() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    for _ in 0..10 {
        assert_eq!(
            failure(keyring.sealing_key(&domain()).await),
            KeyServiceFailure::Unavailable
        );
    }
    assert_eq!(bench.services[0].generates(), 1);
    bench.services[0].fail(None);
    bench.clock.advance(bench.limits.renewal_pause);
    keyring.sealing_key(&domain()).await.unwrap();
}

#[tokio::test]
async fn at_the_soft_age_a_new_key_takes_over() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let first = keyring.sealing_key(&domain()).await.unwrap();
    bench
        .clock
        .advance(bench.limits.sealing_soft_age.saturating_sub(SECOND));
    assert_eq!(
        keyring.sealing_key(&domain()).await.unwrap().id(),
        first.id()
    );
    bench.clock.advance(SECOND);
    let second = keyring.sealing_key(&domain()).await.unwrap();
    assert_ne!(second.id(), first.id());
    assert_eq!(
        keyring.sealing_key(&domain()).await.unwrap().id(),
        second.id()
    );
}

#[tokio::test]
async fn without_a_new_key_the_old_one_goes_on_to_the_hard_age_and_not_further() {
    for broken in [KeyServiceFailure::Unavailable, KeyServiceFailure::Denied] {
        let bench = Bench::new(1);
        let keyring = bench.keyring();
        let first = keyring.sealing_key(&domain()).await.unwrap();
        bench.services[0].fail(Some(broken));
        bench.clock.advance(bench.limits.sealing_soft_age);
        assert_eq!(
            keyring.sealing_key(&domain()).await.unwrap().id(),
            first.id()
        );
        let until_the_last_second = bench.limits.sealing_soft_age + SECOND;
        bench.clock.advance(
            bench
                .limits
                .sealing_hard_age
                .saturating_sub(until_the_last_second),
        );
        assert_eq!(
            keyring.sealing_key(&domain()).await.unwrap().id(),
            first.id()
        );
        bench.clock.advance(SECOND);
        assert_eq!(failure(keyring.sealing_key(&domain()).await), broken);
        assert_eq!(
            keyring.status().sealing_keys,
            0,
            "the key is gone from memory"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_renewal_holds_up_writers_only_for_a_moment() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let first = keyring.sealing_key(&domain()).await.unwrap();
    bench.clock.advance(bench.limits.sealing_soft_age);
    bench.services[0].close_gate();
    let started = tokio::time::Instant::now();
    assert_eq!(
        keyring.sealing_key(&domain()).await.unwrap().id(),
        first.id()
    );
    assert_eq!(started.elapsed(), bench.limits.renewal_patience);
    bench.services[0].open_gate();
    settle().await;
    assert_ne!(
        keyring.sealing_key(&domain()).await.unwrap().id(),
        first.id()
    );
}

#[tokio::test]
async fn another_service_makes_the_key_while_the_first_is_down() {
    let bench = Bench::new(2);
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    let key = bench.keyring().sealing_key(&domain()).await.unwrap();
    assert_eq!(key.wraps().len(), 1);
    let opened = bench
        .keyring()
        .opening_key(&permit(), key.id(), key.inline_wraps(), &domain())
        .await
        .unwrap();
    assert_eq!(*opened, *key.key());
}

#[tokio::test]
async fn fewer_wraps_than_required_seal_nothing() {
    let mut bench = Bench::new(2);
    bench.limits.required_wraps = 2;
    bench.services[1].fail(Some(KeyServiceFailure::Throttled));
    let keyring = bench.keyring();
    assert_eq!(
        failure(keyring.sealing_key(&domain()).await),
        KeyServiceFailure::Throttled
    );
    bench.services[1].fail(None);
    bench.clock.advance(bench.limits.renewal_pause);
    assert_eq!(
        keyring.sealing_key(&domain()).await.unwrap().wraps().len(),
        2
    );
}

#[tokio::test]
async fn a_rotation_makes_new_keys_and_keeps_the_old_where_it_cannot() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    let other = Domain::new("other").unwrap();
    let (first, kept) = (
        keyring.sealing_key(&domain()).await.unwrap(),
        keyring.sealing_key(&other).await.unwrap(),
    );
    bench.clock.advance(SECOND);
    let rotation = keyring.rotate(Some(&domain())).await;
    assert_eq!((rotation.made, rotation.failed), (1, 0));
    let second = keyring.sealing_key(&domain()).await.unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(kept.id(), keyring.sealing_key(&other).await.unwrap().id());

    bench.clock.advance(SECOND);
    bench.services[0].fail(Some(KeyServiceFailure::Unavailable));
    let rotation = keyring.rotate(None).await;
    assert_eq!((rotation.made, rotation.failed), (0, 2));
    let goes_on = keyring.sealing_key(&domain()).await.unwrap();
    assert_eq!(second.id(), goes_on.id());
}

#[tokio::test]
async fn two_wraps_by_the_same_key_count_as_one() {
    let mut bench = Bench::new(2);
    bench.services[1] = Arc::clone(&bench.services[0]);
    bench.limits.required_wraps = 2;
    assert_eq!(
        failure(bench.keyring().sealing_key(&domain()).await),
        KeyServiceFailure::Misconfigured
    );
    bench.limits.required_wraps = 1;
    let key = bench.keyring().sealing_key(&domain()).await.unwrap();
    assert_eq!(key.wraps().len(), 1);
}

#[tokio::test]
async fn headers_get_at_most_two_wraps_and_the_record_all() {
    let bench = Bench::new(4);
    let key = bench.keyring().sealing_key(&domain()).await.unwrap();
    assert_eq!((key.wraps().len(), key.inline_wraps().len()), (4, 2));
    let bytes = bench.registry.records.get(key.id()).await.unwrap().unwrap();
    assert_eq!(
        RegistryRecord::parse(&bytes, key.id())
            .unwrap()
            .wraps()
            .len(),
        4
    );
}

#[tokio::test]
async fn the_number_of_domains_is_bounded() {
    let mut bench = Bench::new(1);
    bench.limits.sealing_domains = 3;
    let keyring = bench.keyring();
    for index in 0..10 {
        bench.clock.advance(SECOND);
        keyring
            .sealing_key(&Domain::new(format!("d/{index}")).unwrap())
            .await
            .unwrap();
    }
    assert_eq!(keyring.status().sealing_keys, 3);
}

fn policy(key_services: Option<Vec<usize>>, required_wraps: usize) -> Arc<SealingPolicy> {
    Arc::new(SealingPolicy {
        key_services,
        required_wraps,
        soft_age: SECOND,
        hard_age: SECOND * 2,
    })
}

#[tokio::test]
async fn a_policy_names_key_services_and_ages_and_shares_no_key_with_another() {
    let bench = Bench::new(3);
    let keyring = bench.keyring();
    let (all, own) = (policy(None, 1), policy(Some(vec![2, 1]), 2));
    let shared = keyring.sealing_key_under(&all, &domain()).await.unwrap();
    let tenant = keyring.sealing_key_under(&own, &domain()).await.unwrap();
    assert_ne!(shared.id(), tenant.id());
    assert_eq!((shared.wraps().len(), tenant.wraps().len()), (3, 2));
    assert_eq!(bench.services[2].generates(), 1, "the first named makes it");

    bench.clock.advance(SECOND);
    let renewed = keyring.sealing_key_under(&own, &domain()).await.unwrap();
    assert_ne!(renewed.id(), tenant.id());
    bench.services[1].fail(Some(KeyServiceFailure::Unavailable));
    bench.clock.advance(SECOND);
    let current = keyring.sealing_key_under(&own, &domain()).await.unwrap();
    assert_eq!(
        current.id(),
        renewed.id(),
        "without a quorum the old one goes on"
    );
    bench.clock.advance(bench.limits.renewal_pause);
    assert_eq!(
        failure(keyring.sealing_key_under(&own, &domain()).await),
        KeyServiceFailure::Unavailable
    );
}

#[tokio::test]
async fn a_policy_that_cannot_be_followed_is_refused() {
    let keyring = Bench::new(2).keyring();
    for (bad, part) in [
        (policy(Some(vec![2]), 1), "not there"),
        (policy(Some(vec![0]), 2), "2 wraps"),
        (policy(None, 3), "3 wraps"),
        (policy(Some(Vec::new()), 1), "0 key services"),
    ] {
        let error = keyring
            .sealing_key_under(&bad, &domain())
            .await
            .unwrap_err();
        assert!(error.detail().contains(part), "{error:?}");
    }
}

#[tokio::test]
async fn a_write_only_keyring_opens_no_wrap_but_serves_what_it_made() {
    let bench = Bench::new(2);
    let before = bench.services[0].unwraps() + bench.services[1].unwraps();
    let mut services = bench.services.iter();
    let first = Arc::clone(services.next().unwrap());
    let keyring = services
        .fold(Keyring::builder(first), |builder, service| {
            builder.key_service(Arc::clone(service) as _)
        })
        .registry(Arc::clone(&bench.registry) as _)
        .clock(Arc::clone(&bench.clock) as _)
        .write_only()
        .build()
        .unwrap();
    let made = keyring.sealing_key(&domain()).await.unwrap();
    assert_eq!(made.wraps().len(), 2);
    let open = |id, wraps: Vec<Wrap>| {
        let keyring = keyring.clone();
        async move { keyring.opening_key(&permit(), id, &wraps, &domain()).await }
    };
    let own = open(made.id(), made.wraps().to_vec()).await.unwrap();
    assert_eq!(*own, *made.key());
    let elsewhere = bench.keyring().sealing_key(&domain()).await.unwrap();
    let calls = bench.services[0].unwraps() + bench.services[1].unwraps();
    assert_eq!(calls - before, 2, "the other keyring checked its two wraps");
    let refused = open(elsewhere.id(), elsewhere.wraps().to_vec()).await;
    assert_eq!(failure(refused), KeyServiceFailure::WriteOnly);
    bench
        .clock
        .advance(bench.limits.cache_age + bench.limits.outage_grace);
    let refused = open(made.id(), made.wraps().to_vec()).await;
    assert_eq!(failure(refused), KeyServiceFailure::WriteOnly);
    let unwraps = bench.services[0].unwraps() + bench.services[1].unwraps();
    assert_eq!(unwraps, calls, "nothing was asked");
    // Whoever may decrypt opens what it wrapped.
    let read = bench
        .keyring()
        .opening_key(&permit(), made.id(), made.inline_wraps(), &domain())
        .await
        .unwrap();
    assert_eq!(*read, *made.key());
}

#[tokio::test]
async fn keys_that_are_too_old_to_be_used_are_dropped_without_being_asked_for() {
    let bench = Bench::new(1);
    let keyring = bench.keyring();
    keyring.sealing_key(&domain()).await.unwrap();
    let held = |keyring: &Keyring| {
        let status = keyring.status();
        (status.sealing_keys, status.cached_keys)
    };
    let reading = bench.limits.cache_age + bench.limits.outage_grace;
    bench.clock.advance(reading.saturating_sub(SECOND));
    keyring.drop_expired();
    assert_eq!(held(&keyring), (1, 1));
    bench.clock.advance(SECOND);
    keyring.drop_expired();
    assert_eq!(held(&keyring), (1, 0));
    let rest = bench.limits.sealing_hard_age.saturating_sub(reading);
    bench.clock.advance(rest);
    keyring.drop_expired();
    assert_eq!(held(&keyring), (0, 0));
}
