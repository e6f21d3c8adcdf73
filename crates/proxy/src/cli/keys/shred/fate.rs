//! What follows from what was written down of a key and from what it shows of itself now: for a run that goes on with an order,
//! and for `--cancel`.
//!
//! A run that goes on:
//!
//! ```text
//!                it can be     deletion is   its file     it is not found, or nobody can tell
//! written down   used          scheduled     holds zeros  by the operator's word   without it
//! ────────────   ───────────   ───────────   ───────────  ─────────────────────   ─────────────────────────────
//! planned        keep          keep          keep         stated                   keep
//!   or refused
//!   after it     plan again    ask again     stop         stated                   stop
//!   was asked
//! asked          plan again    ask again     overwrite    stated                   stop
//! stated         plan again    ask again     keep         keep                     keep
//! overwritten    plan again    keep          keep         keep                     keep
//! destroyed:
//!   a file       plan again    keep          keep         keep                     stop, if something lies there
//!   in a service taken back    keep          keep         out of reach             stop, if other keys are left
//! out of reach   taken back    confirmed     keep         keep                     keep
//! taken back     taken back    confirmed     keep         stated                   stop
//! ```
//!
//! A key that its service deleted at once, or whose date is over, is not found there any more: that is no question.

use super::certificate::DestroyedKey;
use super::destroy::Condition;
use super::moment::Moment;
use super::plan::{KeyState, PlannedKey};

/// What a run that goes on does about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It stays as it was written down.
    Keep,
    /// It can be used, so everything is looked at before its destruction is asked for.
    PlanAgain,
    /// Its service says that it goes, and has to tell the date.
    AskAgain,
    /// Its zeros may never have reached the disk.
    OverwriteAgain,
    /// Its service can be asked again, and says that it goes.
    Confirmed,
    /// Nothing shows what has become of it; the operator states that it is destroyed.
    Stated,
    /// Its service had confirmed it, and can be asked no more; the operator states that it is destroyed.
    OutOfReach,
    /// Its service had confirmed it, and says that it can be used: nothing is destroyed against that.
    TakenBack,
    /// Nobody can tell, with the cause, and nothing else is done until somebody can.
    Stop(Condition),
}

/// What the other keys of an order are like, and what the operator has said of this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    pub(super) is_stated: bool,
    pub(super) is_in_file: bool,
    /// Other keys of the order are still to be asked for.
    pub(super) others_are_left: bool,
}

/// See the table above. For orders of which something was destroyed, or may have been.
pub(super) fn next(key: &PlannedKey, found: &Condition, with: Circumstances) -> Next {
    use Condition::{Going, Missing, Unknown, Usable, Zeros};
    match (&key.state, found) {
        (KeyState::Planned | KeyState::Refused(_), Usable) if key.was_asked => Next::PlanAgain,
        (KeyState::Planned | KeyState::Refused(_), Going) if key.was_asked => Next::AskAgain,
        (KeyState::Planned | KeyState::Refused(_), Missing | Unknown(_) | Zeros)
            if key.was_asked =>
        {
            by_word_or_stop(found, with)
        }
        (KeyState::Planned | KeyState::Refused(_), Missing | Unknown(_)) if with.is_stated => {
            Next::Stated
        }
        (KeyState::Destroyed(_), Usable) if with.is_in_file => Next::PlanAgain,
        (KeyState::Destroyed(_) | KeyState::OutOfReach(_) | KeyState::TakenBack(_), Usable) => {
            Next::TakenBack
        }
        (KeyState::Asked | KeyState::Stated | KeyState::Overwritten, Usable) => Next::PlanAgain,
        (KeyState::Asked | KeyState::Stated, Going) => Next::AskAgain,
        (KeyState::OutOfReach(_) | KeyState::TakenBack(_), Going) => Next::Confirmed,
        (KeyState::Asked, Zeros) => Next::OverwriteAgain,
        (KeyState::Asked | KeyState::TakenBack(_), Missing | Unknown(_)) => {
            by_word_or_stop(found, with)
        }
        (KeyState::Destroyed(_), Unknown(_)) if with.is_in_file && !with.is_stated => {
            Next::Stop(found.clone())
        }
        (KeyState::Destroyed(destroyed), Missing | Unknown(_)) if !with.is_in_file => {
            if is_gone(destroyed, found) {
                Next::Keep
            } else if with.is_stated {
                Next::OutOfReach
            } else if with.others_are_left {
                Next::Stop(found.clone())
            } else {
                Next::Keep
            }
        }
        _ => Next::Keep,
    }
}

