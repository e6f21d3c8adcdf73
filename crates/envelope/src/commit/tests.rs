use super::*;
use crate::checksum::ChecksumAlgorithm;
use crate::keys::DataKey;
use crate::layout::{MINIMUM_PART_LENGTH, sealed_length};
use crate::object::Body;
use crate::suite::{Backend, Suite};
use proptest::prelude::*;

fn object(body: Body) -> ObjectSecrets {
    ObjectSecrets::new(
        DataKey::from_bytes([1; 32]),
        Suite::Aes256Gcm,
        ObjectId::from_bytes([2; 16]),
        body,
    )
}

fn parts(lengths: &[u64], algorithm: Option<ChecksumAlgorithm>) -> Vec<CommitPart> {
    lengths
        .iter()
        .zip(1..)
        .map(|(length, number)| CommitPart {
            id: PartId::multipart(number, AttemptId::from_bytes([number.to_be_bytes()[1]; 16]))
                .unwrap(),
            plaintext_length: *length,
            checksum: algorithm
                .map(|algorithm| Checksum::new(algorithm, vec![7; algorithm.width()]).unwrap()),
        })
        .collect()
}

fn object_checksum(algorithm: Option<ChecksumAlgorithm>) -> Option<ObjectChecksum> {
    algorithm.map(|algorithm| ObjectChecksum {
        checksum: Checksum::new(algorithm, vec![8; algorithm.width()]).unwrap(),
        r#type: ChecksumType::Composite,
    })
}

fn multipart(lengths: &[u64], algorithm: Option<ChecksumAlgorithm>) -> CommitRecord {
    CommitRecord::new(
        &object(Body::Multipart),
        parts(lengths, algorithm),
        Some(UploadHash::of("upload")),
        object_checksum(algorithm),
    )
    .unwrap()
}

/// Reads as a client does: a first suffix, and what is asked for.
fn search(object: &ObjectSecrets, region: &[u8], total: u64, first: u64) -> Result<CommitRecord> {
    let mut wanted = first;
    for _ in 0..3 {
        let start = region
            .len()
            .saturating_sub(usize::try_from(wanted).unwrap());
        match CommitRecord::open_suffix(object, &region[start..], total)? {
            CommitSearch::Found(record) => return Ok(record),
            CommitSearch::NeedMore { suffix_length } => wanted = suffix_length,
        }
    }
    panic!("the record was not found in three tries");
}

#[test]
fn the_widest_record_fits_and_is_found() {
    let record = multipart(
        &vec![MINIMUM_PART_LENGTH + 1; 10_000],
        Some(ChecksumAlgorithm::Sha512),
    );
    let region = record.seal_region(&object(Body::Multipart)).unwrap();
    let total = record.layout().sealed_length();
    assert_eq!(
        region.len() as u64 + record.layout().segments_length(),
        total
    );
    assert!(region.len() as u64 <= commit_region_length_of(&record));
    for first in [0, 8, 100, first_suffix_length(total)] {
        assert_eq!(
            search(&object(Body::Multipart), &region, total, first).unwrap(),
            record
        );
    }
}

fn commit_region_length_of(record: &CommitRecord) -> u64 {
    crate::layout::commit_region_length(record.plaintext_length())
}

#[test]
fn sealing_is_deterministic_and_the_same_on_every_backend() {
    let record = multipart(
        &[MINIMUM_PART_LENGTH, 5],
        Some(ChecksumAlgorithm::Crc64Nvme),
    );
    let first = record.seal_region(&object(Body::Multipart)).unwrap();
    for backend in Backend::ALL {
        let object = object(Body::Multipart).with_backend(*backend);
        assert_eq!(record.seal_region(&object).unwrap(), first);
    }
}

#[test]
fn a_record_agrees_with_its_header() {
    let body = Body::Single {
        plaintext_length: 10,
    };
    let record = CommitRecord::single(&object(body), None).unwrap();
    let region = record.seal_region(&object(body)).unwrap();
    let total = sealed_length(10).unwrap();
    assert_eq!(search(&object(body), &region, total, 500).unwrap(), record);
    for wrong in [
        Body::Single {
            plaintext_length: 11,
        },
        Body::Verified {
            plaintext_length: 10,
        },
        Body::Multipart,
    ] {
        assert!(
            search(&object(wrong), &region, total, 500).is_err(),
            "{wrong:?}"
        );
    }
    assert!(search(&object(body), &region, total + 1, 500).is_err());
    assert!(CommitRecord::single(&object(Body::Multipart), None).is_err());
    assert!(CommitRecord::new(&object(body), parts(&[10], None), None, None).is_err());
    let upload = Some(UploadHash::of("u"));
    assert!(CommitRecord::new(&object(body), record.parts().to_vec(), upload, None).is_err());
    assert!(
        CommitRecord::new(
            &object(Body::Multipart),
            record.parts().to_vec(),
            upload,
            None
        )
        .is_err()
    );
}

#[test]
fn a_record_tells_what_it_was_made_of() {
    let algorithm = Some(ChecksumAlgorithm::Sha256);
    let record = multipart(&[MINIMUM_PART_LENGTH, 1], algorithm);
    assert_eq!(record.upload(), Some(UploadHash::of("upload")));
    assert_eq!(record.checksum(), object_checksum(algorithm).as_ref());
    let body = Body::Single {
        plaintext_length: 1,
    };
    let single = CommitRecord::single(&object(body), None).unwrap();
    assert_eq!((single.upload(), single.checksum()), (None, None));
}

