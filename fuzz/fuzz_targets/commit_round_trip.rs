//! Any parts that may be committed are found again in the region that was sealed for them, and nowhere else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::AttemptId;
use sealgate_envelope::commit::{CommitPart, CommitRecord, CommitSearch};
use sealgate_envelope::layout::MINIMUM_PART_LENGTH;
use sealgate_envelope::object::{Body, PartId};
use sealgate_fuzz::{object, upload};

fuzz_target!(|input: (u32, u32, Vec<(u16, u32, [u8; 16])>)| {
    let (last_length, flip, parts) = input;
    let object = object(Body::Multipart);
    let count = parts.len();
    let parts = parts
        .into_iter()
        .enumerate()
        .filter_map(|(index, (number, extra, attempt))| {
            let whole = u64::from(extra) + MINIMUM_PART_LENGTH;
            let last = index + 1 == count;
            Some(CommitPart {
                id: PartId::multipart(number, AttemptId::from_bytes(attempt)).ok()?,
                plaintext_length: if last { u64::from(last_length) } else { whole },
                checksum: None,
            })
        });
    let Ok(record) = CommitRecord::new(&object, parts.collect(), Some(upload()), None) else {
        return;
    };
    let mut region = record
        .seal_region(&object)
        .expect("any record fits into its region");
    let sealed_length = record.layout().sealed_length();
    let open = |region: &[u8]| CommitRecord::open_suffix(&object, region, sealed_length);
    assert_eq!(open(&region).ok(), Some(CommitSearch::Found(record)));
    let flipped = flip as usize % (8 * region.len());
    region[flipped / 8] ^= 1 << (flipped % 8);
    assert!(!matches!(open(&region), Ok(CommitSearch::Found(_))));
});
