//! The writer on good and on failing disks.

mod lost_pages;
mod patience;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{disk::Output, *};
use crate::{
    Decision, Outcome, Purpose, Verdict, history, line,
    lines::Lines,
    merkle::{Frontier, Hash},
};

/// A disk whose next writes or syncs fail while a switch is on, half way through a line.
#[derive(Clone, Debug, Default)]
struct Failing {
    writes: Arc<AtomicBool>,
    syncs: Arc<AtomicBool>,
    synced: Arc<AtomicUsize>,
    /// While it is on, syncs do not return.
    stalls: Arc<AtomicBool>,
    /// While it is on, syncs panic.
    panics: Arc<AtomicBool>,
    /// Milliseconds that each sync takes at least.
    takes: Arc<AtomicU64>,
}

struct FailingFile {
    inner: Box<dyn Output>,
    disk: Failing,
}

impl Disk for Failing {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(FailingFile {
            inner: FileSystem.open(path, length)?,
            disk: self.clone(),
        }))
    }

    fn rewrite(&self, path: &Path, from: u64, length: u64) -> io::Result<()> {
        FileSystem.rewrite(path, from, length)
    }

    fn open_journal(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(FailingFile {
            inner: FileSystem.open_journal(path)?,
            disk: self.clone(),
        }))
    }
}

impl Output for FailingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.disk.writes.load(Ordering::SeqCst) {
            self.inner.append(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        thread::sleep(Duration::from_millis(
            self.disk.takes.load(Ordering::SeqCst),
        ));
        until(|| !self.disk.stalls.load(Ordering::SeqCst));
        assert!(!self.disk.panics.load(Ordering::SeqCst), "a fault");
        if self.disk.syncs.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.disk.synced.fetch_add(1, Ordering::SeqCst);
        self.inner.sync()
    }
}

fn key() -> SigningKey {
    SigningKey::of_seed("example.com/one", Purpose::Log, [7; 32].into()).unwrap()
}

fn options(place: &Path) -> LogOptions {
    LogOptions {
        checkpoint_interval: Duration::from_millis(20),
        patience: Duration::from_secs(30),
        ..LogOptions::new(Directory::new(place), key())
    }
}

fn intent(name: &str) -> Event {
    Event::intent(Decision {
        request: name.to_owned(),
        ..Decision::new(Verdict::Allow)
    })
}

/// All lines, checked: sequences, chain, tree and every checkpoint.
fn checked(place: &Path) -> Vec<Event> {
    let directory = Directory::new(place);
    let mut frontier = Frontier::new();
    let mut roots = vec![frontier.root()];
    let mut last = Hash::empty();
    let mut events = Vec::new();
    for segment in directory.segments().unwrap() {
        assert_eq!(segment.first, frontier.size());
        let mut lines = Lines::open(&segment.path).unwrap();
        while let Some(raw) = lines.next_line().unwrap() {
            let (header, event) = line::read(&raw.bytes).unwrap();
            assert_eq!(header.seq, frontier.size());
            assert_eq!(header.prev, last.to_base64());
            last = Hash::leaf(&raw.bytes);
            frontier.append(last);
            roots.push(frontier.root());
            events.push(event);
        }
    }
    let history = fs::read(directory.checkpoints()).unwrap();
    let mut size = 0;
    for line in history.split_inclusive(|byte| *byte == b'\n') {
        let (checkpoint, _) = history::read(line, key().public()).unwrap();
        assert!(checkpoint.size > size);
        size = checkpoint.size;
        assert_eq!(checkpoint.root, roots[usize::try_from(size).unwrap()]);
    }
    assert_eq!(size, frontier.size(), "everything is signed");
    events
}

/// Waits for what another thread does.
fn until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(1), "it does not come");
        thread::sleep(Duration::from_millis(1));
    }
}