#[test]
fn the_number_of_parts_is_checked_before_any_is_read() {
    let object = object(Body::Multipart);
    let bytes = multipart(&[1], None).encode();
    // The count stands before the parts, 26 bytes each.
    let at = bytes.len() - 26 - 2;
    for count in [0_u16, MAXIMUM_PARTS + 1, u16::MAX] {
        let mut changed = bytes.clone();
        changed[at..at + 2].copy_from_slice(&count.to_be_bytes());
        let error = CommitRecord::decode(&object, &changed).unwrap_err();
        assert_eq!(
            error.detail(),
            "the commit record's number of parts is not allowed"
        );
    }
}

#[test]
fn checksums_are_all_there_or_none_is() {
    let algorithm = Some(ChecksumAlgorithm::Sha256);
    let object = object(Body::Multipart);
    assert!(
        CommitRecord::new(&object, parts(&[1], None), None, object_checksum(algorithm)).is_err()
    );
    assert!(CommitRecord::new(&object, parts(&[1], algorithm), None, None).is_err());
    assert!(
        CommitRecord::new(
            &object,
            parts(&[1], algorithm),
            None,
            object_checksum(algorithm)
        )
        .is_ok()
    );
}

#[test]
fn every_single_bit_of_the_region_counts() {
    let object = object(Body::Multipart);
    let record = multipart(&[100], Some(ChecksumAlgorithm::Crc32c));
    let region = record.seal_region(&object).unwrap();
    let total = record.layout().sealed_length();
    for bit in 0..region.len() * 8 {
        let mut changed = region.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let result = CommitRecord::open_suffix(&object, &changed, total);
        assert!(!matches!(result, Ok(CommitSearch::Found(_))), "bit {bit}");
    }
}

#[test]
fn what_is_fetched_first_is_a_small_region_or_16_kib() {
    let small = sealed_length(10).unwrap();
    assert_eq!(
        first_suffix_length(small),
        crate::layout::commit_region_length(10)
    );
    let large = sealed_length(1 << 40).unwrap();
    assert_eq!(first_suffix_length(large), 16_384);
}

#[test]
fn the_shape_of_a_region_is_told_without_a_key() {
    let plaintext_length = 10;
    let total = sealed_length(plaintext_length).unwrap();
    let region = usize::try_from(crate::layout::commit_region_length(plaintext_length)).unwrap();
    let shape = |record_length: usize| {
        let mut suffix = vec![0; region - 8];
        suffix.extend_from_slice(b"SGCR");
        suffix.extend_from_slice(&u32::try_from(record_length).unwrap().to_be_bytes());
        check_region_shape(&suffix, total)
    };
    let wrong = |record_length| shape(record_length).unwrap_err().detail().to_owned();
    assert!(shape(region - 8).is_ok());
    assert_eq!(
        wrong(region - 7),
        "the commit record is longer than its region"
    );
    assert!(shape(48).is_ok());
    assert_eq!(wrong(47), "the commit record is too short");
    assert!(
        check_region_shape(b"SGCR\0\0\0\x30", total).is_ok(),
        "more of the end is needed"
    );
    assert!(check_region_shape(&[0; 8], total).is_err());
}

#[test]
fn a_hostile_tail_never_asks_for_more_than_the_region() {
    let object = object(Body::Multipart);
    for length in [0u32, 1, 47, 48, 376, 377, 0x7fff_ffff, u32::MAX] {
        let mut suffix = vec![0; 376];
        suffix.extend_from_slice(b"SGCR");
        suffix.extend_from_slice(&length.to_be_bytes());
        let total = sealed_length(0).unwrap();
        assert!(
            CommitRecord::open_suffix(&object, &suffix, total).is_err(),
            "{length}"
        );
    }
}

proptest! {
    #[test]
    fn any_cut_round_trips(
        more in proptest::collection::vec(0..MINIMUM_PART_LENGTH, 0..50),
        last in 0..MINIMUM_PART_LENGTH,
        algorithm in proptest::option::of(proptest::sample::select(ChecksumAlgorithm::ALL.to_vec())),
        first in 0u64..2_000,
    ) {
        let lengths: Vec<u64> = more.iter().map(|more| MINIMUM_PART_LENGTH + more).chain([last]).collect();
        let record = multipart(&lengths, algorithm);
        let region = record.seal_region(&object(Body::Multipart)).unwrap();
        let total = record.layout().sealed_length();
        prop_assert_eq!(total, sealed_length(lengths.iter().sum()).unwrap());
        prop_assert_eq!(search(&object(Body::Multipart), &region, total, first).unwrap(), record);
    }

    #[test]
    fn arbitrary_suffixes_never_panic(suffix: Vec<u8>, total: u64) {
        prop_assert!(!matches!(
            CommitRecord::open_suffix(&object(Body::Multipart), &suffix, total),
            Ok(CommitSearch::Found(_))
        ));
    }

    #[test]
    fn arbitrary_records_never_panic_and_what_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let object = object(Body::Multipart);
        let framed = [object.object_id().as_bytes(), &bytes[..]].concat();
        if let Ok(record) = CommitRecord::decode(&object, &framed) {
            prop_assert_eq!(record.encode(), framed);
        }
    }
}
