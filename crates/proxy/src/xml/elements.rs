//! A bounded pull reader: the one way in which this crate reads XML.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_ENTRIES, XmlError, quote};

/// The UTF-8 byte order mark, which some servers send.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// One step through a document. An empty element (`<a/>`) is a start and an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// The start of an element, with its local name.
    Start(&'a str),
    /// The end of the innermost open element.
    End,
    /// Text, references resolved.
    Text(Cow<'a, str>),
    /// Comment, declaration or processing instruction.
    Other,
}

/// Reads a document token by token and knows where in the input each token stands.
pub(super) struct ElementReader<'a> {
    input: &'a str,
    reader: Reader<&'a [u8]>,
    /// Length of the byte order mark that the reader does not see.
    offset: usize,
    depth: usize,
    root_seen: bool,
    span: Range<usize>,
}

impl<'a> ElementReader<'a> {
    /// Begins to read a document.
    pub(super) fn new(document: &'a [u8]) -> Result<Self, XmlError> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(XmlError::TooLong {
                length: document.len(),
            });
        }
        let input = std::str::from_utf8(document).map_err(|error| XmlError::NotUtf8 {
            position: error.valid_up_to(),
        })?;
        // The parser lets it pass as text, but no XML 1.0 document can hold it, not even escaped: what we wrote from it nobody could read.
        if let Some(position) = memchr::memchr(0, document) {
            return Err(XmlError::IllFormed {
                position,
                reason: "it holds a NUL character".to_owned(),
            });
        }
        let visible = input.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input);
        let mut reader = Reader::from_str(visible);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self {
            input,
            reader,
            offset: input.len() - visible.len(),
            depth: 0,
            root_seen: false,
            span: 0..0,
        })
    }

    /// Where the last token stands in the input, in bytes.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The next token, or `None` at the end of a complete document.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, XmlError> {
        self.step(true)
    }

    /// As [`ElementReader::next`]. With `wanted` unset, text inside of the root is checked and not copied, and shows as [`Token::Other`].
    fn step(&mut self, wanted: bool) -> Result<Option<Token<'a>>, XmlError> {
        let start = self.position();
        let event = self
            .reader
            .read_event()
            .map_err(|error| self.ill_formed(&error.to_string()))?;
        self.span = start..self.position();
        let token = match event {
            Event::Start(element) => {
                let length = element.name().as_ref().len();
                return self.open(start, length).map(Some);
            }
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Token::End
            }
            Event::Text(_) | Event::CData(_) if !wanted && self.depth > 0 => Token::Other,
            Event::Text(text) => {
                let text = text
                    .xml10_content()
                    .map_err(|error| self.ill_formed(&error.to_string()))?
                    .into_owned();
                self.checked_text(Cow::Owned(text))?
            }
            Event::CData(text) => {
                let text = text
                    .xml10_content()
                    .map_err(|error| self.ill_formed(&error.to_string()))?
                    .into_owned();
                self.checked_text(Cow::Owned(text))?
            }
            Event::GeneralRef(reference) => {
                let name = reference
                    .decode()
                    .map_err(|error| self.ill_formed(&error.to_string()))?;
                let character = reference
                    .resolve_char_ref()
                    .map_err(|error| self.ill_formed(&error.to_string()))?;
                let text = match character {
                    Some(character) => Cow::Owned(character.to_string()),
                    None => Cow::Borrowed(
                        predefined(&name).ok_or_else(|| XmlError::Entity { name: quote(&name) })?,
                    ),
                };
                self.checked_text(text)?
            }
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => Token::Other,
            // quick-xml hands every open element's end to us, so an open one here means that the document was cut.
            Event::Eof if self.depth > 0 || !self.root_seen => {
                return Err(self.ill_formed("it ends before its root element does"));
            }
            Event::Eof => return Ok(None),
            Event::Empty(_) => {
                return Err(self.ill_formed("an empty element was not expanded"));
            }
        };
        Ok(Some(token))
    }

    /// Enters an element whose tag starts at `start` and whose qualified name has `length` bytes.
    fn open(&mut self, start: usize, length: usize) -> Result<Token<'a>, XmlError> {
        if self.depth == 0 && self.root_seen {
            return Err(self.ill_formed("a second root element follows the first"));
        }
        if self.depth == MAX_DEPTH {
            return Err(XmlError::TooDeep);
        }
        self.root_seen = true;
        self.depth += 1;
        // One byte for the angle bracket.
        let name = self
            .input
            .get(start + 1..start + 1 + length)
            .ok_or_else(|| self.ill_formed("a tag has no name"))?;
        Ok(Token::Start(
            name.rsplit_once(':').map_or(name, |(_prefix, local)| local),
        ))
    }

    /// Text; outside of the root only white space may stand.
    fn checked_text(&self, text: Cow<'a, str>) -> Result<Token<'a>, XmlError> {
        if self.depth == 0 && !is_white_space(&text) {
            return Err(XmlError::UnexpectedText {
                position: self.span.start,
            });
        }
        Ok(Token::Text(text))
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position())
            .unwrap_or(usize::MAX)
            .saturating_add(self.offset)
    }

    fn ill_formed(&self, reason: &str) -> XmlError {
        XmlError::IllFormed {
            position: self.span.end,
            reason: quote(reason),
        }
    }

    /// Reads up to the start of the root element and returns its local name.
    pub(super) fn root(&mut self) -> Result<&'a str, XmlError> {
        loop {
            match self.next()? {
                Some(Token::Start(name)) => return Ok(name),
                Some(_) => {}
                None => return Err(self.ill_formed("it has no root element")),
            }
        }
    }

    /// Like [`ElementReader::root`], but the root must be this one.
    pub(super) fn expect_root(&mut self, expected: &'static str) -> Result<(), XmlError> {
        let found = self.root()?;
        if found == expected {
            Ok(())
        } else {
            Err(XmlError::UnexpectedRoot {
                found: quote(found),
                expected,
            })
        }
    }

    /// The local name of the next child of the open element, or `None` when that element has ended. The caller must consume each child with
    /// [`ElementReader::text`], [`ElementReader::skip`] or a loop of its own.
    pub(super) fn child(&mut self) -> Result<Option<&'a str>, XmlError> {
        loop {
            match self.next()? {
                Some(Token::Start(name)) => return Ok(Some(name)),
                Some(Token::Text(text)) if !is_white_space(&text) => {
                    return Err(XmlError::UnexpectedText {
                        position: self.span.start,
                    });
                }
                Some(Token::End) | None => return Ok(None),
                Some(Token::Text(_) | Token::Other) => {}
            }
        }
    }

    /// The whole text of the open element, up to and including its end; it must hold no elements.
    pub(super) fn text(&mut self, element: &'static str) -> Result<String, XmlError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Some(Token::Text(piece)) => text.push_str(&piece),
                Some(Token::Start(name)) => {
                    return Err(XmlError::UnexpectedElement {
                        element: quote(name),
                        parent: element,
                    });
                }
                Some(Token::End) | None => return Ok(text),
                Some(Token::Other) => {}
            }
        }
    }

    /// The text of the open element read as a number, with white space around it allowed.
    pub(super) fn number<N: std::str::FromStr>(
        &mut self,
        element: &'static str,
    ) -> Result<N, XmlError> {
        parse_number(element, self.text(element)?.trim())
    }

    /// The text of the open element read as a time (RFC 3339, as every S3 server writes it).
    pub(super) fn time(&mut self, element: &'static str) -> Result<OffsetDateTime, XmlError> {
        let text = self.text(element)?;
        OffsetDateTime::parse(text.trim(), &Rfc3339).map_err(|_| {
            XmlError::invalid(
                element,
                text.trim(),
                "a time as in 2026-01-31T12:00:00.000Z",
            )
        })
    }

    /// The text of the open element read as a truth value.
    pub(super) fn boolean(&mut self, element: &'static str) -> Result<bool, XmlError> {
        let text = self.text(element)?;
        match text.trim() {
            value if value.eq_ignore_ascii_case("true") => Ok(true),
            value if value.eq_ignore_ascii_case("false") => Ok(false),
            value => Err(XmlError::invalid(element, value, "true or false")),
        }
    }

    /// Skips the open element with everything in it.
    pub(super) fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            if self.step(false)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Reads what follows the root element: nothing but white space and comments may.
    pub(super) fn finish(mut self) -> Result<(), XmlError> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

