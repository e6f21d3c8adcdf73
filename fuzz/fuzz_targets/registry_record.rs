//! A registry record that parses is the only encoding of its fields, and verifies exactly if its MAC is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::records::RegistryRecord;
use sealgate_fuzz::{domain, working_key};

fuzz_target!(|bytes: &[u8]| {
    let (id, key) = working_key();
    let Ok(unverified) = RegistryRecord::parse(bytes, id) else {
        return;
    };
    let created: [u8; 8] = bytes[24..32].try_into().expect("8 bytes");
    let record = RegistryRecord {
        id,
        created: u64::from_be_bytes(created),
        domain: unverified.claimed_domain().clone(),
        wraps: unverified.wraps().to_vec(),
    };
    let encoded = record.encode(&key).expect("a parsed record can be encoded");
    assert_eq!(encoded[..encoded.len() - 32], bytes[..bytes.len() - 32]);
    let authentic = encoded == bytes && record.domain == domain();
    assert_eq!(
        unverified.verify(&key, &domain()).ok(),
        authentic.then_some(record)
    );
});
