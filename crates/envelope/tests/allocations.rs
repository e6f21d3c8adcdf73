//! Segments are sealed and opened without any allocation, however many there are.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use allocation_counter::{AllocationInfo, measure};
use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::layout::{SEALED_SEGMENT_LENGTH, SEGMENT_LENGTH};
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::segment::PartSealer;
use sealgate_envelope::{AttemptId, Backend, DataKey, ObjectId, Suite};

const SEGMENTS: usize = 20;

/// Both suites by every backend that is compiled in.
fn objects() -> impl Iterator<Item = ObjectSecrets> {
    Suite::ALL.into_iter().flat_map(|suite| {
        Backend::ALL.iter().map(move |backend| {
            ObjectSecrets::new(
                DataKey::from_bytes([1; 32]),
                suite,
                ObjectId::from_bytes([2; 16]),
                Body::Multipart,
            )
            .with_backend(*backend)
        })
    })
}

fn id() -> PartId {
    PartId::multipart(1, AttemptId::from_bytes([3; 16])).unwrap()
}

#[track_caller]
fn assert_none(object: &ObjectSecrets, allocations: &AllocationInfo) {
    assert_eq!(
        allocations.count_total,
        0,
        "{:?} {:?}: {allocations:?}",
        object.suite(),
        object.backend()
    );
}

/// If this fails, the others prove nothing.
#[test]
fn the_start_of_a_part_is_counted() {
    for object in objects() {
        let allocations = measure(|| drop(PartSealer::new(&object, id()).unwrap()));
        assert!(allocations.count_total > 0, "{allocations:?}");
    }
}

#[test]
fn segments_are_sealed_in_place() {
    for object in objects() {
        let mut part = PartSealer::new(&object, id()).unwrap();
        let mut segment = vec![5; SEALED_SEGMENT_LENGTH];
        let allocations = measure(|| {
            for number in 1..=SEGMENTS {
                part.seal_segment(&mut segment, number == SEGMENTS).unwrap();
            }
        });
        assert_none(&object, &allocations);
        assert_eq!(
            part.finish().unwrap().plaintext_length,
            (SEGMENTS * SEGMENT_LENGTH) as u64
        );
    }
}

#[test]
fn pieces_of_any_length_are_sealed_in_the_callers_buffer() {
    for object in objects() {
        let content = vec![5; SEGMENTS * SEGMENT_LENGTH];
        let mut buffer = Vec::with_capacity(2 * SEALED_SEGMENT_LENGTH);
        for length in [1_000, SEGMENT_LENGTH, SEGMENT_LENGTH - 1] {
            let mut sealer = Sealer::new(&object, id()).unwrap();
            let allocations = measure(|| {
                for piece in content.chunks(length) {
                    sealer.push(piece, &mut buffer).unwrap();
                    let ready = buffer.len() - sealer.withheld();
                    buffer.drain(..ready);
                }
                sealer.finish(&mut buffer).unwrap();
            });
            assert_none(&object, &allocations);
            buffer.clear();
        }
    }
}

#[test]
fn segments_are_opened_in_place() {
    for object in objects() {
        let mut sealed = Vec::new();
        let mut sealer = Sealer::new(&object, id()).unwrap();
        let content = vec![5; SEGMENTS * SEGMENT_LENGTH];
        sealer.push(&content, &mut sealed).unwrap();
        let part = sealer.finish(&mut sealed).unwrap();
        let record = CommitRecord::new(&object, vec![part.into()], None, None).unwrap();
        let mut opener = Opener::new(&object, record.layout().plan_all().unwrap()).unwrap();
        let mut segments = sealed.chunks_mut(SEALED_SEGMENT_LENGTH);
        // With the first one, the key of its part is derived.
        let mut opened = opener.open_segment(segments.next().unwrap()).unwrap().len();
        let allocations = measure(|| {
            for segment in segments {
                opened += opener.open_segment(segment).unwrap().len();
            }
        });
        assert_none(&object, &allocations);
        opener.finish().unwrap();
        assert_eq!(opened, content.len());
    }
}
