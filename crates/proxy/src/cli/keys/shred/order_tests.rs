use super::super::certificate::DestroyedKey;
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
fn a_refusal_is_no_beginning_and_a_lost_answer_is() {
    let at = Moment::from_milliseconds;
    let new = Order::new("rig", "alice", at(1_000), at(2_000), "c".into()).unwrap();
    assert_eq!(new.stage(), Stage::Waiting);
    let refused = || KeyState::Refused("denied".to_owned());
    for (states, stage) in [
        (vec![KeyState::Planned], Stage::Waiting),
        (vec![refused(), KeyState::Planned], Stage::Refused),
        (vec![KeyState::Asked], Stage::Begun),
        (vec![KeyState::Planned, KeyState::Overwritten], Stage::Begun),
        (vec![destroyed(), refused()], Stage::Begun),
        (vec![KeyState::Stated], Stage::Begun),
    ] {
        let shown = format!("{states:?}");
        assert_eq!(order_with(states).stage(), stage, "{shown}");
    }
}

#[test]
fn what_was_asked_for_once_is_remembered_through_another_look() {
    let mut order = order_with(vec![KeyState::Planned]);
    let plan = order.progress.plan.clone().unwrap();
    assert!(
        !order
            .progress
            .looked_at_again(plan.clone())
            .plan
            .unwrap()
            .is_begun()
    );
    order.progress.plan.as_mut().unwrap().keys[0].was_asked = true;
    order
        .progress
        .deleting
        .insert("r".to_owned(), BTreeSet::new());
    assert_eq!(order.stage(), Stage::Begun);
    let again = order.progress.looked_at_again(plan);
    assert_eq!(again.deleting.len(), 1);
    let plan = again.plan.unwrap();
    assert!(plan.is_begun() && plan.is_whole());
}

#[test]
fn no_two_orders_have_one_id() {
    let one = order_with(Vec::new());
    assert_eq!(one.id.len(), 32);
    assert_ne!(one.id, order_with(Vec::new()).id);
}
