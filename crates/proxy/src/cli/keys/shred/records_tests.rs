use sealgate_envelope::Domain;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::records::{RegistryRecord, registry_name};

use super::super::plan::{ChosenKey, PlannedKey};
use super::*;

struct Key {
    service: Arc<dyn KeyService>,
    name: KeyName,
}

/// A working key of a domain, wrapped by a key; and another one that nobody has wrapped.
struct Made {
    id: WorkingKeyId,
    key: WorkingKey,
    wraps: Vec<sealgate_envelope::Wrap>,
}

async fn keys() -> (tempfile::TempDir, Key, Key) {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for name in ["a", "b"] {
        let service = LocalKeyService::create(directory.path().join(name)).unwrap();
        let name = KeyName::new(service.provider(), service.key_reference().await.unwrap());
        keys.push(Key {
            service: Arc::new(service),
            name,
        });
    }
    let (second, first) = (keys.pop().unwrap(), keys.pop().unwrap());
    (directory, first, second)
}

async fn made(by: &Key, domain: &str, number: u8) -> Made {
    let id = WorkingKeyId::from_bytes([number; 16]);
    let context = EncryptionContext::new(Domain::new(domain).unwrap(), id);
    let (key, wrap) = by.service.generate(&context).await.unwrap();
    Made {
        id,
        key,
        wraps: vec![wrap],
    }
}

fn record(made: &Made, domain: &str, key: &WorkingKey) -> UnverifiedRegistryRecord {
    let record = RegistryRecord {
        id: made.id,
        created: 1,
        domain: Domain::new(domain).unwrap(),
        wraps: made.wraps.clone(),
    };
    RegistryRecord::parse(&record.encode(key).unwrap(), made.id).unwrap()
}

/// A census of these versions: the number of the version, and the record, if it claims alice.
fn census(records: &[(WorkingKeyId, &str, Option<UnverifiedRegistryRecord>)]) -> Census {
    let mut census = Census::default();
    for (id, version, record) in records {
        let versions = census.records.entry(*id).or_default();
        match record {
            Some(record) => {
                let version = RecordVersion {
                    name: registry_name(*id),
                    version_id: Some((*version).to_owned()),
                };
                versions.own.push((version, record.clone()));
            }
            None => versions.foreign.add("bob"),
        }
    }
    census
}

async fn refused(services: &[Arc<dyn KeyService>], census: &Census, part: &str) {
    let mut refusals = Vec::new();
    let ids = verified(services, census, &mut refusals).await;
    assert!(ids.is_empty(), "{ids:?}");
    assert!(
        refusals.len() == 1 && refusals[0].cause.contains(part),
        "{part:?} is not in {refusals:?}"
    );
}

#[tokio::test]
async fn only_records_that_open_and_verify_are_the_domains() {
    let (_directory, own, other) = keys().await;
    let services = [Arc::clone(&own.service), Arc::clone(&other.service)];
    let alice = made(&own, "alice", 1).await;
    let genuine = || record(&alice, "alice", &alice.key);
    let mut refusals = Vec::new();
    let sound = census(&[
        (alice.id, "1", Some(genuine())),
        (alice.id, "2", Some(genuine())),
    ]);
    let ids = verified(&services, &sound, &mut refusals).await;
    assert_eq!((ids, refusals), (vec![alice.id.to_string()], Vec::new()));

    // Under the id of bob's working key, with alice's name and the name of her key: never bob's record, too.
    let bob = made(&other, "bob", 2).await;
    let forged = Made {
        id: bob.id,
        key: alice.key.clone(),
        wraps: alice.wraps.clone(),
    };
    let forged = record(&forged, "alice", &forged.key);
    let mixed = census(&[(bob.id, "2", Some(forged.clone())), (bob.id, "1", None)]);
    refused(&services, &mixed, "other versions of it claim bob").await;
    let alone = census(&[(bob.id, "2", Some(forged))]);
    refused(&services, &alone, "no key of the configuration opens it").await;
    // Its wraps open, and the record says something else than was written.
    let wrong = census(&[(alice.id, "1", Some(record(&alice, "alice", &bob.key)))]);
    refused(&services, &wrong, "MAC").await;
}

fn plan(key: &Key, records: &[WorkingKeyId]) -> Plan {
    Plan {
        keys: vec![PlannedKey::new(ChosenKey {
            key_service: Some("one".to_owned()),
            key: key.name.clone(),
            full_name: "a".to_owned(),
            place: "file a".to_owned(),
        })],
        records: records.iter().map(ToString::to_string).collect(),
        ..Plan::default()
    }
}

