//! The machines together: any chunking seals, any range opens, no changed byte gets out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test stops where something is wrong, and its numbers are small"
)]

use proptest::prelude::*;
use sealgate_envelope::commit::{CommitPart, CommitRecord, CommitSearch};
use sealgate_envelope::layout::{MINIMUM_PART_LENGTH, sealed_length};
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::parts::{ObjectLayout, RangePlan};
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{AttemptId, Backend, DataKey, ObjectId, Result, Suite};

fn plaintext(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8)
        .collect()
}

fn object(suite: Suite, body: Body) -> ObjectSecrets {
    ObjectSecrets::new(
        DataKey::from_bytes([1; 32]),
        suite,
        ObjectId::from_bytes([2; 16]),
        body,
    )
}

/// Seals one part, taking what is ready from the front of the buffer after every push.
fn seal_part(
    object: &ObjectSecrets,
    id: PartId,
    plaintext: &[u8],
    chunk: usize,
) -> (CommitPart, Vec<u8>) {
    let (mut sealed, mut buffer) = (Vec::new(), Vec::new());
    let mut sealer = Sealer::new(object, id).unwrap();
    for piece in plaintext.chunks(chunk) {
        sealer.push(piece, &mut buffer).unwrap();
        let ready = buffer.len() - sealer.withheld();
        sealed.extend(buffer.drain(..ready));
    }
    assert_eq!(sealer.plaintext_length(), plaintext.len() as u64);
    let part = sealer.finish(&mut buffer).unwrap();
    sealed.append(&mut buffer);
    (part.into(), sealed)
}

/// Seals a single object: body and layout.
fn seal_single(suite: Suite, plaintext: &[u8], chunk: usize) -> (ObjectSecrets, Vec<u8>) {
    let plaintext_length = plaintext.len() as u64;
    let object = object(suite, Body::Single { plaintext_length });
    let (_, mut body) = seal_part(
        &object,
        PartId::single(object.object_id()),
        plaintext,
        chunk,
    );
    body.extend(
        CommitRecord::single(&object, None)
            .unwrap()
            .seal_region(&object)
            .unwrap(),
    );
    assert_eq!(body.len() as u64, sealed_length(plaintext_length).unwrap());
    (object, body)
}

/// Seals a multipart object of parts of these lengths.
fn seal_multipart(suite: Suite, lengths: &[usize]) -> (ObjectSecrets, Vec<u8>) {
    let object = object(suite, Body::Multipart);
    let whole = plaintext(lengths.iter().sum());
    let (mut parts, mut body, mut start) = (Vec::new(), Vec::new(), 0);
    for (index, length) in lengths.iter().enumerate() {
        // Numbers with gaps.
        let id = PartId::multipart(
            2 + 3 * index as u16,
            AttemptId::from_bytes([index as u8; 16]),
        )
        .unwrap();
        let (part, sealed) = seal_part(&object, id, &whole[start..start + length], 1 << 20);
        parts.push(part);
        body.extend(sealed);
        start += length;
    }
    let record = CommitRecord::new(&object, parts, None, None).unwrap();
    body.extend(record.seal_region(&object).unwrap());
    assert_eq!(body.len() as u64, sealed_length(start as u64).unwrap());
    (object, body)
}

fn layout(object: &ObjectSecrets, body: &[u8]) -> Result<ObjectLayout> {
    match CommitRecord::open_suffix(object, body, body.len() as u64)? {
        CommitSearch::Found(record) => Ok(record.layout().clone()),
        CommitSearch::NeedMore { .. } => panic!("all of the body was given"),
    }
}

/// Opens a plan from the body; returns what was released and how it ended.
fn open(object: &ObjectSecrets, plan: RangePlan, body: &[u8]) -> (Vec<u8>, Result<()>) {
    let range = plan.ciphertext();
    let mut ciphertext = &body[range.start as usize..range.end as usize];
    let mut opener = Opener::new(object, plan).unwrap();
    let mut released = Vec::new();
    while let Some(length) = opener.next_length() {
        assert!(!opener.is_complete());
        let (segment, rest) = ciphertext.split_at(length);
        let mut segment = segment.to_vec();
        match opener.open_segment(&mut segment) {
            Ok(range) => released.extend_from_slice(&segment[range]),
            Err(error) => {
                assert!(
                    segment.iter().all(|byte| *byte == 0),
                    "a forged segment must be cleared"
                );
                assert!(opener.open_segment(&mut segment).is_err());
                assert!(!opener.is_complete());
                assert!(opener.finish().is_err());
                return (released, Err(error));
            }
        }
        ciphertext = rest;
    }
    assert!(ciphertext.is_empty() && opener.is_complete());
    (released, opener.finish())
}

