//! A session token opens to what it was made for, and to nothing else; whatever else is sent is refused: altered, cut, or made up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_access::token::{NewSession, TOKEN_ENTROPY, TokenKeys};

const NOW: u64 = 1_800_000_000;

fuzz_target!(|input: (u16, u8, &str, &str)| {
    let (place, change, identity, text) = input;
    let keys = TokenKeys::new("fuzz", &[&[7; 32], &[8; 32]]).expect("long secrets");
    let new = NewSession {
        identity,
        session: "",
        source: "",
        signed_by: "",
        lifetime: 60,
        grant: "",
    };
    let Ok((token, session)) = keys.issue(&new, NOW, &[9; TOKEN_ENTROPY]) else {
        return;
    };
    let id = session.claims.access_key_id.as_str();
    let opened = keys.open(&token, id, NOW).expect("a token of these keys");
    assert_eq!(opened.claims, session.claims);
    assert_eq!(opened.claims.identity, identity);
    assert!(keys.open(&token, id, NOW + 60).is_err());
    assert!(text == id || keys.open(&token, text, NOW).is_err());

    assert!(text == token || keys.open(text, id, NOW).is_err());
    let place = usize::from(place) % token.len();
    assert!(keys.open(&token[..place], id, NOW).is_err());
    let mut altered = token.clone().into_bytes();
    altered[place] ^= change;
    if let Ok(altered) = std::str::from_utf8(&altered) {
        assert!(altered == token || keys.open(altered, id, NOW).is_err());
    }
});