#[tokio::test]
async fn nothing_is_deleted_by_a_claim_alone() {
    let (_directory, own, other) = keys().await;
    let (alice, late) = (made(&own, "alice", 1).await, made(&own, "alice", 3).await);
    let plan = plan(&own, &[alice.id]);
    let of = |made: &Made| Some(record(made, "alice", &made.key));
    let living = [other.name.clone()];
    let found = |census: &Census| {
        let found = to_delete(census, &plan, &[], &living).unwrap();
        (found.versions.len(), found.left)
    };
    // One that a gateway made since: only the keys that are gone have wrapped it.
    let late_too = [
        (alice.id, "1", of(&alice)),
        (alice.id, "2", of(&alice)),
        (late.id, "1", of(&late)),
    ];
    assert_eq!(found(&census(&late_too)), (3, Vec::new()));

    // Planted, under the id of bob's working key or a new one: left, and the order comes to its end.
    let bob = made(&other, "bob", 2).await;
    let forged = Some(record(&bob, "alice", &bob.key));
    let planted = census(&[(bob.id, "2", forged), (alice.id, "1", of(&alice))]);
    assert_eq!(found(&planted), (1, vec![registry_name(bob.id)]));
    let claims_bob = [(late.id, "2", of(&late)), (late.id, "1", None)];
    assert_eq!(
        found(&census(&claims_bob)),
        (0, vec![registry_name(late.id)])
    );
    // Of a record that was verified, the versions that claim the domain go, whatever else was put there since.
    let mixed = [(alice.id, "2", of(&alice)), (alice.id, "1", None)];
    assert_eq!(found(&census(&mixed)), (1, Vec::new()));

    let mut by_bob = census(&[(alice.id, "1", of(&alice))]);
    let seen = crate::scan::census::Seen::Sealed(vec![other.name.clone()].into());
    by_bob.add(true, "registry/1", seen);
    let kept = to_delete(&by_bob, &plan, &[], &living).unwrap_err();
    assert!(kept.to_string().contains("another configuration"), "{kept}");

    let mut unreadable = census(&[]);
    unreadable.unread.add("registry/1: 503");
    let kept = to_delete(&unreadable, &plan, &[], &living).unwrap_err();
    assert!(kept.to_string().contains("registry/1: 503"), "{kept}");
}

#[tokio::test]
async fn a_record_that_was_verified_and_is_not_listed_any_more_is_asked_for() {
    let (_directory, own, _) = keys().await;
    let (one, two) = (
        WorkingKeyId::from_bytes([1; 16]),
        WorkingKeyId::from_bytes([2; 16]),
    );
    let plan = plan(&own, &[one, two]);
    let mut deleting = BTreeMap::new();
    deleting.insert(registry_name(one), BTreeSet::new());
    let missing = never_seen(&plan, &deleting).unwrap();
    assert_eq!(missing, [two]);
}

#[tokio::test]
async fn what_lies_in_the_place_of_a_record_and_claims_another_domain_is_not_the_record() {
    let (_directory, own, _) = keys().await;
    let names = ["acme/alice".to_owned(), "old".to_owned()];
    let encoded = async |domain: &str| {
        let made = made(&own, domain, 1).await;
        let record = RegistryRecord {
            id: made.id,
            created: 1,
            domain: Domain::new(domain).unwrap(),
            wraps: made.wraps.clone(),
        };
        (record.encode(&made.key).unwrap(), made.id)
    };
    for (domain, is_of_it) in [("acme/alice", true), ("old", true), ("acme/bob", false)] {
        let (bytes, id) = encoded(domain).await;
        assert_eq!(claims_one_of(&bytes, id, &names), is_of_it, "{domain}");
        let other = WorkingKeyId::from_bytes([9; 16]);
        assert!(!claims_one_of(&bytes, other, &names), "of another key");
    }
    assert!(!claims_one_of(
        b"no record",
        WorkingKeyId::from_bytes([1; 16]),
        &names
    ));
}

#[test]
fn each_version_counts_once_however_often_it_was_tried() {
    let version = |name: &str, id: Option<&str>| RecordVersion {
        name: name.to_owned(),
        version_id: id.map(str::to_owned),
    };
    let mut deleting = BTreeMap::new();
    note(
        &mut deleting,
        &[version("a", Some("1")), version("a", Some("2"))],
    );
    // Killed before they were deleted, or after one of them.
    note(
        &mut deleting,
        &[version("a", Some("2")), version("b", None)],
    );
    let counts: Vec<_> = deleting.values().map(BTreeSet::len).collect();
    assert_eq!(counts, [2, 1]);
}
