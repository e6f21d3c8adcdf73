//! Cuts a document that arrives in pieces into fragments that can be parsed one by one: its beginning up to the root's start tag, each child of
//! the root, and what stands between them.
//!
//! It only finds where fragments end; whether they are well-formed is for the parser to say, which gets each of them whole. A document that the
//! two would cut differently is refused there, because a fragment has to be exactly one element.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};

use super::{MAX_DEPTH, MAX_FRAGMENT_BYTES, MAX_LISTING_BYTES, XmlError};

/// A piece of a document; all of them together are the document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fragment {
    /// Everything up to and including the root's start tag, and the root's qualified name. With `empty`, the root has ended too.
    Root {
        text: Bytes,
        name: Range<usize>,
        empty: bool,
    },
    /// A child of the root, whole.
    Child(Bytes),
    /// Text, a comment or a processing instruction between the children or behind the root.
    Between(Bytes),
    /// The root's end tag.
    End(Bytes),
}

/// Where in the document the splitter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prologue,
    Inside,
    Child { depth: usize },
    Epilogue,
}

/// What a token is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A start tag, and where its qualified name stands.
    Start { name: Range<usize>, empty: bool },
    /// An end tag, and where its qualified name stands.
    End { name: Range<usize> },
    /// Text, comment, CDATA section, declaration or processing instruction.
    Other,
}

/// The splitter.
#[derive(Debug)]
pub(super) struct Splitter {
    /// What has arrived and was not handed out.
    pending: BytesMut,
    /// Where in `pending` the next token starts.
    token: usize,
    stage: Stage,
    /// The root's qualified name.
    root: Vec<u8>,
    /// Bytes of the document before `pending`.
    position: usize,
}

impl Splitter {
    pub(super) fn new() -> Self {
        Self {
            pending: BytesMut::new(),
            token: 0,
            stage: Stage::Prologue,
            root: Vec::new(),
            position: 0,
        }
    }

    /// Where the next fragment starts in the document, in bytes.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Takes the next piece of the document.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// What has arrived where a child of the root may begin. A caller that finds a whole child there takes it by [`skip`](Self::skip) instead
    /// of [`next`](Self::next).
    pub(super) fn at_child(&self) -> Option<&[u8]> {
        (self.stage == Stage::Inside && self.token == 0).then_some(&self.pending)
    }

    /// Steps over children that were found in [`at_child`](Self::at_child).
    pub(super) fn skip(&mut self, length: usize) {
        self.pending.advance(length);
        self.position += length;
    }

    /// The next fragment; `None` when more of the document is needed.
    pub(super) fn next(&mut self) -> Result<Option<Fragment>, XmlError> {
        loop {
            let Some((kind, end)) = self.scan()? else {
                return self.wait();
            };
            let start = std::mem::replace(&mut self.token, end);
            match (self.stage, kind) {
                (Stage::Prologue, Kind::Start { name, empty }) => {
                    self.root = self.pending.get(name.clone()).unwrap_or_default().to_vec();
                    self.stage = if empty {
                        Stage::Epilogue
                    } else {
                        Stage::Inside
                    };
                    let text = self.take()?;
                    return Ok(Some(Fragment::Root { text, name, empty }));
                }
                (Stage::Inside, Kind::Start { empty: true, .. })
                | (Stage::Child { depth: 1 }, Kind::End { .. }) => {
                    self.stage = Stage::Inside;
                    return Ok(Some(Fragment::Child(self.take()?)));
                }
                (Stage::Inside, Kind::Start { empty: false, .. }) => {
                    self.stage = Stage::Child { depth: 1 };
                }
                (Stage::Inside, Kind::End { name }) => {
                    if self.pending.get(name) != Some(self.root.as_slice()) {
                        return Err(self.ill_formed(start, "the root has another end tag"));
                    }
                    self.stage = Stage::Epilogue;
                    return Ok(Some(Fragment::End(self.take()?)));
                }
                (Stage::Inside | Stage::Epilogue, Kind::Other) => {
                    return Ok(Some(Fragment::Between(self.take()?)));
                }
                (Stage::Child { depth }, Kind::Start { empty: false, .. }) => {
                    if depth == MAX_DEPTH {
                        return Err(XmlError::TooDeep);
                    }
                    self.stage = Stage::Child { depth: depth + 1 };
                }
                (Stage::Child { depth }, Kind::End { .. }) => {
                    self.stage = Stage::Child { depth: depth - 1 };
                }
                (Stage::Prologue, Kind::Other)
                | (Stage::Child { .. }, Kind::Other | Kind::Start { empty: true, .. }) => {}
                (Stage::Prologue, Kind::End { .. }) => {
                    return Err(self.ill_formed(start, "an end tag stands before the root"));
                }
                (Stage::Epilogue, Kind::Start { .. } | Kind::End { .. }) => {
                    return Err(self.ill_formed(start, "a tag follows the root element"));
                }
            }
        }
    }

