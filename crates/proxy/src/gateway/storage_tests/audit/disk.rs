//! Reads begin at the storage while their intent is on its way to the disk; nothing is opened or told before it is there.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use http::{Method, StatusCode};
use sealgate_audit::{Disk, FileSystem, Output, Purpose, SigningKey, event::Kind};

use super::super::{BUCKET, Rig, request, storage::Storage};
use crate::{
    audit::Audit,
    config::{AuditConfig, OnFailure, Secret},
    upstream::{Target, UpstreamRequest},
};

/// A disk whose syncs do not return while one switch is on, and fail while the other is.
#[derive(Clone, Debug, Default)]
struct Switched {
    hangs: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
}

struct SwitchedFile(Box<dyn Output>, Switched);

impl Disk for Switched {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Output>> {
        let file = FileSystem.open(path, length)?;
        Ok(Box::new(SwitchedFile(file, self.clone())))
    }

    fn rewrite(&self, path: &Path, from: u64, length: u64) -> io::Result<()> {
        FileSystem.rewrite(path, from, length)
    }

    fn open_journal(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = FileSystem.open_journal(path)?;
        Ok(Box::new(SwitchedFile(file, self.clone())))
    }
}

impl Output for SwitchedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        while self.1.hangs.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        if self.1.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.0.sync()
    }
}

/// A gateway with one object, whose key it has forgotten, and its disk.
async fn start() -> (Arc<Rig>, Switched) {
    let rig = Rig::start_on(Storage::default(), "").await;
    let key = SigningKey::generate("test", Purpose::Log).unwrap();
    let disk = Switched::default();
    let config = AuditConfig {
        directory: rig.directory.path().join("audit"),
        key: Secret::new(key.to_text().as_str()),
        name_key: None,
        on_failure: OnFailure::Deny,
        segment_size: 1 << 20,
        checkpoint_interval: Duration::from_hours(1),
        receiver: None,
        commands: None,
    };
    let audit = Audit::open_on(&config, Box::new(disk.clone())).unwrap();
    assert!(rig.gateway.audit.set(audit).is_ok());
    rig.put("a", "content").await.unwrap();
    rig.gateway.keyring.flush();
    rig.storage.take_seen();
    (Arc::new(rig), disk)
}

fn unwraps(rig: &Rig) -> u64 {
    rig.gateway.keyring.status().key_services[0].unwraps
}

/// Reads, and what the storage says of each.
fn reads() -> [(UpstreamRequest, u16); 7] {
    let get = || request(Method::GET, "a");
    [
        (get(), 200),
        (super::with(get(), "range", "bytes=1-2"), 206),
        (super::with(get(), "if-none-match", "*"), 304),
        (super::with(get(), "if-match", "\"another\""), 412),
        (request(Method::GET, "missing"), 404),
        (request(Method::HEAD, "a"), 200),
        (
            UpstreamRequest::new(Method::GET, Target::bucket(BUCKET)).query("list-type=2"),
            200,
        ),
    ]
}

/// The status of the answer.
async fn status(rig: Arc<Rig>, asked: UpstreamRequest) -> u16 {
    let answer = rig.call(asked).await;
    answer
        .map_or_else(|error| error.status, |answer| answer.status())
        .as_u16()
}

/// Waits until the storage has answered, and long enough for a gateway that does not wait to have answered as well.
async fn reached(rig: &Rig) {
    for _ in 0..500 {
        if !rig.storage.take_seen().is_empty() {
            return tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the read does not begin at the storage");
}

#[tokio::test]
async fn a_read_begins_while_the_disk_writes_and_opens_and_tells_nothing_until_it_has() {
    let (rig, disk) = start().await;
    for (asked, expected) in reads() {
        rig.gateway.keyring.flush();
        let before = unwraps(&rig);
        disk.hangs.store(true, Ordering::SeqCst);
        let asking = tokio::spawn(status(Arc::clone(&rig), asked));
        reached(&rig).await;
        assert!(!asking.is_finished(), "it was answered");
        assert_eq!(unwraps(&rig), before, "a key was opened");
        disk.hangs.store(false, Ordering::SeqCst);
        assert_eq!(asking.await.unwrap(), expected);
    }
    assert!(unwraps(&rig) > 0, "these reads open keys");
}

#[tokio::test]
async fn where_the_disk_fails_the_answer_of_the_storage_is_dropped_and_no_key_is_opened() {
    for (asked, _) in reads() {
        let (rig, disk) = start().await;
        let before = unwraps(&rig);
        disk.fails.store(true, Ordering::SeqCst);
        disk.hangs.store(true, Ordering::SeqCst);
        let asking = tokio::spawn(status(Arc::clone(&rig), asked));
        reached(&rig).await;
        disk.hangs.store(false, Ordering::SeqCst);
        assert_eq!(asking.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(unwraps(&rig), before, "a key was opened");
    }
}

#[tokio::test]
async fn a_read_that_is_given_up_while_the_disk_writes_opens_nothing_and_is_recorded() {
    let (rig, disk) = start().await;
    let before = unwraps(&rig);
    disk.hangs.store(true, Ordering::SeqCst);
    let asking = tokio::spawn(status(Arc::clone(&rig), request(Method::GET, "a")));
    reached(&rig).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    disk.hangs.store(false, Ordering::SeqCst);
    // That of the upload, and that of the read.
    let events = super::recorded(&rig, 2).await;
    let [.., intent, outcome] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((intent.kind, outcome.kind), (Kind::Intent, Kind::Outcome));
    assert_eq!(intent.request, outcome.request);
    assert_eq!(intent.action.as_deref(), Some("decrypt"));
    assert_eq!((outcome.status, outcome.complete), (None, Some(false)));
    // Whether the intent is recorded was not known any more.
    assert_eq!(outcome.key, intent.key);
    assert_eq!(unwraps(&rig), before, "a key was opened");
}

#[tokio::test]
async fn a_write_does_not_begin_before_the_disk_has_written() {
    let (rig, disk) = start().await;
    disk.hangs.store(true, Ordering::SeqCst);
    let copy = super::with(
        request(Method::PUT, "copy"),
        "x-amz-copy-source",
        &format!("/{BUCKET}/a"),
    );
    for asked in [
        request(Method::PUT, "b").bytes("x"),
        request(Method::DELETE, "a"),
        copy,
    ] {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move { rig.call(asked).await.map(drop) });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.storage.take_seen().len(), 0, "the storage was asked");
    disk.hangs.store(false, Ordering::SeqCst);
    reached(&rig).await;
}
