//! What a log signs and proves is verified by Go's own tools, which know nothing of it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use sealgate_audit::{
    Decision, Directory, Event, Log, LogOptions, Purpose, SigningKey, Verdict, history,
    merkle::Hash,
    proof::{Collector, consistency_ranges, inclusion_ranges},
    search::Entries,
};
use serde_json::{Value, json};

fn checker(place: &Path) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go");
    let binary = place.join("check");
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(source)
        .status()
        .expect("Go is needed: see CONTRIBUTING.md");
    assert!(status.success());
    binary
}

fn accepts(checker: &Path, input: &Value) -> bool {
    let mut child = Command::new(checker)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    child.wait().unwrap().success()
}

#[tokio::test]
async fn gos_tools_accept_every_proof_and_no_other() {
    let place = tempfile::tempdir().unwrap();
    let checker = checker(place.path());
    let directory = Directory::new(place.path().join("log"));
    let key = SigningKey::generate("audit.example.com/one", Purpose::Log).unwrap();
    let public = key.public().clone();
    let log = Log::open(LogOptions {
        segment_size: 2_000,
        checkpoint_interval: Duration::ZERO,
        ..LogOptions::new(directory.clone(), key)
    })
    .unwrap();
    for number in 0..20 {
        let decision = Decision {
            key: Some(format!("ö \u{202e}\n{number}")),
            ..Decision::new(Verdict::Allow)
        };
        log.record(vec![Event::intent(decision)]).await.unwrap();
    }
    log.close();
    let mut lines = Vec::new();
    let mut entries = Entries::open(&directory, 0).unwrap();
    while let Some(entry) = entries.next_entry().unwrap() {
        lines.push(entry.bytes);
    }
    let history = fs::read(directory.checkpoints()).unwrap();
    let checkpoints: Vec<_> = history
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| history::read(line, &public).unwrap())
        .collect();
    let (newest, newest_note) = checkpoints.last().unwrap();
    let prove = |ranges| {
        let mut collector = Collector::new(ranges);
        for (index, line) in (0..).zip(&lines) {
            collector.leaf(index, Hash::leaf(line));
        }
        let hashes = collector.finish().unwrap().into_iter();
        hashes.map(Hash::to_base64).collect::<Vec<_>>()
    };
    for index in (0..newest.size).step_by(5) {
        for (older, older_note) in checkpoints.iter().step_by(7) {
            let line = &lines[usize::try_from(index).unwrap()];
            let consistency = consistency_ranges(older.size, newest.size).unwrap();
            let input = json!({
                "verifier_key": public.to_string(),
                "old": older_note.to_string(),
                "new": newest_note.to_string(),
                "line": String::from_utf8(line.clone()).unwrap(),
                "index": index,
                "inclusion": prove(inclusion_ranges(index, newest.size).unwrap()),
                "consistency": prove(consistency),
            });
            assert!(accepts(&checker, &input), "{input}");
            for (member, other) in [
                ("line", json!("another\n")),
                ("index", json!(index + 1)),
                (
                    "old",
                    json!(older_note.to_string().replace("one\n", "two\n")),
                ),
                ("consistency", json!([Hash::empty().to_base64()])),
            ] {
                let mut altered = input.clone();
                altered[member] = other;
                assert!(!accepts(&checker, &altered), "{member}");
            }
        }
    }
}
