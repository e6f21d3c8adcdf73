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
        was_asked: false,
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
    // That it is not found there any more is what its service has confirmed. That nobody can tell shows nothing, whatever the
    // date: it may have been taken back before.
    for name in [VAULT, AWS] {
        let gone = key(name, KeyState::Destroyed(confirmed(name, true)));
        let missing = next(&gone, &Condition::Missing, OTHERS_LEFT);
        assert_eq!(missing, Next::Keep, "{name}");
        let away = next(&gone, &unknown(), OTHERS_LEFT);
        assert_eq!(away, Next::Stop(unknown()), "{name}");
    }
    // A file is looked at by who destroys it.
    let in_file = Circumstances {
        is_in_file: true,
        ..OTHERS_LEFT
    };
    let file = key(FILE, KeyState::Destroyed(confirmed(FILE, true)));
    assert_eq!(next(&file, &Condition::Missing, in_file), Next::Keep);
    assert_eq!(next(&file, &Condition::Usable, in_file), Next::PlanAgain);
    // Something lies in its place, and cannot be opened: perhaps the key, brought back.
    assert_eq!(next(&file, &unknown(), in_file), Next::Stop(unknown()));
}

#[test]
fn that_a_deletion_was_taken_back_is_not_forgotten() {
    for is_final in [false, true] {
        let back = key(AWS, KeyState::TakenBack(confirmed(AWS, is_final)));
        assert!(back.may_be_gone());
        for with in [ALONE, OTHERS_LEFT] {
            assert_eq!(next(&back, &Condition::Usable, with), Next::TakenBack);
            assert_eq!(next(&back, &Condition::Going, with), Next::Confirmed);
            for found in [Condition::Missing, unknown()] {
                assert_eq!(next(&back, &found, with), Next::Stop(found.clone()));
            }
        }
        assert_eq!(fate(&back, Condition::Usable, false), Fate::Usable);
        let away = fate(&back, unknown(), false);
        assert_eq!(away, Fate::Unknown(unknown()));
    }
}

#[test]
fn a_request_that_was_not_heard_at_first_may_be_heard_late() {
    let mut once = key(VAULT, KeyState::Planned);
    once.was_asked = true;
    assert!(once.was_ever_asked() && !once.may_be_gone());
    assert_eq!(next(&once, &Condition::Usable, ALONE), Next::PlanAgain);
    assert_eq!(next(&once, &Condition::Going, ALONE), Next::AskAgain);
    for found in [Condition::Missing, unknown()] {
        assert_eq!(next(&once, &found, ALONE), Next::Stop(found.clone()));
        assert_eq!(next(&once, &found, STATED), Next::Stated);
        // Not one of which nothing was asked.
        assert_eq!(
            fate(&once, found.clone(), false),
            Fate::Unknown(found.clone())
        );
        let said = fate(&once, found, true);
        assert!(matches!(said, Fate::Gone(_)), "{said:?}");
    }
    assert_eq!(fate(&once, Condition::Going, false), Fate::Going);
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
        for (name, state) in [(FILE, KeyState::Overwritten), (AWS, KeyState::Stated)] {
            let gone = fate_of(name, state, found.clone(), false);
            assert!(matches!(gone, Fate::Gone(_)), "{name} {gone:?}");
        }
        for name in [VAULT, AWS] {
            let past = KeyState::Destroyed(confirmed(name, true));
            let fate = fate_of(name, past, found.clone(), false);
            let is_gone = matches!(fate, Fate::Gone(_));
            assert_eq!(is_gone, found == Condition::Missing, "{name} {fate:?}");
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
        // Whole perhaps, and only away.
        (
            vec![gone(), Fate::Untouched(Condition::Missing)],
            Cancellation::NotKnown(1),
        ),
    ] {
        assert_eq!(cancellation(&fates), expected, "{fates:?}");
    }
}
