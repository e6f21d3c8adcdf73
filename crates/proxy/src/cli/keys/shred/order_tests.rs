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
fn no_two_orders_have_one_id() {
    let one = order_with(Vec::new());
    assert_eq!(one.id.len(), 32);
    assert_ne!(one.id, order_with(Vec::new()).id);
}
