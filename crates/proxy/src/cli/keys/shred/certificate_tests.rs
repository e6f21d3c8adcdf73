use std::fs;

use proptest::prelude::*;

use super::super::order::Progress;
use super::super::plan::{ChosenKey, PlannedKey};
use super::super::signing::beside;
use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_milliseconds(seconds * 1_000)
}

fn planned(number: u8, final_from: u64) -> PlannedKey {
    let key: KeyName = format!("aws-kms {number:016x}").parse().unwrap();
    let chosen = ChosenKey {
        key_service: Some(format!("service-{number}")),
        key: key.clone(),
        full_name: format!("arn:{number}"),
        place: "AWS KMS in eu-1".to_owned(),
    };
    let state = KeyState::Destroyed(DestroyedKey {
        key_service: Some(format!("service-{number}")),
        key,
        full_name: format!("arn:{number}"),
        place: chosen.place.clone(),
        manner: "deletion scheduled".to_owned(),
        done: at(10),
        final_from: at(final_from),
        not_covered: None,
    });
    PlannedKey {
        chosen,
        state,
        was_asked: false,
    }
}

fn carried_out() -> Order {
    let mut order = Order::new("rig", "acme/alice", at(1), at(2), "c.json".into()).unwrap();
    order.progress = Progress {
        plan: Some(Plan {
            names: vec!["acme/alice".to_owned(), "old".to_owned()],
            keys: vec![planned(1, 700), planned(2, 900)],
            buckets: vec!["data".to_owned()],
            objects: 5,
            notes: vec!["a note".to_owned()],
            ..Plan::default()
        }),
        settled: Some(at(15)),
        flushed: Some(GatewaysFlushed {
            done: at(20),
            gateways: vec!["g".to_owned()],
        }),
        records: Some(RecordsDeleted {
            working_keys: 3,
            versions: 4,
        }),
        objects: Some(ObjectsTried {
            seen: 5,
            opened_before: 2,
            refused_after: 2,
            not_tried: 0,
            deleted: 0,
        }),
        tried_again: Some(at(25)),
        completed: Some(at(30)),
        ..Progress::default()
    };
    order
}

