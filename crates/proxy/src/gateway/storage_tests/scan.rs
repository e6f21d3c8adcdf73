//! What a walk through everything stored finds where a storage's answers contradict each other.

use std::sync::Arc;

use super::{BUCKET, Rig, content, storage::Storage};
use crate::{
    gateway::Gateway,
    migration::{Entry, Pace},
    scan::{Checked, Class, Item, Verification},
};

fn item(rig: &Rig, key: &str, more: u64) -> Item {
    Item {
        bucket: BUCKET.to_owned(),
        entry: Entry {
            key: key.to_owned(),
            version_id: None,
            is_current: true,
            size: rig.storage.length(BUCKET, key) as u64 + more,
            entity_tag: None,
            modified: None,
            newer: None,
        },
    }
}

async fn check(rig: &Rig, item: &Item) -> Checked {
    let pace = Arc::new(Pace::new(None, None, Arc::new(|_| {})));
    Verification::prepare(Arc::clone(&rig.gateway), None, pace)
        .check(item)
        .await
}

fn classes(checked: Checked) -> Vec<Class> {
    match checked {
        Checked::Faulty(findings) => findings.into_iter().map(|finding| finding.class).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_and_not_there_is_missing_and_what_is_not_listed_was_deleted() {
    let rig = Rig::start("").await;
    rig.put("a", content(100)).await.unwrap();
    rig.put("ab", content(100)).await.unwrap();
    let (lost, deleted) = (item(&rig, "a", 0), item(&rig, "ab", 0));
    *rig.storage.behaviour.loses.lock().unwrap() = Some("a");
    assert_eq!(classes(check(&rig, &lost).await), [Class::Missing]);
    let delete = super::request(http::Method::DELETE, "ab");
    rig.call(delete).await.unwrap();
    assert_eq!(check(&rig, &deleted).await, Checked::Gone);
}

#[tokio::test]
async fn the_commit_region_is_looked_at_where_the_listing_names_another_length() {
    let rig = Rig::start("").await;
    rig.put("a", content(100_000)).await.unwrap();
    for more in [0, 1] {
        let checked = check(&rig, &item(&rig, "a", more)).await;
        assert!(matches!(checked, Checked::Well(_)), "{checked:?}");
    }
    rig.storage.damage_end(BUCKET, "a");
    for more in [0, 1] {
        let checked = check(&rig, &item(&rig, "a", more)).await;
        assert_eq!(classes(checked), [Class::CommitRegion], "{more}");
    }
}

#[tokio::test]
async fn whoever_only_looks_writes_nothing_and_makes_no_state_bucket() {
    let rig = Rig::start("").await;
    rig.put("a", content(100)).await.unwrap();
    let mut config = (*rig.gateway.config).clone();
    rig.storage.take_seen();
    Gateway::observer(config.clone()).await.unwrap();
    config.state.bucket = "another-state".to_owned();
    let error = Gateway::observer(config).await.unwrap_err();
    assert!(error.to_string().contains("another-state"), "{error}");
    let seen = rig.storage.take_seen();
    assert!(!seen.is_empty());
    for seen in seen {
        assert!(matches!(seen.method.as_str(), "GET" | "HEAD"), "{seen:?}");
    }
}

#[tokio::test]
async fn what_restores_or_proves_takes_nothing_in_the_clear() {
    let migrating = format!("[[migrating]]\nbuckets = ['{BUCKET}']\n");
    let rig = Rig::start_with(Storage::default(), "", &migrating).await;
    let config = (*rig.gateway.config).clone();
    let services = rig.gateway.key_services.clone();
    let reader = Gateway::reader(config, services).await.unwrap();
    assert!(rig.gateway.config.is_migrating(BUCKET, "planted"));
    assert!(!reader.config.is_migrating(BUCKET, "planted"));
}
