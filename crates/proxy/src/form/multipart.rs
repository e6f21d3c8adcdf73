//! The framing of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): sans-IO, one part after the other.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

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

/// Reads a form piece by piece. Holds what was pushed and not read yet: at most a head, a field, or one piece of the file.
#[derive(Debug)]
pub(super) struct Parser {
    /// `CR LF -- boundary`.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    received: u64,
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
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first delimiter has no line before it.
            buffer: BytesMut::from(LINE_END),
            received: 0,
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
        (self.delimiter.len() + CLOSING.len() + LINE_END.len()) as u64
    }

    /// The head of the next part; the parser must stand before a delimiter.
    pub(super) fn next_part(&mut self) -> Result<Step<PartHead>, FormError> {
        let Some(start) = memmem::find(&self.buffer, &self.delimiter) else {
            return self.wait();
        };
        let behind = start + self.delimiter.len();
        let rest = self.buffer.get(behind..).unwrap_or_default();
        if rest.starts_with(CLOSING) {
            return Ok(Step::End);
        }
        let Some(line_end) = memmem::find(rest, LINE_END) else {
            return self.wait();
        };
        let padding = rest.get(..line_end).unwrap_or_default();
        if padding.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            return Err(FormError::Malformed("text follows a boundary"));
        }
        let head_start = behind + line_end + LINE_END.len();
        let rest = self.buffer.get(head_start..).unwrap_or_default();
        let mut headers = [httparse::EMPTY_HEADER; MAXIMUM_PART_HEADERS];
        let (length, head) = match httparse::parse_headers(rest, &mut headers) {
            Ok(httparse::Status::Partial) => return self.wait(),
            Ok(httparse::Status::Complete((length, headers))) => (length, part_head(headers)?),
            Err(_) => return Err(FormError::Malformed("the headers of a part are not")),
        };
        self.buffer.advance(head_start + length);
        self.within_limit()?;
        Ok(Step::Ready(head))
    }

    /// The whole value of a field that is no file.
    pub(super) fn value(&mut self) -> Result<Step<String>, FormError> {
        let Some(length) = memmem::find(&self.buffer, &self.delimiter) else {
            return self.wait();
        };
        let value = self.buffer.split_to(length);
        self.within_limit()?;
        String::from_utf8(value.to_vec())
            .map(Step::Ready)
            .map_err(|_| FormError::Malformed("a field is not UTF-8"))
    }

    /// The next bytes of the file, never empty.
    pub(super) fn file_data(&mut self) -> Step<Bytes> {
        let length = match memmem::find(&self.buffer, &self.delimiter) {
            Some(0) => return Step::End,
            Some(length) => length,
            // What could be the beginning of a delimiter stays.
            None => (self.buffer.len() + 1).saturating_sub(self.delimiter.len()),
        };
        if length == 0 {
            return Step::NeedMore;
        }
        Step::Ready(self.buffer.split_to(length).freeze())
    }

    fn wait<T>(&self) -> Result<Step<T>, FormError> {
        if self.buffer.len() as u64 > MAXIMUM_FIELDS_LENGTH {
            return Err(FormError::FieldsTooLong);
        }
        Ok(Step::NeedMore)
    }

    fn within_limit(&self) -> Result<(), FormError> {
        if self.position() > MAXIMUM_FIELDS_LENGTH {
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
        fn any_form_is_read_without_panic(text in "(--xyz|\r\n|Content-Disposition: form-data; |name=|filename=|\"|;|--|.){0,30}", piece in 1_usize..9) {
            let _ = read(text.as_bytes(), piece);
        }
    }
}
