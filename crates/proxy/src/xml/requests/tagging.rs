//! The tags of a new object, as a form carries them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::unexpected;
use crate::xml::XmlError;
use crate::xml::elements::{ElementReader, set_once};

/// Most tags of an object (S3 user guide, "Categorizing your objects using tags").
pub const MAX_TAGS: usize = 10;

/// `<Tagging>`: names and values, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagging {
    tags: Vec<(String, String)>,
}

impl Tagging {
    /// Reads the document.
    ///
    /// # Errors
    /// [`XmlError`] for anything but tags, or more than [`MAX_TAGS`].
    pub fn parse(document: &[u8]) -> Result<Self, super::RequestDocumentError> {
        let mut reader = ElementReader::new(document)?;
        reader.expect_root("Tagging")?;
        let mut tags = Vec::new();
        while let Some(child) = reader.child()? {
            if child != "TagSet" {
                return Err(unexpected(child, "Tagging").into());
            }
            while let Some(child) = reader.child()? {
                if child != "Tag" {
                    return Err(unexpected(child, "TagSet").into());
                }
                if tags.len() == MAX_TAGS {
                    return Err(XmlError::TooMany {
                        element: "Tag",
                        limit: MAX_TAGS,
                    }
                    .into());
                }
                tags.push(read_tag(&mut reader)?);
            }
        }
        reader.finish()?;
        Ok(Self { tags })
    }

    /// The value of `x-amz-tagging` that says the same.
    pub fn to_header(&self) -> String {
        // What RFC 3986 leaves alone need not be escaped, and some storages do not expect it to be.
        const ESCAPED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'.')
            .remove(b'_')
            .remove(b'~');
        let escape = |text| utf8_percent_encode(text, ESCAPED).to_string();
        let pairs: Vec<String> = self
            .tags
            .iter()
            .map(|(key, value)| format!("{}={}", escape(key), escape(value)))
            .collect();
        pairs.join("&")
    }
}

fn read_tag(reader: &mut ElementReader<'_>) -> Result<(String, String), XmlError> {
    let (mut key, mut value) = (None, None);
    while let Some(child) = reader.child()? {
        match child {
            "Key" => set_once(&mut key, reader.text("Key")?, "Key")?,
            "Value" => set_once(&mut value, reader.text("Value")?, "Value")?,
            other => return Err(unexpected(other, "Tag")),
        }
    }
    let key = key.ok_or(XmlError::MissingElement {
        element: "Key",
        parent: "Tag",
    })?;
    Ok((key, value.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_a_header() {
        let document = b"<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag><Tag><Key>c</Key><Value/></Tag></TagSet></Tagging>";
        let tagging = Tagging::parse(document).unwrap();
        assert_eq!(tagging.to_header(), "a%20b=1%262&c=");
        assert_eq!(
            Tagging::parse(b"<Tagging><TagSet/></Tagging>")
                .unwrap()
                .to_header(),
            ""
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let tag = "<Tag><Key>a</Key><Value>b</Value></Tag>";
        for document in [
            "<Tagging><Tag/></Tagging>".to_owned(),
            "<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>".to_owned(),
            "<Tagging><TagSet><Other/></TagSet></Tagging>".to_owned(),
            format!(
                "<Tagging><TagSet>{}</TagSet></Tagging>",
                tag.repeat(MAX_TAGS + 1)
            ),
        ] {
            assert!(Tagging::parse(document.as_bytes()).is_err(), "{document}");
        }
    }
}
