//! Reads begin at the storage while their intent is on its way to the disk; nothing is opened or told before it is there.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use sealgate_audit::{Disk, FileSystem, Output, Purpose, SigningKey, event::Kind};

use super::super::{BUCKET, Rig, request, storage::Storage};
use crate::{
    audit::Audit,
    config::{AuditConfig, OnFailure, Secret},
    upstream::{BodyFailure, Target, UpstreamRequest},
};

/// A disk whose syncs do not return while one switch is on, and fail while the other is.
#[derive(Clone, Debug, Default)]
struct Switched {
    hangs: Arc<AtomicBool>,
    /// So many return before it hangs.
    spared: Arc<AtomicUsize>,
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
        let is_spared = || {
            let less = |spared: usize| spared.checked_sub(1);
            let spared = &self.1.spared;
            spared
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_ok()
        };
        while self.1.hangs.load(Ordering::SeqCst) && !is_spared() {
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

#[tokio::test]
async fn a_copy_begins_when_the_intents_of_both_objects_are_durable() {
    let (rig, disk) = start().await;
    // The outcome of the upload has had its sync.
    super::recorded(&rig, 1).await;
    disk.spared.store(1, Ordering::SeqCst);
    disk.hangs.store(true, Ordering::SeqCst);
    let copy = super::with(
        request(Method::PUT, "copy"),
        "x-amz-copy-source",
        &format!("/{BUCKET}/a"),
    );
    let asking = tokio::spawn(status(Arc::clone(&rig), copy));
    for _ in 0..500 {
        if disk.spared.load(Ordering::SeqCst) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(disk.spared.load(Ordering::SeqCst), 0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What may keep the answer alive with white space begins with the storage.
    assert_eq!(rig.storage.take_seen().len(), 0, "the storage was asked");
    assert!(!asking.is_finished(), "it was answered");
    disk.hangs.store(false, Ordering::SeqCst);
    assert_eq!(asking.await.unwrap(), 200);
}

#[tokio::test]
async fn a_read_that_cannot_be_recorded_is_refused_while_the_storage_has_not_answered() {
    for (asked, _) in reads() {
        let (rig, disk) = start().await;
        let withheld = || rig.storage.behaviour.withheld.load(Ordering::SeqCst);
        let until = async |count| {
            for _ in 0..500 {
                if withheld() == count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("not {count} but {} at the storage", withheld());
        };
        disk.fails.store(true, Ordering::SeqCst);
        disk.hangs.store(true, Ordering::SeqCst);
        let withholds = &rig.storage.behaviour.withholds;
        withholds.store(true, Ordering::SeqCst);
        let asking = tokio::spawn(status(Arc::clone(&rig), asked));
        until(1).await;
        disk.hangs.store(false, Ordering::SeqCst);
        let told = tokio::time::timeout(Duration::from_secs(10), asking).await;
        let told = told.expect("it waits for the storage").unwrap();
        assert_eq!(told, StatusCode::SERVICE_UNAVAILABLE);
        // Nor does the storage's request go on.
        until(0).await;
    }
}

#[tokio::test]
async fn no_client_is_told_to_send_its_body_before_the_disk_has_written() {
    for (method, query) in [(Method::HEAD, ""), (Method::GET, "location=")] {
        let (rig, disk) = start().await;
        disk.hangs.store(true, Ordering::SeqCst);
        let is_sent = Arc::new(AtomicBool::new(false));
        let sent = Arc::clone(&is_sent);
        // It is sent when the gateway says so, or after a second.
        let body = StreamBody::new(stream::once(async move {
            sent.store(true, Ordering::SeqCst);
            Ok::<_, BodyFailure>(Frame::data(Bytes::from_static(b"body")))
        }));
        let asked = UpstreamRequest::new(method, Target::bucket(BUCKET))
            .query(query)
            .stream(body.boxed_unsync(), 4);
        let asking = tokio::spawn(status(Arc::clone(&rig), asked));
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!is_sent.load(Ordering::SeqCst), "it was told to send it");
        assert!(!asking.is_finished(), "it was answered");
        disk.hangs.store(false, Ordering::SeqCst);
        assert_eq!(asking.await.unwrap(), 200);
        assert!(is_sent.load(Ordering::SeqCst));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_on_a_disk_that_hangs_says_that_the_log_was_not_closed() {
    let (rig, disk) = start().await;
    disk.hangs.store(true, Ordering::SeqCst);
    let path = rig.directory.path().join("lines");
    let lines = tracing_subscriber::fmt()
        .with_writer(std::fs::File::create(&path).unwrap())
        .finish();
    let closing = rig.gateway.close_audit();
    tracing::instrument::WithSubscriber::with_subscriber(closing, lines).await;
    let said = std::fs::read_to_string(path).unwrap();
    assert!(
        said.contains("WARN") && said.contains("without having closed"),
        "{said}"
    );
    disk.hangs.store(false, Ordering::SeqCst);
}
