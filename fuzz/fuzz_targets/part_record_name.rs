//! A part record's name parses only as it would be written, and opens only for the upload and part that it names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::UploadHash;
use sealgate_envelope::object::Body;
use sealgate_envelope::records::{PartRecordName, part_record_prefix};
use sealgate_fuzz::{object, upload};

fuzz_target!(|text: &str| {
    let Ok(name) = PartRecordName::parse(text) else {
        return;
    };
    let id = name.id();
    let named: UploadHash = text[8..72].parse().expect("the name holds a hash");
    let prefix = part_record_prefix(named);
    assert!(text.starts_with(&format!("{prefix}{:05}/{}/", id.number(), id.attempt())));
    if let Ok(record) = name.open(&object(Body::Multipart), upload()) {
        assert_eq!((record.id, named), (id, upload()));
    }
});
