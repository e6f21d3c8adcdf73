//! Checkpoints that come from elsewhere: they tell a log from another one that is as consistent.

use std::path::{Path, PathBuf};

use super::{Trusted, report::Fault};
use crate::{checkpoint::Checkpoint, note::Note};

/// A checkpoint that is not of the log's own history.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where it is from, for findings.
    pub file: PathBuf,
    /// The signed note.
    pub text: String,
}

/// One that counts.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) file: PathBuf,
    pub(super) checkpoint: Checkpoint,
    /// When a receiver countersigned it.
    pub(super) time: Option<u64>,
    /// Whether it was held elsewhere than beside the log's files.
    pub(super) is_from_elsewhere: bool,
    /// Whether it is in the history.
    pub(super) is_seen: bool,
    /// Whether the lines are those that it signs.
    pub(super) is_matched: bool,
    /// Signatures whose keys are not known.
    pub(super) strangers: Vec<String>,
}

/// Checks the signatures of a checkpoint: the log's, and where cosigners are known, one of theirs, and nobody else's.
pub(super) fn verify(held: &Held, trusted: &Trusted) -> Result<Verified, (Fault, String)> {
    let unsigned = |error: crate::note::NoteError| (Fault::Unsigned, error.to_string());
    let note = Note::parse(&held.text).map_err(unsigned)?;
    let checkpoint = Checkpoint::verify(&note, &trusted.log).map_err(unsigned)?;
    let signers: Vec<_> = note
        .signatures()
        .iter()
        .map(|line| (&line.name, line.key_id))
        .collect();
    let is_repeated = signers
        .iter()
        .enumerate()
        .any(|(n, signer)| signers.iter().skip(n + 1).any(|other| other == signer));
    let is_first = note
        .signatures()
        .first()
        .is_some_and(|line| line.is_of(&trusted.log));
    if is_repeated || !is_first {
        let message =
            "its signatures were put in another order: the log's comes first, and each once";
        return Err((Fault::Altered, message.to_owned()));
    }
    let mut time = None;
    let mut strangers = Vec::new();
    for cosigner in &trusted.cosigners {
        if note.signatures().iter().any(|line| line.is_of(cosigner)) {
            time = time.max(note.verify(cosigner).map_err(unsigned)?);
        }
    }
    for signature in note.signatures() {
        let mut known = trusted.cosigners.iter().chain([&trusted.log]);
        if !known.any(|key| signature.is_of(key)) {
            strangers.push(signature.name.clone());
        }
    }
    if !trusted.cosigners.is_empty() {
        if time.is_none() {
            let message = "no receiver whose key was given countersigned it";
            return Err((Fault::Unsigned, message.to_owned()));
        }
        if !strangers.is_empty() {
            let message = format!(
                "signed by {} too, whose key was not given",
                strangers.join(", ")
            );
            return Err((Fault::Unsigned, message));
        }
    }
    Ok(Verified {
        file: held.file.clone(),
        checkpoint,
        time,
        is_from_elsewhere: false,
        is_seen: false,
        is_matched: false,
        strangers,
    })
}

/// The countersigned checkpoint beside a log's files, if there is one.
pub(super) fn beside(path: &Path) -> std::io::Result<Option<Held>> {
    use std::io::Read as _;

    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(crate::limits::MAX_NOTE as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(Held {
        file: path.to_owned(),
        // What is no text is no note either, and is found to be none.
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }))
}
