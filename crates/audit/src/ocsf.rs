//! Records as events of the Open Cybersecurity Schema Framework, version 1.9.0: class API Activity (6003), with the profile `security_control`
//! for what was decided.

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    event::{Event, Kind, Verdict},
    line::Header,
};

const SCHEMA: &str = "1.9.0";
const APPLICATION_ACTIVITY: u32 = 6;
const API_ACTIVITY: u32 = 6_003;

/// The event of a record; `None` for those about the log itself, which are no API activity.
pub fn event(log: &str, header: &Header, event: &Event) -> Option<Value> {
    if !matches!(event.kind, Kind::Intent | Kind::Outcome) {
        return None;
    }
    let operation = event.operation.as_deref().unwrap_or("Unknown");
    let activity = activity(operation);
    let time = OffsetDateTime::parse(&event.time, &Rfc3339).ok()?;
    let milliseconds = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()?;
    let is_failure = event.decision == Some(Verdict::Deny)
        || event.status.is_some_and(|status| status >= 400)
        || event.complete == Some(false);
    let status = if event.kind == Kind::Intent && !is_failure {
        // What was allowed may still fail; the outcome tells.
        (0, "Unknown")
    } else if is_failure {
        (2, "Failure")
    } else {
        (1, "Success")
    };
    let mut value = json!({
        "category_uid": APPLICATION_ACTIVITY,
        "category_name": "Application Activity",
        "class_uid": API_ACTIVITY,
        "class_name": "API Activity",
        "activity_id": activity,
        "type_uid": API_ACTIVITY * 100 + activity,
        "severity_id": 1,
        "severity": "Informational",
        "time": milliseconds,
        "status_id": status.0,
        "status": status.1,
        "metadata": {
            "version": SCHEMA,
            "profiles": ["security_control"],
            "product": { "name": "sealgate", "vendor_name": "sealgate" },
            "log_name": log,
            "uid": format!("{log}/{}", header.seq),
            "sequence": header.seq,
            "original_time": event.time,
            "correlation_uid": event.request.as_deref().unwrap_or_default(),
            "event_code": kind(event.kind),
        },
        "actor": { "user": { "name": event.identity.as_deref().unwrap_or("unknown") } },
        "api": {
            "operation": operation,
            "service": { "name": "s3" },
            "request": { "uid": event.request.as_deref().unwrap_or_default() },
        },
        "src_endpoint": { "ip": event.source.as_deref().unwrap_or("0.0.0.0") },
    });
    let members = value.as_object_mut()?;
    if let Some(decision) = event.decision {
        let (id, name) = match decision {
            Verdict::Allow => (1, "Allowed"),
            Verdict::Deny => (2, "Denied"),
        };
        members.insert("action_id".to_owned(), json!(id));
        members.insert("action".to_owned(), json!(name));
    }
    if let Some(policy) = &event.policy {
        members.insert("policy".to_owned(), json!({ "name": policy }));
    }
    if let Some(status) = event.status {
        members.insert("http_response".to_owned(), json!({ "code": status }));
    }
    if let Some(error) = &event.error {
        members.insert("status_code".to_owned(), json!(error));
    }
    let resources = resources(event);
    if !resources.is_empty() {
        members.insert("resources".to_owned(), Value::Array(resources));
    }
    let unmapped = unmapped(event);
    if !unmapped.is_empty() {
        members.insert("unmapped".to_owned(), Value::Object(unmapped));
    }
    Some(value)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Intent => "intent",
        _ => "outcome",
    }
}

/// What CRUD makes of an S3 operation.
fn activity(operation: &str) -> u32 {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| operation.starts_with(prefix));
    if begins(&["Get", "Head", "List", "Select", "Options"]) {
        2
    } else if begins(&["Delete", "Abort"]) {
        4
    } else if begins(&["Put", "Create", "Upload", "Copy", "Complete", "Post"]) {
        1
    } else {
        99
    }
}

fn resources(event: &Event) -> Vec<Value> {
    let bucket = event.bucket.as_deref();
    let mut resources = Vec::new();
    if let Some(bucket) = bucket {
        resources.push(json!({ "type": "AWS::S3::Bucket", "name": bucket }));
    }
    if let Some(key) = &event.key {
        let uid = format!("{}/{key}", bucket.unwrap_or_default());
        let mut object = json!({ "type": "AWS::S3::Object", "name": key, "uid": uid });
        if let (Some(version), Some(members)) = (&event.version, object.as_object_mut()) {
            members.insert("version".to_owned(), json!(version));
        }
        resources.push(object);
    } else if let Some(hash) = &event.key_hash {
        resources.push(json!({ "type": "AWS::S3::Object", "uid": hash }));
    }
    resources
}

fn unmapped(event: &Event) -> Map<String, Value> {
    let mut unmapped = Map::new();
    let mut insert = |name: &str, value: Value| {
        if !value.is_null() {
            unmapped.insert(name.to_owned(), value);
        }
    };
    insert("access_key", json!(event.access_key));
    insert("session", json!(event.session));
    insert("grant", json!(event.grant));
    insert("action", json!(event.action));
    insert("bytes", json!(event.bytes));
    insert("complete", json!(event.complete));
    if !event.key_ids.is_empty() {
        insert("key_ids", json!(event.key_ids));
    }
    unmapped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decision, Outcome};

    fn header() -> Header {
        Header {
            seq: 7,
            prev: String::new(),
            signed: 0,
        }
    }

    #[test]
    fn what_the_class_requires_is_there() {
        let intent = Event::intent(Decision {
            operation: "GetObject".to_owned(),
            bucket: Some("b".to_owned()),
            key: Some("k".to_owned()),
            ..Decision::new(Verdict::Deny)
        });
        let event = event("example.com/one", &header(), &intent).unwrap();
        for pointer in [
            "/activity_id",
            "/category_uid",
            "/class_uid",
            "/type_uid",
            "/severity_id",
            "/time",
            "/metadata/version",
            "/metadata/product/name",
            "/metadata/product/vendor_name",
            "/actor/user/name",
            "/api/operation",
            "/src_endpoint/ip",
        ] {
            assert!(event.pointer(pointer).is_some(), "{pointer}");
        }
        assert_eq!(event["type_uid"], 600_302);
        assert_eq!(event["action"], "Denied");
        assert_eq!(event["status"], "Failure");
        assert_eq!(event["resources"][1]["uid"], "b/k");
    }

    #[test]
    fn an_outcome_says_how_it_went_and_the_log_itself_is_no_activity() {
        let good = Event::outcome(Outcome {
            status: Some(200),
            complete: true,
            ..Outcome::default()
        });
        assert_eq!(event("l", &header(), &good).unwrap()["status"], "Success");
        let broken = Event::outcome(Outcome {
            status: Some(200),
            ..Outcome::default()
        });
        assert_eq!(event("l", &header(), &broken).unwrap()["status"], "Failure");
        assert!(event("l", &header(), &Event::new(Kind::Start)).is_none());
    }
}