#[test]
fn it_is_final_when_the_last_key_is_and_names_each() {
    let certificate = Certificate::of(&carried_out(), "me").unwrap();
    assert_eq!(certificate.final_from, Some(at(900)));
    assert_eq!(certificate.former_names, ["old"]);
    let text = certificate.as_text();
    for part in [
        "arn:1",
        "arn:2",
        "final from 1970-01-01T00:15:00Z",
        "2 opened before",
        "looked at: data",
        "not covered: a note",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn nothing_is_certified_that_was_not_done() {
    let without = |change: fn(&mut Progress)| {
        let mut order = carried_out();
        change(&mut order.progress);
        Certificate::of(&order, "me").is_err()
    };
    assert!(!without(|_| {}));
    assert!(without(|progress| progress.plan = None));
    assert!(without(|progress| progress.flushed = None));
    assert!(without(|progress| progress.settled = None));
    // A key that was destroyed after gateways were told.
    assert!(without(|progress| progress.settled = Some(at(5))));
    assert!(without(|progress| progress.records = None));
    assert!(without(|progress| progress.objects = None));
    assert!(without(|progress| progress.tried_again = None));
    assert!(without(|progress| progress.completed = None));
    assert!(without(|progress| {
        progress.plan.as_mut().unwrap().keys[1].state = KeyState::Asked;
    }));
    assert!(without(|progress| progress
        .plan
        .as_mut()
        .unwrap()
        .keys
        .clear()));
    assert!(without(|progress| {
        // That the storage does not have one any more shows nothing.
        let objects = progress.objects.as_mut().unwrap();
        (objects.refused_after, objects.deleted) = (1, 1);
    }));
}

#[test]
fn a_key_that_is_only_said_to_be_destroyed_is_called_so() {
    let mut order = carried_out();
    order.progress.plan.as_mut().unwrap().keys[1].state = KeyState::Stated;
    let refused = Certificate::of(&order, "me").unwrap_err().to_string();
    assert!(refused.contains("arn:2 was not destroyed"), "{refused}");
    order.stated = vec!["aws-kms 0000000000000002".parse().unwrap()];
    let certificate = Certificate::of(&order, "me").unwrap();
    assert_eq!(certificate.final_from, None, "not of every key");
    let text = certificate.as_text();
    assert!(
        !text.contains("that no key of the configuration opens"),
        "{text}"
    );
    assert!(
        text.contains("aws-kms 0000000000000002: destroyed, as the operator states")
            && text.contains("NOT CONFIRMED")
            && text.contains("not confirmed: service-2: arn:2"),
        "{text}"
    );
}

#[test]
fn what_was_confirmed_stays_so_when_its_service_is_gone_and_what_was_not_tried_is_counted_apart() {
    let mut order = carried_out();
    let objects = order.progress.objects.as_mut().unwrap();
    (objects.refused_after, objects.not_tried) = (1, 1);
    assert!(
        Certificate::of(&order, "me").is_err(),
        "every key is asked, and not every object was tried"
    );
    let key = &mut order.progress.plan.as_mut().unwrap().keys[1];
    let KeyState::Destroyed(destroyed) = key.state.clone() else {
        panic!("{key:?}");
    };
    key.state = KeyState::OutOfReach(destroyed);
    assert!(Certificate::of(&order, "me").is_err(), "nobody states it");
    order.stated = vec!["aws-kms 0000000000000002".parse().unwrap()];
    let certificate = Certificate::of(&order, "me").unwrap();
    assert_eq!((certificate.keys.len(), certificate.final_from), (2, None));
    let text = certificate.as_text();
    for part in [
        "NOT CONFIRMED",
        "its destruction was confirmed at 1970-01-01T00:00:10Z, final from 1970-01-01T00:15:00Z",
        "1 of them refused afterwards, 1 not tried",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_was_destroyed_here_needs_no_statement() {
    let mut order = carried_out();
    order.stated = vec!["aws-kms 0000000000000002".parse().unwrap()];
    let text = Certificate::of(&order, "me").unwrap().as_text();
    assert!(!text.contains("as the operator states"), "{text}");
    assert!(!text.contains("NOT CONFIRMED"), "{text}");
    order.without_gateways = true;
    let text = Certificate::of(&order, "me").unwrap().as_text();
    assert!(!text.contains("no gateway runs"), "some answered: {text}");
    let flushed = order.progress.flushed.as_mut().unwrap();
    flushed.gateways.clear();
    let text = Certificate::of(&order, "me").unwrap().as_text();
    assert!(
        text.contains("no gateway runs, as the operator states"),
        "{text}"
    );
}

#[test]
fn one_that_is_there_is_only_taken_for_that_of_its_own_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.json");
    let (key, _) = SigningKey::open_or_create(&directory.path().join("key")).unwrap();
    let order = carried_out();
    let written = Certificate::of(&order, "me").unwrap();
    let first = written.clone().write(&path, &key).unwrap();
    assert_eq!(first, written);
    // Killed before the order was ended, and gone on with by somebody else.
    let again = Certificate::of(&order, "another").unwrap();
    assert_eq!(again.write(&path, &key).unwrap(), written);
    let bytes = fs::read(&path).unwrap();
    let other = Certificate::of(&carried_out(), "me").unwrap();
    let refused = other.write(&path, &key).unwrap_err().to_string();
    assert!(refused.contains("move that away"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn an_order_is_no_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.json");
    let (key, _) = SigningKey::open_or_create(&directory.path().join("key")).unwrap();
    let order = document::encode(&carried_out()).unwrap();
    document::write_with_signature(&path, &order, &key).unwrap();
    let refused = Certificate::read(&path, &key.public().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("no certificate"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_changed_byte_of_document_or_signature_is_seen(
        place in any::<prop::sample::Index>(),
        change in 1_u8..=255,
        of_signature in any::<bool>(),
        cut in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.json");
        let (key, _) = SigningKey::open_or_create(&directory.path().join("key")).unwrap();
        let public = key.public().unwrap();
        let certificate = Certificate::of(&carried_out(), "me").unwrap();
        certificate.clone().write(&path, &key).unwrap();
        prop_assert_eq!(&Certificate::read(&path, &public).unwrap(), &certificate);
        let file = if of_signature { beside(&path, ".sig") } else { path.clone() };
        let mut bytes = fs::read(&file).unwrap();
        let place = place.index(bytes.len());
        if cut {
            bytes.truncate(place);
        } else {
            bytes[place] ^= change;
        }
        fs::write(&file, bytes).unwrap();
        prop_assert!(Certificate::read(&path, &public).is_err());
    }
}