fn kinds(events: &[Event]) -> Vec<Kind> {
    events.iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn what_is_recorded_is_durable_signed_and_in_order() {
    let place = tempfile::tempdir().unwrap();
    let log = Log::open(options(place.path())).unwrap();
    assert_eq!(log.record(vec![intent("a")]).await, Ok(2..3));
    assert_eq!(log.record(vec![intent("b"), intent("c")]).await, Ok(3..5));
    log.submit(Event::outcome(Outcome::default()));
    let mut positions = log.positions();
    positions
        .wait_for(|position| position.signed == 6)
        .await
        .unwrap();
    log.close();
    let events = checked(place.path());
    let expected = [
        Kind::Segment,
        Kind::Start,
        Kind::Intent,
        Kind::Intent,
        Kind::Intent,
        Kind::Outcome,
        Kind::Stop,
    ];
    assert_eq!(kinds(&events), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_syncs() {
    let place = tempfile::tempdir().unwrap();
    let disk = Failing::default();
    let options = LogOptions {
        checkpoint_interval: Duration::from_hours(1),
        ..options(place.path())
    };
    let log = Arc::new(Log::open_on(options, Box::new(disk.clone())).unwrap());
    let before = disk.synced.load(Ordering::SeqCst);
    disk.stalls.store(true, Ordering::SeqCst);
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.record(vec![intent(&number.to_string())]).await })
        })
        .collect();
    until(|| log.waiting() == 200);
    disk.stalls.store(false, Ordering::SeqCst);
    let mut sequences = Vec::new();
    for task in tasks {
        sequences.push(task.await.unwrap().unwrap().start);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (2..202).collect::<Vec<_>>());
    // Those that the thread found when it came to the first sync, and everybody else.
    assert!(disk.synced.load(Ordering::SeqCst) - before <= 2);
    drop(log);
    assert_eq!(checked(place.path()).len(), 203);
}

#[tokio::test]
async fn files_rotate_and_each_begins_with_the_tree_before_it() {
    let place = tempfile::tempdir().unwrap();
    let options = || LogOptions {
        segment_size: 1_000,
        ..options(place.path())
    };
    for _ in 0..2 {
        let log = Log::open(options()).unwrap();
        for number in 0..20 {
            log.record(vec![intent(&number.to_string())]).await.unwrap();
        }
        log.close();
    }
    let segments = Directory::new(place.path()).segments().unwrap();
    assert!(segments.len() > 5);
    let events = checked(place.path());
    let count = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(count(Kind::Segment), segments.len());
    assert_eq!(count(Kind::Intent), 40);
}

#[tokio::test]
async fn a_torn_line_is_cut_and_the_log_says_so() {
    let place = tempfile::tempdir().unwrap();
    Log::open(options(place.path())).unwrap().close();
    let whole = checked(place.path()).len();
    let directory = Directory::new(place.path());
    let segment = &directory.segments().unwrap()[0].path;
    let good = fs::read(segment).unwrap();
    let history = fs::read(directory.checkpoints()).unwrap();
    let torn: [&[u8]; 4] = [b"{\"seq\":3,", b"\0\0\0\0", b"\0\0\0\0\n{}\n", b"\n"];
    for (round, torn) in torn.into_iter().enumerate() {
        fs::write(segment, [good.as_slice(), torn].concat()).unwrap();
        // A checkpoint that was being written, too.
        fs::write(
            directory.checkpoints(),
            [history.as_slice(), b"{\"chec"].concat(),
        )
        .unwrap();
        Log::open(options(place.path())).unwrap().close();
        let events = checked(place.path());
        assert_eq!(events[whole].kind, Kind::Start, "{round}");
        assert_eq!(events[whole].cut_bytes, Some(torn.len() as u64 + 6));
    }
}

#[test]
fn a_segment_without_a_line_is_begun_again() {
    let place = tempfile::tempdir().unwrap();
    Log::open(options(place.path())).unwrap().close();
    let directory = Directory::new(place.path());
    let lines = checked(place.path()).len();
    fs::write(directory.segment(lines as u64).path, b"{\"seq\"").unwrap();
    Log::open(options(place.path())).unwrap().close();
    let events = checked(place.path());
    assert_eq!(events[lines].cut_bytes, Some(6));
}

