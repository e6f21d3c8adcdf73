//! Every decision is in the audit log before anything is done, and what came of it follows.

mod disk;

use std::time::Duration;

use http::Method;
use sealgate_audit::{
    Directory, Verdict,
    event::{Event, Kind},
    search::Entries,
};

use super::{BUCKET, Rig, request, storage::Storage, with};
use crate::upstream::{Target, UpstreamRequest};

const AUDIT: &str = "[audit]\ndirectory = 'audit'\nkey = 'file:audit.key'\n";

async fn rig(more: &str) -> Rig {
    Rig::start_with(Storage::default(), "", &format!("{AUDIT}{more}")).await
}

/// What is in the log, once it has this many outcomes.
async fn recorded(rig: &Rig, outcomes: usize) -> Vec<Event> {
    for _ in 0..200 {
        let directory = Directory::new(rig.directory.path().join("audit"));
        let mut entries = Entries::open(&directory, 0).unwrap();
        let mut events = Vec::new();
        while let Some(entry) = entries.next_entry().unwrap() {
            events.push(entry.event);
        }
        let is_outcome = |event: &&Event| event.kind == Kind::Outcome;
        if events.iter().filter(is_outcome).count() >= outcomes {
            return events;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the outcomes do not come");
}

/// Operation, action and key of the intents.
fn intents(events: &[Event]) -> Vec<(String, String, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let intents = events.iter().filter(|event| event.kind == Kind::Intent);
    let short = |event: &Event| {
        (
            text(&event.operation),
            text(&event.action),
            text(&event.key),
        )
    };
    intents.map(short).collect()
}

fn named(all: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let own = |(a, b, c): &(&str, &str, &str)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned());
    all.iter().map(own).collect()
}

#[tokio::test]
async fn each_request_leaves_its_decisions_and_its_outcome() {
    let rig = rig("").await;
    rig.put("a\u{202e}", "content").await.unwrap();
    assert_eq!(rig.get("a\u{202e}").await, "content");
    rig.call(request(Method::HEAD, "a\u{202e}")).await.unwrap();
    let copy = request(Method::PUT, "copy");
    let source = format!("/{BUCKET}/a%E2%80%AE");
    rig.call(with(copy, "x-amz-copy-source", &source))
        .await
        .unwrap();
    let list =
        UpstreamRequest::new(Method::GET, Target::bucket(BUCKET)).query("list-type=2".to_owned());
    rig.text(list).await;
    rig.call(request(Method::DELETE, "copy")).await.unwrap();
    let error = rig.call(request(Method::GET, "copy")).await.unwrap_err();
    assert_eq!(error.code, "NoSuchKey");
    let events = recorded(&rig, 8).await;
    let name = "a\u{202e}";
    let expected = [
        ("CreateBucket", "", ""),
        ("PutObject", "encrypt", name),
        ("GetObject", "decrypt", name),
        ("HeadObject", "decrypt", name),
        ("CopyObject", "encrypt", "copy"),
        ("CopyObject", "decrypt", name),
    ];
    let found = intents(&events);
    assert_eq!(found[..6], named(&expected), "{found:?}");
    let rest = [
        ("ListObjectsV2", "", ""),
        ("DeleteObject", "", "copy"),
        ("GetObject", "decrypt", "copy"),
    ];
    assert!(found.ends_with(&named(&rest)), "{found:?}");
    let outcome_of = |operation: &str| {
        let intent = events
            .iter()
            .find(|event| event.operation.as_deref() == Some(operation));
        let request = intent.unwrap().request.clone();
        let is_its = |event: &&Event| event.kind == Kind::Outcome && event.request == request;
        events.iter().find(is_its).unwrap().clone()
    };
    let read = outcome_of("GetObject");
    assert_eq!(
        (read.status, read.bytes, read.complete),
        (Some(200), Some(7), Some(true))
    );
    assert_eq!(read.key_ids.len(), 1);
    for writes in ["PutObject", "CopyObject"] {
        assert_eq!(outcome_of(writes).key_ids, read.key_ids, "{writes}");
    }
    let missing = events
        .iter()
        .rfind(|event| event.kind == Kind::Outcome)
        .unwrap();
    assert_eq!(
        (missing.status, missing.error.as_deref()),
        (Some(404), Some("NoSuchKey"))
    );
    for event in &events {
        if event.kind == Kind::Intent {
            assert_eq!(event.identity.as_deref(), Some("test"));
            assert_eq!(event.source.as_deref(), Some("127.0.0.1"));
            assert_eq!(event.decision, Some(Verdict::Allow));
        }
    }
}

#[tokio::test]
async fn each_key_of_a_batch_and_each_refusal_is_recorded() {
    let rig = rig("").await;
    let document = "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>";
    let delete = UpstreamRequest::new(Method::POST, Target::bucket(BUCKET))
        .query("delete=".to_owned())
        .header(http::HeaderName::from_static("content-md5"), {
            let sum = crate::operation::content_md5(document.as_bytes());
            http::HeaderValue::from_str(&sum).unwrap()
        })
        .bytes(document);
    // The storage of these tests may not know it; that it was intended is recorded all the same.
    let _ = rig.call(delete).await;
    let forbidden = UpstreamRequest::new(Method::GET, Target::object("minio", "admin"));
    assert_eq!(rig.call(forbidden).await.unwrap_err().code, "AccessDenied");
    let events = recorded(&rig, 3).await;
    let found = intents(&events);
    for key in ["a", "b"] {
        let wanted = named(&[("DeleteObjects", "delete", key)]);
        assert!(found.contains(&wanted[0]), "{found:?}");
    }
    let refused = events
        .iter()
        .find(|event| event.status == Some(403))
        .unwrap();
    assert_eq!(refused.decision, Some(Verdict::Deny));
    assert_eq!(refused.identity.as_deref(), Some("test"));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let rig = rig("").await;
    rig.put("a", "content").await.unwrap();
    rig.storage.take_seen();
    let audit = rig.gateway.audit.get().unwrap();
    audit.fill(Some("the spool is full".to_owned()));
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        let error = rig.call(request(method, "a").bytes("x")).await.unwrap_err();
        assert_eq!(error.status, 503);
    }
    assert_eq!(rig.storage.take_seen().len(), 0, "the storage was asked");
    audit.fill(None);
    assert_eq!(rig.get("a").await, "content");
}

