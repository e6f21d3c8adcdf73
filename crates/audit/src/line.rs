//! The lines of a log: one JSON object each, in one canonical form, because the hash of a leaf is over the exact bytes.
//!
//! The form: no white space; members in the order of the structures here, those without a value left out; integers in decimal; and in strings
//! every character outside of U+0020 to U+007E, and `"` and `\`, escaped (RFC 8259 section 7: `\b \t \n \f \r`, else `\u` with lower-case
//! hexadecimal digits, in surrogate pairs beyond U+FFFF). So a line is ASCII, and no name of an object can break it, or steer the terminal
//! that shows it.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::{CharEscape, Formatter, Serializer};

use crate::{
    event::{Event, Kind},
    limits::MAX_LINE,
    merkle::Hash,
};

/// Where a line stands in its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The position, from 0: the index of the leaf.
    pub seq: u64,
    /// The leaf hash of the line before, in base64; of the first line, the root of the empty tree. Proves nothing that the tree does not,
    /// but tells which line was altered.
    pub prev: String,
    /// The size of the last checkpoint that was signed before this line was written, so that no checkpoint can be taken out of the history.
    pub signed: u64,
}

/// Why a line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Too long.
    #[error("longer than {MAX_LINE} bytes")]
    Long,
    /// No record.
    #[error("not a record")]
    Form,
    /// A record that was written in another form.
    #[error("not in canonical form")]
    NotCanonical,
}

/// An event, written without its place in the log, by whichever thread has the time.
#[derive(Clone, Debug)]
pub struct Prepared(Vec<u8>);

impl Prepared {
    /// Writes down an event; what is too long is cut, and marked.
    ///
    /// # Errors
    /// [`LineError::Form`], which no event causes.
    pub fn new(event: Event) -> Result<Self, LineError> {
        canonical(&event.bounded()).map(Self)
    }

    /// How much room the line takes, about.
    pub fn length(&self) -> usize {
        self.0.len() + 160
    }

    /// Appends the whole line to `buffer` and returns its leaf hash.
    pub(crate) fn write(&self, header: &Header, buffer: &mut Vec<u8>) -> Result<Hash, LineError> {
        let start = buffer.len();
        // `{"seq":…}` and `{"time":…}` become one object.
        buffer.extend(beginning(header));
        buffer.extend_from_slice(self.0.get(1..).unwrap_or_default());
        buffer.push(b'\n');
        let line = buffer.get(start..).unwrap_or_default();
        if line.len() > MAX_LINE {
            return Err(LineError::Long);
        }
        Ok(Hash::leaf(line))
    }
}

/// Reads where a line stands, without judging the rest. `line` may have its line feed.
///
/// # Errors
/// [`LineError`].
pub fn read_header(line: &[u8]) -> Result<Header, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::Long);
    }
    serde_json::from_slice(line).map_err(|_| LineError::Form)
}

/// How the line that stands there begins.
pub(crate) fn beginning(header: &Header) -> Vec<u8> {
    // No header fails.
    let mut bytes = canonical(header).unwrap_or_default();
    bytes.pop();
    bytes.push(b',');
    bytes
}

/// What a line is about, without judging the rest.
pub(crate) fn kind(line: &[u8]) -> Option<Kind> {
    #[derive(Deserialize)]
    struct About {
        kind: Kind,
    }
    serde_json::from_slice::<About>(line)
        .ok()
        .map(|about| about.kind)
}

/// Reads a whole line. Members of later versions are left out of the event.
///
/// # Errors
/// [`LineError`].
pub fn read(line: &[u8]) -> Result<(Header, Event), LineError> {
    let header = read_header(line)?;
    let event = serde_json::from_slice(line).map_err(|_| LineError::Form)?;
    Ok((header, event))
}

/// Writes a value in the canonical form.
pub(crate) fn canonical(value: &impl Serialize) -> Result<Vec<u8>, LineError> {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = Serializer::with_formatter(&mut bytes, Ascii);
    value
        .serialize(&mut serializer)
        .map_err(|_| LineError::Form)?;
    Ok(bytes)
}

/// serde_json's compact form, in ASCII.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_plain = |byte: &u8| (0x20..0x7f).contains(byte);
        if fragment.as_bytes().iter().all(is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for character in fragment.chars() {
            if matches!(character, ' '..='~') {
                write!(writer, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Decision, Verdict};

    fn header() -> Header {
        Header {
            seq: 7,
            prev: Hash::empty().to_base64(),
            signed: 5,
        }
    }

    fn named(key: &str) -> Event {
        Event::intent(Decision {
            request: "0123456789ABCDEF".to_owned(),
            operation: "GetObject".to_owned(),
            key: Some(key.to_owned()),
            ..Decision::new(Verdict::Allow)
        })
    }

    #[test]
    fn a_line_is_what_the_documentation_shows() {
        let event = Event {
            time: "2026-01-02T03:04:05.000006Z".to_owned(),
            ..named("a \"b\"\n\0\u{7f}\u{202e}ü\u{1f600}")
        };
        let mut buffer = Vec::new();
        Prepared::new(event)
            .unwrap()
            .write(&header(), &mut buffer)
            .unwrap();
        let expected = concat!(
            r#"{"seq":7,"prev":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","signed":5,"#,
            r#""time":"2026-01-02T03:04:05.000006Z","kind":"intent","request":"0123456789ABCDEF","operation":"GetObject","#,
            r#""key":"a \"b\"\n\u0000\u007f\u202e\u00fc\ud83d\ude00","decision":"allow"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(buffer).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_name_is_one_ascii_line_and_comes_back(key in ".{0,200}") {
            let event = named(&key);
            let mut buffer = Vec::new();
            let leaf = Prepared::new(event.clone()).unwrap().write(&header(), &mut buffer).unwrap();
            prop_assert_eq!(leaf, Hash::leaf(&buffer));
            let (last, rest) = buffer.split_last().unwrap();
            prop_assert_eq!(*last, b'\n');
            prop_assert!(rest.iter().all(|byte| (0x20..0x7f).contains(byte)));
            let (read_header, read_event) = read(&buffer).unwrap();
            prop_assert_eq!(read_header, header());
            prop_assert_eq!(read_event, event);
        }
    }

    #[test]
    fn the_longest_names_fit_and_longer_texts_are_cut_and_marked() {
        let long = "\0".repeat(5_000);
        let event = Event::intent(Decision {
            identity: long.clone(),
            session: Some(long.clone()),
            grant: Some(long.clone()),
            source: Some(long.clone()),
            bucket: Some(long.clone()),
            policy: Some(long.clone()),
            version: Some(long.clone()),
            key: Some(long),
            ..Decision::new(Verdict::Allow)
        });
        let mut buffer = Vec::new();
        Prepared::new(event)
            .unwrap()
            .write(&header(), &mut buffer)
            .unwrap();
        let (_, event) = read(&buffer).unwrap();
        assert!(event.cut);
        assert_eq!(event.key.unwrap().len(), crate::limits::MAX_OBJECT_NAME);
    }
}
