//! Whatever is done to the files, it is found.

use std::{fs, io::Write as _, path::Path, sync::OnceLock, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    Decision, Event, Log, LogOptions, Outcome, Purpose, SigningKey, Verdict,
    directory::replace_file,
};

fn key() -> SigningKey {
    SigningKey::of_seed("example.com/one", Purpose::Log, [7; 32].into()).unwrap()
}

fn receiver() -> SigningKey {
    SigningKey::of_seed("example.com/receiver", Purpose::Cosigner, [8; 32].into()).unwrap()
}

/// Writes a log of a few files, closed in order; returns its last checkpoint, countersigned.
fn write(place: &Path, requests: usize) -> Held {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = LogOptions {
        segment_size: 1_500,
        checkpoint_interval: Duration::ZERO,
        ..LogOptions::new(Directory::new(place), key())
    };
    let log = Log::open(options).unwrap();
    for number in 0..requests {
        let request = format!("{number:016X}");
        let decision = Decision {
            request: request.clone(),
            key: Some(format!("object \u{202e} {number}")),
            ..Decision::new(Verdict::Allow)
        };
        runtime
            .block_on(log.record(vec![Event::intent(decision)]))
            .unwrap();
        log.submit(Event::outcome(Outcome {
            request,
            ..Outcome::default()
        }));
    }
    log.close();
    let directory = Directory::new(place);
    let history = fs::read(directory.checkpoints()).unwrap();
    let last = history.split_inclusive(|byte| *byte == b'\n').next_back();
    let (_, mut note) = crate::history::read(last.unwrap(), key().public()).unwrap();
    note.cosign(&receiver(), 1_700_000_000);
    replace_file(&directory.countersigned(), note.to_string().as_bytes()).unwrap();
    Held {
        file: "held".into(),
        text: note.to_string(),
    }
}

fn task(place: &Path, held: Vec<Held>) -> Task {
    Task {
        directory: Directory::new(place),
        trusted: Trusted {
            log: key().public().clone(),
            cosigners: vec![receiver().public().clone()],
        },
        held,
        may_be_pruned: false,
        is_closed: false,
    }
}

/// The files of one log, for many cases: relative names and contents.
type Files = Vec<(String, Vec<u8>)>;

fn sample() -> &'static (Files, Held) {
    static SAMPLE: OnceLock<(Files, Held)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        let held = write(place.path(), 12);
        let directory = Directory::new(place.path());
        let mut files = vec![directory.checkpoints(), directory.countersigned()];
        let segments = directory.segments().unwrap();
        assert!(segments.len() >= 3);
        files.extend(segments.into_iter().map(|segment| segment.path));
        let read = |path: PathBuf| {
            let name = path.strip_prefix(place.path()).unwrap();
            let name = name.to_str().unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        };
        (files.into_iter().map(read).collect(), held)
    })
}

fn verified(files: &[(String, Vec<u8>)], held: Vec<Held>) -> Report {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("segments")).unwrap();
    for (name, content) in files {
        fs::write(place.path().join(name), content).unwrap();
    }
    verify(&task(place.path(), held)).unwrap()
}

#[test]
fn a_log_that_nobody_touched_is_clean() {
    let (files, held) = sample();
    let report = verified(files, vec![held.clone()]);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.held, Some(report.size));
    assert_eq!((report.signed, report.unsigned), (report.size, 0));
    assert_eq!(report.countersigned_at, Some(1_700_000_000));
    assert!(report.remarks.is_empty());
    assert!(report.checkpoints > 5);
}

#[test]
fn a_beginning_that_a_receiver_has_may_be_missing_where_that_is_said() {
    let (files, held) = sample();
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("segments")).unwrap();
    for (name, content) in files {
        if !name.ends_with("/00000000000000000000.jsonl") {
            fs::write(place.path().join(name), content).unwrap();
        }
    }
    let mut task = task(place.path(), vec![held.clone()]);
    let report = verify(&task).unwrap();
    assert_eq!(report.findings[0].fault, Fault::Missing, "{report:#?}");
    assert_eq!(report.findings.len(), 1);
    task.may_be_pruned = true;
    let report = verify(&task).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.held, Some(report.size));
    assert!(report.first > 0);
}

