//! The framing of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): sans-IO, one part after the other.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use super::{FormError, MAXIMUM_BOUNDARY_LENGTH, MAXIMUM_FIELDS_LENGTH};

/// Most headers of one part; browsers send two.
const MAXIMUM_PART_HEADERS: usize = 8;

/// What follows a delimiter that ends the form.
const CLOSING: &[u8] = b"--";

const LINE_END: &[u8] = b"\r\n";

/// What is known so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<T> {
    /// Push more bytes.
    NeedMore,
    /// There is no more of this.
    End,
    /// This.
    Ready(T),
}

/// The head of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartHead {
    /// The field's name.
    pub(super) name: String,
    /// The name of the file, where there is one; without directories.
    pub(super) file_name: Option<String>,
}

/// Where the parser stands between two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the delimiter.
    Delimiter,
    /// Behind it, on its line.
    Line,
    /// On the line end before the headers, which an empty line ends.
    Head,
}

/// Reads a form piece by piece. Holds what was pushed and not read yet: at most a head, a field, or one piece of the file.
///
/// What comes out does not depend on the pieces: nothing is decided before all of it is there, and bounds are about positions in the form. No
/// byte is searched more often than a delimiter is long, however small the pieces are.
#[derive(Debug)]
pub(super) struct Parser {
    /// For `CR LF -- boundary`.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    received: u64,
    stage: Stage,
    /// Bytes of the buffer in which nothing begins that is looked for now.
    searched: usize,
    /// Bytes that were looked at, for the test that bounds them.
    #[cfg(test)]
    examined: usize,
}