#[test]
fn nothing_is_appended_to_a_log_that_lost_or_changed_signed_lines() {
    let place = tempfile::tempdir().unwrap();
    Log::open(options(place.path())).unwrap().close();
    let directory = Directory::new(place.path());
    let segment = directory.segments().unwrap()[0].path.clone();
    let good = fs::read(&segment).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let shorter = text.split_inclusive('\n').next().unwrap().to_owned();
    let altered = text.replacen("sealgate", "sealgatf", 1);
    let last_altered = text.replacen("\"kind\":\"stop\"", "\"kind\":\"lost\"", 1);
    assert_ne!(last_altered, text);
    for bad in [String::new(), shorter, altered, last_altered] {
        fs::write(&segment, &bad).unwrap();
        let error = Log::open(options(place.path())).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert_eq!(fs::read_to_string(&segment).unwrap(), bad);
    }
    fs::remove_file(&segment).unwrap();
    assert!(matches!(
        Log::open(options(place.path())),
        Err(OpenError::Damaged { .. })
    ));
    fs::write(&segment, good).unwrap();
    // Another key than the one that signed.
    let other = LogOptions {
        key: SigningKey::generate("example.com/one", Purpose::Log).unwrap(),
        ..options(place.path())
    };
    assert!(matches!(Log::open(other), Err(OpenError::Damaged { .. })));
    Log::open(options(place.path())).unwrap().close();
}

#[test]
fn a_log_has_one_writer() {
    let place = tempfile::tempdir().unwrap();
    let log = Log::open(options(place.path())).unwrap();
    let error = Log::open(options(place.path())).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    log.close();
    Log::open(options(place.path())).unwrap().close();
}

#[tokio::test]
async fn a_disk_that_fails_refuses_and_nothing_that_was_refused_is_in_the_log() {
    for is_write in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let disk = Failing::default();
        let switch = if is_write { &disk.writes } else { &disk.syncs };
        let options = LogOptions {
            segment_size: 700,
            ..options(place.path())
        };
        let log = Log::open_on(options, Box::new(disk.clone())).unwrap();
        for round in 0..3 {
            // The second failure meets the beginning of another segment.
            log.record(vec![intent("good")]).await.unwrap();
            switch.store(true, Ordering::SeqCst);
            let error = log.record(vec![intent("refused")]).await.unwrap_err();
            assert!(matches!(error, RecordError::Disk(_)), "{error}");
            assert!(log.failure().is_some());
            log.submit(Event::outcome(Outcome::default()));
            until(|| log.lost() == round + 1);
            let error = log.record(vec![intent("refused")]).await.unwrap_err();
            assert!(matches!(error, RecordError::Disk(_)), "{round} {error}");
            switch.store(false, Ordering::SeqCst);
            until(|| log.failure().is_none());
        }
        log.record(vec![intent("good")]).await.unwrap();
        log.close();
        let events = checked(place.path());
        let named = |name: &str| {
            let of = |event: &&Event| event.request.as_deref() == Some(name);
            events.iter().filter(of).count()
        };
        assert_eq!(named("good"), 4);
        assert_eq!(named("refused"), 0);
        let lost: u64 = events.iter().filter_map(|event| event.lost).sum();
        assert_eq!(lost, 3);
        let reasons = events.iter().filter(|event| event.reason.is_some());
        assert!(reasons.count() >= 3);
    }
}

#[tokio::test]
async fn what_nobody_waits_for_is_made_durable_by_the_next_sync_or_soon() {
    let place = tempfile::tempdir().unwrap();
    let disk = Failing::default();
    let options = LogOptions {
        checkpoint_interval: Duration::from_hours(1),
        ..options(place.path())
    };
    let log = Log::open_on(options, Box::new(disk.clone())).unwrap();
    let before = disk.synced.load(Ordering::SeqCst);
    for _ in 0..20 {
        log.record(vec![intent("a")]).await.unwrap();
        log.submit(Event::outcome(Outcome::default()));
    }
    // One a decision; more only where the machine takes longer than an outcome may wait.
    let synced = disk.synced.load(Ordering::SeqCst) - before;
    assert!((20..30).contains(&synced), "{synced}");
    until(|| log.position().size == 42);
    log.close();
    assert_eq!(checked(place.path()).len(), 43);
}

#[tokio::test]
async fn a_queue_that_is_full_makes_callers_wait_and_then_refuses() {
    let fill = async |patience| {
        let place = tempfile::tempdir().unwrap();
        let options = LogOptions {
            patience,
            queue: MAX_EVENTS,
            ..options(place.path())
        };
        let log = Log::open(options).unwrap();
        let held = Arc::clone(&log.shared.places);
        let all = u32::try_from(MAX_EVENTS).unwrap();
        (place, log, held.acquire_many_owned(all).await.unwrap())
    };
    let (_place, log, _held) = fill(Duration::from_millis(50)).await;
    assert_eq!(log.record(vec![intent("a")]).await, Err(RecordError::Slow));
    let many = vec![intent("c"); MAX_EVENTS + 1];
    assert_eq!(log.record(many).await, Err(RecordError::Many));
    let (_place, log, held) = fill(Duration::from_mins(1)).await;
    let (recorded, ()) = tokio::join!(log.record(vec![intent("b")]), async { drop(held) });
    assert!(recorded.is_ok());
}

