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
        was_asked: true,
        may_have_been_asked: false,
        was_stated: false,
        shown: None,
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
        ..Progress::default()
    };
    order
}

fn shown() -> Shown {
    let keys = [1, 2].map(|number| format!("aws-kms {number:016x}").parse().unwrap());
    Shown {
        asked: keys.to_vec(),
        settled: at(25),
        gateways: GatewaysFlushed {
            done: at(20),
            gateways: vec!["g".to_owned()],
        },
        records: RecordsDeleted {
            working_keys: 3,
            versions: 4,
        },
        objects: ObjectsTried {
            seen: 5,
            opened_before: 2,
            refused_after: 2,
            not_tried: 0,
            deleted: 0,
        },
    }
}

fn of(order: &Order) -> anyhow::Result<Certificate> {
    Certificate::of(order, shown(), "me")
}

#[test]
fn it_is_final_when_the_last_key_is_and_names_each() {
    let certificate = of(&carried_out()).unwrap();
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

/// Rule B: state × asked in this run × stated at any time.
#[test]
fn a_key_is_confirmed_only_by_the_answer_of_this_run_and_never_where_it_was_stated() {
    let by_word = || KeyState::ByWord("it was so".to_owned());
    let going = || planned(2, 900).state;
    let states: [fn() -> KeyState; 5] = [
        || KeyState::Planned,
        || KeyState::Asked,
        || KeyState::Overwritten,
        || planned(2, 900).state,
        || KeyState::ByWord("it was so".to_owned()),
    ];
    for state in states {
        for is_asked in [true, false] {
            for (is_stated, was_stated) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let case = format!("{:?} {is_asked} {is_stated} {was_stated}", state());
                let mut order = carried_out();
                let key = order.planned(1).unwrap();
                (key.state, key.was_stated) = (state(), was_stated);
                let name = key.chosen.key.clone();
                order.stated = is_stated.then_some(name).into_iter().collect();
                let mut shown = shown();
                shown.asked.truncate(if is_asked { 2 } else { 1 });
                let certificate = Certificate::of(&order, shown, "me");
                let stated = is_stated || was_stated;
                if state() == going() && is_asked && !stated {
                    let certificate = certificate.unwrap();
                    assert_eq!(certificate.keys.len(), 2, "{case}");
                    assert_eq!(certificate.final_from, Some(at(900)), "{case}");
                } else if (state() == going() || state() == by_word()) && stated {
                    let certificate = certificate.unwrap();
                    assert_eq!(certificate.keys.len(), 1, "{case}");
                    assert_eq!(certificate.not_confirmed.len(), 1, "{case}");
                    assert_eq!(certificate.final_from, None, "{case}");
                    let text = certificate.as_text();
                    for part in [
                        "NOT CONFIRMED",
                        "not confirmed: service-2: arn:2",
                        "aws-kms 0000000000000002: destroyed, as the operator states",
                    ] {
                        assert!(text.contains(part), "{case} {text}");
                    }
                    assert!(!text.contains("that no key of the configuration opens"));
                } else {
                    let refused = certificate.unwrap_err().to_string();
                    assert!(refused.contains("arn:2 was not shown"), "{case} {refused}");
                }
            }
        }
    }
}

#[test]
fn a_statement_about_a_key_that_is_none_of_the_order_leaves_no_date_either() {
    let mut order = carried_out();
    order.stated = vec!["aws-kms 0000000000000009".parse().unwrap()];
    let certificate = of(&order).unwrap();
    assert_eq!((certificate.keys.len(), certificate.final_from), (2, None));
    assert!(certificate.as_text().contains("it is no key of the order"));
}

#[test]
fn nothing_is_certified_that_was_not_done() {
    let mut order = carried_out();
    order.progress.plan.as_mut().unwrap().keys.clear();
    assert!(of(&order).is_err());
    order.progress.plan = None;
    assert!(of(&order).is_err());
    // That the storage does not have one any more shows nothing.
    let mut deleted = shown();
    (deleted.objects.refused_after, deleted.objects.deleted) = (1, 1);
    assert!(Certificate::of(&carried_out(), deleted, "me").is_err());
    // Every key was asked, and not every object was tried.
    let mut not_tried = shown();
    (not_tried.objects.refused_after, not_tried.objects.not_tried) = (1, 1);
    assert!(Certificate::of(&carried_out(), not_tried.clone(), "me").is_err());
    let mut order = carried_out();
    order.planned(1).unwrap().was_stated = true;
    let text = Certificate::of(&order, not_tried, "me").unwrap().as_text();
    assert!(text.contains("1 of them refused afterwards, 1 not tried"));
}

#[test]
fn that_no_gateway_runs_is_said_as_stated_only_where_none_answered() {
    let mut order = carried_out();
    order.without_gateways = true;
    let text = of(&order).unwrap().as_text();
    assert!(!text.contains("no gateway runs"), "some answered: {text}");
    let mut none = shown();
    none.gateways.gateways.clear();
    let text = Certificate::of(&order, none, "me").unwrap().as_text();
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
    let written = of(&order).unwrap();
    let first = written.clone().write(&path, &key).unwrap();
    assert_eq!(first, written);
    // Killed before the order was ended, and gone on with by somebody else.
    let again = Certificate::of(&order, shown(), "another").unwrap();
    assert_eq!(again.write(&path, &key).unwrap(), written);
    // Unless it says another thing by now.
    let mut later = order.clone();
    later.progress.plan.as_mut().unwrap().keys[1] = planned(2, 950);
    assert!(of(&later).unwrap().write(&path, &key).is_err());
    let bytes = fs::read(&path).unwrap();
    let other = of(&carried_out()).unwrap();
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
        let certificate = of(&carried_out()).unwrap();
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
