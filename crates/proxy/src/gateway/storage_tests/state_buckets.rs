//! State buckets of other deployments on the same storage: nothing is written there, deleted or advised to be.

use std::sync::Arc;

use sealgate_envelope::key_service::UnwrapPermit;

use super::{BUCKET, Rig, content};
use crate::{
    config::{Config, default_state_bucket},
    gateway::{Gateway, probe::Finding},
    migration::{
        Entry, Migration, Mode, Pace, Settings,
        export::{Bucket, Destination, Export, ExportSettings},
    },
    scan::{Checked, Class, Item, Verification},
    state::StateBucket,
};

/// A state bucket by its records alone.
const RECORDS: &str = "records";

#[expect(clippy::disallowed_methods, reason = "a test")]
fn permit(what: &str) -> UnwrapPermit {
    UnwrapPermit::issue(what)
}

fn pace() -> Pace {
    Pace::new(None, None, Arc::new(|_| {}))
}

/// With the state of this deployment's own copied into two other buckets; their names.
async fn start() -> (Rig, [String; 2]) {
    let rig = Rig::start("").await;
    rig.put("a", content(100)).await.unwrap();
    let others = [default_state_bucket("another"), RECORDS.to_owned()];
    let own = &rig.gateway.state;
    for other in &others {
        let other = StateBucket::new(rig.gateway.upstream.clone(), other.as_str());
        other.ensure().await.unwrap();
        for name in rig.storage.names(own.name()) {
            let record = own.get(&name, 1 << 20).await.unwrap().unwrap();
            other.put(&name, record).await.unwrap();
        }
    }
    rig.storage.take_seen();
    (rig, others)
}

fn settings(bucket: &str, mode: Mode) -> Settings {
    Settings {
        bucket: bucket.to_owned(),
        prefix: String::new(),
        start_after: None,
        mode,
        concurrency: 1,
        part_length: 1 << 20,
        keep_versions: false,
        delete_clear_versions: false,
    }
}

async fn refusal_of_migrate(rig: &Rig, bucket: &str, mode: Mode) -> Option<String> {
    let gateway = Arc::clone(&rig.gateway);
    let prepared = Migration::prepare(gateway, settings(bucket, mode), pace(), permit).await;
    prepared.err().map(|error| format!("{error:#}"))
}

/// Everything that is in a bucket.
fn export_of(bucket: &str) -> ExportSettings {
    ExportSettings {
        bucket: bucket.to_owned(),
        prefix: String::new(),
        start_after: None,
        versions: false,
        as_stored: false,
        dry_run: false,
        concurrency: 1,
        part_length: 1 << 20,
    }
}

/// What keeps an export from one bucket to another from beginning.
async fn refusal_of_export(rig: &Rig, from: &str, to: &str) -> Option<String> {
    let settings = export_of(from);
    let target = Bucket {
        upstream: rig.gateway.upstream.clone(),
        name: to.to_owned(),
        gateway: None,
        overwrite: true,
    };
    let journal = rig.directory.path().join("journal.jsonl");
    let destination = Destination::Bucket(Box::new(target), journal);
    let gateway = Arc::clone(&rig.gateway);
    let prepared = Export::prepare(gateway, settings, destination, pace(), permit).await;
    prepared.err().map(|error| format!("{error:#}"))
}

#[tokio::test]
async fn migrate_leaves_the_records_of_other_deployments_alone() {
    let (rig, others) = start().await;
    for other in &others {
        for mode in [Mode::Seal, Mode::DryRun, Mode::Check] {
            let refusal = refusal_of_migrate(&rig, other, mode).await;
            let refusal = refusal.expect("it is refused");
            assert!(
                refusal.contains("is a state bucket") && refusal.contains("another deployment"),
                "{refusal}"
            );
        }
    }
    for seen in rig.storage.take_seen() {
        assert!(matches!(seen.method.as_str(), "GET" | "HEAD"), "{seen:?}");
    }
    assert_eq!(refusal_of_migrate(&rig, BUCKET, Mode::Check).await, None);
}

#[tokio::test]
async fn nothing_is_exported_into_the_state_bucket_of_another_deployment() {
    let (rig, others) = start().await;
    for other in &others {
        let refusal = refusal_of_export(&rig, BUCKET, other).await;
        let refusal = refusal.expect("it is refused");
        assert!(refusal.contains("is a state bucket"), "{refusal}");
    }
    for seen in rig.storage.take_seen() {
        assert!(matches!(seen.method.as_str(), "GET" | "HEAD"), "{seen:?}");
    }
}

#[tokio::test]
async fn state_buckets_are_not_exported_as_if_they_held_objects() {
    let (rig, [by_name, _]) = start().await;
    let own = rig.gateway.state.name().to_owned();
    for from in [own, by_name] {
        let refusal = refusal_of_export(&rig, &from, "elsewhere").await;
        let refusal = refusal.expect("it is refused");
        assert!(refusal.contains("records of gateways"), "{refusal}");
    }
}

