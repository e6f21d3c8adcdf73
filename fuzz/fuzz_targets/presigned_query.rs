//! What is left of a presigned query carries no authentication in any spelling, and all else byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::auth::canonical::canonical_query;
use sealgate::auth::limits::MAX_PRESIGNED_LIFETIME;
use sealgate::auth::{parse_presigned_query, strip_auth_query};

const AUTHENTICATION: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

fuzz_target!(|query: &str| {
    if let Ok(presigned) = parse_presigned_query(query) {
        assert!(!presigned.lifetime.is_zero() && presigned.lifetime <= MAX_PRESIGNED_LIFETIME);
        assert!(presigned.signed_headers.contains("host"));
    }
    let stripped = strip_auth_query(query);
    assert!(parse_presigned_query(&stripped).is_err());
    for parameter in canonical_query(&stripped).split('&') {
        let name = parameter.split('=').next().unwrap_or_default();
        assert!(
            !AUTHENTICATION.contains(&name.to_ascii_lowercase().as_str()),
            "{name}"
        );
    }
    let mut parameters = query.split('&');
    for kept in stripped.split('&').filter(|kept| !kept.is_empty()) {
        assert!(
            parameters.any(|parameter| parameter == kept),
            "{kept} is not as it was"
        );
    }
});
