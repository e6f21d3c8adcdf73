//! How an unsigned body is cut into pieces changes neither its data, nor its trailers, nor its failure.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::body::aws_chunked::Decoder;
use sealgate::body::limits::MAX_TRAILERS;
use sealgate_fuzz::chunks::decode;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, body) = input;
    let whole = decode(Decoder::unsigned_trailer(), body, body.len());
    assert!(whole.data.len() <= body.len());
    assert!(
        whole
            .end
            .as_ref()
            .is_ok_and(|trailers| trailers.len() <= MAX_TRAILERS)
            || whole.end.is_err()
    );
    assert_eq!(
        whole,
        decode(Decoder::unsigned_trailer(), body, piece.into())
    );
});
