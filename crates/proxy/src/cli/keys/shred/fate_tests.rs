use std::time::Duration;

use super::super::plan::ChosenKey;
use super::*;

const FILE: &str = "local 0000000000000001";
const VAULT: &str = "vault-transit 0000000000000001";
const AWS: &str = "aws-kms 0000000000000001";

fn key(name: &str, state: KeyState) -> PlannedKey {
    PlannedKey {
        chosen: ChosenKey {
            key_service: Some("one".to_owned()),
            key: name.parse().unwrap(),
            full_name: "the key".to_owned(),
            place: "somewhere".to_owned(),
        },
        state,
    }
}

fn confirmed(name: &str, is_final: bool) -> DestroyedKey {
    let now = Moment::now();
    DestroyedKey {
        key_service: Some("one".to_owned()),
        key: name.parse().unwrap(),
        full_name: "the key".to_owned(),
        place: "somewhere".to_owned(),
        manner: "deletion scheduled".to_owned(),
        done: now,
        final_from: if is_final {
            Moment::from_milliseconds(1_000)
        } else {
            now.after(Duration::from_hours(24))
        },
        not_covered: None,
    }
}

fn unknown() -> Condition {
    Condition::Unknown("away".to_owned())
}

const ALONE: Circumstances = Circumstances {
    is_stated: false,
    is_in_file: false,
    others_are_left: false,
};

const STATED: Circumstances = Circumstances {
    is_stated: true,
    ..ALONE
};

const OTHERS_LEFT: Circumstances = Circumstances {
    others_are_left: true,
    ..ALONE
};

#[test]
fn what_was_never_confirmed_is_found_out_or_stated_and_never_guessed() {
    let asked = key(AWS, KeyState::Asked);
    assert_eq!(next(&asked, &Condition::Usable, ALONE), Next::PlanAgain);
    assert_eq!(next(&asked, &Condition::Going, ALONE), Next::AskAgain);
    for found in [Condition::Missing, unknown()] {
        assert_eq!(next(&asked, &found, ALONE), Next::Stop(found.clone()));
        assert_eq!(next(&asked, &found, STATED), Next::Stated);
    }
    let file = key(FILE, KeyState::Asked);
    assert_eq!(next(&file, &Condition::Zeros, ALONE), Next::OverwriteAgain);
    let planned = key(AWS, KeyState::Planned);
    for found in [Condition::Usable, Condition::Going, unknown()] {
        assert_eq!(next(&planned, &found, ALONE), Next::Keep, "{found:?}");
    }
    assert_eq!(next(&planned, &unknown(), STATED), Next::Stated);
}

#[test]
fn nothing_else_goes_when_a_deletion_was_taken_back_or_nobody_can_tell() {
    let going = key(AWS, KeyState::Destroyed(confirmed(AWS, false)));
    assert_eq!(next(&going, &Condition::Usable, ALONE), Next::TakenBack);
    assert_eq!(
        next(&going, &Condition::Usable, OTHERS_LEFT),
        Next::TakenBack
    );
    assert_eq!(next(&going, &Condition::Going, OTHERS_LEFT), Next::Keep);
    for found in [Condition::Missing, unknown()] {
        assert_eq!(next(&going, &found, OTHERS_LEFT), Next::Stop(found.clone()));
        assert_eq!(next(&going, &found, ALONE), Next::Keep);
    }
    // What is final cannot be taken back.
    for name in [VAULT, AWS] {
        let gone = key(name, KeyState::Destroyed(confirmed(name, true)));
        for found in [Condition::Missing, unknown()] {
            assert_eq!(next(&gone, &found, OTHERS_LEFT), Next::Keep, "{name}");
        }
    }
    // A file is looked at by who destroys it.
    let in_file = Circumstances {
        is_in_file: true,
        ..OTHERS_LEFT
    };
    let file = key(FILE, KeyState::Destroyed(confirmed(FILE, true)));
    assert_eq!(next(&file, &Condition::Missing, in_file), Next::Keep);
    assert_eq!(next(&file, &Condition::Usable, in_file), Next::PlanAgain);
}

#[test]
fn a_confirmed_deletion_outlives_its_key_service_by_the_operators_word() {
    let going = key(AWS, KeyState::Destroyed(confirmed(AWS, false)));
    for found in [Condition::Missing, unknown()] {
        assert_eq!(next(&going, &found, STATED), Next::OutOfReach);
    }
    let deleted = key(VAULT, KeyState::Destroyed(confirmed(VAULT, true)));
    assert_eq!(next(&deleted, &unknown(), STATED), Next::OutOfReach);
    // Its service says itself that it has the key no more.
    assert_eq!(next(&deleted, &Condition::Missing, STATED), Next::Keep);
    let out_of_reach = key(AWS, KeyState::OutOfReach(confirmed(AWS, false)));
    assert_eq!(next(&out_of_reach, &unknown(), STATED), Next::Keep);
    assert_eq!(
        next(&out_of_reach, &Condition::Going, STATED),
        Next::Confirmed
    );
    assert_eq!(
        next(&out_of_reach, &Condition::Usable, STATED),
        Next::TakenBack
    );
}

#[test]
fn what_becomes_of_a_key_that_is_given_up_is_what_its_service_says_or_the_operator() {
    let going = || KeyState::Destroyed(confirmed(AWS, false));
    let fate_of = |name, state, found, is_stated| fate(&key(name, state), found, is_stated);
    assert_eq!(
        fate_of(AWS, going(), Condition::Usable, false),
        Fate::Usable
    );
    assert_eq!(fate_of(AWS, going(), Condition::Going, true), Fate::Going);
    for found in [Condition::Missing, unknown()] {
        let shown = found.clone();
        assert_eq!(
            fate_of(AWS, going(), found.clone(), false),
            Fate::Unknown(shown)
        );
        let said = fate_of(AWS, going(), found.clone(), true);
        assert!(matches!(said, Fate::Gone(_)), "{said:?}");
        for (name, state) in [
            (VAULT, KeyState::Destroyed(confirmed(VAULT, true))),
            (AWS, KeyState::Destroyed(confirmed(AWS, true))),
            (FILE, KeyState::Overwritten),
            (AWS, KeyState::Stated),
        ] {
            let gone = fate_of(name, state, found.clone(), false);
            assert!(matches!(gone, Fate::Gone(_)), "{name} {gone:?}");
        }
        // Of which nothing was asked, nothing was done to.
        let planned = fate_of(AWS, KeyState::Planned, found.clone(), false);
        assert_eq!(planned, Fate::Untouched(found));
    }
}

#[test]
fn an_order_is_given_up_where_something_is_gone_and_something_is_left() {
    let gone = || Fate::Gone("x");
    let untouched = || Fate::Untouched(Condition::Going);
    for (fates, expected) in [
        (vec![Fate::Usable, Fate::Usable], Cancellation::TakenBack),
        // Nothing was ever asked: whoever else has had it deleted.
        (vec![untouched()], Cancellation::TakenBack),
        (vec![Fate::Usable, gone()], Cancellation::GivenUp),
        (
            vec![gone(), untouched(), Fate::Usable],
            Cancellation::GivenUp,
        ),
        (vec![Fate::Usable, Fate::Going], Cancellation::StillGoing(1)),
        (
            vec![Fate::Unknown(Condition::Missing), Fate::Usable],
            Cancellation::NotKnown(0),
        ),
        (vec![gone(), gone()], Cancellation::NothingLeft),
        (vec![gone(), untouched()], Cancellation::NothingLeft),
    ] {
        assert_eq!(cancellation(&fates), expected, "{fates:?}");
    }
}