#[test]
fn sizes_around_every_border() {
    for suite in Suite::ALL {
        for length in [
            0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 5_242_879, 5_242_880,
            5_242_881,
        ] {
            let whole = plaintext(length);
            let (object, body) = seal_single(suite, &whole, 1 << 20);
            let plan = layout(&object, &body).unwrap().plan_all().unwrap();
            for backend in Backend::ALL {
                let (released, end) =
                    open(&object.clone().with_backend(*backend), plan.clone(), &body);
                end.unwrap();
                assert!(released == whole, "{length}");
            }
        }
    }
}

#[test]
fn ranges_across_parts() {
    let lengths = [
        MINIMUM_PART_LENGTH as usize + 1,
        MINIMUM_PART_LENGTH as usize,
        0,
    ];
    let (object, body) = seal_multipart(Suite::Aes256Gcm, &lengths);
    let layout = layout(&object, &body).unwrap();
    let whole = plaintext(lengths.iter().sum());
    let border = MINIMUM_PART_LENGTH + 1;
    for range in [
        0..whole.len() as u64,
        border - 1..border,
        border..border + 1,
        border - 70_000..border + 70_000,
        65_535..65_537,
        3..3,
    ] {
        let (released, end) = open(&object, layout.plan(range.clone()).unwrap(), &body);
        end.unwrap();
        assert!(
            released == whole[range.start as usize..range.end as usize],
            "{range:?}"
        );
    }
}

#[test]
fn a_single_object_needs_its_commit_record_and_a_verified_one_does_not() {
    let (object, body) = seal_single(Suite::Aes256Gcm, &plaintext(10), 3);
    assert!(layout(&object, &body[..body.len() - 1]).is_err());
    let verified = self::object(
        Suite::Aes256Gcm,
        Body::Verified {
            plaintext_length: 10,
        },
    );
    assert!(
        layout(&verified, &body).is_err(),
        "the record is bound to the header's flags"
    );
}

#[test]
fn an_opener_that_was_not_finished_is_incomplete() {
    let (object, mut body) = seal_single(Suite::Aes256Gcm, &plaintext(70_000), 70_000);
    let plan = layout(&object, &body).unwrap().plan_all().unwrap();
    let mut opener = Opener::new(&object, plan.clone()).unwrap();
    assert!(opener.open_segment(&mut body[..65_564]).is_ok());
    assert!(opener.finish().is_err());
    let mut opener = Opener::new(&object, plan).unwrap();
    assert!(opener.open_segment(&mut body[..100]).is_err());
}

#[test]
fn the_sealer_notices_a_buffer_that_lost_bytes() {
    let object = object(Suite::Aes256Gcm, Body::Multipart);
    let id = PartId::multipart(1, AttemptId::from_bytes([1; 16])).unwrap();
    let mut sealer = Sealer::new(&object, id).unwrap();
    let mut buffer = Vec::new();
    sealer.push(&[1; 100], &mut buffer).unwrap();
    buffer.truncate(5);
    assert!(sealer.finish(&mut buffer).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_chunking_and_any_range(
        length in 0usize..300_000,
        chunk in 1usize..150_000,
        from in 0usize..300_000,
        to in 0usize..300_000,
        chacha: bool,
    ) {
        let suite = Suite::ALL[usize::from(chacha)];
        let whole = plaintext(length);
        let (object, body) = seal_single(suite, &whole, chunk);
        let (from, to) = (from.min(to).min(length), from.max(to).min(length));
        let plan = layout(&object, &body).unwrap().plan(from as u64..to as u64).unwrap();
        let (released, end) = open(&object, plan, &body);
        prop_assert!(end.is_ok());
        prop_assert!(released == whole[from..to]);
    }

    #[test]
    fn any_changed_bit_is_refused_and_only_what_is_before_it_gets_out(
        length in 0usize..200_000,
        position: prop::sample::Index,
        bit in 0u8..8,
        backend: prop::sample::Index,
    ) {
        let whole = plaintext(length);
        let (object, mut body) = seal_single(Suite::Aes256Gcm, &whole, 1 << 20);
        let object = object.with_backend(*backend.get(Backend::ALL));
        let position = position.index(body.len());
        body[position] ^= 1 << bit;
        if let Ok(layout) = layout(&object, &body) {
            let (released, end) = open(&object, layout.plan_all().unwrap(), &body);
            prop_assert!(end.is_err());
            prop_assert!(released == whole[..position / 65_564 * 65_536]);
        } else {
            prop_assert!(position >= length + length.div_ceil(65_536) * 28);
        }
    }
}
