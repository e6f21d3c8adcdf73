//! A rewritten listing reads as the upstream's with mapped tags, and without objects it stays byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::xml::listing::rewrite_objects;
use sealgate::xml::upstream_listings::parse_objects;

fuzz_target!(|document: &[u8]| {
    let Ok(rewritten) = rewrite_objects(document, |size| size) else {
        return;
    };
    rewrite_objects(&rewritten, |size| size).expect("a rewritten listing is a listing");
    let Ok(mut before) = parse_objects(document) else {
        return;
    };
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
