//! The answer of DeleteObjects, with the keys that were not even asked of the storage.

use bytes::Bytes;

use super::NAMESPACE;
use super::write::ElementWriter;

/// A key that was not deleted.
#[derive(Debug)]
pub struct NotDeleted<'a> {
    /// The decoded key.
    pub key: &'a str,
    /// The version that was named.
    pub version_id: Option<&'a str>,
    /// The code of the error.
    pub code: &'a str,
    /// What it says.
    pub message: &'a str,
}

/// The end of the root element, behind the last of its children.
const END: &[u8] = b"</DeleteResult>";

/// An answer that holds these errors and nothing else.
pub fn only_errors(errors: &[NotDeleted<'_>]) -> Bytes {
    ElementWriter::document("DeleteResult", Some(NAMESPACE), |writer| {
        for error in errors {
            write_error(writer, error);
        }
    })
    .into_bytes()
}

/// The storage's answer with these errors behind its own. None where it is no answer of DeleteObjects.
pub fn with_errors(answer: &[u8], errors: &[NotDeleted<'_>]) -> Option<Bytes> {
    let answer = answer.trim_ascii_end();
    let Some(entries) = answer.strip_suffix(END) else {
        // Nothing but the root, closed at once: all that was asked for has been deleted quietly.
        let is_empty = answer.ends_with(b"/>")
            && memchr::memchr_iter(b'<', answer).count() <= 2
            && memchr::memmem::find(answer, b"<DeleteResult").is_some();
        return is_empty.then(|| only_errors(errors));
    };
    let added = only_errors(errors);
    let start = memchr::memmem::find(&added, b"<Error>")?;
    let added = added.get(start..)?;
    Some([entries, added].concat().into())
}

fn write_error(writer: &mut ElementWriter, error: &NotDeleted<'_>) {
    writer.element("Error", |writer| {
        writer.leaf("Key", error.key);
        writer.optional("VersionId", error.version_id);
        writer.leaf("Code", error.code);
        writer.leaf("Message", error.message);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: NotDeleted<'_> = NotDeleted {
        key: "a&b",
        version_id: Some("v"),
        code: "AccessDenied",
        message: "no",
    };

    fn joined(answer: &str) -> Option<String> {
        with_errors(answer.as_bytes(), &[ERROR])
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn errors_stand_behind_what_the_storage_says() {
        let answer = joined("<?xml version=\"1.0\"?>\n<DeleteResult xmlns=\"x\"><Deleted><Key>c</Key></Deleted></DeleteResult>\n").unwrap();
        assert_eq!(
            answer,
            "<?xml version=\"1.0\"?>\n<DeleteResult xmlns=\"x\"><Deleted><Key>c</Key></Deleted><Error><Key>a&amp;b</Key><VersionId>v</VersionId><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
        );
    }

    #[test]
    fn a_storage_that_says_nothing_gets_a_whole_answer() {
        for empty in [
            "<DeleteResult/>",
            "<?xml version=\"1.0\"?><DeleteResult xmlns=\"x\" />\n",
        ] {
            let answer = joined(empty).unwrap();
            assert!(
                answer.contains("<DeleteResult xmlns=") && answer.contains("<Key>a&amp;b</Key>")
            );
        }
        assert_eq!(joined("<Error><Code>x</Code></Error>"), None);
        assert_eq!(joined(""), None);
    }
}
