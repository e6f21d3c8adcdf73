//! What follows from what was written down of a key and from what it shows of itself now.
//!
//! A timer destroys only while every key is on the straight course of its order:
//!
//! ```text
//! written down   seen now
//! ────────────   ──────────────────────────────────────────────────────────────────────────
//! planned        it can be used (and is not disabled), and neither was it ever asked for nor stated to be destroyed
//! destroyed      its deletion is scheduled for the date that is written down,
//!                or it is not found any more after that date
//! overwritten    its file holds zeros, or is gone
//! ```
//!
//! Whatever else is seen needs a person, who is shown what has become of each key.

use sealgate_envelope::key_service::KeyDeletion;

use super::certificate::DestroyedKey;
use super::destroy::{self, Condition};
use super::moment::Moment;
use super::plan::{KeyState, PlannedKey};

/// Whether the order, as far as this key goes, is as a straight course leaves it.
pub(super) fn is_on_course(key: &PlannedKey, found: &Condition, is_stated: bool) -> bool {
    if is_stated || key.was_stated {
        return false;
    }
    match (&key.state, found) {
        (KeyState::Planned, Condition::Usable) => !key.was_ever_asked(),
        (KeyState::Destroyed(destroyed), Condition::Going(deletion)) => {
            destroyed.final_from == destroy::date_of(deletion)
        }
        (KeyState::Destroyed(destroyed), found) => is_gone(destroyed, found),
        (KeyState::Overwritten, Condition::Zeros | Condition::Missing) => true,
        _ => false,
    }
}

/// What is written down of a key that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It stays as it was written down.
    Keep,
    /// It can be used.
    Planned,
    /// Its service says that it goes, and from when that is final.
    Going(KeyDeletion),
    /// Nothing shows what has become of it; the operator states that it is destroyed.
    ByWord,
    /// Nobody can tell, and nothing else is done until somebody can.
    Stop,
}

/// For orders of which something was asked for.
pub(super) fn next(key: &PlannedKey, found: &Condition, is_stated: bool) -> Next {
    use Condition::{Disabled, Going, Missing, Other, Usable, Zeros};
    match (&key.state, found) {
        (_, Usable | Disabled) => Next::Planned,
        // Somebody else has had it deleted.
        (KeyState::Planned, Going(_)) if !key.was_ever_asked() => Next::Keep,
        (KeyState::Destroyed(destroyed), Going(deletion))
            if destroyed.final_from == destroy::date_of(deletion) =>
        {
            Next::Keep
        }
        (_, Going(deletion)) => Next::Going(deletion.clone()),
        (KeyState::Destroyed(destroyed), found) if is_gone(destroyed, found) => Next::Keep,
        (KeyState::Overwritten, Zeros | Missing | Other(_))
        | (KeyState::Asked, Zeros)
        | (KeyState::ByWord(_), _) => Next::Keep,
        _ if is_stated => Next::ByWord,
        _ => Next::Stop,
    }
}

/// Whether a key that is not found says nothing new: its service has confirmed that it deleted exactly this one, or its file was
/// removed by us. AWS KMS keeps a key until the date; before that, it is another account or another place that has no such key.
pub(super) fn is_gone(destroyed: &DestroyedKey, found: &Condition) -> bool {
    matches!(
        found,
        Condition::Missing | Condition::Zeros | Condition::Other(_)
    ) && (!destroyed.key.is_at_aws_kms() || destroyed.final_from <= Moment::now())
}

/// What is known of a key that is not found any more, or cannot be asked.
pub(super) fn history(key: &PlannedKey) -> String {
    match &key.state {
        KeyState::Planned if key.was_asked => {
            "its destruction was asked for, and it could be used after that".to_owned()
        }
        KeyState::Planned if key.may_have_been_asked => {
            "whether its destruction was asked for is not known".to_owned()
        }
        KeyState::Planned => "its destruction was planned, and never asked for".to_owned(),
        KeyState::Asked => {
            "its destruction was asked for, and whether that was heard is not known".to_owned()
        }
        KeyState::Overwritten => "its file was overwritten".to_owned(),
        KeyState::Destroyed(destroyed) => format!(
            "its destruction was confirmed at {}, final from {}, and whether that was taken back since is not known",
            destroyed.done, destroyed.final_from
        ),
        KeyState::ByWord(known) => known.clone(),
    }
}

/// What a key is to somebody who wants to end the order before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It can be used, or be enabled.
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
        (_, Condition::Usable | Condition::Disabled) => Fate::Usable,
        (_, Condition::Going(_)) if key.was_ever_asked() => Fate::Going,
        (KeyState::Overwritten, Condition::Zeros | Condition::Missing | Condition::Other(_))
        | (KeyState::Asked, Condition::Zeros) => Fate::Gone("its file was overwritten"),
        (KeyState::Destroyed(destroyed), found) if is_gone(destroyed, &found) => {
            Fate::Gone("its destruction was confirmed")
        }
        (KeyState::ByWord(_), _) => Fate::Gone(STATED),
        (_, Condition::Missing | Condition::Unknown(_) | Condition::Other(_)) if is_stated => {
            Fate::Gone(STATED)
        }
        (_, found) if !key.was_ever_asked() => Fate::Untouched(found),
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
            Fate::Untouched(Condition::Missing | Condition::Unknown(_) | Condition::Other(_))
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