#[test]
fn a_whole_rollback_is_seen_only_by_who_holds_a_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), 3);
    let directory = Directory::new(place.path());
    let (_, newer) = sample();
    let mut alone = task(place.path(), vec![]);
    alone.trusted.cosigners.clear();
    // What lies beside the files was rolled back together with them, and stands for nothing.
    assert!(directory.countersigned().exists());
    let report = verify(&alone).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.held, report.countersigned_at), (None, None));
    let is_said = |remark: &String| remark.contains("rolled back as a whole");
    assert!(report.remarks.iter().any(is_said), "{report:#?}");
    let report = verify(&task(place.path(), vec![newer.clone()])).unwrap();
    let faults: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.fault)
        .collect();
    assert!(faults.contains(&Fault::Truncated), "{report:#?}");
}

#[test]
fn a_log_that_was_written_anew_with_its_key_is_a_fork() {
    let (files, held) = sample();
    let checkpoint = Checkpoint {
        root: Hash::leaf(b"another tree"),
        ..Checkpoint::parse(
            held.text
                .split("\n\n")
                .next()
                .map(|text| format!("{text}\n"))
                .as_deref()
                .unwrap(),
        )
        .unwrap()
    };
    let mut note = checkpoint.sign(&key());
    note.cosign(&receiver(), 1_700_000_001);
    let other = Held {
        file: "other".into(),
        text: note.to_string(),
    };
    let report = verified(files, vec![other]);
    let faults: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.fault)
        .collect();
    assert!(faults.contains(&Fault::Forked), "{report:#?}");
}

#[test]
fn the_line_that_was_altered_is_named() {
    let (files, held) = sample();
    for (file, (name, content)) in files.iter().enumerate().skip(2) {
        let text = String::from_utf8(content.clone()).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        for (number, line) in lines.iter().enumerate() {
            let altered_line = line.replacen("\"kind\":\"", "\"kind\":\"x", 1);
            let altered: String = lines[..number]
                .iter()
                .copied()
                .chain([altered_line.as_str()])
                .chain(lines[number + 1..].iter().copied())
                .collect();
            let mut files = files.clone();
            files[file].1 = altered.into_bytes();
            let report = verified(&files, vec![held.clone()]);
            let is_named = |finding: &Finding| {
                finding.file.ends_with(name)
                    && (finding.line == Some(number as u64 + 1) || finding.line.is_none())
            };
            assert!(
                report.findings.iter().any(is_named),
                "{name} {number} {report:#?}"
            );
        }
    }
}

#[test]
fn bytes_behind_the_last_record_are_told() {
    let (files, held) = sample();
    let mut files = files.clone();
    let (name, content) = files.last_mut().unwrap();
    let name = name.clone();
    content.extend_from_slice(b"{\"seq\":");
    assert!(name.starts_with("segments/"));
    let report = verified(&files, vec![held.clone()]);
    assert!(report.is_clean() && report.is_torn, "{report:#?}");
    let is_told = |remark: &String| remark.contains(name.as_str()) && remark.contains("unfinished");
    assert!(report.remarks.iter().any(is_told), "{report:#?}");
    // Ended by a line feed, they pass for a record and are none.
    files.last_mut().unwrap().1.push(b'\n');
    assert!(!verified(&files, vec![held.clone()]).is_clean());
}

/// The only thing that is wrong.
fn finding(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    &report.findings[0]
}

