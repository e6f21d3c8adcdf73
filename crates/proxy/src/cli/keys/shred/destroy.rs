//! One key, destroyed: what its service answered, and what follows from that.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use sealgate_envelope::key_service::{KeyAvailability, KeyDescription, KeyService, failure_of};
use sealgate_envelope::secret_file::{Remains, remains, remove_overwritten};
use sealgate_envelope::{KeyServiceFailure, Result as EnvelopeResult};

use super::certificate::DestroyedKey;
use super::moment::Moment;
use super::plan::{ChosenKey, KeyState};
use crate::scan::key_name::KeyName;

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The key is gone, or going.
    Destroyed(DestroyedKey),
    /// Nothing was done.
    Refused(String),
    /// Nobody can tell: the answer got lost.
    Unknown(anyhow::Error),
}

/// An error with what it says to operators.
pub(super) fn detailed(error: &sealgate_envelope::Error) -> anyhow::Error {
    anyhow!("{}", error.detail().to_owned())
}

/// The full name of a key, with what tells it from one of the same name elsewhere.
pub(super) fn full_name(described: &KeyDescription) -> String {
    let name = &described.key_name;
    match &described.serial {
        Some(serial) => format!("{name};serial={serial}"),
        None => name.clone(),
    }
}

/// Asks a key service to end exactly this key. `was_asked` says that an earlier attempt has no known answer.
pub(super) async fn end(
    service: &dyn KeyService,
    chosen: &ChosenKey,
    waiting_days: u8,
    was_asked: bool,
) -> Attempt {
    // Under its name there may be another key by now. Until this is told, nothing is asked for.
    let other = match service.describe().await {
        Ok(described) => another(service, &described, chosen),
        Err(error) => Some(error.detail().to_owned()),
    };
    if let Some(cause) = other {
        return if was_asked {
            Attempt::Unknown(anyhow!(cause))
        } else {
            Attempt::Refused(cause)
        };
    }
    let error = match service.schedule_deletion(waiting_days).await {
        Ok(deletion) => {
            return Attempt::Destroyed(destroyed(
                chosen,
                deletion.manner.name(),
                Moment::from_milliseconds(deletion.final_from),
                deletion.manner.survivors(),
            ));
        }
        Err(error) => error,
    };
    let is_refusal = matches!(
        failure_of(&error),
        Some(
            KeyServiceFailure::Denied
                | KeyServiceFailure::KeyUnusable
                | KeyServiceFailure::Misconfigured
                | KeyServiceFailure::Refused
        )
    );
    let is_definite = is_refusal
        && match condition(service, chosen).await {
            Condition::Usable => true,
            Condition::Unknown(_) => !was_asked,
            Condition::Going | Condition::Zeros | Condition::Missing => false,
        };
    if is_definite {
        Attempt::Refused(error.detail().to_owned())
    } else {
        // Not heard, or not to the end: it may still take effect.
        Attempt::Unknown(detailed(&error))
    }
}

/// Where a service has another key than the one that is meant, which.
fn another(
    service: &dyn KeyService,
    described: &KeyDescription,
    chosen: &ChosenKey,
) -> Option<String> {
    let found = KeyName::new(service.provider(), described.key_reference);
    let name = full_name(described);
    (found != chosen.key || name != chosen.full_name).then(|| {
        format!(
            "it is {name} ({found}) now, and {} ({}) was to be destroyed",
            chosen.full_name, chosen.key
        )
    })
}

/// What a key shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It can be used, or be enabled.
    Usable,
    /// Its service says that it is going to be deleted.
    Going,
    /// Its file holds zeros.
    Zeros,
    /// There is no such key. That shows nothing: it may be another account, another token, or a medium that is away.
    Missing,
    /// Nobody can tell; with the cause.
    Unknown(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usable => "it can be used",
            Self::Going => "its deletion is scheduled",
            Self::Zeros => "its file holds zeros",
            Self::Missing => "there is no such key",
            Self::Unknown(cause) => cause,
        })
    }
}

