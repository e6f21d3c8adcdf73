//! A rewritten listing reads as the upstream's with mapped tags, without objects it stays byte for byte, and however it is cut into pieces it
//! becomes the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::entity_tag::EntityTag;
use sealgate::xml::listing::{ListingRewriter, rewrite_objects};
use sealgate::xml::upstream_listings::parse_objects;

fn in_pieces(document: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut rewriter = ListingRewriter::new(|size| size);
    let mut output = Vec::new();
    for piece in document.chunks(length) {
        rewriter.push(piece).ok()?;
        output.extend_from_slice(&rewriter.take());
    }
    output.extend_from_slice(&rewriter.finish().ok()?);
    Some(output)
}

fuzz_target!(|document: &[u8]| {
    let whole = rewrite_objects(document, |size| size);
    for length in [1, 13, 4096] {
        assert_eq!(in_pieces(document, length).as_ref(), whole.as_ref().ok());
    }
    let Ok(rewritten) = whole else {
        return;
    };
    rewrite_objects(&rewritten, |size| size).expect("a rewritten listing is a listing");
    let Ok(mut before) = parse_objects(document) else {
        return;
    };
    // No document can hold these as they are, so a rewritten one shows the replacement character in a tag that has them.
    let has_control = |tag: &EntityTag| tag.opaque().chars().any(char::is_control);
    if before
        .objects
        .iter()
        .filter_map(|object| object.entity_tag.as_ref())
        .any(has_control)
    {
        return;
    }
    let after = parse_objects(&rewritten).expect("a rewritten listing can be read");
    if before.objects.is_empty() {
        assert_eq!(rewritten, document);
    }
    for (object, shown) in before.objects.iter_mut().zip(&after.objects) {
        // An empty element has no tag to map.
        if object.entity_tag != shown.entity_tag
            || !object
                .entity_tag
                .as_ref()
                .is_some_and(|tag| tag.opaque().is_empty())
        {
            object.entity_tag = object.entity_tag.as_ref().map(|tag| tag.to_client());
        }
    }
    assert_eq!(after, before);
});
