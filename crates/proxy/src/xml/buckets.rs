//! The list of buckets, without those that are the gateway's own.

use super::XmlError;
use super::elements::{ElementReader, Token};
use super::rewriting::Rewriting;

/// Removes hidden buckets from the answer of ListBuckets (`ListAllMyBucketsResult`).
///
/// # Errors
/// [`XmlError`] where the document is not such a listing; nothing of it may be sent to the client then.
pub fn hide_buckets(
    document: &[u8],
    mut is_hidden: impl FnMut(&str) -> bool,
) -> Result<Vec<u8>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("ListAllMyBucketsResult")?;
    let mut output = Vec::with_capacity(document.len());
    let mut rewriting = Rewriting::new(document, &mut output);
    // Wherever they stand, so that a list in an unusual place hides nothing from us.
    while let Some(token) = reader.next()? {
        if token == Token::Start("Bucket") {
            let start = reader.span().start;
            let mut hidden = false;
            let mut named = false;
            while let Some(child) = reader.child()? {
                if child == "Name" {
                    named = true;
                    hidden |= is_hidden(reader.text("Name")?.trim());
                } else {
                    reader.skip()?;
                }
            }
            if !named {
                return Err(XmlError::MissingElement {
                    element: "Name",
                    parent: "Bucket",
                });
            }
            if hidden {
                rewriting.replace(start..reader.span().end, "");
            }
        }
    }
    rewriting.finish();
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_buckets_vanish_and_the_rest_stays() {
        let upstream = "<ListAllMyBucketsResult xmlns=\"n\"><Owner><ID>x</ID></Owner><Buckets><Bucket><Name>a</Name><CreationDate>d</CreationDate></Bucket>\n<Bucket><CreationDate>d</CreationDate><Name>st&#97;te</Name></Bucket><Bucket><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>";
        let expected = upstream.replace(
            "<Bucket><CreationDate>d</CreationDate><Name>st&#97;te</Name></Bucket>",
            "",
        );
        assert_eq!(
            hide_buckets(upstream.as_bytes(), |name| name == "state").unwrap(),
            expected.as_bytes()
        );
        let nameless =
            b"<ListAllMyBucketsResult><Buckets><Bucket/></Buckets></ListAllMyBucketsResult>";
        assert_eq!(
            hide_buckets(nameless, |_| false),
            Err(XmlError::MissingElement {
                element: "Name",
                parent: "Bucket"
            })
        );
    }
}