impl Parser {
    /// A parser for the form whose `Content-Type` this is.
    pub(super) fn new(content_type: &str) -> Result<Self, FormError> {
        let malformed = FormError::Malformed("its Content-Type names no boundary");
        let (kind, parameters) = content_type.split_once(';').ok_or(malformed.clone())?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(FormError::Malformed("its Content-Type is another one"));
        }
        let boundary = parameter(parameters, "boundary").ok_or(malformed)?;
        let legal = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if !(1..=MAXIMUM_BOUNDARY_LENGTH).contains(&boundary.len()) || !boundary.bytes().all(legal)
        {
            return Err(FormError::Malformed("its boundary has 1 to 70 characters"));
        }
        Ok(Self {
            delimiter: Finder::new(&format!("\r\n--{boundary}")).into_owned(),
            // The first delimiter has no line before it.
            buffer: BytesMut::from(LINE_END),
            received: 0,
            stage: Stage::Delimiter,
            searched: 0,
            #[cfg(test)]
            examined: 0,
        })
    }

    /// Takes bytes of the body.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received = self.received.saturating_add(bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes of the body that were read. Right from the first delimiter on.
    pub(super) fn position(&self) -> u64 {
        self.received.saturating_sub(self.buffer.len() as u64)
    }

    /// Bytes behind the file in a form whose last field it is, written as every browser and library writes it.
    pub(super) fn usual_tail_length(&self) -> u64 {
        (self.delimiter_length() + CLOSING.len() + LINE_END.len()) as u64
    }

    /// The head of the next part; the parser must stand before a delimiter.
    pub(super) fn next_part(&mut self) -> Result<Step<PartHead>, FormError> {
        loop {
            match self.stage {
                Stage::Delimiter => {
                    let Some(start) = self.find_delimiter() else {
                        return self.wait();
                    };
                    self.advance(start + self.delimiter_length())?;
                    self.stage = Stage::Line;
                }
                Stage::Line => {
                    if self.buffer.starts_with(CLOSING) {
                        self.within_limit(CLOSING.len())?;
                        return Ok(Step::End);
                    }
                    let Some(length) = self.find_line_end() else {
                        return self.wait();
                    };
                    let padding = self.buffer.get(..length).unwrap_or_default();
                    if padding.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
                        return Err(FormError::Malformed("text follows a boundary"));
                    }
                    self.advance(length)?;
                    self.stage = Stage::Head;
                }
                Stage::Head => {
                    let Some(length) = self.find_empty_line() else {
                        return self.wait();
                    };
                    self.within_limit(length)?;
                    let head = self.buffer.get(LINE_END.len()..length).unwrap_or_default();
                    let mut headers = [httparse::EMPTY_HEADER; MAXIMUM_PART_HEADERS];
                    let head = match httparse::parse_headers(head, &mut headers) {
                        Ok(httparse::Status::Complete((_, headers))) => part_head(headers)?,
                        Ok(httparse::Status::Partial) | Err(_) => {
                            return Err(FormError::Malformed("the headers of a part are not"));
                        }
                    };
                    self.advance(length)?;
                    self.stage = Stage::Delimiter;
                    return Ok(Step::Ready(head));
                }
            }
        }
    }

    /// The whole value of a field that is no file.
    pub(super) fn value(&mut self) -> Result<Step<String>, FormError> {
        let Some(length) = self.find_delimiter() else {
            return self.wait();
        };
        self.within_limit(length + self.delimiter_length())?;
        let value = self.buffer.split_to(length);
        self.searched = 0;
        String::from_utf8(value.to_vec())
            .map(Step::Ready)
            .map_err(|_| FormError::Malformed("a field is not UTF-8"))
    }

    /// The next bytes of the file, never empty.
    pub(super) fn file_data(&mut self) -> Step<Bytes> {
        let length = match self.find_delimiter() {
            Some(0) => return Step::End,
            Some(length) => length,
            // What could be the beginning of a delimiter stays.
            None => self.searched,
        };
        if length == 0 {
            return Step::NeedMore;
        }
        self.searched = 0;
        Step::Ready(self.buffer.split_to(length).freeze())
    }

    fn delimiter_length(&self) -> usize {
        self.delimiter.needle().len()
    }

    /// Where the next delimiter begins.
    fn find_delimiter(&mut self) -> Option<usize> {
        let from = self.searched;
        let found = self.delimiter.find(self.unsearched());
        #[cfg(test)]
        {
            let examined = found.map(|at| at + self.delimiter_length());
            self.examined += examined.unwrap_or(self.buffer.len() - from);
        }
        let searched = match found {
            Some(at) => from + at,
            None => (self.buffer.len() + 1).saturating_sub(self.delimiter_length()),
        };
        self.searched = searched.max(from);
        found.map(|at| from + at)
    }

    /// Where the line ends on which the parser stands.
    fn find_line_end(&mut self) -> Option<usize> {
        let from = self.searched;
        let found = memmem::find(self.unsearched(), LINE_END).map(|at| from + at);
        #[cfg(test)]
        {
            self.examined += found.map_or(self.buffer.len(), |at| at + LINE_END.len()) - from;
        }
        self.searched = found.unwrap_or(self.buffer.len().saturating_sub(1).max(from));
        found
    }

    /// The length of everything up to and with the next empty line, as [`httparse`] takes lines: a lone LF ends one as well.
    fn find_empty_line(&mut self) -> Option<usize> {
        let from = self.searched;
        let mut ends = memchr::memchr_iter(b'\n', self.unsearched()).map(|at| from + at);
        let (searched, found) = loop {
            let Some(end) = ends.next() else {
                break (self.buffer.len(), None);
            };
            match self.buffer.get(end + 1..).unwrap_or_default() {
                [b'\n', ..] => break (end, Some(end + 2)),
                [b'\r', b'\n', ..] => break (end, Some(end + 3)),
                // The next bytes will tell.
                [] | [b'\r'] => break (end, None),
                _ => {}
            }
        };
        #[cfg(test)]
        {
            self.examined += found.unwrap_or(self.buffer.len()) - from;
        }
        self.searched = searched;
        found
    }

    fn unsearched(&self) -> &[u8] {
        self.buffer.get(self.searched..).unwrap_or_default()
    }

    /// Steps over bytes that were read.
    fn advance(&mut self, length: usize) -> Result<(), FormError> {
        self.within_limit(length)?;
        self.buffer.advance(length);
        self.searched = 0;
        Ok(())
    }

    /// What is waited for lies behind everything that was received.
    fn wait<T>(&self) -> Result<Step<T>, FormError> {
        if self.received > MAXIMUM_FIELDS_LENGTH {
            return Err(FormError::FieldsTooLong);
        }
        Ok(Step::NeedMore)
    }

    /// Whether the next bytes of the buffer, so many of them, may still stand in front of the file.
    fn within_limit(&self, length: usize) -> Result<(), FormError> {
        let behind = self.buffer.len().saturating_sub(length) as u64;
        if self.received.saturating_sub(behind) > MAXIMUM_FIELDS_LENGTH {
            return Err(FormError::FieldsTooLong);
        }
        Ok(())
    }
}

