//! What `sealgate check` leaves behind at the storage.

use std::time::Duration;

use super::{Rig, storage::Storage};

/// What lies below `probe/`, and the open uploads.
fn left(rig: &Rig) -> (Vec<String>, usize) {
    let mut names = rig.storage.names(rig.gateway.state.name());
    names.retain(|name| name.starts_with("probe/"));
    (names, rig.storage.open_uploads())
}

/// Waits until the storage holds so many probes, or an open upload.
async fn until(storage: &Storage, state: &str, objects: usize) {
    loop {
        let names = storage.names(state);
        let probes = names.iter().filter(|name| name.starts_with("probe/"));
        if probes.count() >= objects || storage.open_uploads() > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn interrupted_probes_leave_nothing() {
    let rig = Rig::start("").await;
    let state = rig.gateway.state.name().to_owned();
    for objects in [0, 1, 2, 3, 5, usize::MAX] {
        let stop = until(&rig.storage, &state, objects);
        assert!(rig.gateway.probe_storage(stop).await.is_none(), "{objects}");
        assert_eq!(left(&rig), (Vec::new(), 0), "{objects}");
    }
    let found = rig.gateway.probe_storage(std::future::pending()).await;
    assert!(!found.unwrap().is_empty());
    assert_eq!(left(&rig), (Vec::new(), 0));
}

#[tokio::test]
async fn what_killed_probes_left_is_garbage_when_it_is_old() {
    let rig = Rig::start("").await;
    let state = rig.gateway.state.name().to_owned();
    rig.storage.plant(&state, "probe/killed/once".to_owned());
    for dry_run in [true, false] {
        let mut reported = Vec::new();
        let collected = rig.gateway.collect_garbage(dry_run, |examined| {
            reported.push((examined.prefix.clone(), examined.objects));
        });
        collected.await.unwrap();
        assert_eq!(reported, [("probe/".to_owned(), 1)]);
        assert_eq!(left(&rig).0.len(), usize::from(dry_run));
    }
}
