//! Mapping a tag to the client's form and back gives the tag; a condition keeps its tags on the way upstream and decides by them.
#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use sealgate::conditions::{ConditionHeaders, Conditions, Decision};
use sealgate::entity_tag::{EntityTag, TagCondition};

fn decide(if_match: Option<&str>, if_none_match: Option<&str>, current: &EntityTag) -> Decision {
    let headers = ConditionHeaders {
        if_match,
        if_none_match,
        ..ConditionHeaders::default()
    };
    let conditions = Conditions::parse(headers).expect("it was read before");
    conditions.evaluate(current, SystemTime::UNIX_EPOCH)
}

fuzz_target!(|value: &str| {
    let tag = EntityTag::parse(value);
    assert_eq!(tag.to_client().to_upstream().as_ref(), Some(&tag));
    let Ok(TagCondition::Tags(tags)) = TagCondition::parse(value) else {
        return;
    };
    for tag in &tags {
        let expected = if tag.is_weak() && !tags.iter().any(|other| other.strongly_equals(tag)) {
            Decision::PreconditionFailed
        } else {
            Decision::Proceed
        };
        if !tag.is_weak() {
            assert_eq!(decide(Some(value), None, tag), expected);
        }
        assert_eq!(decide(None, Some(value), tag), Decision::NotModified);
    }
    let upstream: Vec<EntityTag> = tags.iter().filter_map(EntityTag::to_upstream).collect();
    let sent = TagCondition::parse(&TagCondition::Tags(tags).to_upstream_header());
    match sent.expect("what is sent upstream can be read") {
        TagCondition::Tags(sent) if upstream.is_empty() => assert_eq!(sent.len(), 1),
        sent => assert_eq!(sent, TagCondition::Tags(upstream)),
    }
});