fn by_word_or_stop(found: &Condition, with: Circumstances) -> Next {
    if with.is_stated {
        Next::Stated
    } else {
        Next::Stop(found.clone())
    }
}

/// Whether a service that does not find the key says nothing new: it has confirmed that it deleted exactly this one. AWS KMS
/// keeps it until the date; before that, it is another account or another place that has no such key.
pub(super) fn is_gone(destroyed: &DestroyedKey, found: &Condition) -> bool {
    *found == Condition::Missing
        && (!destroyed.key.is_at_aws_kms() || destroyed.final_from <= Moment::now())
}

/// What a key is to somebody who wants to end the order before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It can be used.
    Usable,
    /// Nothing was ever asked of it, and it cannot be used now; with what it shows.
    Untouched(Condition),
    /// It is going to be deleted, and its service can still take that back.
    Going,
    /// It is gone for good; with how that is known.
    Gone(&'static str),
    /// Nobody can tell; with the cause.
    Unknown(Condition),
}

/// What has become of a key.
pub(super) fn fate(key: &PlannedKey, found: Condition, is_stated: bool) -> Fate {
    const STATED: &str = "destroyed, as the operator states";
    match (&key.state, found) {
        (_, Condition::Usable) => Fate::Usable,
        (KeyState::Planned | KeyState::Refused(_), found) if !key.was_asked => {
            Fate::Untouched(found)
        }
        (_, Condition::Going) => Fate::Going,
        (KeyState::Overwritten, _)
        | (KeyState::Asked | KeyState::Destroyed(_), Condition::Zeros) => {
            Fate::Gone("its file was overwritten")
        }
        (KeyState::Destroyed(destroyed), found) if is_gone(destroyed, &found) => {
            Fate::Gone("its destruction was confirmed")
        }
        (KeyState::Stated | KeyState::OutOfReach(_), _) => Fate::Gone(STATED),
        (_, _) if is_stated => Fate::Gone(STATED),
        (_, found) => Fate::Unknown(found),
    }
}

/// How an order can end before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancellation {
    /// None of its keys is destroyed.
    TakenBack,
    /// Some are gone for good, and at least one can be used: the domain is not destroyed, and will not be by this order.
    GivenUp,
    /// The deletion of the key in this place is scheduled.
    StillGoing(usize),
    /// Nobody can tell what has become of the key in this place.
    NotKnown(usize),
    /// No key is left that can be used: what the order is for has happened.
    NothingLeft,
}

/// How an order whose keys have these fates can end.
pub(super) fn cancellation(fates: &[Fate]) -> Cancellation {
    let first = |wanted: fn(&Fate) -> bool| fates.iter().position(wanted);
    if let Some(place) = first(|fate| *fate == Fate::Going) {
        Cancellation::StillGoing(place)
    } else if let Some(place) = first(|fate| matches!(fate, Fate::Unknown(_))) {
        Cancellation::NotKnown(place)
    } else if first(|fate| matches!(fate, Fate::Gone(_))).is_none() {
        Cancellation::TakenBack
    } else if fates.contains(&Fate::Usable) {
        Cancellation::GivenUp
    } else if let Some(place) = first(|fate| {
        matches!(
            fate,
            Fate::Untouched(Condition::Missing | Condition::Unknown(_))
        )
    }) {
        // It may be whole, and only away.
        Cancellation::NotKnown(place)
    } else {
        Cancellation::NothingLeft
    }
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
