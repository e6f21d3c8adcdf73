//! Callers of one keyring who meet in every order that shuttle tries: one unwrap for many, nothing from before a flush after it, no more calls than
//! are allowed.
//!
//! `THREADS_ORDERS` says how many orders of each test are tried. A failure prints a seed; `SHUTTLE_RANDOM_SEED` takes it.

mod service;

use std::sync::Arc;
use std::time::Duration;

use sealgate_envelope::keyring::{Keyring, KeyringLimits, SealingKey};
use sealgate_envelope::{Error, KeyServiceFailure, Result, WorkingKey};
use shuttle::future::block_on;
use tokio::task::JoinHandle;

use self::service::{Service, Time, domain, open};

/// Orders of each test, where the environment says nothing: some seconds for all.
const ORDERS: usize = 1_000;

/// How many times shuttle may take the turn from a caller who could go on, in the orders that are not random: enough for every race between two.
const TURNS: usize = 3;

/// Runs a test in many orders: random ones, and those in which few turns are taken at bad moments.
fn in_many_orders<F: AsyncFn() + Copy + Send + Sync + 'static>(test: F) {
    let orders = std::env::var("THREADS_ORDERS").map_or(ORDERS, |text| text.parse().unwrap());
    shuttle::check_random(move || block_on(test()), orders);
    shuttle::check_pct(move || block_on(test()), orders, TURNS);
}

/// A service, and a keyring that knows none of its keys.
fn cold(limits: KeyringLimits) -> (Arc<Service>, Arc<Time>, Keyring) {
    let (service, clock) = (Service::new(), Arc::default());
    let keyring = service.keyring(limits, &clock);
    (service, clock, keyring)
}

/// Keys that another process has sealed with, one for each domain.
async fn sealed_elsewhere<const N: usize>(service: &Arc<Service>) -> [SealingKey; N] {
    let elsewhere = service.keyring(KeyringLimits::default(), &Arc::default());
    let mut keys = Vec::new();
    for number in 0..N {
        let domain = domain(&format!("domain {number}"));
        keys.push(elsewhere.sealing_key(&domain).await.unwrap());
    }
    service.unwraps().clear();
    keys.try_into().unwrap()
}

fn opened(keyring: &Keyring, sealed: &SealingKey) -> JoinHandle<Result<Arc<WorkingKey>>> {
    let (keyring, sealed) = (keyring.clone(), sealed.clone());
    tokio::spawn(async move { open(&keyring, &sealed).await })
}

fn new_key(keyring: &Keyring) -> JoinHandle<SealingKey> {
    let keyring = keyring.clone();
    tokio::spawn(async move { keyring.sealing_key(&domain("new")).await.unwrap() })
}

/// Gives the turn away, to nobody or to whoever is about, for as long as it pleases shuttle.
async fn others_go_on() {
    tokio::task::yield_now().await;
}

