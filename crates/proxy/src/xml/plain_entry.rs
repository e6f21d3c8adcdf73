//! The short way through an entry of a listing that is written as every storage writes it.
//!
//! A page holds a thousand entries, and a pull parser spends most of the time of a listing on them. An entry whose tags are bare names, with
//! neither attributes nor comments, CDATA sections, mixed content or unusual references, can be taken apart by looking for angle brackets. Anything
//! else is left to [`ElementReader`](super::elements::ElementReader), which decides what is well-formed: what this reader takes, that one takes
//! too, and finds the same children (a property below).

use std::ops::Range;

/// How deep an entry's children may be nested here (`<Owner><ID>`, `<RestoreStatus>…`).
const MAX_PLAIN_DEPTH: usize = 4;

/// Longest name of an element here, in bytes. A start tag is looked at again with every piece of it that arrives.
const MAX_PLAIN_NAME: usize = 64;

/// The references that stand for one character each in any document (XML 1.0, section 4.6), and the one that MinIO writes for a quote.
const REFERENCES: [&[u8]; 6] = [b"quot;", b"#34;", b"amp;", b"lt;", b"gt;", b"apos;"];

/// One child of an entry. All spans are in bytes of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlainChild {
    /// Its name.
    pub(super) name: Range<usize>,
    /// All of it, tags included.
    pub(super) whole: Range<usize>,
    /// What stands between its tags.
    pub(super) content: Range<usize>,
}

/// An entry that is written plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlainEntry<'a> {
    /// All of it, tags included.
    pub(super) text: &'a str,
    /// The name of its root.
    pub(super) root: &'a str,
}

/// Takes the entry at the beginning of `document` apart: fills `children` with the children of its root. `None` where the entry is not written
/// plainly, or has not arrived whole; `children` means nothing then.
pub(super) fn plain_entry<'a>(
    document: &'a [u8],
    children: &mut Vec<PlainChild>,
) -> Option<PlainEntry<'a>> {
    children.clear();
    let mut scanner = Scanner { document, at: 0 };
    let root = scanner.start_tag()?;
    loop {
        scanner.white_space();
        if scanner.end_tag(root) {
            break;
        }
        let start = scanner.at;
        let name = scanner.start_tag()?;
        let opened = scanner.at;
        let closed = scanner.content(name, 1)?;
        children.push(PlainChild {
            name: start + 1..start + 1 + name.len(),
            whole: start..scanner.at,
            content: opened..closed,
        });
    }
    let entry = document.get(..scanner.at)?;
    if memchr::memchr(0, entry).is_some() {
        return None;
    }
    Some(PlainEntry {
        text: str::from_utf8(entry).ok()?,
        root: str::from_utf8(root).ok()?,
    })
}

/// The opaque text of an entity tag that is written plainly: letters, digits and hyphens, with or without quotes.
pub(super) fn plain_tag(content: &str) -> Option<&str> {
    let opaque = ["&quot;", "&#34;", "\""]
        .into_iter()
        .find_map(|quote| content.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(content);
    // Counted to the end, so that it is compiled to vector instructions.
    let others = opaque
        .bytes()
        .filter(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
        .count();
    (others == 0).then_some(opaque)
}

struct Scanner<'a> {
    document: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a [u8] {
        self.document.get(self.at..).unwrap_or_default()
    }

    fn white_space(&mut self) {
        let is_other = |byte: &u8| !b" \t\r\n".contains(byte);
        let rest = self.rest();
        self.at += rest.iter().position(is_other).unwrap_or(rest.len());
    }

    /// Steps over a start tag and returns its name.
    fn start_tag(&mut self) -> Option<&'a [u8]> {
        let tag = self.rest().strip_prefix(b"<")?;
        let length = tag
            .iter()
            .take(MAX_PLAIN_NAME)
            .position(|byte| !byte.is_ascii_alphanumeric())?;
        let (name, after) = tag.split_at_checked(length)?;
        // A name of XML does not begin with a digit; the parser may have its say.
        if !after.starts_with(b">") || !name.first()?.is_ascii_alphabetic() {
            return None;
        }
        self.at += length + 2;
        Some(name)
    }

    /// Steps over the end tag of this element if it stands here.
    fn end_tag(&mut self, name: &[u8]) -> bool {
        let ends = self
            .rest()
            .strip_prefix(b"</")
            .and_then(|tag| tag.strip_prefix(name))
            .is_some_and(|tag| tag.starts_with(b">"));
        if ends {
            self.at += name.len() + 3;
        }
        ends
    }

    /// Steps over the content and the end tag of an element whose start tag was just read, and returns where its content ends.
    fn content(&mut self, name: &[u8], depth: usize) -> Option<usize> {
        let rest = self.rest();
        let mut length = memchr::memchr2(b'<', b'&', rest)?;
        if rest.get(length) == Some(&b'&') {
            length += memchr::memchr(b'<', rest.get(length..)?)?;
            if !has_plain_references(rest.get(..length)?) {
                return None;
            }
        }
        self.at += length;
        let end = self.at;
        if self.end_tag(name) {
            return Some(end);
        }
        let text = rest.get(..length)?;
        let is_white_space = text.iter().all(|byte| b" \t\r\n".contains(byte));
        if depth == MAX_PLAIN_DEPTH || !is_white_space {
            return None;
        }
        loop {
            let child = self.start_tag()?;
            self.content(child, depth + 1)?;
            self.white_space();
            let end = self.at;
            if self.end_tag(name) {
                return Some(end);
            }
        }
    }
}

