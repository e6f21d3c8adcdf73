//! The writer below our own documents: escaping, nesting, and the declaration in front.

use std::fmt::Write as _;

use bytes::Bytes;
use time::OffsetDateTime;

/// What stands before the root element of every document. An answer that is kept alive sends it first, then white space, then the root.
pub const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A finished document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    root: String,
}

impl Document {
    /// The whole document, declaration included.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from(format!("{XML_DECLARATION}{}", self.root))
    }

    /// The root element alone, for an answer whose declaration and white space have been sent already.
    pub fn into_root_bytes(self) -> Bytes {
        Bytes::from(self.root)
    }
}

/// Writes elements into a document. Names come from this crate, never from a peer.
#[derive(Debug, Default)]
pub(crate) struct ElementWriter {
    text: String,
    reader: Reader,
}

/// Who reads a document, which decides what becomes of characters that XML 1.0 cannot hold, not even by reference (section 2.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reader {
    /// A client. Its parser refuses the whole document for one such character, so the answer to a completion would read as a failure of it
    /// because of a key that the client knows anyway. A replacement stands there instead, as MinIO writes it; clients that want every
    /// character ask for `encoding-type=url`.
    #[default]
    Client,
    /// A storage, which has to know exactly which key is meant. AWS reads and writes numeric references.
    Storage,
}

impl ElementWriter {
    /// Writes an answer with this root, in this namespace if any.
    pub(crate) fn document(
        root: &str,
        namespace: Option<&str>,
        write_content: impl FnOnce(&mut Self),
    ) -> Document {
        Self::for_reader(Reader::Client, root, namespace, write_content)
    }

    /// Writes the body of a request to the storage.
    pub(super) fn request(
        root: &str,
        namespace: Option<&str>,
        write_content: impl FnOnce(&mut Self),
    ) -> Document {
        Self::for_reader(Reader::Storage, root, namespace, write_content)
    }

    fn for_reader(
        reader: Reader,
        root: &str,
        namespace: Option<&str>,
        write_content: impl FnOnce(&mut Self),
    ) -> Document {
        let mut writer = Self {
            text: String::new(),
            reader,
        };
        writer.text.push('<');
        writer.text.push_str(root);
        if let Some(namespace) = namespace {
            writer.text.push_str(" xmlns=\"");
            writer.text.push_str(&escape(namespace));
            writer.text.push('"');
        }
        writer.text.push('>');
        write_content(&mut writer);
        writer.close(root);
        Document { root: writer.text }
    }

    /// Writes an element with children.
    pub(crate) fn element(&mut self, name: &str, write_content: impl FnOnce(&mut Self)) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
        write_content(self);
        self.close(name);
    }

    /// Writes an element with text, escaped.
    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        let reader = self.reader;
        self.element(name, |writer| escape_into(&mut writer.text, text, reader));
    }

    /// Writes an element with text where there is one.
    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// Writes an element with a number or truth value.
    pub(super) fn value(&mut self, name: &str, value: &impl ToString) {
        self.leaf(name, &value.to_string());
    }

    /// Writes an element with a time, in UTC and to the millisecond, as S3 does.
    pub(crate) fn time(&mut self, name: &str, time: OffsetDateTime) {
        let time = time.to_offset(time::UtcOffset::UTC);
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second, millisecond) = time.to_hms_milli();
        self.leaf(
            name,
            &format!(
                "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z",
                u8::from(month)
            ),
        );
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }
}

/// Escapes text for element content and attribute values.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(&mut escaped, text, Reader::Client);
    escaped
}

/// Escapes text. What a reader would normalise away becomes a numeric reference; see [`Reader`] for what XML 1.0 cannot hold.
fn escape_into(output: &mut String, text: &str, reader: Reader) {
    let mut rest = text;
    loop {
        // Most text needs nothing.
        let length = rest
            .bytes()
            .position(|byte| !matches!(byte, b' '..=b'~') || b"&<>\"'".contains(&byte))
            .unwrap_or(rest.len());
        let (plain, other) = rest.split_at_checked(length).unwrap_or((rest, ""));
        output.push_str(plain);
        let mut characters = other.chars();
        let Some(character) = characters.next() else {
            return;
        };
        match character {
            '&' => output.push_str("&amp;"),
            '<' => output.push_str("&lt;"),
            '>' => output.push_str("&gt;"),
            '"' => output.push_str("&quot;"),
            '\'' => output.push_str("&apos;"),
            // Not even a reference to it is XML.
            '\0' => output.push(char::REPLACEMENT_CHARACTER),
            _ if reader == Reader::Client && !is_xml(character) => {
                output.push(char::REPLACEMENT_CHARACTER);
            }
            '\u{1}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a string cannot fail.
                let _ = write!(output, "&#x{:x};", u32::from(character));
            }
            _ => output.push(character),
        }
        rest = characters.as_str();
    }
}

/// XML 1.0, section 2.2; there are no surrogates among Rust's characters.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..) && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// A text as a client reads it out of an answer.
#[cfg(test)]
pub(super) fn as_clients_read(text: &str) -> String {
    let shown = |character| {
        if is_xml(character) {
            character
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::super::elements::ElementReader;
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    #[test]
    fn documents_have_declaration_namespace_and_nesting() {
        let document = ElementWriter::document("R", Some("http://n/"), |writer| {
            writer.element("A", |writer| writer.value("N", &7));
            writer.optional("No", None);
            writer.time("T", datetime!(2026-01-02 03:04:05.006_7 +01:00));
        });
        let root = "<R xmlns=\"http://n/\"><A><N>7</N></A><T>2026-01-02T02:04:05.006Z</T></R>";
        assert_eq!(document.clone().into_root_bytes(), root);
        assert_eq!(
            document.into_bytes(),
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{root}")
        );
    }

    #[test]
    fn text_is_escaped_as_its_reader_needs_it() {
        let text = "a&<>\"'\r\n\t\u{1}\u{ffff}\u{85}ü";
        let mut escaped = String::new();
        escape_into(&mut escaped, text, Reader::Storage);
        assert_eq!(
            escaped,
            "a&amp;&lt;&gt;&quot;&apos;&#xd;&#xa;&#x9;&#x1;&#xffff;&#x85;ü"
        );
        assert_eq!(
            escape(text),
            "a&amp;&lt;&gt;&quot;&apos;&#xd;&#xa;&#x9;\u{fffd}\u{fffd}&#x85;ü"
        );
        assert_eq!(escape("\0"), "\u{fffd}", "no XML document can hold NUL");
    }

    proptest! {
        #[test]
        fn written_text_is_read_back(text in any::<String>()) {
            // No XML can hold NUL, however it is written.
            let text = text.replace('\0', "");
            let document = ElementWriter::request("R", None, |writer| writer.leaf("T", &text)).into_bytes();
            let mut reader = ElementReader::new(&document).unwrap();
            reader.expect_root("R").unwrap();
            prop_assert_eq!(reader.child().unwrap(), Some("T"));
            prop_assert_eq!(reader.text("T").unwrap(), text);
        }
    }
}