#[test]
fn bytes_that_are_not_the_beginning_of_the_next_record_were_added() {
    let (files, held) = sample();
    let size = verified(files, vec![held.clone()]).size;
    let other = format!("{{\"seq\":{size},\"prev\":\"AAAA");
    let longest = vec![b'{'; 2 * crate::limits::MAX_LINE];
    for added in [b"x".as_slice(), b"\0\0\0", b" ", other.as_bytes(), &longest] {
        let mut files = files.clone();
        let (name, content) = files.last_mut().unwrap();
        let name = name.clone();
        content.extend_from_slice(added);
        let report = verified(&files, vec![held.clone()]);
        let finding = finding(&report);
        assert_eq!(finding.fault, Fault::Added);
        assert_eq!(finding.sequence, Some(size));
        assert!(finding.file.ends_with(name.as_str()), "{finding:?}");
    }
}

/// A log that a process left behind without closing it: the records of its last moments have no checkpoint.
fn left_open(place: &Path) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = LogOptions {
        checkpoint_interval: Duration::from_hours(1),
        ..LogOptions::new(Directory::new(place), key())
    };
    let log = Log::open(options).unwrap();
    let intent = || Event::intent(Decision::new(Verdict::Allow));
    let recorded = runtime
        .block_on(log.record(vec![intent(), intent()]))
        .unwrap();
    // As if it were killed here.
    let directory = Directory::new(place);
    let kept: Vec<_> = [
        directory.checkpoints(),
        directory.segment(0).path,
        directory.journal(),
    ]
    .map(|path| (path.clone(), fs::read(path).unwrap()))
    .into();
    log.close();
    for (path, content) in kept {
        fs::write(path, content).unwrap();
    }
    recorded.start
}

#[test]
fn records_behind_the_last_checkpoint_are_named_and_wrong_where_nobody_writes() {
    let place = tempfile::tempdir().unwrap();
    let first = left_open(place.path());
    let mut task = task(place.path(), vec![]);
    let report = verify(&task).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.unsigned, 2);
    let at = report.unsigned_from.unwrap();
    assert_eq!((at.sequence, at.line), (first, first + 1));
    assert!(at.file.ends_with("00000000000000000000.jsonl"));
    task.is_closed = true;
    let report = verify(&task).unwrap();
    let finding = finding(&report);
    assert_eq!(
        (finding.fault, finding.sequence),
        (Fault::Added, Some(first))
    );
}

#[test]
fn a_receiver_that_writes_the_checkpoint_of_a_push_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), 3);
    let mut task = task(place.path(), vec![]);
    task.is_closed = true;
    let history = task.directory.checkpoints();
    let whole = fs::read(&history).unwrap();
    let last = whole.split_inclusive(|byte| *byte == b'\n').next_back();
    let length = whole.len() - last.unwrap().len();
    fs::write(&history, &whole[..length]).unwrap();
    // Beside the files lies a checkpoint that is not in the history yet either.
    fs::remove_file(task.directory.countersigned()).unwrap();
    assert!(!verify(&task).unwrap().is_clean());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            // Appended, as receivers do: whoever reads meanwhile is to find no less than before.
            let mut file = fs::File::options().append(true).open(&history).unwrap();
            file.write_all(&whole[length..]).unwrap();
        });
        let report = verify(&task).unwrap();
        assert!(report.is_clean(), "{report:#?}");
        assert_eq!((report.unsigned, report.signed), (0, report.size));
    });
}

#[test]
fn a_record_behind_the_end_of_a_closed_log_is_found() {
    let (files, held) = sample();
    let mut files = files.clone();
    let (_, content) = files.last_mut().unwrap();
    let last = content.split_inclusive(|byte| *byte == b'\n').next_back();
    let last = last.unwrap().to_vec();
    let before = line::read_header(&last).unwrap();
    let header = Header {
        seq: before.seq + 1,
        prev: Hash::leaf(&last).to_base64(),
        signed: before.seq + 1,
    };
    // Right in everything that can be had without the key.
    let event = Event::intent(Decision::new(Verdict::Allow));
    let forged = crate::line::Prepared::new(event).unwrap();
    forged.write(&header, content).unwrap();
    let report = verified(&files, vec![held.clone()]);
    let finding = finding(&report);
    assert_eq!(finding.fault, Fault::Added, "{finding:?}");
    assert_eq!(finding.sequence, Some(before.seq + 1));
}

