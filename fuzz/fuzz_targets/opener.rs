//! Whatever bytes stand in the storage, of a segment that differs from the sealed one nothing is released, nor of any later one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_fuzz::{CountingRandom, object};

/// Two segments, the second one short.
static PLAINTEXT: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=250).cycle().take(65_636).collect());
static OBJECT: LazyLock<ObjectSecrets> = LazyLock::new(|| {
    object(Body::Single {
        plaintext_length: PLAINTEXT.len() as u64,
    })
});
static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (part, random) = (
        PartId::single(OBJECT.object_id()),
        CountingRandom::default(),
    );
    let mut sealed = Vec::new();
    let mut sealer = Sealer::with_random(&OBJECT, part, random).expect("a part");
    sealer.push(&PLAINTEXT, &mut sealed).expect("room");
    sealer.finish(&mut sealed).expect("all of the plaintext");
    sealed
});

// The changes are XORed onto the sealed bytes from `offset` on, so that every body can be reached and none at all is the right one.
fuzz_target!(|input: (u32, u32, u32, &[u8])| {
    let (start, length, offset, changes) = input;
    let mut stored = SEALED.clone();
    let offset = offset as usize % stored.len();
    stored[offset..]
        .iter_mut()
        .zip(changes)
        .for_each(|(byte, change)| *byte ^= change);

    let record = CommitRecord::single(&OBJECT, None).expect("a record");
    let total = PLAINTEXT.len() as u64;
    let start = u64::from(start) % (total + 1);
    let end = total.min(start + u64::from(length));
    let plan = record
        .layout()
        .plan(start..end)
        .expect("a range within the object");
    let mut position = usize::try_from(plan.ciphertext().start).expect("a short body");
    let mut released = Vec::new();
    let mut opener = Opener::new(&OBJECT, plan).expect("a confirmed layout");
    while let Some(length) = opener.next_length() {
        let mut segment = stored[position..position + length].to_vec();
        let genuine = segment == SEALED[position..position + length];
        let opened = opener.open_segment(&mut segment);
        assert_eq!(opened.is_ok(), genuine);
        let Ok(range) = opened else {
            assert!(
                segment.iter().all(|byte| *byte == 0),
                "a refused segment is cleared"
            );
            assert!(
                opener
                    .open_segment(&mut SEALED[position..position + length].to_vec())
                    .is_err()
            );
            assert!(opener.finish().is_err());
            return;
        };
        released.extend_from_slice(&segment[range]);
        position += length;
    }
    opener.finish().expect("the range is complete");
    let range = usize::try_from(start).expect("short")..usize::try_from(end).expect("short");
    assert_eq!(released, PLAINTEXT[range]);
});
