//! The body of CompleteMultipartUpload.

use super::{RequestDocumentError, unexpected};
use crate::entity_tag::EntityTag;
use crate::xml::checksum_value::ChecksumValue;
use crate::xml::elements::{ElementReader, parse_number, set_once};
use crate::xml::write::{Document, ElementWriter};
use crate::xml::{NAMESPACE, XmlError};

/// Most parts in one upload, and the highest part number (S3 user guide, "Multipart upload limits").
pub const MAX_PARTS: usize = 10_000;

/// One part as a client names it to complete an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Part number, 1 to [`MAX_PARTS`].
    pub number: u16,
    /// The tag that UploadPart answered.
    pub entity_tag: EntityTag,
    /// Checksums of the part, if the client repeats them.
    pub checksums: Vec<ChecksumValue>,
}

/// The body of CompleteMultipartUpload: at least one part, at most [`MAX_PARTS`], strictly ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteMultipartUpload {
    parts: Vec<CompletedPart>,
}

impl CompleteMultipartUpload {
    /// Reads the body of a client (S3 API reference, CompleteMultipartUpload).
    ///
    /// # Errors
    /// [`RequestDocumentError`]; its variants name the S3 code.
    pub fn parse(document: &[u8]) -> Result<Self, RequestDocumentError> {
        let mut reader = ElementReader::new(document)?;
        reader.expect_root("CompleteMultipartUpload")?;
        let mut parts: Vec<CompletedPart> = Vec::new();
        while let Some(child) = reader.child()? {
            if child != "Part" {
                return Err(unexpected(child, "CompleteMultipartUpload").into());
            }
            if parts.len() == MAX_PARTS {
                return Err(XmlError::TooMany {
                    element: "Part",
                    limit: MAX_PARTS,
                }
                .into());
            }
            let part = read_completed_part(&mut reader)?;
            if let Some(last) = parts.last().filter(|last| last.number >= part.number) {
                return Err(RequestDocumentError::PartOrder {
                    number: part.number,
                    previous: last.number,
                });
            }
            parts.push(part);
        }
        reader.finish()?;
        if parts.is_empty() {
            return Err(XmlError::MissingElement {
                element: "Part",
                parent: "CompleteMultipartUpload",
            }
            .into());
        }
        Ok(Self { parts })
    }

    /// The parts, ascending.
    pub fn parts(&self) -> &[CompletedPart] {
        &self.parts
    }

    /// Writes the body for the upstream, with the upstream's own tags and ciphertext checksums in `parts`.
    pub fn to_document(parts: &[CompletedPart]) -> Document {
        ElementWriter::request("CompleteMultipartUpload", Some(NAMESPACE), |writer| {
            for part in parts {
                writer.element("Part", |writer| {
                    writer.value("PartNumber", &part.number);
                    writer.value("ETag", &part.entity_tag);
                    for checksum in &part.checksums {
                        checksum.write(writer);
                    }
                });
            }
        })
    }
}

/// Reads one `<Part>`, whose start was just read.
fn read_completed_part(
    reader: &mut ElementReader<'_>,
) -> Result<CompletedPart, RequestDocumentError> {
    let (mut number, mut entity_tag, mut checksums) = (None, None, Vec::new());
    while let Some(child) = reader.child()? {
        match child {
            "PartNumber" => {
                let text = reader.text("PartNumber")?;
                // A negative one is a wrong number and not a malformed document.
                let value = match text.trim().strip_prefix('-') {
                    Some(digits) => -parse_number::<i64>("PartNumber", digits)?,
                    None => parse_number("PartNumber", text.trim())?,
                };
                set_once(&mut number, value, "PartNumber")?;
            }
            "ETag" => set_once(
                &mut entity_tag,
                EntityTag::parse(&reader.text("ETag")?),
                "ETag",
            )?,
            name if ChecksumValue::is_element(name) => {
                ChecksumValue::read(reader, name, &mut checksums)?;
            }
            other => return Err(unexpected(other, "Part").into()),
        }
    }
    let number = number.ok_or(XmlError::MissingElement {
        element: "PartNumber",
        parent: "Part",
    })?;
    let entity_tag = entity_tag.ok_or(XmlError::MissingElement {
        element: "ETag",
        parent: "Part",
    })?;
    Ok(CompletedPart {
        number: part_number(number)?,
        entity_tag,
        checksums,
    })
}

