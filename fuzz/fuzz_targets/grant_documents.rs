//! Requests, grants and revocation lists, as storage or mail brings them: what is read is the only text of what it says, so that a signature
//! covers nothing else, and what nobody signed neither revokes nor resets anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_access::grant::{Grant, GrantRequest, SignedRevocationList};

fuzz_target!(|text: &str| {
    if let Ok(request) = GrantRequest::of_text(text) {
        assert_eq!(request.to_text().as_deref(), Ok(text));
    }
    if let Ok(grant) = Grant::of_text(text) {
        assert_eq!(grant.to_text().as_deref(), Ok(text));
    }
    if let Ok(list) = SignedRevocationList::of_text(text) {
        assert_eq!(list.to_text().as_deref(), Ok(text));
    }
});
