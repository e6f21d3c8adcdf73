//! One key, destroyed: what its service answered, and what follows from that.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use sealgate_envelope::KeyServiceFailure;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::key_service::{
    KeyAvailability, KeyDeletion, KeyDescription, KeyService, failure_of,
};
use sealgate_envelope::secret_file::{Remains, remains, remove_overwritten};

use super::certificate::DestroyedKey;
use super::moment::Moment;
use super::plan::{ChosenKey, KeyState};
use crate::scan::key_name::KeyName;

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

/// Whether a key may be asked to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It can be used.
    Ready,
    /// Its service does not answer; with the cause.
    Away(String),
    /// It is another key, or shows itself otherwise; with what it shows.
    Not(String),
}

/// What a key shows right before it is asked to go: under its name there may be another one by now. Nothing is asked for.
pub(super) async fn readiness(service: &dyn KeyService, chosen: &ChosenKey) -> Readiness {
    let described = service.describe().await;
    if let Err(error) = &described
        && is_outage(error)
    {
        return Readiness::Away(error.detail().to_owned());
    }
    match seen(service, described, chosen) {
        Condition::Usable => Readiness::Ready,
        found => Readiness::Not(found.to_string()),
    }
}

/// Whether a service cannot be asked now, and may answer later with nothing else changed.
pub(super) fn is_outage(error: &sealgate_envelope::Error) -> bool {
    matches!(
        failure_of(error),
        Some(KeyServiceFailure::Unavailable | KeyServiceFailure::Throttled)
    )
}

/// Asks a key service to end its key, which was seen to be this one right before.
///
/// # Errors
///
/// Whatever it is, the request may have been heard, or be heard late.
pub(super) async fn end(
    service: &dyn KeyService,
    chosen: &ChosenKey,
    waiting_days: u8,
) -> anyhow::Result<DestroyedKey> {
    let deletion = service.schedule_deletion(waiting_days).await;
    let deletion = deletion.map_err(|error| detailed(&error))?;
    Ok(going(chosen, &deletion))
}

/// From when a deletion is final.
pub(super) fn date_of(deletion: &KeyDeletion) -> Moment {
    Moment::from_milliseconds(deletion.final_from)
}

/// A key whose service says that it goes.
pub(super) fn going(chosen: &ChosenKey, deletion: &KeyDeletion) -> DestroyedKey {
    destroyed(
        chosen,
        deletion.manner.name(),
        date_of(deletion),
        deletion.manner.survivors(),
    )
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
    /// It can be used.
    Usable,
    /// It is there, disabled, and can be enabled: somebody may have wanted to keep it from going.
    Disabled,
    /// Its service says that it is going to be deleted, and when.
    Going(KeyDeletion),
    /// Its file holds zeros.
    Zeros,
    /// There is no such key. That shows nothing: it may be another account, another token, or a medium that is away.
    Missing,
    /// In the place of its file lies another key, whole; with its name.
    Other(String),
    /// Nobody can tell; with the cause.
    Unknown(String),
}

impl Condition {
    /// Whether the key itself was seen, so that nobody's word is needed.
    pub(super) fn is_shown(&self) -> bool {
        matches!(self, Self::Usable | Self::Disabled | Self::Going(_))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable => f.write_str("it can be used"),
            Self::Disabled => f.write_str("it is disabled, and can be enabled"),
            Self::Going(deletion) => {
                write!(f, "its deletion is scheduled for {}", date_of(deletion))
            }
            Self::Zeros => f.write_str("its file holds zeros"),
            Self::Missing => f.write_str("there is no such key"),
            Self::Other(other) => write!(f, "another key lies in its place: {other}"),
            Self::Unknown(cause) => f.write_str(cause),
        }
    }
}

/// What a service says of its key.
pub(super) async fn condition(service: &dyn KeyService, chosen: &ChosenKey) -> Condition {
    seen(service, service.describe().await, chosen)
}

/// What follows from the answer of a service that was asked for its key.
fn seen(
    service: &dyn KeyService,
    described: sealgate_envelope::Result<KeyDescription>,
    chosen: &ChosenKey,
) -> Condition {
    let described = match described {
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
        KeyAvailability::Enabled => Condition::Usable,
        KeyAvailability::Disabled => Condition::Disabled,
        KeyAvailability::PendingDeletion => match described.deletion {
            Some(deletion) => Condition::Going(deletion),
            None => Condition::Unknown(
                "its deletion is scheduled, and the service does not tell the date".to_owned(),
            ),
        },
        _ => Condition::Unknown("it cannot be used now, for another reason".to_owned()),
    }
}

/// The same of a key file, where `content` says what a file holds that is not overwritten.
pub(super) fn condition_of_file(path: &Path, content: impl FnOnce() -> Condition) -> Condition {
    match remains(path) {
        Ok(Remains::Overwritten) => Condition::Zeros,
        Ok(Remains::Missing) => Condition::Missing,
        Ok(Remains::Present) => content(),
        Err(error) => Condition::Unknown(error.detail().to_owned()),
    }
}

/// What the file of a local key holds.
pub(super) fn content_of_key_file(path: &Path, id: &str) -> Condition {
    let shown = path.display();
    if LocalKeyService::is_in_file(path, id) {
        Condition::Usable
    } else if LocalKeyService::is_key_file(path) {
        Condition::Other(format!("{shown} has another id"))
    } else {
        Condition::Unknown(format!(
            "{shown} holds no whole key and not zeros alone, so it may be half overwritten"
        ))
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

/// Removes a key file that was overwritten.
///
/// # Errors
///
/// Where another one lies there now, or it cannot be removed.
pub(super) fn removed(path: &Path, chosen: &ChosenKey) -> anyhow::Result<DestroyedKey> {
    remove_overwritten(path).context("its key was overwritten, and what lies in its place is not removed; if it is surely another key, move that away, and run this again")?;
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
