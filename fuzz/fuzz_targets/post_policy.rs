//! A form that keeps to a policy does not once anything about it is otherwise: a value that a condition fixes, a field that is missing or that no
//! condition mentions, the bucket, the length, the time.
#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use sealgate::form::{Fields, Policy};
use serde_json::Value;
use time::{OffsetDateTime, PrimitiveDateTime};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// A field of no policy that is tried.
const UNKNOWN: &str = "x-amz-meta-nobody-mentions-this";

fuzz_target!(|document: &str| {
    let Ok(policy) = Policy::parse(&STANDARD.encode(document)) else {
        return;
    };
    // Only what is JSON is a policy.
    let document: Value = serde_json::from_str(document).expect("a policy is JSON");
    let conditions: Vec<Simple> = document["conditions"]
        .as_array()
        .expect("a policy has conditions")
        .iter()
        .map(Simple::read)
        .collect();
    for condition in &conditions {
        if let Simple::Length(minimum, maximum) = condition {
            assert!(*minimum == 0 || policy.check_length(minimum - 1).is_err());
            assert!(*maximum == u64::MAX || policy.check_length(maximum + 1).is_err());
        }
    }
    let (bucket, pairs) = obedient(&conditions);
    let keeps = |pairs: &[(String, String)], bucket: &str, now| {
        policy.check(&fields(pairs), bucket, now).is_ok()
    };
    if !keeps(&pairs, &bucket, NOW) {
        return;
    }
    for (name, value) in fixed(&conditions) {
        if name == "bucket" {
            assert!(!keeps(&pairs, &format!("{value}!"), NOW));
            continue;
        }
        let others = pairs.iter().filter(|(known, _)| known != name);
        let mut altered: Vec<_> = others.cloned().collect();
        assert!(!keeps(&altered, &bucket, NOW), "without {name}");
        altered.push((name.clone(), format!("{value}!")));
        assert!(!keeps(&altered, &bucket, NOW), "with another {name}");
    }
    let mut more = pairs.clone();
    more.push((UNKNOWN.to_owned(), "x".to_owned()));
    let is_mentioned = conditions.iter().any(
        |one| matches!(one, Simple::Equals(name, _) | Simple::Begins(name, _) if name == UNKNOWN),
    );
    assert!(is_mentioned || !keeps(&more, &bucket, NOW));
    // The offset of a time in the last hours of all may put it beyond what can be written.
    let expiration = document["expiration"].as_str().unwrap_or_default();
    let end_of_time = PrimitiveDateTime::MAX.assume_utc();
    assert!(expiration.starts_with("9999") || !keeps(&pairs, &bucket, end_of_time));
});

/// A condition as the document has it, of one that was taken for a policy.
enum Simple {
    Equals(String, String),
    Begins(String, String),
    Length(u64, u64),
}

impl Simple {
    fn read(condition: &Value) -> Self {
        if let Some(members) = condition.as_object() {
            let (name, value) = members.iter().next().expect("one property");
            return Self::Equals(name.to_ascii_lowercase(), text(value));
        }
        let [operator, first, second] = condition.as_array().expect("a list").as_slice() else {
            panic!("three items are a condition: {condition}");
        };
        let first_text = text(first);
        let name = || {
            let name = first_text.strip_prefix('$').expect("a field");
            name.to_ascii_lowercase()
        };
        match text(operator).to_ascii_lowercase().as_str() {
            "eq" => Self::Equals(name(), text(second)),
            "starts-with" => Self::Begins(name(), text(second)),
            "content-length-range" => {
                let number = |value| text(value).parse().expect("a number of bytes");
                Self::Length(number(first), number(second))
            }
            other => panic!("{other} is no operator"),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("{other} is no text"),
    }
}

/// A bucket and a form that do what the conditions say, as far as these agree.
fn obedient(conditions: &[Simple]) -> (String, Vec<(String, String)>) {
    let mut bucket = "b".to_owned();
    let mut pairs: Vec<(String, String)> = Vec::new();
    for condition in conditions {
        if let Simple::Equals(name, value) | Simple::Begins(name, value) = condition {
            if name == "bucket" {
                bucket.clone_from(value);
            } else if !pairs.iter().any(|(known, _)| known == name) {
                pairs.push((name.clone(), value.clone()));
            }
        }
    }
    (bucket, pairs)
}

/// Fields whose one value a condition says.
fn fixed(conditions: &[Simple]) -> impl Iterator<Item = (&String, &String)> {
    conditions.iter().filter_map(|condition| match condition {
        Simple::Equals(name, value) => Some((name, value)),
        _ => None,
    })
}

fn fields(pairs: &[(String, String)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in pairs {
        fields
            .insert(name, value.clone())
            .expect("each name is there once");
    }
    fields
}