/// What a service says of its key.
pub(super) async fn condition(service: &dyn KeyService, chosen: &ChosenKey) -> Condition {
    let described = match service.describe().await {
        Ok(described) => described,
        Err(error) if failure_of(&error) == Some(KeyServiceFailure::NotFound) => {
            return Condition::Missing;
        }
        Err(error) => return Condition::Unknown(error.detail().to_owned()),
    };
    if let Some(cause) = another(service, &described, chosen) {
        return Condition::Unknown(cause);
    }
    match described.availability {
        KeyAvailability::Enabled | KeyAvailability::Disabled => Condition::Usable,
        KeyAvailability::PendingDeletion => Condition::Going,
        _ => Condition::Unknown("it cannot be used now, for another reason".to_owned()),
    }
}

/// The same of a key file, where `is_there` says whether it holds the key.
pub(super) fn condition_of_file(path: &Path, is_there: impl FnOnce() -> bool) -> Condition {
    match remains(path) {
        Ok(Remains::Overwritten) => Condition::Zeros,
        Ok(Remains::Missing) => Condition::Missing,
        Ok(Remains::Present) if is_there() => Condition::Usable,
        Ok(Remains::Present) => Condition::Unknown(format!(
            "{} holds neither that key nor zeros alone, so it may be half overwritten",
            path.display()
        )),
        Err(error) => Condition::Unknown(error.detail().to_owned()),
    }
}

/// What is to be done with a key file next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileStep {
    /// The attempt is to be written down, and then the file overwritten.
    Overwrite,
    /// It holds zeros that may never have reached the disk: they are to be written again first.
    OverwriteAgain,
    /// The zeros are on disk, as was written down: the file is to be removed.
    Remove,
    /// Nothing shows what has become of it.
    Missing,
}

/// What is to be done with a key file, in this state.
///
/// # Errors
///
/// Where the file cannot be looked at.
pub(super) fn next_step(path: &Path, state: &KeyState) -> anyhow::Result<FileStep> {
    if *state == KeyState::Overwritten {
        return Ok(FileStep::Remove);
    }
    Ok(match (remains(path)?, state) {
        // Killed between the zeros and the note of them, or the disk refused them.
        (Remains::Overwritten, KeyState::Asked) => FileStep::OverwriteAgain,
        // Zeros of which nobody knows who wrote them say as little as no file.
        (Remains::Overwritten | Remains::Missing, _) => FileStep::Missing,
        (Remains::Present, _) => FileStep::Overwrite,
    })
}

/// Overwrites a key file. The state that follows; where it failed and the file holds the key whole, that nothing was done.
pub(super) fn overwritten(
    is_there: impl FnOnce() -> bool,
    overwrite: impl FnOnce() -> EnvelopeResult<()>,
) -> Result<KeyState, anyhow::Error> {
    match overwrite() {
        Ok(()) => Ok(KeyState::Overwritten),
        Err(error) if is_there() => Ok(KeyState::Refused(error.detail().to_owned())),
        Err(error) => Err(detailed(&error)),
    }
}

/// Removes a key file that was overwritten.
///
/// # Errors
///
/// Where another one lies there now, or it cannot be removed.
pub(super) fn removed(path: &Path, chosen: &ChosenKey) -> anyhow::Result<DestroyedKey> {
    remove_overwritten(path).context("its key was overwritten, and the file is still there; if another one lies in its place by now, move that away, and run this again")?;
    Ok(destroyed(
        chosen,
        "file overwritten and removed",
        Moment::now(),
        Some(if chosen.key_service.is_some() {
            "copies and backups of the file, and what the medium keeps of overwritten blocks"
        } else {
            "copies of the recovery key's file, printed or on other media, which the operator states not to exist"
        }),
    ))
}

fn destroyed(
    chosen: &ChosenKey,
    manner: &str,
    final_from: Moment,
    not_covered: Option<&str>,
) -> DestroyedKey {
    DestroyedKey {
        key_service: chosen.key_service.clone(),
        key: chosen.key.clone(),
        full_name: chosen.full_name.clone(),
        place: chosen.place.clone(),
        manner: manner.to_owned(),
        done: Moment::now(),
        final_from,
        not_covered: not_covered.map(str::to_owned),
    }
}

#[cfg(test)]
#[path = "destroy_tests.rs"]
mod tests;
