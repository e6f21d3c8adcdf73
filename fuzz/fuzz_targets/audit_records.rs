//! What stands in the files of an audit log, and what a gateway pushes: notes are read in one form only, nothing counts that its key did not
//! sign, and a record, whatever is in it, is one line for those who read it on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_audit::{Note, Purpose, SigningKey, cef, checkpoint::Checkpoint, history, line, ocsf};
use zeroize::Zeroizing;

fuzz_target!(|bytes: &[u8]| {
    let key =
        SigningKey::of_seed("log.example", Purpose::Log, Zeroizing::new([5; 32])).expect("a name");
    assert!(history::read(bytes, key.public()).is_err());
    if let Ok((header, event)) = line::read(bytes) {
        assert_eq!(line::read_header(bytes), Ok(header.clone()));
        if let Some(line) = cef::line("log", &header, &event) {
            assert!(!line.contains(['\n', '\r']), "{line:?}");
        }
        let _ = ocsf::event("log", &header, &event);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = Checkpoint::parse(text);
    if let Ok(note) = Note::parse(text) {
        assert_eq!(Note::parse(&note.to_string()), Ok(note.clone()));
        assert!(note.verify(key.public()).is_err());
        assert!(Checkpoint::verify(&note, key.public()).is_err());
    }
});