    /// The document has ended. Returns text behind the root that nothing follows.
    pub(super) fn finish(mut self) -> Result<Option<Fragment>, XmlError> {
        if self.stage != Stage::Epilogue {
            return Err(self.ill_formed(self.pending.len(), "it ends before its root element does"));
        }
        self.token = self.pending.len();
        let rest = self.take()?;
        Ok((!rest.is_empty()).then_some(Fragment::Between(rest)))
    }

    /// Everything up to the next token.
    fn take(&mut self) -> Result<Bytes, XmlError> {
        check_length(self.token, MAX_FRAGMENT_BYTES)?;
        let text = self.pending.split_to(self.token).freeze();
        self.position += text.len();
        self.token = 0;
        Ok(text)
    }

    fn wait(&self) -> Result<Option<Fragment>, XmlError> {
        check_length(self.pending.len(), MAX_FRAGMENT_BYTES)?;
        check_length(self.position, MAX_LISTING_BYTES)?;
        Ok(None)
    }

    /// The token at `self.token` and where it ends; `None` where it has not arrived whole.
    fn scan(&self) -> Result<Option<(Kind, usize)>, XmlError> {
        let from = self.token;
        let rest = self.pending.get(from..).unwrap_or_default();
        let through = |mark: &[u8], skip: usize| {
            memchr::memmem::find(rest.get(skip..)?, mark)
                .map(|found| (Kind::Other, from + skip + found + mark.len()))
        };
        let Some((b'<', after)) = rest.split_first() else {
            // Text; nobody knows that it has ended before something follows.
            return Ok(memchr::memchr(b'<', rest).map(|length| (Kind::Other, from + length)));
        };
        let may_be = |mark: &[u8]| after.len() < mark.len() && mark.starts_with(after);
        Ok(match after.first() {
            None => None,
            Some(b'?') => through(b"?>", 2),
            Some(b'!') if after.starts_with(b"!--") => through(b"-->", 4),
            Some(b'!') if after.starts_with(b"![CDATA[") => through(b"]]>", 9),
            Some(b'!') if may_be(b"!--") || may_be(b"![CDATA[") => None,
            Some(b'!') => return Err(XmlError::DocumentType),
            Some(b'/') => memchr::memchr(b'>', rest).map(|close| {
                let name = from + 2..from + 2 + name_length(rest.get(2..close));
                (Kind::End { name }, from + close + 1)
            }),
            Some(_) => closing_bracket(rest).map(|close| {
                let name = from + 1..from + 1 + name_length(rest.get(1..close));
                let empty = close > 1 && rest.get(close - 1) == Some(&b'/');
                (Kind::Start { name, empty }, from + close + 1)
            }),
        })
    }

    fn ill_formed(&self, offset: usize, reason: &str) -> XmlError {
        XmlError::IllFormed {
            position: self.position + offset,
            reason: reason.to_owned(),
        }
    }
}

fn check_length(length: usize, limit: usize) -> Result<(), XmlError> {
    if length > limit {
        return Err(XmlError::FragmentTooLong { limit });
    }
    Ok(())
}