/// Checks a part number.
///
/// # Errors
/// [`RequestDocumentError::PartNumber`] outside of 1 to [`MAX_PARTS`].
pub fn part_number(number: i64) -> Result<u16, RequestDocumentError> {
    u16::try_from(number)
        .ok()
        .filter(|&number| number >= 1 && usize::from(number) <= MAX_PARTS)
        .ok_or(RequestDocumentError::PartNumber { number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(parts: &str) -> Result<Vec<CompletedPart>, RequestDocumentError> {
        CompleteMultipartUpload::parse(
            format!(
                "<CompleteMultipartUpload xmlns=\"{NAMESPACE}\">{parts}</CompleteMultipartUpload>"
            )
            .as_bytes(),
        )
        .map(|complete| complete.parts)
    }

    #[test]
    fn parts_are_read_with_quoted_escaped_and_bare_tags() {
        let parts = complete(
            "<Part><PartNumber> 1 </PartNumber><ETag>\"a-01\"</ETag></Part>\n<Part><ETag>&quot;b-01&#34;</ETag><PartNumber>7</PartNumber>\
             <ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumSHA256>x=</ChecksumSHA256></Part><Part><PartNumber>10000</PartNumber><ETag>c-01</ETag></Part>",
        )
        .unwrap();
        let read: Vec<_> = parts
            .iter()
            .map(|part| (part.number, part.entity_tag.opaque(), part.checksums.len()))
            .collect();
        assert_eq!(read, [(1, "a-01", 0), (7, "b-01", 2), (10_000, "c-01", 0)]);
        assert_eq!(
            parts[1].checksums[0],
            ChecksumValue::new("CRC32", "AAAAAA==").unwrap()
        );
    }

    #[test]
    fn order_and_numbers_of_parts_are_checked() {
        let part =
            |number: i64| format!("<Part><PartNumber>{number}</PartNumber><ETag>x</ETag></Part>");
        assert_eq!(
            complete(&(part(2) + &part(1))),
            Err(RequestDocumentError::PartOrder {
                number: 1,
                previous: 2
            })
        );
        assert_eq!(
            complete(&(part(2) + &part(2))),
            Err(RequestDocumentError::PartOrder {
                number: 2,
                previous: 2
            })
        );
        for number in [-4, 0, 10_001, 65_537, i64::MAX] {
            assert_eq!(
                complete(&part(number)),
                Err(RequestDocumentError::PartNumber { number })
            );
        }
        let all: String = (1..=10_000).map(part).collect();
        assert_eq!(complete(&all).unwrap().len(), MAX_PARTS);
        assert_eq!(
            complete(&(all + &part(10_000))),
            Err(RequestDocumentError::Malformed(XmlError::TooMany {
                element: "Part",
                limit: MAX_PARTS
            }))
        );
    }

    #[test]
    fn malformed_completions_are_refused() {
        for parts in [
            "",
            "<Part><PartNumber>1</PartNumber></Part>",
            "<Part><ETag>x</ETag></Part>",
            "<Part><PartNumber>one</PartNumber><ETag>x</ETag></Part>",
            "<Part><PartNumber>1</PartNumber><PartNumber>2</PartNumber><ETag>x</ETag></Part>",
            "<Part><PartNumber>1</PartNumber><ETag>x</ETag><New/></Part>",
            "<Part><PartNumber>1</PartNumber><ETag>x</ETag><ChecksumCRC32>a</ChecksumCRC32><ChecksumCRC32>b</ChecksumCRC32></Part>",
            "<Other/>",
            "text",
        ] {
            assert!(
                matches!(complete(parts), Err(RequestDocumentError::Malformed(_))),
                "{parts}"
            );
        }
        assert!(matches!(
            CompleteMultipartUpload::parse(b"<Delete/>"),
            Err(RequestDocumentError::Malformed(
                XmlError::UnexpectedRoot { .. }
            ))
        ));
        assert!(matches!(
            CompleteMultipartUpload::parse(b""),
            Err(RequestDocumentError::Malformed(XmlError::IllFormed { .. }))
        ));
    }

    proptest! {
        #[test]
        fn written_completions_are_read_back(
            numbers in proptest::collection::btree_set(1_u16..=10_000, 1..20),
            tag in "[ -!#-~]{0,20}",
        ) {
            let checksums = vec![ChecksumValue::new("CRC64NVME", "AAAAAAAAAAA=").unwrap()];
            let parts: Vec<_> = numbers
                .into_iter()
                .map(|number| CompletedPart {
                    number,
                    entity_tag: EntityTag::strong(tag.clone()),
                    checksums: checksums.clone(),
                })
                .collect();
            let document = CompleteMultipartUpload::to_document(&parts).into_bytes();
            let read = CompleteMultipartUpload::parse(&document);
            prop_assert_eq!(read, Ok(CompleteMultipartUpload { parts }));
        }


        #[test]
        fn any_body_is_read_without_panic(body in ".{0,100}") {
            let _ = complete(&body);
        }
    }
}
