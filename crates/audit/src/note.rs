//! Signed notes (C2SP signed-note) and cosignatures (C2SP tlog-cosignature, `cosignature/v1`): a text, an empty line, signatures.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    key::{Purpose, SigningKey, VerifyingKey},
    limits::{MAX_NOTE, MAX_SIGNATURES},
};

/// What every line of a signature begins with.
const DASH: &str = "\u{2014} ";

/// Bytes of a cosignature's time.
const TIME_LENGTH: usize = 8;

/// One line under a note, of a key that may be known or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// What tells the key from others of the name.
    pub key_id: u32,
    bytes: Vec<u8>,
}

/// A text and the signatures under it. Nothing in it counts before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// Why a note does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no signed note.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// The key did not sign it.
    #[error("not signed by {0}")]
    Unsigned(String),
    /// A signature that names the key is not one of it.
    #[error("the signature of {0} is wrong: the note was altered, or never signed by it")]
    Forged(String),
}

impl Note {
    /// A note without signatures. The text must end with a line feed.
    pub fn new(text: String) -> Self {
        Self {
            text,
            signatures: Vec::new(),
        }
    }

    /// Reads a note. Nothing is verified.
    ///
    /// # Errors
    /// [`NoteError::Form`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > MAX_NOTE {
            return Err(NoteError::Form("it is too long"));
        }
        if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Form("it has control characters"));
        }
        let split = text
            .rfind("\n\n")
            .ok_or(NoteError::Form("it has no empty line before signatures"))?;
        let (body, lines) = text.split_at(split + 1);
        let lines = lines
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'))
            .ok_or(NoteError::Form("it does not end with a line"))?;
        let signatures: Vec<_> = lines
            .split('\n')
            .map(|line| Signature::parse(line).ok_or(NoteError::Form("a signature is malformed")))
            .collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Form("it has too many signatures"));
        }
        Ok(Self {
            text: body.to_owned(),
            signatures,
        })
    }

    /// The text, with its last line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, verified or not.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds the signature of a log's key.
    pub fn sign(&mut self, key: &SigningKey) {
        let bytes = key.sign(self.text.as_bytes());
        self.add(key, bytes);
    }

    /// Adds the cosignature of a receiver: the note was seen at `time` (seconds since 1970), and extends everything before it.
    pub fn cosign(&mut self, key: &SigningKey, time: u64) {
        let mut bytes = time.to_be_bytes().to_vec();
        bytes.extend(key.sign(cosigned(&self.text, time).as_bytes()));
        self.add(key, bytes);
    }

    fn add(&mut self, key: &SigningKey, bytes: Vec<u8>) {
        let public = key.public();
        self.signatures.push(Signature {
            name: public.name().to_owned(),
            key_id: public.id(),
            bytes,
        });
    }

    /// Checks that the key signed the note; for a cosigner's key, at which time (seconds since 1970).
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], [`NoteError::Forged`]. One wrong signature of the key is enough for the latter.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Option<u64>, NoteError> {
        let mut found = Err(NoteError::Unsigned(key.name().to_owned()));
        for signature in &self.signatures {
            if !signature.is_of(key) {
                continue;
            }
            found = Ok(self.check(key, signature)?);
        }
        found
    }

    fn check(&self, key: &VerifyingKey, signature: &Signature) -> Result<Option<u64>, NoteError> {
        let forged = || NoteError::Forged(key.name().to_owned());
        let (time, message, bytes) = match key.purpose() {
            Purpose::Log => (None, self.text.clone(), signature.bytes.as_slice()),
            Purpose::Cosigner => {
                let split = signature.bytes.split_first_chunk::<TIME_LENGTH>();
                let (time, bytes) = split.ok_or_else(forged)?;
                let time = u64::from_be_bytes(*time);
                (Some(time), cosigned(&self.text, time), bytes)
            }
        };
        let is_late = time.is_some_and(|time| i64::try_from(time).is_err());
        if is_late || !key.is_signature(message.as_bytes(), bytes) {
            return Err(forged());
        }
        Ok(time)
    }
}

fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let is_name =
            !name.is_empty() && !name.contains('+') && !name.contains(char::is_whitespace);
        let bytes = STANDARD.decode(encoded).ok()?;
        let (id, bytes) = bytes.split_first_chunk::<4>()?;
        (is_name && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            key_id: u32::from_be_bytes(*id),
            bytes: bytes.to_vec(),
        })
    }

    /// Whether it claims to be of this key.
    pub fn is_of(&self, key: &VerifyingKey) -> bool {
        self.name == key.name() && self.key_id == key.id()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let mut bytes = signature.key_id.to_be_bytes().to_vec();
            bytes.extend_from_slice(&signature.bytes);
            writeln!(f, "{DASH}{} {}", signature.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_published_note_comes_out_and_verifies() {
        let mut note = Note::new(TEXT.to_owned());
        note.sign(&SigningKey::parse(PRIVATE).unwrap());
        let text = note.to_string();
        assert_eq!(text, format!("{TEXT}\n{LINE}"));
        let key = VerifyingKey::from_str(PUBLIC).unwrap();
        assert_eq!(Note::parse(&text).unwrap().verify(&key), Ok(None));
    }

    #[test]
    fn the_published_cosignature_verifies_its_form() {
        // C2SP tlog-cosignature, the example; its public key is not published.
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let note = Note::parse(text).unwrap();
        assert_eq!(note.to_string(), text);
        let cosignature = &note.signatures()[1];
        assert_eq!(cosignature.bytes.len(), TIME_LENGTH + 64);
        assert_eq!(
            cosignature.bytes[..TIME_LENGTH],
            1_679_315_147_u64.to_be_bytes()
        );
    }

    #[test]
    fn a_cosignature_says_when() {
        let key = SigningKey::generate("audit.example.com", Purpose::Cosigner).unwrap();
        let mut note = Note::new(TEXT.to_owned());
        note.cosign(&key, 1_700_000_000);
        let note = Note::parse(&note.to_string()).unwrap();
        assert_eq!(note.verify(key.public()), Ok(Some(1_700_000_000)));
        // Neither another time nor another text.
        let mut other = note.clone();
        other.signatures[0].bytes[7] ^= 1;
        assert!(matches!(
            other.verify(key.public()),
            Err(NoteError::Forged(_))
        ));
        let mut other = note;
        other.text.push_str("x\n");
        assert!(matches!(
            other.verify(key.public()),
            Err(NoteError::Forged(_))
        ));
    }

    #[test]
    fn no_byte_of_a_note_can_be_changed() {
        let text = format!("{TEXT}\n{LINE}");
        let key = VerifyingKey::from_str(PUBLIC).unwrap();
        for position in 0..text.len() {
            for flip in [1_u8, 0x20, 0x80] {
                let mut bytes = text.clone().into_bytes();
                bytes[position] ^= flip;
                let Ok(altered) = String::from_utf8(bytes) else {
                    continue;
                };
                let verified = Note::parse(&altered).and_then(|note| note.verify(&key));
                assert!(verified.is_err(), "{altered}");
            }
        }
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let many = format!("a\n\n{}", LINE.repeat(MAX_SIGNATURES + 1));
        let long = format!("{}\n\n{LINE}", "a".repeat(MAX_NOTE));
        let forms = [
            "",
            "a",
            "a\n",
            "a\n\n",
            "a\n\n\n",
            "a\r\n\n\u{2014} b AAAAAAA=\n",
            "a\n\n- b AAAAAAA=\n",
            "a\n\n\u{2014} b AAAA\n",
            "a\n\n\u{2014} b+c AAAAAAA=\n",
            "a\n\n\u{2014} b AAAAAAB=\n",
            "a\n\n\u{2014} b AAAAAAA=",
            &many,
            &long,
        ];
        for text in forms {
            assert!(Note::parse(text).is_err(), "{text:?}");
        }
        assert!(Note::parse("a\n\n\u{2014} b AAAAAAA=\n").is_ok());
    }
}
