use std::time::Duration;

use super::super::plan::ChosenKey;
use super::*;

const FILE: &str = "local 0000000000000001";
const VAULT: &str = "vault-transit 0000000000000001";
const AWS: &str = "aws-kms 0000000000000001";

/// A key, by what was done to it.
fn key(name: &str, state: KeyState, was_asked: bool) -> PlannedKey {
    PlannedKey {
        chosen: ChosenKey {
            key_service: Some("one".to_owned()),
            key: name.parse().unwrap(),
            full_name: "the key".to_owned(),
            place: "somewhere".to_owned(),
        },
        state,
        was_asked,
        may_have_been_asked: false,
        was_stated: false,
        shown: None,
    }
}

fn today() -> Moment {
    Moment::from_milliseconds(2_000_000_000_000)
}

fn confirmed(name: &str, final_from: Moment) -> KeyState {
    KeyState::Destroyed(DestroyedKey {
        key_service: Some("one".to_owned()),
        key: name.parse().unwrap(),
        full_name: "the key".to_owned(),
        place: "somewhere".to_owned(),
        manner: "deletion scheduled".to_owned(),
        done: Moment::now(),
        final_from,
        not_covered: None,
    })
}

fn later() -> Moment {
    Moment::now().after(Duration::from_hours(24))
}

fn before() -> Moment {
    Moment::from_milliseconds(1_000)
}

/// A deletion that is final from then on.
async fn going(final_from: Moment) -> Condition {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some");
    let some = sealgate_envelope::key_service::local::LocalKeyService::create(path).unwrap();
    // Only a key service makes one; it is altered.
    let mut deletion = sealgate_envelope::key_service::KeyService::schedule_deletion(&some, 7)
        .await
        .unwrap();
    let text = final_from.to_string();
    let format = &time::format_description::well_known::Rfc3339;
    let seconds = time::OffsetDateTime::parse(&text, format).unwrap();
    deletion.final_from = u64::try_from(seconds.unix_timestamp()).unwrap() * 1_000;
    Condition::Going(deletion)
}

fn states(name: &str) -> Vec<PlannedKey> {
    vec![
        key(name, KeyState::Planned, false),
        key(name, KeyState::Planned, true),
        PlannedKey {
            may_have_been_asked: true,
            ..key(name, KeyState::Planned, false)
        },
        key(name, KeyState::Asked, true),
        key(name, KeyState::Overwritten, true),
        key(name, confirmed(name, today()), true),
        key(name, confirmed(name, before()), true),
        key(name, KeyState::ByWord("so".to_owned()), true),
    ]
}

async fn conditions() -> Vec<Condition> {
    vec![
        Condition::Usable,
        Condition::Disabled,
        going(today()).await,
        going(later()).await,
        Condition::Zeros,
        Condition::Missing,
        Condition::Other("another".to_owned()),
        Condition::Unknown("away".to_owned()),
    ]
}

/// Rule A: state × what is seen × the operator's word, for each kind of key. These courses are straight, and no others.
#[tokio::test]
async fn without_a_person_nothing_goes_unless_the_order_is_as_a_straight_course_leaves_it() {
    let mut straight = 0;
    let mut seen = 0;
    for name in [FILE, VAULT, AWS] {
        for planned in states(name) {
            for found in conditions().await {
                for (is_stated, was_stated) in [(false, false), (true, false), (false, true)] {
                    seen += 1;
                    let planned = PlannedKey {
                        was_stated,
                        ..planned.clone()
                    };
                    let expected = !is_stated
                        && !was_stated
                        && match (&planned.state, &found) {
                            (KeyState::Planned, Condition::Usable) => !planned.was_ever_asked(),
                            (KeyState::Destroyed(key), Condition::Going(deletion)) => {
                                key.final_from == today() && destroy::date_of(deletion) == today()
                            }
                            (
                                KeyState::Destroyed(key),
                                Condition::Missing | Condition::Zeros | Condition::Other(_),
                            ) => name != AWS || key.final_from == before(),
                            (KeyState::Overwritten, Condition::Zeros | Condition::Missing) => true,
                            _ => false,
                        };
                    straight += usize::from(expected);
                    assert_eq!(
                        is_on_course(&planned, &found, is_stated),
                        expected,
                        "{planned:?} {found:?} {is_stated}"
                    );
                }
            }
        }
    }
    assert_eq!((straight, seen), (27, 576));
}

/// The same cases: what is written down never calls a key gone that nobody has confirmed, and never forgets that it was asked for.
#[tokio::test]
async fn what_is_written_down_follows_what_is_seen_and_nothing_is_guessed() {
    for name in [FILE, VAULT, AWS] {
        for planned in states(name) {
            for found in conditions().await {
                for is_stated in [false, true] {
                    let next = next(&planned, &found, is_stated);
                    let case = format!("{planned:?} {found:?} {is_stated}: {next:?}");
                    match &found {
                        Condition::Usable | Condition::Disabled => {
                            assert_eq!(next, Next::Planned, "{case}");
                        }
                        Condition::Going(deletion) if planned.was_ever_asked() => {
                            let is_same = destroy::date_of(deletion) == today()
                                && matches!(&planned.state, KeyState::Destroyed(key) if key.final_from == today());
                            let is_kept = next == Next::Keep;
                            assert_eq!(is_kept, is_same, "{case}");
                            assert!(is_kept || next == Next::Going(deletion.clone()), "{case}");
                        }
                        Condition::Unknown(_) => {
                            let is_by_word = matches!(planned.state, KeyState::ByWord(_));
                            let expected = match (is_by_word, is_stated) {
                                (true, _) => Next::Keep,
                                (false, true) => Next::ByWord,
                                (false, false) => Next::Stop,
                            };
                            assert_eq!(next, expected, "{case}");
                        }
                        _ => assert!(
                            planned.state != KeyState::Planned
                                || matches!(next, Next::Stop | Next::ByWord)
                                || matches!(found, Condition::Going(_)),
                            "{case}"
                        ),
                    }
                    if is_on_course(&planned, &found, is_stated) {
                        assert!(matches!(next, Next::Keep | Next::Planned), "{case}");
                    }
                }
            }
        }
    }
}

/// Through `--cancel`: what was ever asked for is never one of which nothing was asked.
#[tokio::test]
async fn who_ends_an_order_hears_of_no_key_that_it_is_gone_unless_that_is_known() {
    for name in [FILE, VAULT, AWS] {
        for planned in states(name) {
            for found in conditions().await {
                for is_stated in [false, true] {
                    let fate = fate(&planned, found.clone(), is_stated);
                    let case = format!("{planned:?} {found:?} {is_stated}: {fate:?}");
                    if matches!(found, Condition::Usable | Condition::Disabled) {
                        assert_eq!(fate, Fate::Usable, "{case}");
                    }
                    if matches!(found, Condition::Going(_)) && planned.was_ever_asked() {
                        assert_eq!(fate, Fate::Going, "{case}");
                    }
                    if matches!(fate, Fate::Untouched(_)) {
                        assert!(!planned.was_ever_asked(), "{case}");
                    }
                    if matches!((&fate, &found), (Fate::Gone(_), Condition::Unknown(_))) {
                        let is_by_word = matches!(planned.state, KeyState::ByWord(_));
                        assert!(is_stated || is_by_word, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_order_is_given_up_where_something_is_gone_and_something_is_left() {
    let gone = || Fate::Gone("x");
    let untouched = || Fate::Untouched(Condition::Zeros);
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