fn failure(error: &Error) -> KeyServiceFailure {
    match error {
        Error::KeyService { failure, .. } => *failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn however_many_open_a_key_it_is_unwrapped_once() {
    in_many_orders(async || {
        let (service, _, keyring) = cold(KeyringLimits::default());
        let [sealed] = sealed_elsewhere(&service).await;
        let readers = [(); 3].map(|()| opened(&keyring, &sealed));
        for reader in readers {
            assert_eq!(*reader.await.unwrap().unwrap(), *sealed.key());
        }
        assert_eq!(service.unwraps().len(), 1);
        let status = keyring.status();
        assert_eq!(status.hits + status.joins + status.unwraps, 3);
        assert_eq!((status.pending_unwraps, status.cached_keys), (0, 1));
    });
}

#[test]
fn however_many_seal_for_a_domain_one_key_is_made() {
    in_many_orders(async || {
        let (service, _, keyring) = cold(KeyringLimits::default());
        let [first, second, third] = [(); 3].map(|()| new_key(&keyring));
        let id = first.await.unwrap().id();
        assert_eq!(second.await.unwrap().id(), id);
        assert_eq!(third.await.unwrap().id(), id);
        assert_eq!(service.keys_made(), 1);
    });
}

#[test]
fn whoever_goes_away_takes_nothing_from_those_who_wait() {
    in_many_orders(async || {
        let (service, _, keyring) = cold(KeyringLimits::default());
        let [sealed] = sealed_elsewhere(&service).await;
        let gone = opened(&keyring, &sealed);
        let stays = opened(&keyring, &sealed);
        gone.abort();
        assert_eq!(*stays.await.unwrap().unwrap(), *sealed.key());
        assert_eq!(service.unwraps().len(), 1);
        assert_eq!(keyring.status().pending_unwraps, 0);
    });
}

#[test]
fn after_a_flush_nobody_opens_with_what_was_unwrapped_before_it() {
    in_many_orders(async || {
        let (service, _, keyring) = cold(KeyringLimits::default());
        let [sealed] = sealed_elsewhere(&service).await;
        let before = opened(&keyring, &sealed);
        others_go_on().await;
        let flushed_at = service.now();
        keyring.flush();
        open(&keyring, &sealed).await.unwrap();
        let latest = *service.unwraps().last().unwrap();
        assert!(latest > flushed_at, "a key of before the flush was given");
        // Whoever began before gets its key all the same.
        assert_eq!(*before.await.unwrap().unwrap(), *sealed.key());
        assert_eq!(keyring.status().pending_unwraps, 0);
    });
}

#[test]
fn after_a_flush_nobody_seals_with_what_was_made_before_it() {
    in_many_orders(async || {
        let (service, _, keyring) = cold(KeyringLimits::default());
        let before = new_key(&keyring);
        others_go_on().await;
        let flushed_at = service.now();
        keyring.flush();
        let after = new_key(&keyring).await.unwrap();
        assert!(
            service.made_at(after.id()) > flushed_at,
            "a key of before the flush seals"
        );
        // Nor does anybody read with it unasked.
        let before = before.await.unwrap();
        let unwraps = service.unwraps().len();
        open(&keyring, &before).await.unwrap();
        assert!(
            service.made_at(before.id()) > flushed_at || service.unwraps().len() == unwraps + 1,
            "a key of before the flush opens"
        );
    });
}

#[test]
fn after_a_rotation_nobody_seals_with_what_was_made_before_it() {
    in_many_orders(async || {
        let (service, clock, keyring) = cold(KeyringLimits::default());
        new_key(&keyring).await.unwrap();
        clock.pass(KeyringLimits::default().sealing_soft_age);
        // By its age it is being replaced already.
        let racing = new_key(&keyring);
        others_go_on().await;
        let rotated_at = service.now();
        let rotation = keyring.rotate(None).await;
        assert_eq!((rotation.made, rotation.failed), (1, 0));
        let after = new_key(&keyring).await.unwrap();
        assert!(
            service.made_at(after.id()) > rotated_at,
            "a key of before the rotation seals"
        );
        racing.await.unwrap();
    });
}

#[test]
fn no_more_unwraps_run_at_once_than_are_allowed() {
    in_many_orders(async || {
        let (service, _, keyring) = cold(KeyringLimits {
            concurrent_unwraps: 2,
            ..KeyringLimits::default()
        });
        let sealed: [_; 4] = sealed_elsewhere(&service).await;
        let readers = sealed.each_ref().map(|sealed| opened(&keyring, sealed));
        for (reader, sealed) in readers.into_iter().zip(&sealed) {
            assert_eq!(*reader.await.unwrap().unwrap(), *sealed.key());
        }
        assert!(service.most_unwraps_at_once() <= 2);
        assert_eq!(service.unwraps().len(), 4);
    });
}

#[test]
fn too_many_at_once_are_refused_and_nothing_stays_behind() {
    in_many_orders(async || {
        let (service, _, keyring) = cold(KeyringLimits {
            pending_unwraps: 1,
            ..KeyringLimits::default()
        });
        let sealed: [_; 3] = sealed_elsewhere(&service).await;
        let readers = sealed.each_ref().map(|sealed| opened(&keyring, sealed));
        let mut served = 0;
        for reader in readers {
            match reader.await.unwrap() {
                Ok(_) => served += 1,
                Err(error) => assert_eq!(failure(&error), KeyServiceFailure::Throttled),
            }
        }
        assert!(served > 0);
        for sealed in &sealed {
            assert_eq!(*open(&keyring, sealed).await.unwrap(), *sealed.key());
        }
        assert_eq!(keyring.status().pending_unwraps, 0);
    });
}

#[test]
fn after_a_pause_one_caller_alone_tries_a_service_that_was_down() {
    in_many_orders(async || {
        let (service, clock, keyring) = cold(KeyringLimits::default());
        let sealed: [_; 6] = sealed_elsewhere(&service).await;
        service.set_down(true);
        for sealed in &sealed[..3] {
            open(&keyring, sealed).await.unwrap_err();
        }
        assert!(keyring.status().key_services[0].is_spared);
        service.unwraps().clear();
        clock.pass(Duration::from_secs(1));
        let [.., one, two, three] = sealed.each_ref().map(|sealed| (sealed, &keyring));
        let callers = [one, two, three].map(|(sealed, keyring)| opened(keyring, sealed));
        for caller in callers {
            let error = caller.await.unwrap().unwrap_err();
            assert_eq!(failure(&error), KeyServiceFailure::Unavailable);
        }
        assert_eq!(service.unwraps().len(), 1);
    });
}