/// Bytes of the qualified name at the beginning of a tag's content.
fn name_length(content: Option<&[u8]>) -> usize {
    let content = content.unwrap_or_default();
    content
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'/'))
        .unwrap_or(content.len())
}

/// Where the start tag at the beginning of `rest` ends: at the first `>` outside of quotes.
fn closing_bracket(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(b'>', b'"', b'\'', rest.get(at..)?)?;
        let quote = *rest.get(at)?;
        if quote == b'>' {
            return Some(at);
        }
        at += 1;
        at += memchr::memchr(quote, rest.get(at..)?)? + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragments(document: &str, length: usize) -> Result<Vec<String>, XmlError> {
        let mut splitter = Splitter::new();
        let mut found = Vec::new();
        let mut keep = |fragment: Fragment| {
            let (kind, text) = match fragment {
                Fragment::Root { text, name, empty } => {
                    let name = String::from_utf8(text[name].to_vec()).unwrap();
                    (format!("root {name} {empty}"), text)
                }
                Fragment::Child(text) => ("child".to_owned(), text),
                Fragment::Between(text) => ("between".to_owned(), text),
                Fragment::End(text) => ("end".to_owned(), text),
            };
            found.push(format!(
                "{kind}: {}",
                String::from_utf8(text.to_vec()).unwrap()
            ));
        };
        for piece in document.as_bytes().chunks(length) {
            splitter.push(piece);
            while let Some(fragment) = splitter.next()? {
                keep(fragment);
            }
        }
        if let Some(fragment) = splitter.finish()? {
            keep(fragment);
        }
        Ok(found)
    }

    #[test]
    fn a_document_is_cut_at_the_children_of_its_root_whatever_the_pieces() {
        let document = "\u{feff}<?xml v='>'?>\n<!-- <a> --><n:r x='>' y=\"/>\">\n<a><b/><![CDATA[</a>]]><!-- </a> --><a z='</a>'></a></a><c/> <?p ?></n:r >\n<!-- end -->\n";
        let expected = [
            "root n:r false: \u{feff}<?xml v='>'?>\n<!-- <a> --><n:r x='>' y=\"/>\">",
            "between: \n",
            "child: <a><b/><![CDATA[</a>]]><!-- </a> --><a z='</a>'></a></a>",
            "child: <c/>",
            "between:  ",
            "between: <?p ?>",
            "end: </n:r >",
            "between: \n",
            "between: <!-- end -->",
            "between: \n",
        ];
        for length in [1, 2, 3, 7, 64, document.len()] {
            assert_eq!(fragments(document, length).unwrap(), expected, "{length}");
        }
        assert_eq!(fragments("<r/>", 1).unwrap(), ["root r true: <r/>"]);
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        for document in [
            "<r><a></a>",
            "<r></q>",
            "</r>",
            "<r/><r/>",
            "<r></r></r>",
            "<r><a></r>",
            "",
            "<",
        ] {
            let outcome = fragments(document, 3);
            assert!(
                matches!(outcome, Err(XmlError::IllFormed { .. })),
                "{document}"
            );
        }
        assert_eq!(
            fragments("<!DOCTYPE r><r/>", 1),
            Err(XmlError::DocumentType)
        );
        let deep = format!("<r>{}", "<a>".repeat(MAX_DEPTH + 1));
        assert_eq!(fragments(&deep, 100), Err(XmlError::TooDeep));
    }

    #[test]
    fn memory_is_bounded_whatever_arrives() {
        for beginning in ["<r>text", "<r><a>", "<r><!--", "<r><a b='", "text", "<r/> "] {
            let mut splitter = Splitter::new();
            splitter.push(beginning.as_bytes());
            let endless = [b' '; 4096];
            let outcome = (0..1_000).find_map(|_| {
                splitter.push(&endless);
                splitter.next().err()
            });
            assert!(
                matches!(outcome, Some(XmlError::FragmentTooLong { .. })),
                "{beginning}"
            );
            assert!(splitter.pending.len() <= MAX_FRAGMENT_BYTES + endless.len());
        }
    }
}