/// Whether every `&` of a text begins a reference that needs no thought.
fn has_plain_references(text: &[u8]) -> bool {
    memchr::memchr_iter(b'&', text).all(|at| {
        let reference = text.get(at + 1..).unwrap_or_default();
        REFERENCES.iter().any(|known| reference.starts_with(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::elements::ElementReader;
    use proptest::prelude::*;

    /// The root and the children as the parser finds them.
    fn parsed(entry: &str) -> Option<(String, Vec<PlainChild>)> {
        let mut reader = ElementReader::new(entry.as_bytes()).ok()?;
        let root = reader.root().ok()?.to_owned();
        let mut children = Vec::new();
        while let Some(child) = reader.child().ok()? {
            let length = child.len();
            let start = reader.span();
            reader.skip().ok()?;
            let end = reader.span();
            children.push(PlainChild {
                name: start.start + 1..start.start + 1 + length,
                whole: start.start..end.end,
                content: start.end..end.start,
            });
        }
        reader.finish().ok()?;
        Some((root, children))
    }

    fn plain(entry: &str) -> Option<(String, Vec<PlainChild>)> {
        let mut children = Vec::new();
        let found = plain_entry(entry.as_bytes(), &mut children)?;
        // What follows an entry is no matter of this reader.
        (found.text == entry).then(|| (found.root.to_owned(), children))
    }

    #[test]
    fn entries_of_aws_and_minio_are_plain() {
        for entry in [
            "<Contents><Key>a&amp;b</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;5d41-2&quot;</ETag>\
             <Size>412</Size><Owner><ID>x</ID><DisplayName></DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>",
            "<Version>\n  <Key>ключ</Key>\n  <ETag>&#34;5d41&#34;</ETag>\n  <Owner>\n <ID>x</ID>\n </Owner>\n</Version>",
            "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>",
            "<Name>bucket</Name>",
        ] {
            // A leaf has text where an entry has children: the parser that looks for children refuses it, and so may we.
            assert_eq!(plain(entry), parsed(entry), "{entry}");
            assert_eq!(plain(entry).is_some(), !entry.starts_with("<Name"));
        }
    }

    #[test]
    fn everything_else_is_left_to_the_parser() {
        for entry in [
            "",
            "<a>",
            "<a></b>",
            "<a/>",
            "<a b='1'></a>",
            "<a><b c='1'>1</b></a>",
            "<a><b/></a>",
            "<a><!-- c --><b>1</b></a>",
            "<a><b><![CDATA[1]]></b></a>",
            "<a><b>&x;</b></a>",
            "<a><b>&#65;</b></a>",
            "<a><b>1<c>2</c></b></a>",
            "<a><b><c>2</c>1</b></a>",
            "<a><b>1</b >\n</a>",
            "<a><b>1</b></a><c></c>",
            "<a><b>\0</b></a>",
            "<s:a></s:a>",
            "<1></1>",
            "<a><b><c><d><e><f>1</f></e></d></c></b></a>",
        ] {
            assert_eq!(plain(entry), None, "{entry}");
        }
    }

    #[test]
    fn tags_are_plain_with_any_quotes_or_none() {
        for written in [
            "&quot;5d41-2&quot;",
            "&#34;5d41-2&#34;",
            "\"5d41-2\"",
            "5d41-2",
        ] {
            assert_eq!(plain_tag(written), Some("5d41-2"), "{written}");
        }
        for written in [
            "&quot;5d41&#34;",
            "\"5d41",
            "W/\"5d41\"",
            " 5d41",
            "&quot;a&amp;b&quot;",
        ] {
            assert_eq!(plain_tag(written), None, "{written}");
        }
        assert_eq!(plain_tag("&quot;&quot;"), Some(""));
    }

    /// What the property below glues together.
    const PIECES: &[&str] = &[
        "<a>",
        "</a>",
        "<b>",
        "</b>",
        "<Size>",
        "</Size>",
        "1",
        " ",
        "\n",
        "&amp;",
        "&#34;",
        "&",
        "x",
        "é",
        "<",
        ">",
        "/",
        "<a/>",
        "<!--c-->",
        "]]>",
        "<a b=''>",
        "\u{feff}",
        "<b>1</b>",
        "<Size>12</Size>",
        "<a><b>",
        "</b></a>",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_taken_here_the_parser_reads_alike(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12),
        ) {
            for entry in [pieces.concat(), format!("<a>{}</a>", pieces.concat())] {
                if let Some(found) = plain(&entry) {
                    prop_assert_eq!(Some(found), parsed(&entry), "{}", entry);
                }
            }
        }
    }
}
