//! An upload record that parses is the only encoding of its fields, and verifies exactly if its MAC is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::UploadHash;
use sealgate_envelope::object::Body;
use sealgate_envelope::records::UploadRecord;
use sealgate_fuzz::object_with_id;

fuzz_target!(|bytes: &[u8]| {
    let Ok(unverified) = UploadRecord::parse(bytes) else {
        return;
    };
    let claim = unverified.claim().clone();
    let object = object_with_id(unverified.header().object_id(), Body::Multipart);
    let encoded = claim
        .encode(&object)
        .expect("a parsed record can be encoded");
    assert_eq!(encoded[..encoded.len() - 32], bytes[..bytes.len() - 32]);
    let upload = UploadHash::of(&claim.upload_id);
    let verified = unverified.verify(&object, &claim.bucket, &claim.object_key, upload);
    assert_eq!(verified.ok(), (encoded == bytes).then_some(claim));
});
