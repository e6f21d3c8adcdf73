//! The keys, versions and conditions of a DeleteObjects are the same after they were written for the upstream, with tags mapped. A document may
//! name no key at all: whether it must is for the storage to say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::entity_tag::TagCondition;
use sealgate::xml::requests::{DeleteObjects, MAX_DELETED_KEYS};

fuzz_target!(|document: &[u8]| {
    let Ok(mut request) = DeleteObjects::parse(document) else {
        return;
    };
    assert!(request.objects.len() <= MAX_DELETED_KEYS);
    let written = request.to_document().into_bytes();
    for object in &mut request.objects {
        let mapped = object
            .entity_tag
            .as_ref()
            .map(TagCondition::to_upstream_header);
        object.entity_tag = mapped.map(|tag| TagCondition::parse(&tag).expect("a mapped tag"));
    }
    assert_eq!(DeleteObjects::parse(&written), Ok(request));
});
