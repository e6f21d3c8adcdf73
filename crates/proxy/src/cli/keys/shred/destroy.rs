//! One key, destroyed: what its service answered, and what follows from that.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use sealgate_envelope::key_service::{KeyAvailability, KeyService, failure_of};
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

/// Asks a key service to end its key. `was_asked` says that an earlier attempt has no known answer.
pub(super) async fn end(
    service: &dyn KeyService,
    chosen: &ChosenKey,
    waiting_days: u8,
    was_asked: bool,
) -> Attempt {
    // Behind an alias there may be another key by now.
    let asked = match service.key_reference().await {
        Ok(reference) => {
            let found = KeyName::new(service.provider(), reference);
            if found != chosen.key {
                return Attempt::Refused(format!(
                    "it is {found} now, and {} was to be destroyed",
                    chosen.key
                ));
            }
            service.schedule_deletion(waiting_days).await
        }
        Err(error) => Err(error),
    };
    let error = match asked {
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
    let failure = failure_of(&error);
    if was_asked && failure == Some(KeyServiceFailure::NotFound) {
        // At the same place, which the plan pins, and after an attempt of ours that may have been heard.
        return Attempt::Destroyed(destroyed(
            chosen,
            "gone, after an attempt of this order whose answer was lost",
            Moment::now(),
            Some("backups of the key from before"),
        ));
    }
    let is_alive = is_alive(service, chosen).await;
    let is_definite = match failure {
        Some(
            KeyServiceFailure::Denied
            | KeyServiceFailure::NotFound
            | KeyServiceFailure::KeyUnusable
            | KeyServiceFailure::Misconfigured
            | KeyServiceFailure::Refused,
        ) => is_alive == Some(true) || (is_alive.is_none() && !was_asked),
        // Not heard, or not to the end: it may still take effect.
        _ => false,
    };
    if is_definite {
        Attempt::Refused(error.detail().to_owned())
    } else {
        Attempt::Unknown(detailed(&error))
    }
}

/// Whether a service says that its key can still be used, or be enabled; none where it does not say.
pub(super) async fn is_alive(service: &dyn KeyService, chosen: &ChosenKey) -> Option<bool> {
    let described = service.describe().await.ok()?;
    let name = KeyName::new(service.provider(), described.key_reference);
    let is_usable = matches!(
        described.availability,
        KeyAvailability::Enabled | KeyAvailability::Disabled
    );
    (name == chosen.key).then_some(is_usable)
}

/// What is to be done with a key file next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileStep {
    /// The attempt is to be written down, and then the file overwritten.
    Overwrite,
    /// The zeros are on disk: that is to be written down, and then the file removed.
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
        // Killed between the zeros and the note of them.
        (Remains::Overwritten, KeyState::Asked) => FileStep::Remove,
        (Remains::Missing, _) => FileStep::Missing,
        _ => FileStep::Overwrite,
    })
}

/// Overwrites a key file. The state that follows; where it failed and the file is as it was, that nothing was done.
pub(super) fn overwritten(
    path: &Path,
    overwrite: impl FnOnce() -> EnvelopeResult<()>,
) -> Result<KeyState, anyhow::Error> {
    match overwrite() {
        Ok(()) => Ok(KeyState::Overwritten),
        Err(error) => match remains(path) {
            Ok(Remains::Present) => Ok(KeyState::Refused(error.detail().to_owned())),
            _ => Err(detailed(&error)),
        },
    }
}

/// Removes a key file that was overwritten.
///
/// # Errors
///
/// Where another one lies there now, or it cannot be removed.
pub(super) fn removed(path: &Path, chosen: &ChosenKey) -> anyhow::Result<DestroyedKey> {
    remove_overwritten(path).context("its key was overwritten, and the file is still there")?;
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
