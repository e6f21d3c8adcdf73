//! The line of a secret file that is understood is written back as it was: there is one way to write a key. Nothing is derived from a passphrase.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::secret_file::rewritten;

fuzz_target!(|bytes: &[u8]| {
    if let Some(line) = rewritten(bytes) {
        assert_eq!(line.as_bytes(), bytes);
    }
});