#[tokio::test]
async fn a_gateway_that_cannot_record_is_not_ready_and_says_why() {
    for (more, required) in [("", true), ("on_failure = 'allow'\n", false)] {
        let rig = rig(more).await;
        let audit = rig.gateway.audit.get().unwrap();
        let shown = || {
            let (_, document) = rig.gateway.health.readiness(&[]);
            let checks = document["checks"].as_array().unwrap().clone();
            checks
                .into_iter()
                .find(|check| check["name"] == "audit")
                .unwrap()
        };
        let check = shown();
        assert_eq!(
            (&check["ok"], &check["required"]),
            (&true.into(), &required.into())
        );
        // What a receiver that refuses the log leads to.
        audit.fork("it was rolled back".to_owned());
        for _ in 0..100 {
            if shown()["ok"] == false {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let check = shown();
        assert!(
            check["cause"]
                .as_str()
                .unwrap()
                .contains("it was rolled back"),
            "{check}"
        );
        assert!(
            check["fix"].as_str().unwrap().contains("docs/audit.md"),
            "{check}"
        );
        assert_eq!(rig.put("a", "content").await.is_err(), required);
        let text = String::from_utf8(rig.gateway.metrics.render().unwrap()).unwrap();
        let count = usize::from(required);
        for line in [
            format!("sealgate_audit_refused_requests_total {count}"),
            "sealgate_audit_unsigned_records ".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert!(
            !text.contains("sealgate_audit_waiting"),
            "there is no receiver"
        );
    }
}

#[tokio::test]
async fn where_the_configuration_says_so_requests_go_on_and_the_loss_is_recorded() {
    let rig = rig("on_failure = 'allow'\n").await;
    rig.put("a", "content").await.unwrap();
    let audit = rig.gateway.audit.get().unwrap();
    audit.fill(Some("the spool is full".to_owned()));
    assert_eq!(rig.get("a").await, "content");
    let copy = with(
        request(Method::PUT, "copy"),
        "x-amz-copy-source",
        &format!("/{BUCKET}/a"),
    );
    rig.call(copy).await.unwrap();
    // Of the read its decision, which is asked for before it begins and before a key is opened, and its outcome. Of the copy the decisions about
    // what it writes, about its source and about reading back what was written, and its outcome.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(audit.lost(), 2 + 4);
    audit.fill(None);
    rig.put("b", "content").await.unwrap();
    let events = recorded(&rig, 3).await;
    let lost: u64 = events.iter().filter_map(|event| event.lost).sum();
    assert_eq!(lost, audit.lost());
}

#[tokio::test]
async fn a_listing_of_uploads_opens_their_keys_by_one_decision() {
    let rig = rig("").await;
    for number in 0..20 {
        let begun = request(Method::POST, &number.to_string()).query("uploads=");
        rig.call(begun).await.unwrap();
    }
    let listing = UpstreamRequest::new(Method::GET, Target::bucket(BUCKET)).query("uploads=");
    let listed = rig.text(listing).await;
    assert_eq!(listed.matches("<Upload>").count(), 20);
    let found = intents(&recorded(&rig, 22).await);
    let is_listing = |of: &&(String, String, String)| of.0 == "ListMultipartUploads";
    let found: Vec<_> = found.iter().filter(is_listing).cloned().collect();
    let expected = [
        ("ListMultipartUploads", "", ""),
        ("ListMultipartUploads", "encrypt", ""),
    ];
    assert_eq!(found, named(&expected));
}

#[tokio::test]
async fn names_are_hashed_where_the_configuration_says_so() {
    let rig = rig("object_names = 'hashed'\nname_key = 'file:secret'\n").await;
    rig.put("secret-plan", "content").await.unwrap();
    recorded(&rig, 2).await;
    let directory = Directory::new(rig.directory.path().join("audit"));
    let text = std::fs::read_to_string(&directory.segments().unwrap()[0].path).unwrap();
    assert!(!text.contains("secret-plan") && text.contains("\"key_hash\":\""));
}