/// Reads a number of digits alone; `FromStr` would take a plus sign too.
pub(super) fn parse_number<N: std::str::FromStr>(
    element: &'static str,
    digits: &str,
) -> Result<N, XmlError> {
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(XmlError::invalid(element, digits, "a whole number"));
    }
    digits
        .parse()
        .map_err(|_| XmlError::invalid(element, digits, "a whole number in range"))
}

/// The five entities that every XML reader knows (XML 1.0, section 4.6).
fn predefined(name: &str) -> Option<&'static str> {
    Some(match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => return None,
    })
}

/// White space as XML defines it (XML 1.0, section 2.3).
fn is_white_space(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Adds an entry of a listing, within [`MAX_ENTRIES`].
pub(super) fn push_entry<T>(
    entries: &mut Vec<T>,
    entry: T,
    element: &'static str,
) -> Result<(), XmlError> {
    if entries.len() == MAX_ENTRIES {
        return Err(XmlError::TooMany {
            element,
            limit: MAX_ENTRIES,
        });
    }
    entries.push(entry);
    Ok(())
}

/// Keeps the first value of an element and refuses a second one.
pub(super) fn set_once<T>(
    slot: &mut Option<T>,
    value: T,
    element: &'static str,
) -> Result<(), XmlError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(XmlError::DuplicateElement { element }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(document: &str) -> Result<Vec<(String, Range<usize>)>, XmlError> {
        let mut reader = ElementReader::new(document.as_bytes())?;
        let mut tokens = Vec::new();
        while let Some(token) = reader.next()? {
            tokens.push((format!("{token:?}"), reader.span()));
        }
        Ok(tokens)
    }

    #[test]
    fn nul_is_refused_wherever_it_stands() {
        for document in ["<a>\0</a>", "<a b='\0'/>", "<a><!--\0--></a>", "<a/>\0"] {
            assert!(
                matches!(
                    ElementReader::new(document.as_bytes()),
                    Err(XmlError::IllFormed { .. })
                ),
                "{document:?}"
            );
        }
    }

    #[test]
    fn spans_cover_the_document_without_gaps() {
        let document = "\u{feff}<?xml version=\"1.0\"?>\n<a:r x='>'><!-- c --><b/>t&amp;&#x41;<![CDATA[<]]></a:r>\n";
        let tokens = tokens(document).unwrap();
        let mut position = BYTE_ORDER_MARK.len();
        for (token, span) in &tokens {
            assert_eq!(span.start, position, "{token}");
            position = span.end;
        }
        assert_eq!(position, document.len());
        let kinds: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "Other",
                "Text(\"\\n\")",
                "Start(\"r\")",
                "Other",
                "Start(\"b\")",
                "End",
                "Text(\"t\")",
                "Text(\"&\")",
                "Text(\"A\")",
                "Text(\"<\")",
                "End",
                "Text(\"\\n\")"
            ]
        );
    }

    #[test]
    fn documents_that_are_dangerous_or_broken_are_refused() {
        assert_eq!(
            tokens("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>"),
            Err(XmlError::DocumentType)
        );
        assert_eq!(
            tokens("<a>&x;</a>"),
            Err(XmlError::Entity { name: "x".into() })
        );
        assert_eq!(tokens(&"<a>".repeat(MAX_DEPTH + 1)), Err(XmlError::TooDeep));
        assert!(
            tokens(&format!(
                "{}{}",
                "<a>".repeat(MAX_DEPTH),
                "</a>".repeat(MAX_DEPTH)
            ))
            .is_ok()
        );
        assert_eq!(
            tokens("x<a/>"),
            Err(XmlError::UnexpectedText { position: 0 })
        );
        assert_eq!(
            tokens("<a/>x"),
            Err(XmlError::UnexpectedText { position: 4 })
        );
        for broken in [
            "",
            " ",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><a/>",
            "<a",
            "<a>&amp</a>",
            "<a>&#0;</a>",
            "<a>&#xD800;</a>",
            "<!-- c -->",
        ] {
            assert!(
                matches!(tokens(broken), Err(XmlError::IllFormed { .. })),
                "{broken}: {:?}",
                tokens(broken)
            );
        }
        assert_eq!(
            ElementReader::new(b"<a>\xff</a>").err(),
            Some(XmlError::NotUtf8 { position: 3 })
        );
        assert!(matches!(
            ElementReader::new(&vec![b' '; MAX_DOCUMENT_BYTES + 1]).err(),
            Some(XmlError::TooLong { .. })
        ));
    }

    #[test]
    fn control_characters_may_be_written_as_references() {
        assert_eq!(
            tokens("<a>&#x1;&#13;\r\n</a>")
                .unwrap()
                .into_iter()
                .map(|(token, _)| token)
                .collect::<Vec<_>>()[1..4],
            ["Text(\"\\u{1}\")", "Text(\"\\r\")", "Text(\"\\n\")"]
        );
    }

    #[test]
    fn children_are_walked_and_skipped() {
        let mut reader = ElementReader::new(
            b"<r> <skip><x>1</x><x/></skip><n> 12 </n><t>a<!-- c -->b</t><f>True</f></r> ",
        )
        .unwrap();
        reader.expect_root("r").unwrap();
        assert_eq!(reader.child().unwrap(), Some("skip"));
        reader.skip().unwrap();
        assert_eq!(reader.child().unwrap(), Some("n"));
        assert_eq!(reader.number::<u16>("n").unwrap(), 12);
        assert_eq!(reader.child().unwrap(), Some("t"));
        assert_eq!(reader.text("t").unwrap(), "ab");
        assert_eq!(reader.child().unwrap(), Some("f"));
        assert!(reader.boolean("f").unwrap());
        assert_eq!(reader.child().unwrap(), None);
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn numbers_are_digits_alone() {
        for text in ["+1", "-1", "", " ", "1e3", "65536", "0x1"] {
            let document = format!("<n>{text}</n>");
            let mut reader = ElementReader::new(document.as_bytes()).unwrap();
            reader.root().unwrap();
            assert!(
                matches!(
                    reader.number::<u16>("n"),
                    Err(XmlError::InvalidValue { .. })
                ),
                "{text}"
            );
        }
    }

    /// What the property below glues together: enough to reach every state of the reader.
    const PIECES: &[&str] = &[
        "<a",
        ">",
        "/>",
        "</a>",
        "<a>",
        "&",
        "amp;",
        "#x1;",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        "\"",
        "'",
        " x=",
        "t",
        "<!DOCTYPE",
        "\u{feff}",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(document in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(mut reader) = ElementReader::new(&document) {
                while let Ok(Some(_)) = reader.next() {}
            }
        }

        #[test]
        fn anything_like_xml_is_read_without_panic(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..30),
        ) {
            let _ = tokens(&pieces.concat());
        }
    }
}
