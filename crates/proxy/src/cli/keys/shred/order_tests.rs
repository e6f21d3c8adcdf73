use super::super::certificate::DestroyedKey;
use super::super::fate;
use super::super::plan::KeyState;
use super::*;

fn order_with(states: Vec<KeyState>) -> Order {
    let at = Moment::from_milliseconds;
    let mut order = Order::new("rig", "alice", at(1_000), at(2_000), "c".into()).unwrap();
    let keys = states.into_iter().map(|state| PlannedKey {
        chosen: ChosenKey {
            key_service: Some("one".to_owned()),
            key: "aws-kms 0000000000000001".parse().unwrap(),
            full_name: "arn:1".to_owned(),
            place: "AWS KMS in eu-1".to_owned(),
        },
        state,
        was_asked: false,
        may_have_been_asked: false,
        was_stated: false,
        shown: None,
    });
    order.progress.plan = Some(Plan {
        keys: keys.collect(),
        ..Plan::default()
    });
    order
}

fn destroyed() -> KeyState {
    KeyState::Destroyed(DestroyedKey {
        key_service: None,
        key: "aws-kms 0000000000000001".parse().unwrap(),
        full_name: String::new(),
        place: String::new(),
        manner: String::new(),
        done: Moment::now(),
        final_from: Moment::now(),
        not_covered: None,
    })
}

#[test]
fn whatever_was_asked_for_is_a_beginning() {
    let at = Moment::from_milliseconds;
    let new = Order::new("rig", "alice", at(1_000), at(2_000), "c".into()).unwrap();
    assert_eq!(new.stage(), "waiting");
    for (states, stage) in [
        (vec![KeyState::Planned], "waiting"),
        (vec![KeyState::Asked], "begun"),
        (vec![KeyState::Planned, KeyState::Overwritten], "begun"),
        (vec![destroyed(), KeyState::Planned], "begun"),
        (vec![KeyState::ByWord(String::new())], "begun"),
    ] {
        let shown = format!("{states:?}");
        let mut order = order_with(states);
        assert_eq!(order.stage(), stage, "{shown}");
        order.mark("first");
        order.mark("second");
        assert_eq!(order.stage(), "needs-confirmation");
        assert_eq!(order.progress.needs_confirmation.as_deref(), Some("first"));
    }
}

#[test]
fn what_was_asked_for_and_stated_once_is_remembered_through_another_look() {
    let mut order = order_with(vec![KeyState::Planned]);
    let plan = order.progress.plan.clone().unwrap();
    order.looked_at_again(plan.clone());
    assert!(!order.is_begun());
    let key = order.planned(0).unwrap();
    (key.was_asked, key.was_stated) = (true, true);
    order.looked_at_again(plan);
    let plan = order.plan().unwrap();
    assert!(plan.is_begun() && plan.is_whole());
    assert_eq!(order.ever_stated().len(), 1);
}

#[test]
fn of_an_order_that_is_not_trusted_any_key_may_have_been_asked_for() {
    let mut order = order_with(vec![KeyState::Planned, destroyed()]);
    let keys = order.plan().unwrap().keys.iter();
    order.keys = keys.map(|key| key.chosen.clone()).collect();
    for plan in [order.progress.plan.clone(), None] {
        order.progress.plan = plan;
        order.distrust("restored");
        let keys = &order.plan().unwrap().keys;
        assert!(keys.len() == 2 && keys.iter().all(PlannedKey::was_ever_asked));
        // Nobody says that it was.
        assert!(fate::history(&keys[0]).contains("is not known"));
    }
}

#[test]
fn what_needs_a_person_and_was_never_begun_can_be_confirmed_before_its_time() {
    let mut order = order_with(vec![KeyState::Planned]);
    order.not_before = Moment::now().after(std::time::Duration::from_hours(1));
    assert!(!order.can_be_confirmed());
    order.mark(EARLIER_VERSION);
    assert!(order.can_be_confirmed() && order.waits());
    // What may have been asked for stays so, whatever anybody confirms: it is taken back, or waits for its time.
    order.distrust("restored");
    assert!(!order.can_be_confirmed());
    order.not_before = Moment::now();
    assert!(order.can_be_confirmed());
}

#[test]
fn states_of_earlier_versions_are_read_as_what_has_to_be_found_out() {
    let key = match destroyed() {
        KeyState::Destroyed(key) => serde_json::to_value(key).unwrap(),
        state => panic!("{state:?}"),
    };
    for (written, state) in [
        (serde_json::json!({ "refused": "denied" }), KeyState::Asked),
        (serde_json::json!("stated"), KeyState::Asked),
        (serde_json::json!({ "taken-back": key }), KeyState::Asked),
    ] {
        assert_eq!(serde_json::from_value::<KeyState>(written).unwrap(), state);
    }
    let away = serde_json::json!({ "out-of-reach": key });
    let away = serde_json::from_value::<KeyState>(away).unwrap();
    assert!(matches!(away, KeyState::Destroyed(_)), "{away:?}");
}

#[test]
fn no_two_orders_have_one_id() {
    let one = order_with(Vec::new());
    assert_eq!(one.id.len(), 32);
    assert_ne!(one.id, order_with(Vec::new()).id);
}
