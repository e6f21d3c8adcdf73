//! Checkpoints (C2SP tlog-checkpoint): what a log's tree was, signed.

use crate::{
    key::{SigningKey, VerifyingKey},
    merkle::{Frontier, Hash},
    note::{Note, NoteError},
};

/// The size and the root of a log's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// How many lines the log has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The checkpoint of a tree.
    pub fn of(origin: &str, frontier: &Frontier) -> Self {
        Self {
            origin: origin.to_owned(),
            size: frontier.size(),
            root: frontier.root(),
        }
    }

    /// Signs it with the key of the log.
    pub fn sign(&self, key: &SigningKey) -> Note {
        let root = self.root.to_base64();
        let mut note = Note::new(format!("{}\n{}\n{root}\n", self.origin, self.size));
        note.sign(key);
        note
    }

    /// The checkpoint of a note that this log signed.
    ///
    /// # Errors
    /// [`NoteError`]; also where the note is about another log, or has lines that checkpoints of these logs don't have.
    pub fn verify(note: &Note, key: &VerifyingKey) -> Result<Self, NoteError> {
        note.verify(key)?;
        let checkpoint =
            Self::parse(note.text()).ok_or(NoteError::Form("its text is no checkpoint"))?;
        if checkpoint.origin != key.name() {
            return Err(NoteError::Form("it is a checkpoint of another log"));
        }
        Ok(checkpoint)
    }

    /// Reads the text of a note; for one that is not verified, only to say what it claims.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        let is_canonical = number.to_string() == size;
        (is_canonical && !origin.is_empty() && lines.next().is_none()).then_some(())?;
        Some(Self {
            origin: origin.to_owned(),
            size: number,
            root: Hash::from_base64(root)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Purpose;

    #[test]
    fn a_checkpoint_is_what_its_log_signed() {
        let key = SigningKey::generate("example.com/a", Purpose::Log).unwrap();
        let mut frontier = Frontier::new();
        frontier.append(Hash::leaf(b"a"));
        let checkpoint = Checkpoint::of("example.com/a", &frontier);
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::verify(&note, key.public()), Ok(checkpoint));
        // A key of another log, and a log that signs for another.
        let other = SigningKey::generate("example.com/b", Purpose::Log).unwrap();
        assert!(Checkpoint::verify(&note, other.public()).is_err());
        let foreign = Checkpoint::of("example.com/a", &frontier).sign(&other);
        assert!(Checkpoint::verify(&foreign, other.public()).is_err());
    }

    #[test]
    fn only_the_canonical_text_is_read() {
        let root = Hash::empty().to_base64();
        assert!(Checkpoint::parse(&format!("a\n0\n{root}\n")).is_some());
        for text in [
            format!("a\n00\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("a\n1\n{root}\nextension\n"),
            "a\n1\nAAAA\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&text).is_none(), "{text:?}");
        }
    }
}