#[tokio::test]
async fn a_fault_of_the_thread_refuses_at_once() {
    let place = tempfile::tempdir().unwrap();
    let disk = Failing::default();
    let log = Log::open_on(options(place.path()), Box::new(disk.clone())).unwrap();
    disk.panics.store(true, Ordering::SeqCst);
    let outcome = log.record(vec![intent("a")]).await;
    assert_eq!(outcome, Err(RecordError::Closed));
    until(|| log.failure().is_some());
    let error = log.record(vec![intent("b")]).await.unwrap_err();
    assert!(error.to_string().contains("by a fault"), "{error}");
}

#[test]
fn what_is_wrong_with_a_log_names_the_file_the_line_and_the_way_out() {
    let place = tempfile::tempdir().unwrap();
    Log::open(options(place.path())).unwrap().close();
    let directory = Directory::new(place.path());
    assert_eq!(inspect(&directory, key().public()).unwrap(), 3);
    let segment = directory.segments().unwrap()[0].path.clone();
    let good = fs::read_to_string(&segment).unwrap();
    let lines: Vec<_> = good.split_inclusive('\n').collect();
    let cut = lines[..2].concat();
    let garbled = [lines[0], "{\"seq\":1}\n", lines[2]].concat();
    let moved = [lines[0], lines[2], lines[1]].concat();
    for (bad, said) in [
        (cut, "ends with record 1, and"),
        (garbled, "has no record in line 2: not a record"),
        (moved, "has in line 2 a record that does not follow"),
        (String::new(), "is empty"),
    ] {
        fs::write(&segment, bad).unwrap();
        for error in [
            Log::open(options(place.path())).unwrap_err(),
            inspect(&directory, key().public()).unwrap_err(),
        ] {
            let error = error.to_string();
            let named = format!("{} {said}", segment.display());
            assert!(error.contains(&named), "{error}");
            assert!(error.contains("audit keygen"), "{error}");
        }
    }
}

#[test]
fn who_only_looks_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::new(place.path());
    assert_eq!(inspect(&directory, key().public()).unwrap(), 0);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    let log = Log::open(options(place.path())).unwrap();
    // A segment that somebody is about to begin.
    let begun = directory.segment(2).path;
    fs::write(&begun, b"{").unwrap();
    assert_eq!(inspect(&directory, key().public()).unwrap(), 2);
    assert!(begun.exists());
    log.close();
}

/// A log whose machine loses power: what its files are is copied while it is open, and of the segment only so many bytes.
async fn lost_power(place: &Path, copy: &Path, kept: impl Fn(&[u8]) -> Vec<u8>) {
    let options = LogOptions {
        checkpoint_interval: Duration::from_hours(1),
        ..options(place)
    };
    let log = Log::open(options).unwrap();
    for name in ["a", "b", "c"] {
        log.record(vec![intent(name)]).await.unwrap();
    }
    let (from, to) = (Directory::new(place), Directory::new(copy));
    to.create().unwrap();
    for path in [Directory::journal, Directory::checkpoints] {
        fs::copy(path(&from), path(&to)).unwrap();
    }
    let segment = fs::read(from.segment(0).path).unwrap();
    fs::write(to.segment(0).path, kept(&segment)).unwrap();
}

/// What becomes of a file.
type Altered = fn(&[u8]) -> Vec<u8>;

