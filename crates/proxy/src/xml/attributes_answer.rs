//! The answer of GetObjectAttributes, which the gateway writes itself.

use super::NAMESPACE;
use super::checksum_value::ChecksumValue;
use super::write::{Document, ElementWriter};
use crate::entity_tag::EntityTag;

/// What GetObjectAttributes answers (S3 API reference, GetObjectAttributes): only what was asked for.
#[derive(Debug, Clone, Default)]
pub struct AttributesAnswer<'a> {
    /// The client-visible tag.
    pub entity_tag: Option<&'a EntityTag>,
    /// The checksum of the object, and its type.
    pub checksum: Option<(&'a ChecksumValue, &'a str)>,
    /// The parts of an object that was uploaded in parts.
    pub parts: Option<PartsPage<'a>>,
    /// The storage class.
    pub storage_class: Option<&'a str>,
    /// Bytes of plaintext.
    pub size: Option<u64>,
}

/// One page of an object's parts.
#[derive(Debug, Clone)]
pub struct PartsPage<'a> {
    /// How many parts the object has.
    pub total: usize,
    /// The marker of the request; 0 if none.
    pub marker: u32,
    /// The limit of the request.
    pub limit: u32,
    /// Whether more parts follow.
    pub is_truncated: bool,
    /// The parts of this page, ascending.
    pub parts: &'a [AttributedPart],
}

/// One part.
#[derive(Debug, Clone)]
pub struct AttributedPart {
    /// Its number.
    pub number: u16,
    /// Bytes of plaintext.
    pub size: u64,
    /// Its checksum.
    pub checksum: Option<ChecksumValue>,
}

impl AttributesAnswer<'_> {
    /// Writes `<GetObjectAttributesResponse>`.
    pub fn to_document(&self) -> Document {
        ElementWriter::document("GetObjectAttributesResponse", Some(NAMESPACE), |writer| {
            // Alone among S3's documents, this one has the tag without its quotes.
            writer.optional("ETag", self.entity_tag.map(EntityTag::opaque));
            if let Some((checksum, checksum_type)) = self.checksum {
                writer.element("Checksum", |writer| {
                    checksum.write(writer);
                    writer.leaf("ChecksumType", checksum_type);
                });
            }
            if let Some(page) = &self.parts {
                page.write(writer);
            }
            writer.optional("StorageClass", self.storage_class);
            if let Some(size) = self.size {
                writer.value("ObjectSize", &size);
            }
        })
    }
}

impl PartsPage<'_> {
    fn write(&self, writer: &mut ElementWriter) {
        writer.element("ObjectParts", |writer| {
            writer.value("IsTruncated", &self.is_truncated);
            writer.value("MaxParts", &self.limit);
            let next = self
                .parts
                .last()
                .map_or(self.marker, |part| u32::from(part.number));
            writer.value("NextPartNumberMarker", &next);
            writer.value("PartNumberMarker", &self.marker);
            for part in self.parts {
                writer.element("Part", |writer| {
                    writer.value("PartNumber", &part.number);
                    writer.value("Size", &part.size);
                    if let Some(checksum) = &part.checksum {
                        checksum.write(writer);
                    }
                });
            }
            writer.value("PartsCount", &self.total);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &AttributesAnswer<'_>) -> String {
        String::from_utf8(answer.to_document().into_root_bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_was_not_asked_for_is_left_out() {
        assert_eq!(
            text(&AttributesAnswer::default()),
            "<GetObjectAttributesResponse xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></GetObjectAttributesResponse>"
        );
    }

    #[test]
    fn a_page_of_parts_names_where_to_go_on() {
        let checksum = ChecksumValue::new("CRC32", "AAAAAA==").unwrap();
        let tag = EntityTag::strong("x-2");
        let parts = [AttributedPart {
            number: 3,
            size: 5,
            checksum: Some(checksum.clone()),
        }];
        let answer = AttributesAnswer {
            entity_tag: Some(&tag),
            checksum: Some((&checksum, "COMPOSITE")),
            parts: Some(PartsPage {
                total: 2,
                marker: 1,
                limit: 1,
                is_truncated: true,
                parts: &parts,
            }),
            storage_class: Some("STANDARD"),
            size: Some(9),
        };
        let text = text(&answer);
        for piece in [
            "<ETag>x-2</ETag><Checksum><ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType></Checksum>",
            "<ObjectParts><IsTruncated>true</IsTruncated><MaxParts>1</MaxParts><NextPartNumberMarker>3</NextPartNumberMarker>",
            "<PartNumberMarker>1</PartNumberMarker><Part><PartNumber>3</PartNumber><Size>5</Size><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>",
            "<PartsCount>2</PartsCount></ObjectParts><StorageClass>STANDARD</StorageClass><ObjectSize>9</ObjectSize>",
        ] {
            assert!(text.contains(piece), "{piece} is not in {text}");
        }
    }
}