#[tokio::test]
async fn what_export_cannot_take_of_a_state_bucket_is_not_to_be_migrated() {
    let (rig, _) = start().await;
    let target = rig.directory.path().join("files");
    let settings = export_of(RECORDS);
    let destination = Destination::Directory {
        path: target,
        overwrite: false,
    };
    let gateway = Arc::clone(&rig.gateway);
    let export = Export::prepare(gateway, settings, destination, pace(), permit).await;
    let mut failures = Vec::new();
    let export = export.unwrap();
    let report = export.run(|_, failure| failures.push(failure.clone()));
    assert!(report.await.unwrap().failed > 0);
    for failure in failures {
        assert!(failure.fix.starts_with("leave it alone"), "{failure:?}");
    }
}

#[tokio::test]
async fn verify_tells_the_records_of_other_deployments_from_objects_in_the_clear() {
    let (rig, [by_name, by_records]) = start().await;
    rig.storage.plant(BUCKET, "planted".to_owned());
    let verification = Verification::prepare(Arc::clone(&rig.gateway), None, Arc::new(pace()));
    let check = async |bucket: &str, key: &str| {
        let item = Item {
            bucket: bucket.to_owned(),
            entry: Entry {
                key: key.to_owned(),
                version_id: None,
                is_current: true,
                size: rig.storage.length(bucket, key) as u64,
                entity_tag: None,
                modified: None,
                newer: None,
            },
        };
        match verification.check(&item).await {
            Checked::Faulty(findings) => {
                Err(findings.iter().map(|finding| finding.class).collect())
            }
            checked => Ok(checked),
        }
    };
    for name in rig.storage.names(&by_name) {
        assert_eq!(
            check(&by_name, &name).await,
            Ok(Checked::OtherState),
            "{name}"
        );
        // Anybody who can write to the storage could put such a record beside data, to hide what was done to it.
        let found: Result<Checked, Vec<Class>> = check(&by_records, &name).await;
        assert_eq!(found, Err(vec![Class::OtherState]), "{name}");
    }
    assert_eq!(check(BUCKET, "planted").await, Err(vec![Class::InTheClear]));
}

/// With the same configuration, but for the deployment.
fn of_deployment(rig: &Rig, deployment: &str) -> Config {
    let path = rig.directory.path().join("sealgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "deployment = 'test'",
        &format!("deployment = '{deployment}'"),
    );
    std::fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

#[tokio::test]
async fn check_asks_whether_the_deployment_is_the_right_one_where_it_has_no_key_and_another_has() {
    let rig = Rig::start("").await;
    let asks = async |gateway: &Gateway| {
        let findings = gateway.probe_storage(std::future::pending()).await.unwrap();
        let is_about_it = |finding: &Finding| finding.property.contains("that was meant");
        findings.into_iter().find(is_about_it)
    };
    // Alone, and with keys beside others.
    assert!(asks(&rig.gateway).await.is_none());
    rig.put("a", content(100)).await.unwrap();
    let mistaken = Gateway::start(Arc::new(of_deployment(&rig, "typo")))
        .await
        .unwrap();
    assert!(asks(&rig.gateway).await.is_none());
    let finding = asks(&mistaken).await.expect("it is told");
    assert!(!finding.supported && !finding.required);
    assert!(
        finding.detail.contains(rig.gateway.state.name()),
        "{finding:?}"
    );
    assert!(finding.detail.contains("`deployment`"), "{finding:?}");
}

#[tokio::test]
async fn a_dry_run_of_migrate_writes_nothing_anywhere() {
    let rig = Rig::start("").await;
    rig.storage.plant(BUCKET, "clear".to_owned());
    let config = of_deployment(&rig, "another");
    rig.storage.take_seen();
    let gateway = Gateway::rehearsal(config).await.unwrap();
    let settings = settings(BUCKET, Mode::DryRun);
    let migration = Migration::prepare(gateway, settings, pace(), permit).await;
    let report = migration.unwrap().run(|_, _| {}).await.unwrap();
    assert_eq!((report.sealed, report.failed), (1, 0), "{report:?}");
    for seen in rig.storage.take_seen() {
        assert!(matches!(seen.method.as_str(), "GET" | "HEAD"), "{seen:?}");
    }
}

#[tokio::test]
async fn what_another_deployment_sealed_is_not_called_damaged() {
    let rig = Rig::start("").await;
    rig.put("a", content(100)).await.unwrap();
    let mistaken = Gateway::start(Arc::new(of_deployment(&rig, "typo")))
        .await
        .unwrap();
    let verification = Verification::prepare(mistaken, Some(permit), Arc::new(pace()));
    let item = Item {
        bucket: BUCKET.to_owned(),
        entry: Entry {
            key: "a".to_owned(),
            version_id: None,
            is_current: true,
            size: rig.storage.length(BUCKET, "a") as u64,
            entity_tag: None,
            modified: None,
            newer: None,
        },
    };
    let Checked::Faulty(findings) = verification.check(&item).await else {
        panic!("it opens");
    };
    let classes: Vec<_> = findings.iter().map(|finding| finding.class).collect();
    assert!(classes.contains(&Class::KeyRefused), "{findings:?}");
    assert!(!classes.contains(&Class::Damaged), "{findings:?}");
    for class in classes {
        assert!(class.fix().contains("`deployment`"), "{class:?}");
    }
}