/// The bytes of the first lines.
fn lines_of(text: &[u8], count: usize) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.take(count).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn what_was_durable_when_the_power_failed_is_in_the_log_at_the_next_start() {
    // Two lines were signed before: whatever the file system kept of the three behind them.
    let kept: [Altered; 5] = [
        |text| lines_of(text, 2),
        |text| lines_of(text, 4),
        <[u8]>::to_vec,
        |text| [lines_of(text, 3), vec![0; 100]].concat(),
        |text| [lines_of(text, 4), b"{\"seq\":4,".to_vec()].concat(),
    ];
    for (round, kept) in kept.into_iter().enumerate() {
        let (place, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        lost_power(place.path(), copy.path(), kept).await;
        // Opened twice: what the journal holds is taken once.
        for _ in 0..2 {
            Log::open(options(copy.path())).unwrap().close();
        }
        let events = checked(copy.path());
        let names: Vec<_> = events.iter().filter_map(|e| e.request.as_deref()).collect();
        assert_eq!(names, ["a", "b", "c"], "{round}");
        assert_eq!(events.len(), 2 + 3 + 2 + 2, "{round}");
        assert!(
            events.iter().all(|event| event.cut_bytes.is_none()),
            "{round}"
        );
    }
}

#[tokio::test]
async fn a_journal_counts_only_where_its_lines_follow_those_of_the_log() {
    let journals: [(Altered, &[&str]); 4] = [
        // Torn in the middle of the third line, or of the second one.
        (
            |text| [lines_of(text, 2), b"{\"seq\":4,".to_vec()].concat(),
            &["a", "b"],
        ),
        (|text| [lines_of(text, 1), vec![0; 700]].concat(), &["a"]),
        // Altered, and without its first line.
        (
            |text| {
                String::from_utf8_lossy(text)
                    .replacen("\"a\"", "\"x\"", 1)
                    .into_bytes()
            },
            &["x"],
        ),
        (
            |text| text.get(lines_of(text, 1).len()..).unwrap().to_vec(),
            &[],
        ),
    ];
    for (journal, expected) in journals {
        let (place, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        lost_power(place.path(), copy.path(), |text| lines_of(text, 2)).await;
        let path = Directory::new(copy.path()).journal();
        let text = journal(&fs::read(&path).unwrap());
        fs::write(&path, text).unwrap();
        Log::open(options(copy.path())).unwrap().close();
        let events = checked(copy.path());
        let names: Vec<_> = events.iter().filter_map(|e| e.request.as_deref()).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn the_journal_keeps_its_length_whatever_is_recorded() {
    let place = tempfile::tempdir().unwrap();
    let options = LogOptions {
        checkpoint_interval: Duration::from_hours(1),
        ..options(place.path())
    };
    let log = Log::open(options).unwrap();
    let mut long = intent("long");
    long.key = Some("\0".repeat(1_000));
    // Some that fit, more than fit together, and more than fit at once.
    for count in [1, 200, 200, 1_000, 1] {
        log.record(vec![long.clone(); count]).await.unwrap();
        let journal = fs::metadata(Directory::new(place.path()).journal()).unwrap();
        assert_eq!(journal.len(), journal::LENGTH as u64);
    }
    log.close();
    assert_eq!(checked(place.path()).len(), 1_405);
}

#[test]
fn behind_a_log_that_was_closed_no_line_of_the_journal_is_taken() {
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::new(place.path());
    Log::open(options(place.path())).unwrap().close();
    let end = checked(place.path()).len() as u64;
    let segment = directory.segments().unwrap().pop().unwrap().path;
    let text = fs::read(&segment).unwrap();
    let stop = text.split_inclusive(|byte| *byte == b'\n').next_back();
    let header = line::Header {
        seq: end,
        prev: Hash::leaf(stop.unwrap()).to_base64(),
        signed: end,
    };
    let mut forged = Vec::new();
    let event = Prepared::new(Event::new(Kind::Start)).unwrap();
    event.write(&header, &mut forged).unwrap();
    let mut journal = fs::read(directory.journal()).unwrap();
    journal[..forged.len()].copy_from_slice(&forged);
    fs::write(directory.journal(), journal).unwrap();

    let task = crate::verify::Task {
        directory,
        trusted: crate::verify::Trusted {
            log: key().public().clone(),
            cosigners: Vec::new(),
        },
        held: Vec::new(),
        may_be_pruned: false,
        is_closed: true,
    };
    let report = crate::verify::verify(&task).unwrap();
    let faults: Vec<_> = report.findings.iter().map(|found| found.fault).collect();
    assert_eq!(faults, [crate::verify::Fault::Added], "{report:?}");
    Log::open(options(place.path())).unwrap().close();
    let starts = checked(place.path());
    let starts = starts.iter().filter(|event| event.kind == Kind::Start);
    assert_eq!(starts.count(), 2, "one for each process");
}
