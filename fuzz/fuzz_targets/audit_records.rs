//! What stands in the files of an audit log, and what a gateway pushes: notes are read in one form only, nothing counts that its key did not
//! sign, and a record, whatever is in it, is one line for those who read it on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_audit::line::Prepared;
use sealgate_audit::{Note, cef, checkpoint::Checkpoint, history, line, ocsf};
use sealgate_fuzz::documents::{checkpoint, log_key, receiver_key};

fuzz_target!(|bytes: &[u8]| {
    let (log, receiver) = (log_key(), receiver_key());
    // The only line that this log ever signed, byte for byte.
    if history::read(bytes, log.public()).is_ok() {
        assert_eq!(history::write(&checkpoint()).as_deref(), Ok(bytes));
        assert!(history::is_checkpoint(bytes));
    }
    if let Ok((header, event)) = line::read(bytes) {
        assert_eq!(line::read_header(bytes), Ok(header.clone()));
        if let Some(line) = cef::line("log", &header, &event) {
            assert!(!line.contains(['\n', '\r']), "{line:?}");
        }
        let _ = ocsf::event("log", &header, &event);
        assert!(Prepared::new(event).is_ok());
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = Checkpoint::parse(text);
    if let Ok(note) = Note::parse(text) {
        assert_eq!(Note::parse(&note.to_string()), Ok(note.clone()));
        let signed = note.text() == checkpoint().text();
        assert!(signed || note.verify(log.public()).is_err());
        assert!(signed || note.verify(receiver.public()).is_err());
        assert!(signed || Checkpoint::verify(&note, log.public()).is_err());
    }
});
