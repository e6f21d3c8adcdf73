//! A head that is let through means the same to the parser behind it: the same end, and the same length of the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::listener::head::{Framing, check};
use sealgate::listener::limits::HEADER_COUNT_LIMIT;

fuzz_target!(|head: &[u8]| {
    let Ok(framing) = check(head) else {
        return;
    };
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_LIMIT];
    let mut request = httparse::Request::new(&mut headers);
    // What it refuses is answered with an error, and harms nobody.
    let Ok(status) = request.parse(head) else {
        return;
    };
    let httparse::Status::Complete(length) = status else {
        panic!("the parser waits for more of a head that is whole");
    };
    // Everything after an empty line is a body.
    assert_eq!(length, head.len());
    let values = |name: &str| {
        let named = request.headers.iter();
        let named = named.filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value).collect::<Vec<_>>()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match framing {
        Framing::Chunked => {
            assert!(lengths.is_empty());
            assert!(matches!(&codings[..], [coding] if coding.eq_ignore_ascii_case(b"chunked")));
        }
        Framing::Length(length) => {
            assert!(codings.is_empty());
            let said = lengths.iter().map(|text| {
                let text = std::str::from_utf8(text).expect("digits");
                text.trim().parse::<u64>().expect("a number")
            });
            let said: Vec<_> = said.collect();
            assert!(said.is_empty() && length == 0 || said == [length]);
        }
    }
});
