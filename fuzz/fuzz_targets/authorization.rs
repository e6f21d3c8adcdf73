//! An `Authorization` header that parses reads the same after it was written from its parts, and is within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::auth::limits::{
    MAX_ACCESS_KEY_ID_LENGTH, MAX_AUTHORIZATION_LENGTH, MAX_REGION_LENGTH,
};
use sealgate::auth::parse_authorization;

fuzz_target!(|header: &str| {
    let Ok(parsed) = parse_authorization(header) else {
        return;
    };
    let credential = &parsed.credential;
    assert!(header.len() <= MAX_AUTHORIZATION_LENGTH);
    assert!(credential.access_key_id.len() <= MAX_ACCESS_KEY_ID_LENGTH);
    assert!(credential.region.len() <= MAX_REGION_LENGTH);
    assert!(parsed.signed_headers.contains("host"));
    let written = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}/{}/s3/aws4_request,SignedHeaders={},Signature={}",
        credential.access_key_id,
        credential.day,
        credential.region,
        parsed.signed_headers.as_str(),
        parsed.signature.to_hex()
    );
    assert_eq!(parse_authorization(&written).as_ref(), Ok(&parsed));
});
