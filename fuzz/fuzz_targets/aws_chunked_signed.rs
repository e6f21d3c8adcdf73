//! A signed body ends well only with a plaintext that was signed, and how it is cut into pieces changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::body::aws_chunked::Decoder;
use sealgate_fuzz::chunks::{decode, is_signed, signer};

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (trailer, piece, body) = input;
    let whole = decode(Decoder::signed(signer(), trailer), body, body.len());
    let cut = decode(Decoder::signed(signer(), trailer), body, piece.into());
    assert_eq!(whole, cut);
    if whole.end.is_ok() {
        assert!(is_signed(&whole.data));
    }
});