fn part_head(headers: &[httparse::Header<'_>]) -> Result<PartHead, FormError> {
    let mut dispositions = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("content-disposition"));
    let (Some(disposition), None) = (dispositions.next(), dispositions.next()) else {
        return Err(FormError::Malformed("a part needs one Content-Disposition"));
    };
    let text = std::str::from_utf8(disposition.value)
        .map_err(|_| FormError::Malformed("a Content-Disposition is not UTF-8"))?;
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(FormError::Malformed("a part is not form-data"));
    }
    Ok(PartHead {
        name: parameter(parameters, "name").ok_or(FormError::Malformed("a part has no name"))?,
        file_name: parameter(parameters, "filename").map(|name| base_name(&name).to_owned()),
    })
}

/// What the user called the file; some clients send the whole path (S3 API, "POST Object", `${filename}`).
fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// The value of `name=value` or `name="value"` in a list separated by semicolons.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, after) = rest.split_once('=')?;
        let is_wanted = name.trim().eq_ignore_ascii_case(wanted);
        let value;
        (value, rest) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = after.find(';').unwrap_or(after.len());
            let (value, rest) = after.split_at_checked(end)?;
            (value.trim().to_owned(), rest)
        };
        if is_wanted {
            return Some(value);
        }
    }
}

/// Reads up to the closing quote. Browsers write `%22` for a quote (HTML, "multipart/form-data encoding algorithm"), curl `\"`; a backslash
/// before anything else is one of a Windows path.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => {
                let rest = text.get(position + 1..)?;
                return Some((value.replace("%22", "\""), rest));
            }
            '\\' => {
                let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                value.push(escaped.map_or('\\', |(_, next)| next));
            }
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=xyz";

    /// Fields, the last one with the file's name; then the file's position, and its bytes.
    type ReadForm = (Vec<(String, String)>, u64, Vec<u8>);

    /// Reads a whole form that arrives in pieces.
    fn read(form: &[u8], piece: usize) -> Result<ReadForm, FormError> {
        let mut parser = Parser::new(TYPE)?;
        let mut pieces = form.chunks(piece.max(1));
        let mut more = |parser: &mut Parser| match pieces.next() {
            Some(bytes) => {
                parser.push(bytes);
                Ok(())
            }
            None => Err(FormError::Incomplete("test".into())),
        };
        let mut fields = Vec::new();
        loop {
            let head = loop {
                match parser.next_part()? {
                    Step::Ready(head) => break head,
                    Step::NeedMore => more(&mut parser)?,
                    Step::End => return Err(FormError::NoFile),
                }
            };
            if head.name == "file" {
                fields.push((head.name, head.file_name.unwrap_or_default()));
                break;
            }
            let value = loop {
                match parser.value()? {
                    Step::Ready(value) => break value,
                    _ => more(&mut parser)?,
                }
            };
            fields.push((head.name, value));
        }
        let position = parser.position();
        let mut file = Vec::new();
        loop {
            match parser.file_data() {
                Step::Ready(data) => file.extend_from_slice(&data),
                Step::NeedMore => more(&mut parser)?,
                Step::End => return Ok((fields, position, file)),
            }
        }
    }

    fn form(file: &[u8]) -> Vec<u8> {
        let mut form = b"--xyz\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na/${filename}\r\n--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n".to_vec();
        form.extend_from_slice(file);
        form.extend_from_slice(b"\r\n--xyz--\r\n");
        form
    }

    #[test]
    fn the_position_of_the_file_gives_away_its_length() {
        let form = form(b"hello");
        let (fields, position, file) = read(&form, 7).unwrap();
        assert_eq!(
            fields,
            [
                ("key".to_owned(), "a/${filename}".to_owned()),
                ("file".to_owned(), "x.txt".to_owned())
            ]
        );
        assert_eq!(file, b"hello");
        let tail = Parser::new(TYPE).unwrap().usual_tail_length();
        assert_eq!(form.len() as u64 - position - tail, 5);
    }

    #[test]
    fn forms_that_break_a_rule_are_refused() {
        for (text, error) in [
            (
                "--xyzz\r\n",
                FormError::Malformed("text follows a boundary"),
            ),
            ("--xyz--\r\n", FormError::NoFile),
            (
                "--xyz\r\n\r\nx",
                FormError::Malformed("a part needs one Content-Disposition"),
            ),
            (
                "--xyz\r\nContent-Disposition: form-data\r\n\r\nx",
                FormError::Malformed("a part has no name"),
            ),
            (
                "--xyz\r\nContent-Disposition: attachment; name=a\r\n\r\nx",
                FormError::Malformed("a part is not form-data"),
            ),
            (
                "--xyz\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx",
                FormError::Malformed("a part has no name"),
            ),
            (
                "--xyz\r\nContent Disposition\r\n\r\nx",
                FormError::Malformed("the headers of a part are not"),
            ),
        ] {
            assert_eq!(read(text.as_bytes(), 1_000).unwrap_err(), error, "{text:?}");
        }
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=x",
        ] {
            assert!(Parser::new(content_type).is_err(), "{content_type}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert!(Parser::new(&long).is_err());
    }

    #[test]
    fn fields_are_bounded_however_they_arrive() {
        let long = "x".repeat(usize::try_from(MAXIMUM_FIELDS_LENGTH).unwrap());
        let text = String::from_utf8(form(b"")).unwrap().replace("a/$", &long);
        for piece in [100, 1 << 20] {
            assert_eq!(read(text.as_bytes(), piece), Err(FormError::FieldsTooLong));
        }
        let endless = vec![b'x'; 1 << 16];
        assert_eq!(read(&endless, 1_000), Err(FormError::FieldsTooLong));
    }

    #[test]
    fn small_pieces_cost_no_more_than_large_ones_for_each_byte() {
        let long = usize::try_from(MAXIMUM_FIELDS_LENGTH).unwrap() - 500;
        let many = "\r\n--xy ".repeat(long / 7);
        let head = "\r\nContent-Disposition: form-data; name=\"a\"";
        for text in [
            "x".repeat(long),
            many.clone(),
            format!("--xyz{}", " ".repeat(long)),
            format!("--xyz{}", "\r".repeat(long)),
            format!("--xyz\r\nA: {}", "b".repeat(long)),
            format!("--xyz{}", "\r\nA:b".repeat(long / 5)),
            format!("--xyz{head}\r\n\r\n{}", "v".repeat(long)),
            format!("--xyz{head}\r\n\r\n{many}"),
        ] {
            let mut parser = Parser::new(TYPE).unwrap();
            let mut is_value = false;
            for byte in text.as_bytes() {
                parser.push(&[*byte]);
                is_value = is_value || matches!(parser.next_part(), Ok(Step::Ready(_)));
                if is_value {
                    assert_eq!(parser.value(), Ok(Step::NeedMore));
                }
            }
            let bound = 2 * parser.delimiter_length() * text.len();
            assert!(
                parser.examined <= bound,
                "{} bytes of {:?} were looked at",
                parser.examined,
                &text[..20]
            );
        }
    }

    #[test]
    fn the_bound_on_fields_is_one_position_however_they_arrive() {
        let limit = usize::try_from(MAXIMUM_FIELDS_LENGTH).unwrap();
        let whole = String::from_utf8(form(b"abc")).unwrap();
        let start = whole.find("abc").unwrap();
        for (position, fits) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            let longer = format!("a/{}$", "x".repeat(position - start));
            let text = whole.replace("a/$", &longer);
            for piece in [1, 64, 1_000, 1 << 20] {
                let outcome = read(text.as_bytes(), piece);
                match outcome {
                    Ok((_, found, _)) => assert!(fits && found == position as u64, "{position}"),
                    Err(error) => assert!(!fits && error == FormError::FieldsTooLong, "{position}"),
                }
            }
        }
    }

    #[test]
    fn names_of_files_are_read_as_clients_write_them() {
        let name = |text: &str| parameter(text, "filename").map(|name| base_name(&name).to_owned());
        for (text, expected) in [
            (" name=\"file\"; filename=\"a b.txt\"", "a b.txt"),
            ("filename=plain.txt; name=file", "plain.txt"),
            ("filename=\"C:\\dir\\x.txt\"", "x.txt"),
            ("filename=\"/home/me/x.txt\"", "x.txt"),
            ("filename=\"say %22hi%22.txt\"", "say \"hi\".txt"),
            ("filename=\"say \\\"hi\\\".txt\"", "say \"hi\".txt"),
            ("name=\"a;filename=b\"; filename=\"c\"", "c"),
            ("filename=\"\"", ""),
        ] {
            assert_eq!(name(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(name("filename=\"open"), None);
    }

    proptest! {
        #[test]
        fn a_file_comes_out_as_it_went_in(
            file in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x'), any::<u8>()], 0..200),
            piece in 1_usize..50,
        ) {
            prop_assume!(memmem::find(&file, b"\r\n--xyz").is_none());
            let (_, _, read) = read(&form(&file), piece).unwrap();
            prop_assert_eq!(read, file);
        }

        #[test]
        fn any_form_is_read_alike_in_pieces_and_at_once(text in "(--xyz|\r\n|\n|Content-Disposition: form-data; |name=|filename=|\"|;|--|.){0,30}", piece in 1_usize..9) {
            prop_assert_eq!(read(text.as_bytes(), piece), read(text.as_bytes(), 1_000));
        }
    }
}