#[test]
fn a_log_that_is_written_meanwhile_is_not_called_damaged() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let place = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_size: 20_000,
        checkpoint_interval: Duration::from_millis(1),
        ..LogOptions::new(Directory::new(place.path()), key())
    };
    let log = Log::open(options).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let intent = || Event::intent(Decision::new(Verdict::Allow));
            while !is_over.load(Ordering::Relaxed) {
                runtime
                    .block_on(log.record(vec![intent(), intent()]))
                    .unwrap();
            }
        });
        let task = task(place.path(), vec![]);
        let mut sizes = Vec::new();
        // However slow the disk is, until something was written meanwhile.
        let end = std::time::Instant::now() + Duration::from_mins(1);
        while sizes.len() < 200
            || (sizes.last() == sizes.first() && std::time::Instant::now() < end)
        {
            let report = verify(&task).unwrap();
            if !report.is_clean() {
                is_over.store(true, Ordering::Relaxed);
            }
            assert!(report.is_clean(), "{report:#?}");
            sizes.push(report.size);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(
            sizes.is_sorted() && sizes.last() > sizes.first(),
            "{sizes:?}"
        );
    });
}

#[test]
fn a_file_that_was_removed_is_found() {
    let (files, held) = sample();
    for removed in 0..files.len() {
        if files[removed].0 == "countersigned" {
            continue;
        }
        let mut files = files.clone();
        let (name, _) = files.remove(removed);
        let report = verified(&files, vec![held.clone()]);
        assert!(!report.is_clean(), "{name}");
    }
}

/// What may be done to a file.
#[derive(Clone, Debug)]
enum Harm {
    Change(prop::sample::Index, u8),
    Delete(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    DeleteLine(prop::sample::Index),
    RepeatLine(prop::sample::Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), 1..=255_u8).prop_map(|(at, flip)| Harm::Change(at, flip)),
        index().prop_map(Harm::Delete),
        (index(), any::<u8>()).prop_map(|(at, byte)| Harm::Insert(at, byte)),
        index().prop_map(Harm::Truncate),
        (index(), index()).prop_map(|(one, other)| Harm::Swap(one, other)),
        index().prop_map(Harm::DeleteLine),
        index().prop_map(Harm::RepeatLine),
    ]
}

fn apply(harm: &Harm, content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    let mut lines: Vec<_> = content.split_inclusive(|byte| *byte == b'\n').collect();
    match harm {
        Harm::Change(at, flip) => {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        Harm::Delete(at) => {
            bytes.remove(at.index(bytes.len()));
        }
        Harm::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
        Harm::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        Harm::Swap(one, other) => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
            bytes = lines.concat();
        }
        Harm::DeleteLine(at) => {
            lines.remove(at.index(lines.len()));
            bytes = lines.concat();
        }
        Harm::RepeatLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
            bytes = lines.concat();
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_can_be_done_to_any_file_that_is_not_found(
        file in any::<prop::sample::Index>(),
        harm in harm(),
    ) {
        let (files, held) = sample();
        let file = file.index(files.len());
        let mut files = files.clone();
        let harmed = apply(&harm, &files[file].1);
        prop_assume!(harmed != files[file].1);
        // The beginning of the next record is none yet: a log that is being written ends like this, and it is told as such.
        let is_addition = harmed.starts_with(&files[file].1);
        files[file].1 = harmed;
        let report = verified(&files, vec![held.clone()]);
        let is_told = is_addition && report.is_torn;
        prop_assert!(!report.is_clean() || is_told, "{} {:?}", files[file].0, harm);
    }
}
