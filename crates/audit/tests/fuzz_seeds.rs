//! What fuzzing begins with: a seed that no longer parses shows it nothing of what comes behind.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use sealgate_audit::checkpoint::Checkpoint;
use sealgate_audit::{Kind, Note, Purpose, SigningKey, history, line};
use zeroize::Zeroizing;

fn seed(name: &str) -> String {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/seeds/audit_records"
    );
    std::fs::read_to_string(format!("{directory}/{name}")).unwrap()
}

#[test]
fn every_kind_of_record_has_a_seed_that_is_read() {
    for (name, kind) in [
        ("segment", Kind::Segment),
        ("start", Kind::Start),
        ("stop", Kind::Stop),
        ("intent", Kind::Intent),
        ("denied", Kind::Intent),
        ("outcome", Kind::Outcome),
        ("lost", Kind::Lost),
    ] {
        let (_, event) = line::read(seed(&format!("record-{name}")).as_bytes()).unwrap();
        assert_eq!(event.kind, kind);
    }
}

#[test]
fn the_seeds_of_checkpoints_are_signed_by_the_log_that_the_target_knows() {
    let key = |name, purpose, seed| {
        let seed = Zeroizing::new([seed; 32]);
        SigningKey::of_seed(name, purpose, seed).unwrap()
    };
    let log = key("log.example", Purpose::Log, 5);
    let receiver = key("receiver.example", Purpose::Cosigner, 6);
    let (checkpoint, note) = history::read(seed("history").as_bytes(), log.public()).unwrap();
    assert_eq!(
        Checkpoint::parse(&seed("text-checkpoint")),
        Some(checkpoint)
    );
    assert_eq!(Note::parse(&seed("note-checkpoint")), Ok(note));
    let cosigned = Note::parse(&seed("note-cosigned")).unwrap();
    cosigned.verify(log.public()).unwrap();
    assert!(cosigned.verify(receiver.public()).unwrap().is_some());
}
